"""Face Assets: from a commit of face photos to a verified answer of a running Triton server, as Dagster assets."""

import os
import sys

__version__ = "0.1.0"

# OpenVINO and onnxruntime report their use over the network, unless this package is missing and this variable is set before their import.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
