"""Check of the starting weights before a run: they exist with a known format, or can be downloaded."""

import os
import socket
import zipfile
from pathlib import Path

from face_assets.core.params import SCRATCH
from face_assets.embedding.onnx_embedder import Pictures, onnx_engine
from face_assets.embedding.weight_sources import resolve_weights
from face_assets.embedding.weights import PUBLISHED
from face_assets.embedding.weights_file import is_hdf5
from face_assets.registry.workspace import Workspace

DOWNLOADS = ("github.com", 443)
SECONDS_TO_CONNECT = 2.0
PROXIES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
ZIP, PICKLE = b"PK\x03\x04", b"\x80"
LFS_POINTER = b"version https://git-lfs.github.com/"


def trouble_of_weights(workspace: Workspace, commit: str) -> str | None:
    """Returns why the commit's `embedder.weights` cannot be loaded; None without a known reason. Raises UserError."""
    weights = resolve_weights(workspace, commit)
    if weights == SCRATCH:
        return None
    if weights in PUBLISHED:
        return _trouble_of_download(workspace, weights)
    params = workspace.params(commit)
    if params.embedder.is_onnx:
        onnx_engine(workspace, Path(weights), Pictures.of(params.embedder), params.detector.image_size, params.embedder.weights)
        return None
    found = trouble_of_file(Path(weights))
    return f"embedder.weights: {params.embedder.weights} {found}." if found else None


def trouble_of_file(path: Path) -> str | None:
    """The end of a sentence about a file of another kind; None for one that may hold weights."""
    with open(path, "rb") as file:
        start = file.read(len(LFS_POINTER))
    if start.startswith(LFS_POINTER):
        return "is a pointer of Git LFS and not the file itself: fetch it with `git lfs pull`"
    if start.startswith(ZIP) and not zipfile.is_zipfile(path):
        return "ends too early: copy it again"
    if not start.startswith((ZIP, PICKLE)) and not is_hdf5(path):
        return "is neither a state_dict of PyTorch nor an HDF5 file: save one with torch.save(model.state_dict(), path)"
    return None


def _trouble_of_download(workspace: Workspace, name: str) -> str | None:
    """Returns why the weights cannot be downloaded; None where a download may be unnecessary, or a proxy is set."""
    cached = downloaded(name)
    made = (workspace.home.root / "artifacts" / "face_embedder").is_dir()
    if cached.exists() or made or any(os.environ.get(proxy) for proxy in PROXIES):
        return None
    try:
        socket.create_connection(DOWNLOADS, SECONDS_TO_CONNECT).close()
    except OSError as error:
        return (
            f"embedder.weights: {name} would be downloaded, and {DOWNLOADS[0]} cannot be reached ({error.strerror or error}). Put "
            f"{PUBLISHED[name]} of facenet-pytorch's release v2.2.9 at {cached}, or name the path of other weights in embedder.weights, "
            "or set embedder.weights: scratch with train.unfreeze: all."
        )
    return None


def downloaded(name: str) -> Path:
    """Returns the path of facenet-pytorch's download of the published weights."""
    home = os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "torch"
    return Path(home).expanduser() / "checkpoints" / PUBLISHED[name]
