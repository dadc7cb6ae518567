"""face_recognizer: one encoded photo to the people in it, or several photos of one person to that person.

The detector and the embedder of the same release do the work.
"""

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from face_assets.biometrics.quality import QualityScale, fused, qualities, too_poor  # noqa: E402
from face_assets.gallery.search import Gallery  # noqa: E402
from face_assets.serving.runtime.embedding_right import may_receive_embeddings, own_parameters  # noqa: E402
from face_assets.serving.runtime.limits import Admission, Limits, require_waiting_caller  # noqa: E402
from face_assets.serving.runtime.native_networks import face_rows, native_networks  # noqa: E402
from face_assets.serving.runtime.photos_of_person import unpack_photos  # noqa: E402
from face_assets.serving.runtime.recorder import log_event  # noqa: E402
from face_assets.serving.runtime.responses import BUSY, DROPPED, UNUSABLE, error_message, error_response, send  # noqa: E402
from face_assets.serving.runtime.traffic import Traffic  # noqa: E402
from face_assets.serving.runtime.use_record import NotRecordedError, open_record  # noqa: E402

PHOTOS_AT_ONCE = 16  # of releases without the parameter
ERRORS = {UNUSABLE: "unusable", BUSY: "busy", DROPPED: "dropped"}  # an error's beginning → its word in the record of use


class _SiblingError(Exception):
    """Error response of the detector or the embedder."""


class TritonPythonModel:
    """The gallery and the threshold. The configuration names the detector and the embedder, and their versions.

    Many photos are under way at once, each in a thread that waits for the two, so the embedder batches crops over photos.
    """

    def initialize(self, args):
        parameters = {name: value["string_value"] for name, value in json.loads(args["model_config"])["parameters"].items()}
        self.siblings = {name: (parameters[name], int(parameters[f"{name}_version"])) for name in ("detector", "embedder")}
        self.release = parameters["release"]
        self.max_batch = int(parameters["max_batch"])
        recognizer = json.loads((HERE / "recognizer.json").read_text(encoding="utf-8"))
        self.threshold = recognizer["identification_threshold"]
        self.size = recognizer["embedding_size"]
        self.floor = recognizer["serving"].get("min_quality", 0.0)
        self.scale = QualityScale.from_json(recognizer.get("quality"))
        self.embedder = native_networks(pb_utils, HERE, int(args["model_version"])).get("embedder")
        self.gallery = Gallery.load(HERE, int(os.environ.get("FACE_ASSETS_CORES", "1")))
        self.gallery.prepare()
        self.traffic = Traffic(args["model_name"], self.release, pb_utils.MetricFamily)
        self.record = (
            open_record(self.release, HERE / "gallery.npz", self.traffic.not_recorded, log_event) if self.traffic.is_live else None
        )
        self.limits = Limits.of(recognizer)
        self.admission = Admission(self.limits)
        self.pool = ThreadPoolExecutor(recognizer["serving"].get("photos_at_once", PHOTOS_AT_ONCE), "photo")

    def finalize(self):
        self.pool.shutdown()
        if self.record:
            self.record.close()
        self.traffic.close()

    def execute(self, requests):
        """Queues the requests; threads respond through their senders, so that Triton sends the next photos meanwhile."""
        for request in requests:
            sender, came = request.get_response_sender(), time.monotonic()
            try:
                photos = self._photos(request)
                size = sum(map(len, photos))
                self.admission.enter(size, len(photos))
            except Exception as error:
                send(pb_utils, sender, self._error(request, came, error))
            else:
                self.pool.submit(self._respond, request, photos, sender, came, size)

    def _photos(self, request):
        """Returns the encoded photos of a request: one, or several of one person. Raises UnusablePhoto."""
        photos = unpack_photos(pb_utils.get_input_tensor_by_name(request, "IMAGE").as_numpy().ravel()[0])
        for photo in photos:
            self.limits.check_content(photo)
        return photos

    def _respond(self, request, photos, sender, came, size):
        try:
            if len(photos) == 1:
                response = self._answer(request, photos[0], sender, came)
            else:
                response = self._answer_person(request, photos, sender, came)
        except Exception as error:
            response = self._error(request, came, error)
        finally:
            self.admission.leave(size, len(photos))
        send(pb_utils, sender, response)

    def _error(self, request, came, error):
        """Returns the error response for a photo, which the traffic counts by its kind."""
        of_sibling, parameters = isinstance(error, _SiblingError), request.parameters()
        sentence = str(error) if of_sibling else error_message(error)
        if not isinstance(error, NotRecordedError):
            kind = next((word for beginning, word in ERRORS.items() if sentence.startswith(beginning)), "failed")
            if self.record and self.traffic.counts(parameters):
                self.record.write({"error": kind}, self.traffic.caller(parameters), wait=False)
        if sentence.startswith(UNUSABLE):
            self.traffic.refused(parameters, sentence)
        elif sentence.startswith((BUSY, DROPPED)):
            self.traffic.dropped(parameters, sentence)
        else:  # the log gets the type of such an error only: its message may name a person
            self.traffic.failed(parameters, time.monotonic() - came, sentence if of_sibling else type(error).__name__)
        return error_response(pb_utils, sentence)

    def _record(self, parameters, outcome, photos, matches):
        """Records the use, where the server keeps a record and the request is not the platform's own. Raises NotRecordedError."""
        if self.record and self.traffic.counts(parameters):
            self.record.write_match(outcome, self.traffic.caller(parameters), photos, matches)

    def _matches(self, places, scores, accepted, boxes=None):
        """Returns the people that an answer names, for the encrypted photo alone. boxes: of the faces, None for several photos."""
        found = []
        for row in np.flatnonzero(accepted):
            box = {} if boxes is None else {"box": boxes[row].tolist()}
            found.append({"name": self.gallery.names[places[row]], "score": float(scores[row]), **box})
        return found

    def _answer(self, request, photo, sender, came):
        boxes, probabilities, crops = self._detect(photo, sender, came)
        embeddings, quality = self._embed(crops, sender, came)
        places, scores = self.gallery.search(embeddings)
        accepted = scores >= self.threshold
        poor = too_poor(quality, accepted, self.floor)
        self._record(request.parameters(), _outcome(1, len(boxes), accepted, poor), [photo], self._matches(places, scores, accepted, boxes))
        seconds = time.monotonic() - came
        self.traffic.record(request.parameters(), seconds, crops, boxes, probabilities, embeddings, scores, accepted, quality, poor)
        return self._response(request, boxes, probabilities, quality, embeddings, places, scores, accepted, poor)

    def _answer_person(self, request, photos, sender, came):
        """Identifies one person by the subjects of several photos, each of which the traffic counts."""
        found = [self._detect(photo, sender, came) for photo in photos]
        boxes, probabilities, crops = (np.concatenate([one[number][:1] for one in found]) for number in range(3))
        subjects = np.flatnonzero([len(one[0]) for one in found])  # photos with a face
        embeddings, quality = self._embed(crops, sender, came)
        person = fused(embeddings, quality)[None] if len(subjects) else embeddings
        places, scores = self.gallery.search(person)
        accepted = scores >= self.threshold
        poor = too_poor(quality.max(keepdims=True), accepted, self.floor) if len(subjects) else accepted
        self._record(
            request.parameters(), _outcome(len(photos), len(subjects), accepted, poor), photos, self._matches(places, scores, accepted)
        )
        seconds = time.monotonic() - came
        _, alone = self.gallery.search(embeddings)
        verdicts = (np.repeat(accepted, len(subjects)), quality, np.repeat(poor, len(subjects)))
        columns = (crops, boxes, probabilities, embeddings, alone, *verdicts)
        for place in range(len(photos)):
            self.traffic.record(request.parameters(), seconds, *(column[subjects == place] for column in columns))
        of_photos = [np.full((len(photos), *column.shape[1:]), np.nan, np.float32) for column in (boxes, probabilities, quality)]
        for rows, column in zip(of_photos, (boxes, probabilities, quality), strict=True):
            rows[subjects] = column
        return self._response(request, *of_photos, person, places, scores, accepted, poor)

    def _detect(self, photo, sender, came):
        """Returns boxes, probabilities and crops of an encoded photo."""
        require_waiting_caller(sender, came, self.limits.max_seconds)
        image = pb_utils.Tensor("IMAGE", np.array([photo], dtype=np.object_))
        found = self._ask("detector", [image], ["BOXES", "PROBABILITIES", "CROPS"])
        return [self._array(found, name) for name in ("BOXES", "PROBABILITIES", "CROPS")]

    def _embed(self, crops, sender, came):
        """Returns embeddings float32 (n, d) and qualities float32 (n,) of crops uint8 (n, s, s, 3)."""
        embeddings, quality = np.empty((len(crops), self.size), np.float32), np.empty(len(crops), np.float32)
        for start in range(0, len(crops), self.max_batch):
            require_waiting_caller(sender, came, self.limits.max_seconds)
            if self.embedder:  # Triton batches crops over photos by itself
                rows = face_rows(self.embedder, crops[start : start + self.max_batch])
                embeddings[start : start + self.max_batch] = rows[:, :-1]
                quality[start : start + self.max_batch] = qualities(self.scale, rows[:, -1])
                continue
            part = pb_utils.Tensor("CROPS", np.ascontiguousarray(crops[start : start + self.max_batch]))
            answer = self._ask("embedder", [part], ["EMBEDDINGS", "QUALITY"])
            embeddings[start : start + self.max_batch] = self._array(answer, "EMBEDDINGS")
            quality[start : start + self.max_batch] = self._array(answer, "QUALITY").ravel()
        return embeddings, quality

    def _response(self, request, boxes, probabilities, quality, embeddings, places, scores, accepted, poor):
        names = [self.gallery.names[place] if taken else "" for place, taken in zip(places, accepted, strict=True)]
        outputs = {
            "BOXES": boxes,
            "PROBABILITIES": probabilities,
            "EMBEDDINGS": embeddings,
            "IDENTITY": np.array([name.encode() for name in names], dtype=np.object_),
            "SCORE": scores,
            "ACCEPTED": accepted,
            "QUALITY": quality,
            "TOO_POOR": poor,
            "RELEASE": np.array([self.release.encode()], dtype=np.object_),
        }
        if not may_receive_embeddings(request.parameters()):
            del outputs["EMBEDDINGS"]
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, value) for name, value in outputs.items()])

    def _ask(self, sibling, inputs, outputs):
        name, version = self.siblings[sibling]
        asked = pb_utils.InferenceRequest(
            model_name=name,
            model_version=version,
            requested_output_names=outputs,
            inputs=inputs,
            parameters=own_parameters(),
        )
        answer = asked.exec()
        if answer.has_error():
            raise _SiblingError(answer.error().message())
        return answer

    @staticmethod
    def _array(response, name):
        return pb_utils.get_output_tensor_by_name(response, name).as_numpy()


def _outcome(photos, faces, accepted, poor):
    """Returns the outcome of an answer in numbers, as the record of use has it."""
    return {"photos": photos, "faces": faces, "accepted": int(np.count_nonzero(accepted)), "too_poor": int(np.count_nonzero(poor))}
