"""The project's files outside this package: triton_models/, deploy/, definitions.py and workspace.yaml."""

import sysconfig
from pathlib import Path


def _root() -> Path:
    """The checkout, or where `pip install` puts these files."""
    checkout = Path(__file__).parents[2]
    return checkout if (checkout / "workspace.yaml").is_file() else Path(sysconfig.get_path("data")) / "share" / "face-assets"


ROOT = _root()
DEPLOY = ROOT / "deploy"
TRITON_MODELS = ROOT / "triton_models"
SERVING_REQUIREMENTS = DEPLOY / "requirements-serving.txt"
