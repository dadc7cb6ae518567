"""Files of weights that reach for other files of the machine, or state sizes that no memory has: refused before they are read."""

import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from face_assets.core.errors import UserError
from face_assets.embedding.weights_file import require_harmless


def external(file: h5py.File, other: Path) -> None:
    file.create_dataset("layer/kernel:0", (4,), "u1", external=[(str(other), 0, 4)])


def virtual(file: h5py.File, other: Path) -> None:
    layout = h5py.VirtualLayout(shape=(4,), dtype="f4")
    layout[:] = h5py.VirtualSource(str(other), "data", shape=(4,))
    file.create_virtual_dataset("layer/kernel:0", layout)


def linked(file: h5py.File, other: Path) -> None:
    file["layer/kernel:0"] = h5py.ExternalLink(str(other), "/data")


def soft(file: h5py.File, other: Path) -> None:
    file["layer/kernel:0"] = h5py.SoftLink("/elsewhere")


def huge(file: h5py.File, other: Path) -> None:
    file.create_dataset("layer/kernel:0", (10**12,), "f4", chunks=(1024,), compression="gzip")


def endless(file: h5py.File, other: Path) -> None:
    file["again"] = file["/"]
    file.create_dataset("data", (10**6,), "V4096", chunks=(1,))


def packed(file: h5py.File, other: Path) -> None:
    file.create_dataset("data", (1024,), "i4", chunks=(64,), scaleoffset=4)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (external, "'layer/kernel:0' lies in other files"),
        (virtual, "'layer/kernel:0' lies in other files"),
        (linked, "'layer/kernel:0' is a link"),
        (soft, "'layer/kernel:0' is a link"),
        (huge, "takes more than 2,000,000,000 bytes of memory"),
        (endless, "takes more than 2,000,000,000 bytes of memory"),
        (packed, "packed by a plugin"),
    ],
)
def test_hdf5_that_is_more_than_its_own_numbers_is_refused(tmp_path: Path, make: Callable[[h5py.File, Path], None], sentence: str) -> None:
    path, other = tmp_path / "weights.h5", tmp_path / "secret"
    other.write_bytes(b"root")
    with h5py.File(path, "w") as file:
        make(file, other)
    tracemalloc.start()
    with pytest.raises(UserError, match=f"embedder.weights: .*{sentence}"):
        require_harmless(path)
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


def test_a_state_dict_that_unfolds_is_refused_and_weights_as_people_save_them_are_not(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1000)}, tmp_path / "good.pt")
    require_harmless(tmp_path / "good.pt")
    with h5py.File(tmp_path / "good.h5", "w") as file:
        file.create_dataset("layer/kernel:0", data=np.zeros((3, 3), np.float32), compression="gzip", shuffle=True)
        file.attrs["layer_names"] = ["layer"]
    require_harmless(tmp_path / "good.h5")
    with zipfile.ZipFile(tmp_path / "good.pt") as good, zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as bomb:
        for name in good.namelist():
            bomb.writestr(name, good.read(name) * 100)
    with pytest.raises(UserError, match="is compressed"):
        require_harmless(tmp_path / "bomb.pt")
    with open(tmp_path / "long.pt", "wb") as file:
        file.truncate(3_000_000_000)
    with pytest.raises(UserError, match="longer than"):
        require_harmless(tmp_path / "long.pt")
