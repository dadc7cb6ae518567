"""From bytes to faces to vectors, with numpy, Pillow and OpenVINO alone: the server runs these very files."""

import os
import sys

# Both report their use to their makers over the network: what runs here is nobody's business. OpenVINO does not where this package is
# missing, onnxruntime not where this is set.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
