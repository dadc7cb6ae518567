"""Folders that several pointers track: read together, fetched and changed one by one."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from face_assets.cli.main import main
from face_assets.core.errors import UserError
from face_assets.core.identifiers import CommitId
from face_assets.dataset.repository_creation import create_repository
from face_assets.erasure.heads import commit_without
from face_assets.erasure.traces import Traces
from face_assets.registry import data_repository
from face_assets.registry.availability import missing_bytes
from face_assets.registry.data_repository import DataRepository
from face_assets.registry.dvc import try_dvc
from face_assets.registry.folder_commit import FolderChange, commit_folder
from face_assets.registry.git import git
from face_assets.registry.listing import TrackedFile
from face_assets.registry.person import Person
from face_assets.registry.pointer import Pointer
from face_assets.registry.pointer_parts import divided, in_columns, require_apart, together, whole
from face_assets.registry.watch import inputs_of, tracked_by
from tests.conftest import copied

ADA = Person("Ada", "ada@example.org")


def md5(letter: str) -> str:
    return letter * 32


def listed(*paths: str) -> list[TrackedFile]:
    return [TrackedFile(path, md5("a")) for path in paths]


def folder(letter: str, name: str = "x") -> Pointer:
    return Pointer(f"{md5(letter)}.dir", 10, 2, name)


def test_the_version_of_a_folder_changes_with_any_of_its_pointers() -> None:
    one = {"photos/1": folder("a"), "photos/2": folder("b")}
    assert whole("photos", {"photos": folder("a")}) == folder("a"), "a folder with one pointer has that one's version"
    assert (whole("photos", one).files, whole("photos", one).size) == (4, 20)
    others = ({**one, "photos/2": folder("c")}, {"photos/1": folder("b"), "photos/2": folder("a")}, {"photos/1": folder("a")})
    assert len({whole("photos", parts).md5 for parts in (one, *others)}) == 4


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ({"photos": folder("a", "photos"), "photos/1": folder("b", "1")}, "'photos/1.dvc' at commit 1 tracks a folder within that of"),
        ({"photos/1": folder("a", "1"), "photos/1/b": folder("b", "b")}, "'photos/1/b.dvc' at commit 1 tracks a folder within"),
        ({"photos/1": folder("a", "1"), "photos/2": folder("b", "1")}, "track the same folder"),
        ({"photos/1": folder("a", "1"), "photos/2.jpg": Pointer(md5("b"), 1, None, "2.jpg")}, "tracks one file"),
    ],
)
def test_pointers_that_track_the_same_are_refused(parts: dict[str, Pointer], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        require_apart(parts, "commit 1")


def test_a_person_may_be_in_several_pointers_and_a_path_in_one() -> None:
    parts = {"photos/1": listed("Ann/1.jpg", "Cy/1.jpg"), "photos/2": listed("Ann/2.jpg", "Bo/1.jpg")}
    found = together("photos", parts, "commit 1")
    assert [file.path for file in found] == ["Ann/1.jpg", "Ann/2.jpg", "Bo/1.jpg", "Cy/1.jpg"]
    assert in_columns(parts.values()) == found
    assert in_columns(listed("Ann/1.jpg", "Ann/2.jpg") for _ in range(2)) is None
    assert in_columns([listed("Ann"), listed("Ann/1.jpg")]) is None
    assert in_columns([listed("Ann/1.jpg")]) == listed("Ann/1.jpg")
    with pytest.raises(UserError, match=r"'Ann/1.jpg' is listed by 'photos/1.dvc' and 'photos/2.dvc' .* 1 more paths"):
        together("photos", {part: listed("Ann/1.jpg", "Ann/2.jpg") for part in ("photos/1", "photos/2")}, "commit 1")
    with pytest.raises(UserError, match="'Ann' is a file in one pointer"):
        together("photos", {"photos/1": listed("Ann"), "photos/2": listed("Ann/1.jpg")}, "commit 1")


def test_a_change_of_the_folder_is_one_of_the_pointers_concerned() -> None:
    before = {"photos/1": [TrackedFile("Ann/1.jpg", md5("a"))], "photos/2": [TrackedFile("Bo/1.jpg", md5("b"))], "photos/3": []}
    renamed, new, stranger = TrackedFile("Ann B/1.jpg", md5("a")), TrackedFile("Bo/2.jpg", md5("c")), TrackedFile("Zoë/1.jpg", md5("d"))
    found = divided("photos", before, [renamed, *before["photos/2"], new, stranger])
    assert found == {"photos/1": [renamed], "photos/2": [*before["photos/2"], new], "photos/3": [stranger]}
    assert divided("photos", {}, [new]) == {"photos": [new]}


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory, make_photos: Callable[[Path], Path]) -> Path:
    """A data repository whose photos have two pointers."""
    root = tmp_path_factory.mktemp("sharded")
    create_repository(
        root / "data", make_photos(root / "photos"), "train: {epochs: 1}\n", None, None, shards=5
    )  # people fall into two of them
    return root / "data"


def test_one_pointer_is_listed_fetched_and_changed_alone(sharded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "Ann")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "ann@example.org")
    git("clone", "-q", "--bare", sharded, tmp_path / "bare.git")
    data = DataRepository(f"file://{tmp_path / 'bare.git'}", tmp_path / "home")
    data.refresh()
    commit = data.resolve("main")
    inputs = inputs_of(data, commit)
    assert {"photos/0.dvc", "photos/3.dvc"} <= inputs.keys()
    assert tracked_by(name for name in inputs if name.endswith(".dvc")) == ("photos",)
    listings = data.listings(commit, "photos")
    assert all(listings.values()) and len(data.files(commit, "photos")) == sum(map(len, listings.values()))

    assert missing_bytes(data, commit, ("photos",)) is None

    person = listings["photos/3"][0].path.partition("/")[0]
    content = b"another photo"

    def more(head: CommitId) -> FolderChange:
        new = TrackedFile(f"{person}/new.jpg", "8ff2d8f1968310bf8e4ca6e7c543583a")
        return FolderChange([*data.files(head, "photos"), new], {new.md5: content}, "Add a photo", ADA)

    made = commit_folder(data, "main", "photos", more)
    assert made and git("show", "--name-only", "--format=", made, cwd=tmp_path / "bare.git").split() == [b"photos/3.dvc"]
    assert data.listings(made, "photos")["photos/0"] == listings["photos/0"]
    assert data.pointer(made, "photos").md5 != data.pointer(commit, "photos").md5

    elsewhere, fetched = DataRepository(data.source, tmp_path / "elsewhere"), []
    elsewhere.refresh()
    elsewhere.files(commit, "photos")
    monkeypatch.setattr(data_repository, "try_dvc", lambda clone, command: fetched.append(command) or try_dvc(clone, command))
    located = elsewhere.locate(made, "photos", [file.md5 for file in elsewhere.files(made, "photos")])
    assert fetched == [["fetch", "photos/3.dvc"]] and content in [path.read_bytes() for path in located.values()]

    traces = Traces(frozenset({person}), frozenset(), frozenset())
    (erased,) = commit_without(data, "main", ("photos/3",), traces, "X", ADA)
    assert person not in {file.path.partition("/")[0] for file in data.files(erased, "photos")}
    others = frozenset(file.path.partition("/")[0] for file in data.files(erased, "photos"))
    with pytest.raises(UserError, match=r"Nobody else is in photos/\d.dvc"):
        commit_without(data, "main", ("photos/0", "photos/3"), Traces(others, frozenset(), frozenset()), "X", ADA)


def test_a_new_folder_next_to_the_pointers_becomes_one(sharded: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "Ann")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "ann@example.org")
    sharded = copied(sharded, tmp_path)
    shutil.copytree(next((sharded / "photos" / "0").iterdir()), sharded / "photos" / "2027" / "Zoë")
    (sharded / "photos" / "0" / "Zoë").mkdir()
    (sharded / "photos" / "0" / "Zoë" / "9.jpg").write_bytes(b"of her")
    done = CliRunner().invoke(main, ["commit", "-m", "Add 2027", "--repo", str(sharded)])
    assert done.exit_code == 0, done.output
    assert "photos/2027: new, 2 files" in done.output
    named = git("show", "--name-only", "--format=", "HEAD", cwd=sharded).decode().split()
    assert named == ["photos/.gitignore", "photos/0.dvc", "photos/2027.dvc"]
    data = DataRepository(str(sharded), home)
    data.refresh()
    assert sum(file.path.startswith("Zoë/") for file in data.files(data.resolve("HEAD"), "photos")) == 3, "a person in two pointers"
    with pytest.raises(UserError, match="is a data repository already"):
        create_repository(sharded, sharded / "photos" / "0", "", None, None)
