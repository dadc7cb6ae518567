"""face_detector: one encoded photo to boxes, probabilities, landmarks and crops; photos that wait are searched together."""

import json
import sys
import threading
from pathlib import Path
from queue import Empty, Queue

import numpy as np
import triton_python_backend_utils as pb_utils

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from vision.answering import error_response, send  # noqa: E402
from vision.decode import UnusablePhoto, decode  # noqa: E402
from vision.mtcnn import Detector, DetectorConfig, enough  # noqa: E402

DETECTOR_BATCH = 4  # of releases that do not say


class TritonPythonModel:
    """One detector an instance, with one thread. While it works, photos gather for its next turn, and Triton keeps what is beyond that."""

    def initialize(self, args):
        recognizer = json.loads((HERE / "recognizer.json").read_text(encoding="utf-8"))
        settings = recognizer["detector"]
        self.detector = Detector(HERE / "detector", DetectorConfig(**{**settings, "thresholds": tuple(settings["thresholds"])}), threads=1)
        self.max_megapixels = recognizer["max_megapixels"]
        self.batch = recognizer["serving"].get("detector_batch", DETECTOR_BATCH)
        self.waiting = Queue(self.batch)
        self.worker = threading.Thread(target=self._work, name="detector")
        self.worker.start()

    def finalize(self):
        self.waiting.put(None)
        self.worker.join()

    def execute(self, requests):
        """Answers through the requests' senders, from the detector's thread."""
        for request in requests:
            content = pb_utils.get_input_tensor_by_name(request, "IMAGE").as_numpy().ravel()[0]
            self.waiting.put((content, request.get_response_sender()))

    def _work(self):
        while asked := self.waiting.get():
            images, senders = [], []
            while asked:
                content, sender = asked
                try:
                    images.append(decode(content, self.max_megapixels))
                    senders.append(sender)
                except UnusablePhoto as error:
                    sentence, invalid = f"the photo cannot be used: {error.reason}", pb_utils.TritonError.INVALID_ARG
                    send(pb_utils, sender, error_response(pb_utils, sentence, invalid))
                except Exception as error:
                    send(pb_utils, sender, error_response(pb_utils, f"{type(error).__name__}: {error}"))
                if len(images) == self.batch or enough(images):
                    break
                asked = self._next()
            self._answer(images, senders)

    def _next(self):
        """Who waits already, if anybody does; the end is left for `_work`."""
        try:
            asked = self.waiting.get_nowait()
        except Empty:
            return None
        if asked is None:
            self.waiting.put(None)
        return asked

    def _answer(self, images, senders):
        try:
            responses = [self._response(image, faces) for image, faces in zip(images, self.detector.detect_all(images), strict=True)]
        except Exception as error:
            responses = [error_response(pb_utils, f"{type(error).__name__}: {error}") for _ in senders]
        for response, sender in zip(responses, senders, strict=True):
            send(pb_utils, sender, response)

    def _response(self, image, faces):
        size = self.detector.config.image_size
        crops = np.empty((len(faces.boxes), size, size, 3), np.uint8)
        for number, box in enumerate(faces.boxes):
            crops[number] = self.detector.crop(image, box)
        outputs = {"BOXES": faces.boxes, "PROBABILITIES": faces.probabilities, "LANDMARKS": faces.landmarks, "CROPS": crops}
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, np.ascontiguousarray(value)) for name, value in outputs.items()])
