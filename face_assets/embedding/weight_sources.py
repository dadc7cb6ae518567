"""Sources of starting weights: a name of facenet-pytorch's, a path on this machine, or a file of the data repository."""

from face_assets.embedding.weights import trunk_file
from face_assets.embedding.weights_file import require_harmless
from face_assets.registry.model_files import model_file
from face_assets.registry.workspace import Workspace

NAMES = ("vggface2", "casia-webface", "scratch")
KEY = "embedder.weights"


def resolve_weights(workspace: Workspace, commit: str) -> str:
    """`embedder.weights` of the commit as a known name or the absolute path of a readable file. Raises UserError."""
    weights = workspace.params(commit).embedder.weights
    if weights in NAMES:
        return weights
    names = f"one of {', '.join(NAMES)}"
    found = model_file(workspace, commit, KEY, weights, f"a state_dict (.pt), a Keras .h5, a network in ONNX (.onnx), or {names}", names)
    for file in (found, trunk_file(found)):
        if file.is_file():
            require_harmless(file)
    return str(found)
