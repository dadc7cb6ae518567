"""Starting weights of the embedder: facenet-pytorch's by name, a state_dict or a Keras facenet .h5 by path, or none."""

import http.client
import io
import os
import socket
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from face_assets.core.errors import UserError
from face_assets.core.files import write_bytes
from face_assets.core.fingerprint import file_digest, fingerprint
from face_assets.core.params import SCRATCH
from face_assets.embedding.weights_file import is_hdf5

if TYPE_CHECKING:
    from torch import Tensor, nn

PUBLISHED = {"vggface2": "20180402-114759-vggface2.pt", "casia-webface": "20180408-102900-casia-webface.pt"}
KERAS_SUFFIXES = {".h5", ".hdf5"}
CONNECT_SECONDS = 30.0
HEAD = ("last_linear.", "last_bn.")
"""Beginnings of the names of the head's tensors."""


def weights_fingerprint(weights: str | Path) -> str:
    """Fingerprint of the weights: the name of published or empty ones, else a digest of the file's bytes.

    Raises UserError if the file is missing.
    """
    if str(weights) == SCRATCH or str(weights) in PUBLISHED:
        return str(weights)
    files = [_existing(Path(weights)), trunk_file(Path(weights))]
    digests = [_digest_of(file) for file in files if file.is_file()]
    return digests[0] if len(digests) == 1 else fingerprint(*digests)


def _digest_of(path: Path) -> str:
    state = path.stat()
    return _digest(path, (state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns))


@lru_cache(maxsize=8)
def _digest(path: Path, state: tuple[int, ...]) -> str:
    """The digest of a file in this state; the steps of a run ask for that of the same 90 MB a dozen times."""
    return file_digest(path)


def trunk_file(weights: Path) -> Path:
    """The file with the trunk's tensors of a release's `embedder.pt`, which then has the head's alone."""
    return weights.with_suffix(".trunk.pt")


def weight_files(directory: Path) -> list[str]:
    """The names of the files of an embedder's weights in a folder; without embedder.trunk.pt where an earlier version wrote them."""
    weights = directory / "embedder.pt"
    return [file.name for file in (weights, trunk_file(weights)) if file.is_file()]


def load_embedder(weights: str | Path, embedding_size: int, seed: int) -> "nn.Module":
    """An InceptionResnetV1 in float32 and eval mode. `embedding_size` and `seed` apply to `scratch` only.

    weights: `vggface2`, `casia-webface`, `scratch`, or the path of a state_dict (.pt, .pth; bare or under the key "state_dict") or of
    a Keras facenet (.h5). Raises UserError if they are missing, truncated, of another network, or cannot be downloaded.
    """
    import torch

    from face_assets.embedding.network import build

    name = str(weights)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if name == SCRATCH:
            return build(embedding_size).eval()
        state = _published(name) if name in PUBLISHED else _from_file(_existing(Path(weights)))
        size = state["last_linear.weight"].shape[0] if "last_linear.weight" in state else embedding_size
        model = build(size)
    _check_fit(name, model.state_dict(), state)
    model.load_state_dict({key: state.get(key, value).to(value.dtype) for key, value in model.state_dict().items()})
    return model.eval()


def save_embedder(model: "nn.Module", folder: Path) -> None:
    """Writes state_dicts on the CPU: of the head into folder/embedder.pt, and of all else, which training of the head alone leaves as it
    is, into folder/embedder.trunk.pt."""
    import torch

    state = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    file = folder / "embedder.pt"
    for path, is_head in ((trunk_file(file), False), (file, True)):
        content = io.BytesIO()
        torch.save({key: value for key, value in state.items() if key.startswith(HEAD) == is_head}, content)
        write_bytes(path, content.getvalue())


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise UserError(
            f"embedder.weights: there is no file {path}. Name a state_dict (.pt) or Keras facenet (.h5), or one of "
            f"{', '.join([*PUBLISHED, SCRATCH])}"
        )
    return path


def _from_file(path: Path) -> "dict[str, Tensor]":
    if is_hdf5(path) or path.suffix.lower() in KERAS_SUFFIXES:
        from face_assets.embedding.keras_weights import read_keras

        return read_keras(path)
    state = _read_state_dict(path)
    return {**_read_state_dict(trunk_file(path)), **state} if trunk_file(path).is_file() else state


def _read_state_dict(path: Path) -> "dict[str, Tensor]":
    """The tensors of a state_dict file, without the classifier's."""
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # an unpickler may raise anything on a truncated or foreign file
        raise UserError(
            f"embedder.weights: {path} cannot be read as a PyTorch state_dict ({_first_line(error)}). "
            "It may be truncated or of another kind: copy it again, or save it with torch.save(model.state_dict(), path)"
        ) from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not content or not all(torch.is_tensor(value) for value in content.values()):
        found = (
            type(content).__name__
            if not isinstance(content, dict)
            else f"a dict with {', '.join(map(str, list(content)[:3])) or 'nothing'}"
        )
        raise UserError(
            f"embedder.weights: {path} holds no state_dict of tensors, found {found}. Save one with torch.save(model.state_dict(), path)"
        )
    return {str(key): value for key, value in content.items() if not str(key).startswith("logits.")}


def _check_fit(name: str, expected: "dict[str, Tensor]", found: "dict[str, Tensor]") -> None:
    """Raises UserError that names the first three keys that do not fit an InceptionResnetV1 of finite numbers."""
    wrong = [f"{key} is missing" for key in expected if key not in found and not key.endswith("num_batches_tracked")]
    wrong += [f"{key} is not of this network" for key in found if key not in expected]
    for key in (key for key in expected if key in found):
        if found[key].shape != expected[key].shape:
            wrong.append(f"{key} is {tuple(found[key].shape)}, not {tuple(expected[key].shape)}")
        elif not np.isfinite(found[key].detach().float().numpy()).all():  # torch's threads would wait for one another 714 times
            wrong.append(f"{key} holds values that are not finite")
    if all(key.startswith(HEAD) for key in found):
        raise UserError(
            f"embedder.weights: {name} has the head of an embedder alone: put the release's embedder.trunk.pt next to it, under the name "
            f"{trunk_file(Path(name)).name}."
        )
    if wrong:
        more = f", and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise UserError(f"embedder.weights: {name} does not fit InceptionResnetV1: {'; '.join(wrong[:3])}{more}")


def _published(name: str) -> "dict[str, Tensor]":
    """facenet-pytorch's weights, downloaded once into TORCH_HOME/checkpoints."""
    from face_assets.detection.facenet_pytorch import import_facenet_pytorch

    home = os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "torch"
    cached = Path(home).expanduser() / "checkpoints" / PUBLISHED[name]
    if not cached.exists():
        timeout = socket.getdefaulttimeout()
        socket.setdefaulttimeout(CONNECT_SECONDS)  # the download has no timeout of its own
        try:
            import_facenet_pytorch().InceptionResnetV1(pretrained=name)
        except (OSError, http.client.HTTPException) as error:
            raise UserError(
                f"embedder.weights: {name} cannot be downloaded ({_first_line(error)}). Without a connection, either put "
                f"{PUBLISHED[name]} of facenet-pytorch's release v2.2.9 at {cached}, or place any state_dict of InceptionResnetV1 "
                "and name its path in embedder.weights, or set embedder.weights: scratch with train.unfreeze: all"
            ) from error
        except RuntimeError as error:
            cached.unlink(missing_ok=True)
            raise UserError(f"embedder.weights: the download of {name} broke off ({_first_line(error)}). Run it again") from error
        finally:
            socket.setdefaulttimeout(timeout)
    return _read_state_dict(cached)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
