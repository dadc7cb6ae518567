"""Changes of people: what a listing becomes, what is refused with nothing changed, and one commit for several changes."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from face_assets.core.errors import RefusedError, UserError
from face_assets.core.settings import remember
from face_assets.gallery.people import ConflictError, NotEnrolledError, People, Photo, valid_name
from face_assets.gallery.people_changes import AddPhotos, Merge, PeopleChange, RemovePerson, RemovePhoto, RemovePhotos, Rename
from face_assets.gallery.people_commits import Request, change_people, people_at
from face_assets.registry.git import git
from face_assets.registry.listing import TrackedFile
from face_assets.registry.person import Person
from face_assets.registry.workspace import Workspace

JPEG = b"\xff\xd8\xff"
ADA = Person("Ada", "ada@example.org")


def photo(content: str) -> Photo:
    found = JPEG + content.encode()
    return Photo(hashlib.md5(found, usedforsecurity=False).hexdigest(), found, f"{content}.jpg")


def people(*paths: str) -> People:
    return People.of(TrackedFile(path, hashlib.md5(path.encode(), usedforsecurity=False).hexdigest()) for path in paths)


def after(before: People, change: PeopleChange) -> set[str]:
    change.apply(before)
    found = People.of(before.listing())
    assert (found.names, found.photos) == (before.names, before.photos), "as a commit of it is read"
    return set(before.files)


def test_photos_are_added_to_somebody_new_or_enrolled() -> None:
    one, two = photo("1"), photo("2")
    found = people("ann/a.jpg")
    assert AddPhotos(" Zoe\u0308  Müller", (one,)).apply(found).line == "Enrol Zoë Müller: 1 photo"
    assert AddPhotos("ANN", (two,)).apply(found).line == "Add 1 photo of ann"
    assert set(found.files) == {"ann/a.jpg", f"ann/{two.md5}.jpg", f"Zoë Müller/{one.md5}.jpg"}


def test_a_rename_takes_all_files_of_the_folders_along() -> None:
    found = people("ann/a.jpg", "Ann/a.jpg", "ann/note.txt", "Bob/b.jpg")
    files = after(found, Rename("Ann", "Zoë"))
    assert {path for path in files if path.startswith("Zoë/")} >= {"Zoë/a.jpg", "Zoë/note.txt"}
    assert len(files) == 4 and not any(path.lower().startswith("ann/") for path in files)
    assert after(found, Rename("Zoë", "ZOË")) == {path.replace("Zoë", "ZOË") for path in files}


def test_a_merge_keeps_both_peoples_photos_and_one_of_each_file() -> None:
    found = people("Ann/1.jpg", "Ann/2.jpg", "Bob/1.jpg")
    found.files["Bob/2.jpg"] = found.photos["bob"]["Bob/2.jpg"] = found.files["Ann/2.jpg"]
    files = after(found, Merge("Ann", "Bob"))
    assert len(files) == 3 and all(path.startswith("Bob/") for path in files)


def test_people_and_photos_are_removed() -> None:
    found = people("Ann/1.jpg", "Ann/2.jpg", "Bob/1.jpg")
    assert after(found, RemovePhoto("Ann", found.files["Ann/1.jpg"])) == {"Ann/2.jpg", "Bob/1.jpg"}
    assert after(found, RemovePerson("Ann")) == {"Bob/1.jpg"}
    found = people("Ann/1.jpg", "Ann/2.jpg", "Ann/note.txt", "Bob/1.jpg", "Bob/2.jpg", "Zoë/1.jpg")
    wanted = frozenset(found.files[path] for path in ("Ann/1.jpg", "Ann/2.jpg", "Bob/2.jpg")) | {"f" * 32}
    effect = RemovePhotos(wanted).apply(found)
    assert (effect.line, effect.acknowledged) == ("Remove 3 photos of 2 people", ("Ann",)), "of whom nothing is left"
    assert set(found.files) == {"Bob/1.jpg", "Zoë/1.jpg"}
    assert People.of(found.listing()).photos == found.photos


SOMEBODY = people("Ann/1.jpg", "Ann/2.jpg", "Bob/1.jpg")


@pytest.mark.parametrize(
    ("change", "error", "reason"),
    [
        (AddPhotos("Ann", (photo("1"),), is_new=True), ConflictError, "Ann is enrolled already"),
        (AddPhotos("Zoë", (photo("1"),), is_new=False), NotEnrolledError, "'Zoë' is not enrolled"),
        (RemovePhotos(frozenset({"f" * 32})), NotEnrolledError, "Nobody is enrolled"),
        (RemovePhotos(frozenset(SOMEBODY.files.values())), ConflictError, "a gallery of nobody cannot go live"),
        (AddPhotos("Zoë", (photo("1"), photo("1"))), ConflictError, "1.jpg: the same file is there twice"),
        (AddPhotos("Bob", (Photo(SOMEBODY.files["Ann/1.jpg"], b"", "a.jpg"),)), ConflictError, "a.jpg: .* enrolled already, as Ann"),
        (Rename("Ann", "bob"), ConflictError, "Bob is enrolled already: merge"),
        (Rename("Ann", "Ann"), ConflictError, "called Ann already"),
        (Rename("Ann", "a/b"), RefusedError, "no slash"),
        (Merge("Ann", "ann"), ConflictError, "one person already"),
        (Merge("Ann", "Zoë"), NotEnrolledError, "'Zoë' is not enrolled"),
        (RemovePerson("Zoë"), NotEnrolledError, "'Zoë' is not enrolled"),
        (RemovePhoto("Bob", SOMEBODY.files["Bob/1.jpg"]), ConflictError, "only photo of Bob"),
        (RemovePhoto("Bob", "f" * 32), NotEnrolledError, "no photo of Bob"),
    ],
)
def test_a_refused_change_changes_nothing(change: PeopleChange, error: type[UserError], reason: str) -> None:
    found = People.of(SOMEBODY.listing())
    with pytest.raises(error, match=reason):
        change.apply(found)
    assert found == People.of(SOMEBODY.listing())


def test_the_last_person_stays() -> None:
    with pytest.raises(ConflictError, match="only person who is enrolled"):
        RemovePerson("Ann").apply(people("Ann/1.jpg"))


@pytest.mark.parametrize("name", ["", "  ", "a/b", "..", ".hidden", "a\nb", "a\0b", "x" * 300, "é" * 150, "@eaDir", "\ud800", "a\u2028b"])
def test_names_that_no_folder_of_a_person_has_are_refused(name: str) -> None:
    with pytest.raises(RefusedError, match="is no name of a person"):
        valid_name(name)


@pytest.fixture
def workspace(repository: Path, home: Path, tmp_path: Path) -> Workspace:
    git("clone", "-q", "--bare", repository, tmp_path / "bare.git")
    remember(repo=str(tmp_path / "bare.git"))
    return Workspace.load()


def change(workspace: Workspace, *changes: PeopleChange, authors: Sequence[Person] = (ADA, ADA, ADA)) -> list[str]:
    outcomes = change_people(workspace, [Request(one, author) for one, author in zip(changes, authors, strict=False)])
    return [str(outcome.error) if outcome.error else outcome.line for outcome in outcomes]


def test_several_changes_are_one_commit_and_a_refused_one_keeps_none_of_the_others_back(workspace: Workspace) -> None:
    repository = workspace.repository
    before = repository.resolve("main")
    everybody = people_at(workspace, before)
    anybody, *_ = everybody.names.values()
    lines = change(
        workspace,
        AddPhotos("Zoë", (photo("1"),)),
        RemovePerson("Nobody"),
        Rename(anybody, "Yan"),
        authors=(ADA, ADA, Person("Bob", "bob@example.org")),
    )
    assert lines == ["Enrol Zoë: 1 photo", "'Nobody' is not enrolled.", f"Rename {anybody} to Yan"]
    head = repository.resolve("main")
    message = repository.git("show", "-s", "--format=%P%n%an%n%B", head).decode()
    assert message.strip().split("\n") == [
        before,
        "Face Assets",
        "Change the gallery: 2 changes",
        "",
        "- Enrol Zoë: 1 photo (Ada)",
        f"- Rename {anybody} to Yan (Bob)",
        "",
        "The gallery begins with everybody in photos.dvc, who were enrolled as long as there was no gallery.",
        "",
        f"Acknowledge-Person: {anybody}",
        "Acknowledge-Person: Yan",
    ]
    assert set(people_at(workspace, head).names.values()) == {*everybody.names.values(), "Zoë", "Yan"} - {anybody}
    assert repository.pointer(head, "gallery") and b"/gallery\n" in (repository.read(head, ".gitignore") or b"")

    assert change(workspace, RemovePerson("Nobody")) == ["'Nobody' is not enrolled."]
    assert repository.resolve("main") == head, "nothing to commit"


def test_a_gallery_begins_in_the_remote_that_has_the_photos(repository: Path, home: Path, tmp_path: Path) -> None:
    (repository / "photos.dvc").write_text(f"{(repository / 'photos.dvc').read_text()}  remote: storage\n")
    git("commit", "-qam", "Name the remote", cwd=repository)
    git("clone", "-q", "--bare", repository, tmp_path / "bare.git")
    remember(repo=str(tmp_path / "bare.git"))
    workspace = Workspace.load()
    change(workspace, AddPhotos("Zoë", (photo("1"),)))
    pointer = workspace.repository.pointer(workspace.repository.resolve("main"), "gallery")
    assert pointer and pointer.remote == "storage"


def test_a_machine_that_follows_no_single_branch_of_production_says_so(workspace: Workspace) -> None:
    remember(production_branches=["live/*"])
    with pytest.raises(UserError, match="matches no branch"):
        change(Workspace.load(), RemovePerson("Nobody"))
