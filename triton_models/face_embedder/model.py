"""face_embedder: crops to unit vectors; all requests of a batch reach the engine as one."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from vision.embed import Engine  # noqa: E402


class TritonPythonModel:
    """The engine, in the release's precision, on all cores."""

    def initialize(self, args):
        engine = json.loads((HERE / "engine.json").read_text(encoding="utf-8"))
        self.side = engine["image_size"]
        self.engine = Engine(HERE / "embedder.xml", engine["precision"], int(os.environ.get("FACE_ASSETS_CORES", "1")))

    def execute(self, requests):
        crops = [pb_utils.get_input_tensor_by_name(request, "CROPS").as_numpy() for request in requests]
        fits = [batch.shape[1:] == (self.side, self.side, 3) for batch in crops]
        good = [batch for batch, fit in zip(crops, fits, strict=True) if fit]
        vectors = self.engine.embed(np.concatenate(good)) if good else None
        responses, start = [], 0
        for batch, fit in zip(crops, fits, strict=True):
            if fit:
                part = vectors[start : start + len(batch)]
                start += len(batch)
                responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("EMBEDDINGS", part)]))
            else:
                found = f"crops must be {self.side}x{self.side}x3, found {'x'.join(map(str, batch.shape[1:]))}"
                responses.append(pb_utils.InferenceResponse(error=pb_utils.TritonError(found, pb_utils.TritonError.INVALID_ARG)))
        return responses
