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


def of_any_length(file: h5py.File, other: Path) -> None:
    file.create_dataset("data", (10**6,), h5py.string_dtype())


def behind_an_odd_type(file: h5py.File, other: Path) -> None:
    """A dataset of a type that numpy lacks, which the loader ignores, followed by one that must not be read."""
    space = h5py.h5s.create_simple((1,))
    group = file.create_group("optimizer_weights")
    h5py.h5d.create(group.id, b"time", h5py.h5t.UNIX_D32LE, space)
    file.create_dataset("z/kernel:0", (4,), "u1", external=[(str(other), 0, 4)])


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (of_any_length, "'data' holds texts or references of any length"),
        (behind_an_odd_type, "'optimizer_weights/time' cannot be read"),
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


def test_hdf5_behind_a_block_of_the_user_s_own_is_looked_through(tmp_path: Path) -> None:
    """The signature then stands at byte 512, and h5py finds it."""
    path = tmp_path / "weights.bin"
    with h5py.File(path, "w", userblock_size=512) as file:
        external(file, tmp_path / "secret")
    with pytest.raises(UserError, match="lies in other files"):
        require_harmless(path)


def test_an_archive_with_a_second_directory_is_refused(tmp_path: Path) -> None:
    """Python finds the directory before the end of the file, and torch one that begins where the end says: in this file the parts of the
    first are stored, and those of the second are compressed."""
    torch.save({"a": torch.zeros(1000)}, tmp_path / "good.pt")
    content = (tmp_path / "good.pt").read_bytes()
    with zipfile.ZipFile(tmp_path / "good.pt") as good, zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as bomb:
        for name in good.namelist():
            bomb.writestr(name, good.read(name))
    packed = (tmp_path / "bomb.pt").read_bytes()
    first = packed.rindex(b"PK\5\6")
    stored = content[content.index(b"PK\1\2") : content.index(b"PK\6\6")]
    end = packed[first : first + 12] + len(stored).to_bytes(4, "little") + packed[first + 16 :]
    (tmp_path / "two.pt").write_bytes(packed[:first] + stored + end)
    with zipfile.ZipFile(tmp_path / "two.pt") as archive:
        assert {part.compress_type for part in archive.infolist()} == {zipfile.ZIP_STORED}
    assert torch.load(tmp_path / "two.pt", weights_only=True)["a"].shape == (1000,)
    with pytest.raises(UserError, match="is no archive"):
        require_harmless(tmp_path / "two.pt")


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
