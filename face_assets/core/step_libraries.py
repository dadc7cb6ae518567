"""Libraries that decide results: under another version of one, the steps that it decides are made again, and no others.

The versions in SAME_RESULTS are those under which the versions of steps were declared. Under them a step is named by its own version,
so what was made before libraries counted keeps its name. A version that is shown to give the same golden results (tests/golden) may be
added.
"""

from functools import cache
from importlib.metadata import PackageNotFoundError, version

from face_assets.core.devices import result_facts

SAME_RESULTS: dict[str, tuple[str, ...]] = {
    "lightning": ("2.6.6",),
    "nncf": ("3.4.0",),
    "numpy": ("2.4.6",),
    "onnx": ("1.23.2",),
    "openvino": ("2026.4.1",),
    "pillow": ("13.0.0",),
    "pytorch-metric-learning": ("2.9.0",),
    "scikit-learn": ("1.9.1",),
    "scipy": ("1.17.1",),
    "torch": ("2.13.0",),
}
# pillow-heif is left out: it decides nothing for who has no HEIC photo, and an upgrade would make everybody's crops again
LIBRARIES: dict[str, tuple[str, ...]] = {
    "dataset_version": ("pillow",),  # it lists what the inspection found
    "inspection": ("pillow",),
    "detection": ("numpy", "openvino", "pillow"),
    "onnx_detection": ("numpy", "openvino", "pillow"),
    "features": ("openvino",),
    "label_audit": ("numpy", "openvino", "scipy", "torch"),
    "face_embedder": ("lightning", "numpy", "openvino", "pillow", "pytorch-metric-learning", "torch"),
    "onnx_embedder": ("openvino",),
    "export": ("onnx", "openvino", "torch"),
    "precision": ("nncf", "openvino", "scikit-learn"),
    "degraded_faces": ("numpy", "openvino", "pillow", "scipy"),
    "embedder_evaluation": ("numpy", "openvino", "scikit-learn", "scipy", "torch"),
    "gallery_audit": ("numpy", "openvino", "scipy", "torch"),
    "face_gallery": ("numpy", "openvino", "scipy", "torch"),
    "gallery_verdict": ("numpy", "openvino", "torch"),
}
"""Step → the libraries whose arithmetic its result depends on. What a step takes from one upstream, as crops, is in that one's name."""
ON_DEVICE = frozenset(
    {
        "detection",
        "onnx_detection",
        "features",
        "label_audit",
        "face_embedder",
        "precision",
        "degraded_faces",
        "embedder_evaluation",
        "gallery_audit",
        "face_gallery",
        "gallery_verdict",
    }
)
"""Steps that compute on the device of the settings, or whose result depends on what is computed there. On the CPU nothing is added."""


def other_libraries(step: str) -> dict[str, str]:
    """The libraries of a step that are installed in another version than SAME_RESULTS has, with that version, and a GPU; mostly none."""
    others = {library: found for library in LIBRARIES.get(step, ()) if (found := installed(library)) not in SAME_RESULTS[library]}
    return others | (result_facts() if step in ON_DEVICE else {})


@cache
def installed(library: str) -> str:
    """The installed version, without the suffix of a build, such as `+cpu`; "none" for a library that is not installed."""
    try:
        return version(library).partition("+")[0]
    except PackageNotFoundError:
        return "none"
