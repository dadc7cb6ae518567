"""Decisions become one commit, which git takes back; what no longer fits stays, and nobody's change is lost."""

import dataclasses
import time
from pathlib import Path

import pytest

from face_assets.audit.findings import Finding
from face_assets.audit.reviewed import found_right, people_case, photo_case, reviewed_cases
from face_assets.core.errors import RefusedError, UnreachableError
from face_assets.core.settings import load_settings, remember
from face_assets.gallery.people import ConflictError, NotEnrolledError
from face_assets.gallery.people_changes import RemovePerson
from face_assets.gallery.people_commits import Request, change_people
from face_assets.monitoring.feedback import Feedback, write_feedback
from face_assets.registry import folder_commit
from face_assets.registry.acknowledgements import acknowledged_names
from face_assets.registry.git import git
from face_assets.registry.person import Person
from face_assets.registry.watch import REVIEWED
from face_assets.registry.workspace import Workspace
from face_assets.review.cases import Case, label_cases, open_cases, people_of
from face_assets.review.decisions import Decision, Verdict, require_possible
from face_assets.review.draft import Draft
from face_assets.review.review_commit import commit_review
from tests.review.made_audit import store_audit

ADA = Person("Ada", "ada@example.org")
JPEG = b"\xff\xd8\xff1"


@pytest.fixture
def workspace(repository: Path, home: Path) -> Workspace:
    """The workspace of a data repository whose audit has found something of every kind."""
    remember(repo=str(repository))
    made = Workspace(load_settings())
    made.repository.refresh()
    commit = made.repository.resolve("main")
    findings = [
        Finding("Ann/0 a.jpg", "Ann", "wrong_person", "shows Bob and not Ann", "Bob", 0.1, 0.8),
        Finding("Zoë Müller", "Zoë Müller", "two_names", "looks like the same person as Bob", "Bob", 0.7, 0.8),
        Finding("Gone/0.jpg", "Gone", "unlike", "is unlike", "", 0.1, None),
    ]
    store_audit(made, commit, findings, {"Bob/1 a.jpg": "no_face"})
    return made


def listed(workspace: Workspace) -> list[str]:
    return [file.path for file in workspace.repository.files(workspace.repository.resolve("main"), "photos")]


def cases(workspace: Workspace) -> dict[str, Case]:
    return {case.kind: case for case in open_cases(workspace, label_cases(workspace, workspace.repository.resolve("main")))}


def decide(workspace: Workspace, case: Case, verdict: Verdict, to: str = "", by: str = "Ada") -> Decision:
    """Keeps a decision in the draft."""
    md5 = case.photo.md5 if case.photo else ""
    made = Decision(case.id, verdict, to, case.subject, md5, case.identity, by, "2026-12-01T00:00:00Z", f"{case.id}-{verdict}")
    Draft.of(workspace).decide(made, "")
    return made


def test_every_kind_of_case_is_found_with_photos_to_compare_it_with(workspace: Workspace) -> None:
    found = cases(workspace)
    assert list(found) == ["wrong_person", "two_names", "no_face"]
    wrong = found["wrong_person"]
    assert wrong.photo and (wrong.photo.file, wrong.photo.rank, wrong.suggestion) == ("0 a.jpg", 1, "Bob")
    assert [photo.file for photo in wrong.own] == ["1 a.jpg"], "the photo in doubt is not among the others"
    assert [photo.file for photo in wrong.other] == ["0 a.jpg", "1 a.jpg"]
    assert found["no_face"].face is False
    assert len(found["two_names"].own) == len(found["two_names"].other) == 2


def test_decisions_are_one_commit_that_git_takes_back(workspace: Workspace, repository: Path) -> None:
    before, found = listed(workspace), cases(workspace)
    decide(workspace, found["wrong_person"], "belongs", "Bob")
    decide(workspace, found["no_face"], "wrong")
    decide(workspace, found["two_names"], "right")
    made = commit_review(workspace, ADA)
    assert (made.committed, made.refused) == (3, [])
    after = listed(workspace)
    assert (after[0], after[2]) == ("Ann/1 a.jpg", "Bob/0 a.jpg") and after[3:] == before[4:], "the photo that was left out is gone"
    assert after[1].startswith("Bob/0 a-"), "the one that moved has a name of its own"
    subject, _, body = git("log", "-1", "--format=%an%n%B", "main", cwd=repository).decode().partition("\n")
    assert subject == "Ada" and "Review 3 cases: 1 right, 1 left out, 1 belongs" in body
    assert "Acknowledge-Person: Bob" in body
    assert not (repository / "photos" / "Bob" / "1 a.jpg").exists(), "the clone on this machine follows"
    assert cases(workspace) == {} and Draft.of(workspace).read() == {}
    assert b"Ann" not in (repository / REVIEWED).read_bytes()
    assert "Bob" in acknowledged_names(workspace.repository, made.commit)
    git("revert", "--no-edit", "HEAD", cwd=repository)
    workspace.repository.refresh()
    assert listed(workspace) == before
    assert list(cases(workspace)) == ["wrong_person", "two_names", "no_face"]


def test_a_label_that_was_called_right_counts_for_no_refusal(workspace: Workspace) -> None:
    found = cases(workspace)
    decide(workspace, found["wrong_person"], "right")
    decide(workspace, found["two_names"], "right")
    commit = commit_review(workspace, ADA).commit
    is_right = found_right(workspace.repository, commit)
    assert is_right(Finding("Ann/0 a.jpg", "Ann", "wrong_person", "", "Bob", 0.1, 0.8))
    assert is_right(Finding("Bob", "Bob", "two_names", "", "Zoë Müller", 0.7, 0.8))
    assert not is_right(Finding("Ann/1 a.jpg", "Ann", "wrong_person", "", "Bob", 0.1, 0.8))


def test_two_names_become_one(workspace: Workspace) -> None:
    decide(workspace, cases(workspace)["two_names"], "same", "Bob")
    made = commit_review(workspace, ADA)
    people = people_of(workspace, made.commit)["photos"]
    assert sorted(people.names) == ["ann", "bob"] and len(people.photos["bob"]) == 4


def test_what_no_longer_fits_stays_in_the_draft_with_the_reason(workspace: Workspace) -> None:
    found = cases(workspace)
    decide(workspace, found["wrong_person"], "belongs", "Bob")
    decide(workspace, found["two_names"], "right", by="Grace")
    stale = dataclasses.replace(found["no_face"], id="f" * 16, identity="Nobody")
    decide(workspace, stale, "wrong")
    made = commit_review(workspace, ADA)
    assert made.committed == 2
    assert [(decision.case, reason) for decision, reason in made.refused] == [
        ("f" * 16, f"Photo {found['no_face'].photo.md5[:8]} is under Nobody no more.")  # type: ignore[union-attr]
    ]
    assert list(Draft.of(workspace).read()) == ["f" * 16]
    with pytest.raises(RefusedError, match="is under Nobody no more"):
        commit_review(workspace, ADA)


def test_two_reviewers_do_not_overwrite_each_other(workspace: Workspace) -> None:
    found = cases(workspace)["no_face"]
    first = decide(workspace, found, "wrong", by="Ada")
    with pytest.raises(ConflictError, match="Ada decided this meanwhile: left out"):
        decide(workspace, found, "right", by="Grace")
    draft = Draft.of(workspace)
    with pytest.raises(ConflictError, match="Ada decided"):
        draft.undo(found.id, "")
    later = dataclasses.replace(first, verdict="right", token="later")
    draft.decide(later, first.token)
    draft.settle({first.token})
    assert Draft.of(workspace).read() == {found.id: later}, "a decision made while another was committed stays"
    draft.undo(found.id, "later")
    with pytest.raises(ConflictError, match="committed or taken back"):
        draft.undo(found.id, "later")
    with pytest.raises(RefusedError, match="No decision is left"):
        commit_review(workspace, ADA)


def test_an_unreachable_remote_loses_no_decision(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    before = listed(workspace)
    decide(workspace, cases(workspace)["no_face"], "wrong")

    def unreachable(*_: object) -> None:
        raise UnreachableError("The photos could not be written to the DVC remote.")

    with monkeypatch.context() as patched:
        patched.setattr(folder_commit, "_upload", unreachable)
        with pytest.raises(UnreachableError):
            commit_review(workspace, ADA)
    assert listed(workspace) == before and len(Draft.of(workspace).read()) == 1


def test_a_review_killed_after_its_push_is_not_committed_twice(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    decide(workspace, cases(workspace)["no_face"], "wrong")

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Draft, "settle", die)
        commit_review(workspace, ADA)
    head = workspace.repository.resolve("main")
    with pytest.raises(RefusedError, match="on the branch already"):
        commit_review(workspace, ADA)
    assert workspace.repository.resolve("main") == head and Draft.of(workspace).read() == {}


def test_gallery_and_photos_change_together(workspace: Workspace) -> None:
    change_people(workspace, [Request(RemovePerson("Zoë Müller"), ADA)])  # begins the gallery with the others
    found = cases(workspace)
    assert "two_names" in found, "she has photos still"
    decide(workspace, found["wrong_person"], "wrong")
    made = commit_review(workspace, ADA)
    assert all(len(people.photos["ann"]) == 1 for people in people_of(workspace, made.commit).values())
    assert set(reviewed_cases(workspace.repository, made.commit)) == {found["wrong_person"].id}
    parents = git("rev-list", "--count", f"{made.commit}~1..{made.commit}", cwd=workspace.repository.mirror)
    assert parents.strip() == b"1"


def test_the_photo_of_a_wrong_answer_is_filed_under_its_person(workspace: Workspace, repository: Path) -> None:
    write_feedback(repository, Feedback("Bob", "Ann", "v1.0.0", time.time(), note="<b>"), JPEG, ".jpg")
    write_feedback(repository, Feedback("Ann", "Ann", "v1.0.0", time.time()))
    outside = Feedback("Bob", "Ann", "v1.0.0", time.time() - 9, photo="../../params.yaml")
    write_feedback(repository, outside)
    found = [case for case in open_cases(workspace, label_cases(workspace, workspace.repository.resolve("main"))) if case.kind == "answer"]
    assert [case.answer.content() for case in found if case.answer] == [None, JPEG], "and no file outside the inbox"
    assert found[1].reason == "v1.0.0 found Bob, and a user says that it is Ann (<b>)"
    decide(workspace, found[1], "belongs", "Ann")
    made = commit_review(workspace, ADA)
    assert "ann" in people_of(workspace, made.commit)["photos"].names
    assert len(people_of(workspace, made.commit)["photos"].photos["ann"]) == 3


@pytest.mark.parametrize(
    ("verdict", "to", "subject", "error", "words"),
    [
        ("belongs", "a/b", "photo", RefusedError, "no slash"),
        ("belongs", "x" * 300, "photo", RefusedError, "at most 255 bytes"),
        ("belongs", "\x1b", "photo", RefusedError, "control characters"),
        ("belongs", "", "photo", RefusedError, "not blank"),
        ("belongs", " ann ", "photo", ConflictError, "filed under Ann"),
        ("belongs", "Bob", "people", RefusedError, "Two names"),
        ("belongs", "Bob", "answer", RefusedError, "not kept"),
        ("wrong", "", "people", RefusedError, "Two names"),
        ("same", "Nobody", "photo", NotEnrolledError, "no photos of 'Nobody'"),
    ],
)
def test_an_impossible_decision_is_refused(verdict: Verdict, to: str, subject: str, error: type[Exception], words: str) -> None:
    decision = Decision("1", verdict, to, subject, "", "Ann", "Ada", "", "")
    with pytest.raises(error, match=words):
        require_possible(decision, False, [{"ann": "Ann", "bob": "Bob"}])


def test_a_case_has_one_id_at_every_commit() -> None:
    assert photo_case("1", "Zoe\u0308  M") == photo_case("1", "zoë m") != photo_case("2", "zoë m")
    assert people_case("Ann", "Bob") == people_case("bob", "ANN")
