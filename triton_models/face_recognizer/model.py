"""face_recognizer: one encoded photo to the people in it, through the detector and the embedder of the same release."""

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

from face_assets.gallery.search import Gallery  # noqa: E402
from face_assets.serving.runtime.limits import Admission, Limits, require_waiting_caller  # noqa: E402
from face_assets.serving.runtime.responses import BUSY, DROPPED, UNUSABLE, error_message, error_response, send  # noqa: E402
from face_assets.serving.runtime.traffic import Traffic  # noqa: E402

PHOTOS_AT_ONCE = 16  # of releases without the parameter


class _SiblingError(Exception):
    """Error response of the detector or the embedder."""


class TritonPythonModel:
    """The gallery and the threshold. The detector and the embedder, named in the configuration, have the same version.

    Many photos are under way at once, each in a thread that waits for the two, so the embedder batches crops over photos.
    """

    def initialize(self, args):
        parameters = {name: value["string_value"] for name, value in json.loads(args["model_config"])["parameters"].items()}
        self.siblings = {"detector": parameters["detector"], "embedder": parameters["embedder"]}
        self.release = parameters["release"]
        self.max_batch = int(parameters["max_batch"])
        self.version = int(args["model_version"])
        recognizer = json.loads((HERE / "recognizer.json").read_text(encoding="utf-8"))
        self.threshold = recognizer["identification_threshold"]
        self.size = recognizer["embedding_size"]
        self.gallery = Gallery.load(HERE, int(os.environ.get("FACE_ASSETS_CORES", "1")))
        self.gallery.prepare()
        self.traffic = Traffic(args["model_name"], self.release, pb_utils.MetricFamily)
        self.limits = Limits.of(recognizer)
        self.admission = Admission(self.limits)
        self.pool = ThreadPoolExecutor(recognizer["serving"].get("photos_at_once", PHOTOS_AT_ONCE), "photo")

    def finalize(self):
        self.pool.shutdown()
        self.traffic.close()

    def execute(self, requests):
        """Queues the requests; threads respond through their senders, so that Triton sends the next photos meanwhile."""
        for request in requests:
            sender, came = request.get_response_sender(), time.monotonic()
            try:
                content = pb_utils.get_input_tensor_by_name(request, "IMAGE").as_numpy().ravel()[0]
                self.limits.check_content(content)
                self.admission.enter(len(content))
            except Exception as error:
                send(pb_utils, sender, self._error(request, came, error))
            else:
                self.pool.submit(self._respond, request, sender, came, len(content))

    def _respond(self, request, sender, came, size):
        try:
            response = self._answer(request, sender, came)
        except Exception as error:
            response = self._error(request, came, error)
        finally:
            self.admission.leave(size)
        send(pb_utils, sender, response)

    def _error(self, request, came, error):
        """Returns the error response for a photo, which the traffic counts by its kind."""
        of_sibling, parameters = isinstance(error, _SiblingError), request.parameters()
        sentence = str(error) if of_sibling else error_message(error)
        if sentence.startswith(UNUSABLE):
            self.traffic.refused(parameters, sentence)
        elif sentence.startswith((BUSY, DROPPED)):
            self.traffic.dropped(parameters, sentence)
        else:  # the log gets the type of such an error only: its message may name a person
            self.traffic.failed(parameters, time.monotonic() - came, sentence if of_sibling else type(error).__name__)
        return error_response(pb_utils, sentence)

    def _answer(self, request, sender, came):
        require_waiting_caller(sender, came, self.limits.max_seconds)
        image = pb_utils.get_input_tensor_by_name(request, "IMAGE")
        found = self._ask("detector", [image], ["BOXES", "PROBABILITIES", "CROPS"])
        boxes, probabilities, crops = (self._array(found, name) for name in ("BOXES", "PROBABILITIES", "CROPS"))
        embeddings = np.empty((len(crops), self.size), np.float32)
        for start in range(0, len(crops), self.max_batch):
            require_waiting_caller(sender, came, self.limits.max_seconds)
            part = pb_utils.Tensor("CROPS", np.ascontiguousarray(crops[start : start + self.max_batch]))
            answer = self._ask("embedder", [part], ["EMBEDDINGS"])
            embeddings[start : start + self.max_batch] = self._array(answer, "EMBEDDINGS")
        places, scores = self.gallery.search(embeddings)
        accepted = scores >= self.threshold
        names = [self.gallery.names[place] if taken else "" for place, taken in zip(places, accepted, strict=True)]
        seconds = time.monotonic() - came
        self.traffic.record(request.parameters(), seconds, crops, boxes, probabilities, embeddings, scores, accepted)
        outputs = {
            "BOXES": boxes,
            "PROBABILITIES": probabilities,
            "EMBEDDINGS": embeddings,
            "IDENTITY": np.array([name.encode() for name in names], dtype=np.object_),
            "SCORE": scores,
            "ACCEPTED": accepted,
            "RELEASE": np.array([self.release.encode()], dtype=np.object_),
        }
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, value) for name, value in outputs.items()])

    def _ask(self, sibling, inputs, outputs):
        asked = pb_utils.InferenceRequest(
            model_name=self.siblings[sibling], model_version=self.version, requested_output_names=outputs, inputs=inputs
        )
        answer = asked.exec()
        if answer.has_error():
            raise _SiblingError(answer.error().message())
        return answer

    @staticmethod
    def _array(response, name):
        return pb_utils.get_output_tensor_by_name(response, name).as_numpy()
