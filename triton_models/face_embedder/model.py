"""face_embedder: crops to unit vectors and qualities, batched over requests."""

import json
import os
import sys
from functools import partial
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from face_assets.biometrics.quality import QualityScale, qualities  # noqa: E402
from face_assets.embedding.engine import Engine  # noqa: E402
from face_assets.serving.runtime.dynamic_batching import DynamicBatcher  # noqa: E402
from face_assets.serving.runtime.embedding_right import may_receive_embeddings  # noqa: E402
from face_assets.serving.runtime.limits import Admission, BusyError, Limits  # noqa: E402
from face_assets.serving.runtime.native_networks import face_rows, native_networks  # noqa: E402
from face_assets.serving.runtime.responses import error_message, error_response, send  # noqa: E402


class TritonPythonModel:
    """The engine, in the release's precision, on all cores."""

    def initialize(self, args):
        engine = json.loads((HERE / "engine.json").read_text(encoding="utf-8"))
        parameters = {name: value["string_value"] for name, value in json.loads(args["model_config"])["parameters"].items()}
        self.side = engine["image_size"]
        self.scale = QualityScale.from_json(json.loads((HERE / "recognizer.json").read_text(encoding="utf-8")).get("quality"))
        network = native_networks(pb_utils, HERE, int(args["model_version"])).get("embedder")
        cores = int(os.environ.get("FACE_ASSETS_CORES", "1"))
        embedders = (
            [partial(face_rows, network)] * cores if network else Engine(HERE / "embedder.xml", engine["precision"], cores).embedders()
        )
        self.admission = Admission(Limits(max_waiting=int(parameters["max_waiting"])))
        self.batcher = DynamicBatcher(embedders, int(parameters["preferred_batch"]), int(parameters["queue_delay_us"]) / 1e6)

    def finalize(self):
        self.batcher.close()

    def execute(self, requests):
        """Queues the crops; the engine's threads respond through the requests' senders."""
        for request in requests:
            crops, sender = pb_utils.get_input_tensor_by_name(request, "CROPS").as_numpy(), request.get_response_sender()
            if not may_receive_embeddings(request.parameters()):
                send(pb_utils, sender, error_response(pb_utils, "the key lacks the right `embeddings`", pb_utils.TritonError.INVALID_ARG))
                continue
            if not len(crops) or crops.shape[1:] != (self.side, self.side, 3):
                found = "x".join(map(str, crops.shape[1:])) if len(crops) else "none"
                sentence = f"crops must be {self.side}x{self.side}x3, found {found}"
                send(pb_utils, sender, error_response(pb_utils, sentence, pb_utils.TritonError.INVALID_ARG))
                continue
            try:
                self.admission.enter(crops.nbytes)
            except BusyError as error:
                send(pb_utils, sender, error_response(pb_utils, error_message(error)))
                continue
            self.batcher.put(crops, partial(self._answer, sender, crops.nbytes))

    def _answer(self, sender, size, found):
        self.admission.leave(size)
        if isinstance(found, Exception):
            response = error_response(pb_utils, error_message(found))
        else:
            quality = qualities(self.scale, found[:, -1]).reshape(-1, 1)
            outputs = {"EMBEDDINGS": np.ascontiguousarray(found[:, :-1]), "QUALITY": quality}
            response = pb_utils.InferenceResponse([pb_utils.Tensor(name, value) for name, value in outputs.items()])
        send(pb_utils, sender, response)
