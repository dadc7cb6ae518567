"""face_recognizer: one encoded photo to who is in it, through the detector and the embedder of the same release."""

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

from vision.answering import error_response, send  # noqa: E402
from vision.search import Gallery  # noqa: E402
from vision.traffic import Traffic  # noqa: E402

PHOTOS_AT_ONCE = 16  # of releases that do not say
UNUSABLE = "the photo cannot be used"  # how face_detector begins; its error's code does not get through


class TritonPythonModel:
    """The gallery and the threshold; the work is done by its siblings, named in the configuration, in its own version.

    Many photos are under way at once, each in a thread that waits for the siblings: so the embedder gathers crops over photos.
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
        self.pool = ThreadPoolExecutor(recognizer["serving"].get("photos_at_once", PHOTOS_AT_ONCE), "photo")

    def finalize(self):
        self.pool.shutdown()
        self.traffic.close()

    def execute(self, requests):
        """Answers through the requests' senders, so that the next photos come in meanwhile."""
        for request in requests:
            self.pool.submit(self._respond, request, request.get_response_sender(), time.monotonic())

    def _respond(self, request, sender, began):
        try:
            response = self._answer(request, began)
        except Exception as error:
            reason = type(error).__name__  # the log must hold no more: its words may name a person
            self.traffic.failed(request.parameters(), time.monotonic() - began, reason)
            response = error_response(pb_utils, f"{type(error).__name__}: {error}")
        send(pb_utils, sender, response)

    def _answer(self, request, began):
        image = pb_utils.get_input_tensor_by_name(request, "IMAGE")
        found = self._ask("detector", [image], ["BOXES", "PROBABILITIES", "CROPS"])
        if found.has_error():
            if not found.error().message().startswith(UNUSABLE):
                return self._fail(request, began, found.error())
            self.traffic.refused(request.parameters(), found.error().message())
            return pb_utils.InferenceResponse(error=found.error())
        boxes, probabilities, crops = (self._array(found, name) for name in ("BOXES", "PROBABILITIES", "CROPS"))
        embeddings = np.empty((len(crops), self.size), np.float32)
        for start in range(0, len(crops), self.max_batch):
            part = pb_utils.Tensor("CROPS", np.ascontiguousarray(crops[start : start + self.max_batch]))
            answer = self._ask("embedder", [part], ["EMBEDDINGS"])
            if answer.has_error():
                return self._fail(request, began, answer.error())
            embeddings[start : start + self.max_batch] = self._array(answer, "EMBEDDINGS")
        places, scores = self.gallery.search(embeddings)
        accepted = scores >= self.threshold
        names = [self.gallery.names[place] if taken else "" for place, taken in zip(places, accepted, strict=True)]
        seconds = time.monotonic() - began
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

    def _fail(self, request, began, error):
        self.traffic.failed(request.parameters(), time.monotonic() - began, error.message())
        return pb_utils.InferenceResponse(error=error)

    def _ask(self, sibling, inputs, outputs):
        asked = pb_utils.InferenceRequest(
            model_name=self.siblings[sibling], model_version=self.version, requested_output_names=outputs, inputs=inputs
        )
        return asked.exec()

    @staticmethod
    def _array(response, name):
        return pb_utils.get_output_tensor_by_name(response, name).as_numpy()
