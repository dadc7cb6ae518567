"""The list of faces as the audit passes it on."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from face_assets.audit import steps
from face_assets.audit.embedder import AuditEmbedder
from face_assets.audit.judgement import Audit, judge_labels
from face_assets.audit.steps import audit_labels
from face_assets.cli.main import main
from face_assets.core.params import Detector
from face_assets.core.settings import remember
from face_assets.core.tables import write_rows
from face_assets.detection.steps import Face, read_faces
from face_assets.embedding.vectors import Embedding
from face_assets.registry.git import git
from face_assets.registry.workspace import Workspace
from face_assets.storage.artifacts import Artifact
from tests.audit.test_judgement import draw, relabel

HEADER = ("path", "md5", "identity", "split", "status", "faces", "reason", "crop")
REJECTED = ("p00/none.jpg", "f" * 32, "p00", "train", "no_face", "0", "no face", "")


def misfiled() -> list[Face]:
    """Faces of 20 people, one of whose photos is filed under another."""
    faces, _ = draw([4] * 20)
    faces[5] = relabel(faces[5], "p07")
    return faces


def aligned_faces(folder: Path, faces: list[Face]) -> Artifact:
    """These faces, and a photo without a face."""
    folder.mkdir()
    rows = [(face.path, face.md5, face.identity, face.split, "face", "1", "", face.crop_key) for face in faces]
    write_rows(folder / "faces.csv", HEADER, [*rows, REJECTED])
    return Artifact("aligned_faces", "a" * 16, folder, {})


def audit(repository: Path, tmp_path: Path, action: str, faces: list[Face] | None = None) -> tuple[Artifact, Artifact]:
    """The list before and after an audit with that action."""
    (repository / "params.yaml").write_text(f"embedder: {{weights: scratch}}\naudit: {{action: {action}}}\n")
    git("commit", "-q", "-a", "-m", "Audit", cwd=repository)
    remember(repo=str(repository))
    before, workspace = aligned_faces(tmp_path / "aligned", faces or misfiled()), Workspace.load()
    return before, audit_labels(workspace, workspace.repository.resolve("HEAD"), before, lambda _: None)


def text(artifact: Artifact) -> str:
    return (artifact.directory / "faces.csv").read_text(encoding="utf-8")


def test_without_an_embedder_the_list_passes_and_says_so(repository: Path, home: Path, tmp_path: Path) -> None:
    before, after = audit(repository, tmp_path, "leave_out")
    assert text(after) == text(before)
    assert after.fingerprint == before.fingerprint
    assert "no release is in production" in after.summary["unable"]


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Embeddings of the drawn people, in place of a network's of crops that are not drawn."""

    def judge(_workspace: object, _embedder: object, faces: list, _log: object) -> Audit:
        rows = [int(face.crop_key, 16) for face in faces]
        return judge_labels(faces, draw([4] * 20)[1][rows], "starting weights")

    monkeypatch.setattr(steps, "audit_faces", judge)


def test_a_report_changes_nothing_downstream(judged: None, repository: Path, home: Path, tmp_path: Path) -> None:
    before, after = audit(repository, tmp_path, "report")
    assert (text(after), after.fingerprint) == (text(before), before.fingerprint)
    assert [found["agrees_with"] for found in after.summary["findings"]] == ["p01"]


def test_photos_left_out_stay_in_the_list_with_their_reason(judged: None, repository: Path, home: Path, tmp_path: Path) -> None:
    before, after = audit(repository, tmp_path, "leave_out")
    gone = {face.path for face in read_faces(before)} - {face.path for face in read_faces(after)}
    assert gone == {"p07/p01-5.jpg"}
    assert text(after).count("\n") == text(before).count("\n")
    assert "suspect,1,shows p01 and not p07," in text(after)
    assert after.fingerprint != before.fingerprint
    assert ",".join(REJECTED) in text(after)


def test_a_person_whom_training_has_under_another_name_is_enrolled_and_not_tested(tmp_path: Path) -> None:
    faces, vectors = draw([6] + [3] * 20)
    faces[:2] = [relabel(face, "p00 again", "test") for face in faces[:2]]
    faces[9:12] = [relabel(face, "tested", "test") for face in faces[9:12]]
    rows = [
        {"path": face.path, "md5": face.md5, "identity": face.identity, "split": face.split, "status": "face", "reason": ""}
        for face in faces
    ]
    assert steps._mark_seen(rows, judge_labels(faces, vectors, "starting weights").findings) == ["p00 again"]
    write_rows(tmp_path / "faces.csv", tuple(rows[0]), (row.values() for row in rows))
    after = Artifact("label_audit", "", tmp_path, {})
    assert {face.identity for face in read_faces(after, "test")} == {"tested"}
    assert len(read_faces(after)) == len(faces)
    assert not {"p00 again"} & {face.identity for face in read_faces(after, "train", "validation", "test")}


@pytest.mark.parametrize(("name", "is_seen"), [("starting weights", True), ("embedder of v1.0.0, in production", False)])
def test_what_production_is_decides_no_list(
    name: str, is_seen: bool, repository: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A test person who looks like one of the training, by an embedder that depends on the commit alone, and by production's."""
    faces, vectors = draw([6] + [3] * 20)
    faces[:2] = [relabel(face, "p00 again", "test") for face in faces[:2]]
    embedder = AuditEmbedder(name, Embedding("weights", "fixed", 32, Detector()), "f" * 16)
    monkeypatch.setattr(steps, "audit_embedder", lambda workspace, commit: embedder)
    monkeypatch.setattr(steps, "audit_faces", lambda *_: judge_labels(faces, vectors, name))
    monkeypatch.setattr(steps, "findings_sheet", lambda *_: b"")
    before, after = audit(repository, tmp_path, "report", faces)
    assert after.summary["two_names"] == 1
    assert (after.summary["people_seen_under_another_name"], after.fingerprint != before.fingerprint) == (int(is_seen), is_seen)


def test_a_commit_without_an_audit_says_how_to_make_one(repository: Path, home: Path) -> None:
    remember(repo=str(repository))
    printed = CliRunner().invoke(main, ["audit", "--commit", "HEAD"])
    assert printed.exit_code == 1
    assert "face-assets launch +label_audit --commit" in printed.output
