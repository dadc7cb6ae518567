"""Listings of tracked folders: those that a folder can have are read, others are refused in a sentence."""

import json
import tracemalloc
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from face_assets.core.errors import UserError
from face_assets.registry.listing import read_listing
from tests.core.test_identifiers import STRINGS

MD5 = "a" * 32
PATHS = st.one_of(STRINGS, st.none(), st.integers())
ENTRIES = st.lists(st.fixed_dictionaries({"relpath": PATHS, "md5": st.sampled_from([MD5, "..", None])}))


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(st.one_of(ENTRIES, st.recursive(st.none() | st.text(), st.lists, max_leaves=5)).map(json.dumps))
def test_what_a_listing_names_lies_in_the_folder(tmp_path_factory: pytest.TempPathFactory, content: str) -> None:
    file = tmp_path_factory.getbasetemp() / "listing"
    file.write_text(content)
    try:
        files = read_listing(file, "photos.dvc")
    except UserError as error:
        assert str(error).isprintable()
        return
    paths = [PurePosixPath(one.path) for one in files]
    assert len(set(paths)) == len(paths) and not any(path.is_absolute() or ".." in path.parts for path in paths)


def test_a_file_that_a_file_manager_named_is_listed(tmp_path: Path) -> None:
    (tmp_path / "listing").write_text(json.dumps([{"relpath": "Ann/Icon\r", "md5": MD5}, {"relpath": "Ann/1\n.jpg", "md5": MD5}]))
    assert [file.path for file in read_listing(tmp_path / "listing", "photos.dvc")] == ["Ann/1\n.jpg", "Ann/Icon\r"]


@pytest.mark.parametrize(
    "content",
    [
        b"[" + b"{}," * 300_000 + b"{}]",
        b"[" + b"[]," * 300_000 + b"[]]",
        b"[" * 300_000,
        b'[{"a":' * 100_000,
        b'[{"relpath": "a", "md5": "' + b"a" * 32 + b'"' + b', "b": 1' * 20_000 + b"}]",
        json.dumps([{"relpath": f"{number}/" + "a/" * 2_000 + "a", "md5": MD5} for number in range(200)]).encode(),
    ],
    ids=["objects", "lists", "nest of lists", "nest of objects", "one entry", "folders"],
)
def test_a_listing_takes_no_more_memory_than_a_few_times_its_length(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "listing"
    file.write_bytes(content)
    tracemalloc.start()
    try:
        read_listing(file, "photos.dvc")
    except UserError as error:
        assert "is broken" in str(error)
    assert tracemalloc.get_traced_memory()[1] < 6 * len(content)
    tracemalloc.stop()


@pytest.mark.parametrize("content", [b"[]", b" [ ] \n", b'[{"md5": "' + MD5.encode() + b'", "relpath": "a[{\\"}]\\\\", "size": 3}]\n'])
def test_what_json_can_write_otherwise_is_read(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "listing").write_bytes(content)
    assert [file.path for file in read_listing(tmp_path / "listing", "photos.dvc")] == [one["relpath"] for one in json.loads(content)]


@pytest.mark.parametrize(
    ("paths", "sentence"),
    [
        (["Ann/1.jpg", "Ann/1.jpg"], "twice"),
        (["Ann", "Ann/1.jpg"], "as a file and as a folder"),
        (["a\0b"], "is no name of a file"),
        (["x" * 5000], "is no name of a file"),
    ],
)
def test_names_that_no_folder_can_hold_together_are_refused(tmp_path: Path, paths: list[str], sentence: str) -> None:
    (tmp_path / "listing").write_text(json.dumps([{"relpath": path, "md5": MD5} for path in paths]))
    with pytest.raises(UserError, match=sentence):
        read_listing(tmp_path / "listing", "photos.dvc")
    (tmp_path / "listing").write_text("[" * 200_000)
    with pytest.raises(UserError, match="is broken"):
        read_listing(tmp_path / "listing", "photos.dvc")
