"""face_detector: one encoded photo to boxes, probabilities, landmarks and crops; waiting photos are processed together."""

import json
import sys
import threading
import time
from pathlib import Path
from queue import Empty, Queue

import numpy as np
import triton_python_backend_utils as pb_utils

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from face_assets.dataset.decoding import decode  # noqa: E402
from face_assets.detection.detector import DetectorConfig, enough  # noqa: E402
from face_assets.detection.opened_detector import open_detector  # noqa: E402
from face_assets.serving.runtime.limits import DecodingRoom, Limits, require_waiting_caller, within  # noqa: E402
from face_assets.serving.runtime.native_networks import native_networks  # noqa: E402
from face_assets.serving.runtime.responses import error_message, error_response, send  # noqa: E402

DETECTOR_BATCH = 4  # of releases without the parameter


class TritonPythonModel:
    """One detector an instance, with one thread. Meanwhile photos wait for its next batch, and further ones in Triton's queue."""

    def initialize(self, args):
        recognizer = json.loads((HERE / "recognizer.json").read_text(encoding="utf-8"))
        settings, serving = recognizer["detector"], recognizer["serving"]
        if not serving.get("search_turned", True):
            settings["turned_below"] = 0.0
        networks = native_networks(pb_utils, HERE, int(args["model_version"]))
        opener = (lambda file, _: networks[file.stem]) if "pnet" in networks else None
        config = DetectorConfig(**{**settings, "thresholds": tuple(settings["thresholds"])})
        self.detector = open_detector(HERE / "detector", config, opener=opener)
        self.limits = Limits.of(recognizer)
        self.room = DecodingRoom(HERE / "recognizer.json")  # the same file for all instances
        self.batch = serving.get("detector_batch", DETECTOR_BATCH)
        self.waiting = Queue(self.batch)
        self.worker = threading.Thread(target=self._work, name="detector")
        self.worker.start()

    def finalize(self):
        self.waiting.put(None)
        self.worker.join()

    def execute(self, requests):
        """Queues the requests; the detector's thread responds through their senders."""
        for request in requests:
            content = pb_utils.get_input_tensor_by_name(request, "IMAGE").as_numpy().ravel()[0]
            self.waiting.put((content, request.get_response_sender(), time.monotonic()))

    def _work(self):
        while asked := self.waiting.get():
            with self.room:
                self._answer(*self._gather(asked))

    def _gather(self, asked):
        """Returns the decoded photos of the next batch, and their senders."""
        images, senders = [], []
        while asked:
            content, sender, came = asked
            try:
                require_waiting_caller(sender, came, self.limits.max_seconds)
                images.append(self._decode(content))
                senders.append(sender)
            except Exception as error:
                send(pb_utils, sender, error_response(pb_utils, error_message(error)))
            if len(images) == self.batch or enough(images):
                break
            asked = self._next()
        return images, senders

    def _decode(self, content):
        self.limits.check_content(content)
        self.room.take(content)
        return decode(content, self.limits.max_megapixels)

    def _next(self):
        """Returns the next waiting request, or None; the end marker stays for `_work`."""
        try:
            asked = self.waiting.get_nowait()
        except Empty:
            return None
        if asked is None:
            self.waiting.put(None)
        return asked

    def _answer(self, images, senders):
        try:
            found = self.detector.detect_all(images)
        except Exception as error:
            found = [error] * len(images)
        for image, faces, sender in zip(images, found, senders, strict=True):
            try:
                response = self._response(image, faces)
            except Exception as error:
                response = error_response(pb_utils, error_message(error))
            send(pb_utils, sender, response)

    def _response(self, image, faces):
        """Returns boxes clipped to the photo; the crops are cut around the unclipped ones."""
        if isinstance(faces, Exception):
            raise faces
        self.limits.check_faces(len(faces.boxes))
        size = self.detector.config.image_size
        crops = np.empty((len(faces.boxes), size, size, 3), np.uint8)
        for rank in range(len(crops)):
            crops[rank] = self.detector.crop(image, faces, rank)
        boxes = within(faces.boxes, *image.shape[:2])
        outputs = {"BOXES": boxes, "PROBABILITIES": faces.probabilities, "LANDMARKS": faces.landmarks, "CROPS": crops}
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, np.ascontiguousarray(value)) for name, value in outputs.items()])
