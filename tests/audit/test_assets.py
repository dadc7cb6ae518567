"""The assets in a run: a warning below the rates of the parameters, a refusal past them."""

from pathlib import Path

import dagster as dg
import pytest

from face_assets.audit import assets, steps
from face_assets.audit.embedder import STARTING, AuditEmbedder
from face_assets.audit.findings import Finding, write_findings
from face_assets.audit.judgement import Audit, judge_labels
from face_assets.core.params import Detector, Params
from face_assets.core.settings import remember
from face_assets.embedding.vectors import Embedding
from face_assets.event_log.outcomes import read_outcome
from face_assets.orchestration.partitions import add_commit, commits
from face_assets.orchestration.workspace_resource import WorkspaceResource
from face_assets.registry.git import git
from face_assets.registry.workspace import Workspace
from face_assets.storage.artifacts import Artifact
from tests.audit.test_judgement import draw
from tests.audit.test_steps import aligned_faces, misfiled


@pytest.mark.parametrize(
    ("allowed", "production", "word"), [(0.02, None, "done"), (0.01, None, "refused"), (0.01, "embedder of v1.0.0, in production", "done")]
)
def test_wrong_photos_are_a_warning_until_the_starting_weights_find_too_many(
    allowed: float, production: str | None, word: str, repository: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def judge(_workspace: object, _embedder: object, faces: list, _log: object) -> Audit:
        return judge_labels(faces, draw([4] * 20)[1][[int(face.crop_key, 16) for face in faces]], "starting weights")

    embedder = AuditEmbedder(production or STARTING, Embedding("weights", "fixed", 32, Detector()), "f" * 16)
    monkeypatch.setattr(steps, "audit_embedder", lambda workspace, commit: embedder)
    monkeypatch.setattr(steps, "audit_faces", judge)  # embeddings of drawn people, who have no crops
    monkeypatch.setattr(steps, "findings_sheet", lambda *_: b"")
    (repository / "params.yaml").write_text(f"embedder: {{weights: scratch}}\naudit: {{max_wrong_person: {allowed}}}\n")
    git("commit", "-q", "-a", "-m", "Bound wrong photos", cwd=repository)
    remember(repo=str(repository))
    commit = Workspace.load().repository.resolve("HEAD")

    @dg.asset(name="aligned_faces", partitions_def=commits)
    def upstream() -> Artifact:
        return aligned_faces(tmp_path / "aligned", misfiled())

    with dg.DagsterInstance.ephemeral() as instance:
        add_commit(instance, commit)
        dg.materialize(
            [upstream, assets.label_audit, assets.gallery_audit],
            instance=instance,
            resources={"platform": WorkspaceResource(), "io_manager": dg.mem_io_manager},
            partition_key=commit,
            raise_on_error=False,
        )
        outcome = read_outcome(instance, instance.get_run_records()[0])
        made = instance.get_latest_materialization_event(dg.AssetKey("gallery_audit"))
    assert outcome.word == word
    assert ("1.25% of the photos show another person (audit.max_wrong_person allows 1.0%)" in outcome.reason) == (word == "refused")
    assert (made is not None) == (word == "done")


def test_a_refusal_names_people_and_acknowledged_ones_do_not_count(tmp_path: Path) -> None:
    twins = Finding("gallery/Eve", "Eve", "two_names", "looks like the same person as Ann", "Ann", 0.8, 0.7)
    write_findings(tmp_path / steps.FINDINGS, [twins])
    summary = {**steps.counts([twins]), "people": 10, "judged": 30, "unable": "", "embedder": STARTING, "findings": [twins.to_json()]}
    audit = Artifact("gallery_audit", "1", tmp_path, summary)

    def judged(*acknowledged: str, right: bool = False) -> list[dg.AssetCheckResult]:
        return assets._checks(audit, Params().audit, assets._Settled(acknowledged, lambda _: right))

    refused, warned = judged()
    assert not refused.passed and "gallery/Eve looks like the same person as Ann" in str(refused.description)
    assert "--acknowledge NAME" in str(refused.description) and not warned.passed
    for meant, warned in (judged("eve"), judged("ann"), judged(right=True)):
        assert meant.passed and not warned.passed
    assert not judged("zoë")[0].passed
