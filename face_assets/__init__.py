"""Face Assets: from a commit of face photos to a verified answer of a running Triton server, as Dagster assets."""

__version__ = "0.1.0"

import face_assets.vision as vision  # noqa: F401  before anything imports OpenVINO or onnxruntime: see there
