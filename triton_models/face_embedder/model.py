"""face_embedder: crops to unit vectors; all requests of a batch reach the engine as one, and the next batch while it computes."""

import json
import os
import sys
from functools import partial
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from vision.embed import Engine  # noqa: E402

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


class TritonPythonModel:
    """The engine, in the release's precision, on all cores."""

    def initialize(self, args):
        engine = json.loads((HERE / "engine.json").read_text(encoding="utf-8"))
        self.side = engine["image_size"]
        self.engine = Engine(HERE / "embedder.xml", engine["precision"], int(os.environ.get("FACE_ASSETS_CORES", "1")))

    def execute(self, requests):
        """Answers through the requests' senders, from the engine's threads; the batcher goes on gathering only once a batch may start."""
        good, asked = [], []
        for request in requests:
            crops, sender = pb_utils.get_input_tensor_by_name(request, "CROPS").as_numpy(), request.get_response_sender()
            if crops.shape[1:] == (self.side, self.side, 3):
                good.append(crops)
                asked.append((sender, len(crops)))
            else:
                found = f"crops must be {self.side}x{self.side}x3, found {'x'.join(map(str, crops.shape[1:]))}"
                sender.send(_error(found, pb_utils.TritonError.INVALID_ARG), flags=FINAL)
        if good:
            try:
                self.engine.start(good[0] if len(good) == 1 else np.concatenate(good), partial(_answer, asked))
            except Exception as error:
                for sender, _ in asked:
                    sender.send(_error(f"{type(error).__name__}: {error}", pb_utils.TritonError.INTERNAL), flags=FINAL)


def _answer(asked, vectors):
    start = 0
    for sender, count in asked:
        part = vectors[start : start + count].copy()
        start += count
        sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("EMBEDDINGS", part)]), flags=FINAL)


def _error(sentence, code):
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(sentence, code))
