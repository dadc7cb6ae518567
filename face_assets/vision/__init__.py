"""From bytes to faces to vectors, with numpy, Pillow and OpenVINO alone: the server runs these very files."""

import sys

# OpenVINO reports its use to its makers over the network unless this package is missing: what runs here is nobody's business.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
