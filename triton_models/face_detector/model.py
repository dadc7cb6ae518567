"""face_detector: one encoded photo to boxes, probabilities, landmarks and crops."""

import json
import sys
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from vision.decode import UnusablePhoto, decode  # noqa: E402
from vision.mtcnn import Detector, DetectorConfig  # noqa: E402


class TritonPythonModel:
    """One detector an instance, with one thread."""

    def initialize(self, args):
        recognizer = json.loads((HERE / "recognizer.json").read_text(encoding="utf-8"))
        settings = recognizer["detector"]
        self.detector = Detector(HERE / "detector", DetectorConfig(**{**settings, "thresholds": tuple(settings["thresholds"])}), threads=1)
        self.max_megapixels = recognizer["max_megapixels"]

    def execute(self, requests):
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        try:
            image = decode(pb_utils.get_input_tensor_by_name(request, "IMAGE").as_numpy().ravel()[0], self.max_megapixels)
        except UnusablePhoto as error:
            return pb_utils.InferenceResponse(
                error=pb_utils.TritonError(f"the photo cannot be used: {error.reason}", pb_utils.TritonError.INVALID_ARG)
            )
        faces = self.detector.detect(image)
        size = self.detector.config.image_size
        crops = np.empty((len(faces.boxes), size, size, 3), np.uint8)
        for number, box in enumerate(faces.boxes):
            crops[number] = self.detector.crop(image, box)
        outputs = {"BOXES": faces.boxes, "PROBABILITIES": faces.probabilities, "LANDMARKS": faces.landmarks, "CROPS": crops}
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, np.ascontiguousarray(value)) for name, value in outputs.items()])
