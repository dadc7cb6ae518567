"""Environment in which a result was made: interpreter, libraries, processor."""

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from face_assets.core.fingerprint import fingerprint

LIBRARIES = (
    "dagster",
    "dvc",
    "facenet-pytorch",
    "gto",
    "lightning",
    "numpy",
    "openvino",
    "pillow",
    "pytorch-metric-learning",
    "scikit-learn",
    "torch",
)


@cache
def environment() -> dict[str, str]:
    """Names and versions of what affects results; `fingerprint` is a digest of the others."""
    facts = {"python": platform.python_version(), "machine": platform.machine(), "system": platform.system()}
    for library in LIBRARIES:
        try:
            facts[library] = version(library)
        except PackageNotFoundError:
            facts[library] = "not installed"
    return {**facts, "fingerprint": fingerprint(facts)}
