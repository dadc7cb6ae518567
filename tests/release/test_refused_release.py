"""A release that fails the gate at its registration: it is registered, and the run is refused."""

from pathlib import Path

import dagster as dg
import pytest

from face_assets.core.settings import remember
from face_assets.event_log.outcomes import read_outcome
from face_assets.orchestration.partitions import add_commit, commits
from face_assets.orchestration.workspace_resource import WorkspaceResource
from face_assets.registry.workspace import Workspace
from face_assets.release import assets
from face_assets.storage.artifacts import Artifact

UPSTREAM = (
    *("dataset_version", "aligned_faces", "label_audit"),
    *("face_embedder", "embedder_evaluation", "exported_embedder", "face_gallery"),
)
REFUSED = "not put in production, the gate refused it: AUC is 0.8000 against 0.9000 of production on the same pairs"


def upstream(name: str) -> dg.AssetsDefinition:
    @dg.asset(name=name, partitions_def=commits)
    def made() -> Artifact:
        return Artifact(name, "", Path(), {}, reused=True)

    return made


@pytest.mark.parametrize(("refused", "reason", "word"), [(True, REFUSED, "refused"), (False, "put in production", "done")])
def test_a_release_that_the_gate_rejects_is_on_record_and_its_run_is_refused(
    repository: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: bool, reason: str, word: str
) -> None:
    remember(repo=str(repository))
    commit = Workspace.load().repository.resolve("HEAD")
    (tmp_path / "model_card.md").write_text("# v2.0.0")
    summary = {"release": "v2.0.0", "production": not refused, "stage_reason": reason, "refused": refused}
    monkeypatch.setattr(
        "face_assets.release.steps.make_release", lambda *_: Artifact("recognizer_release", "inputs", tmp_path, summary, reused=False)
    )
    with dg.DagsterInstance.ephemeral() as instance:
        add_commit(instance, commit)
        done = dg.materialize(
            [*map(upstream, UPSTREAM), assets.recognizer_release],
            instance=instance,
            resources={"platform": WorkspaceResource(), "io_manager": dg.mem_io_manager},
            partition_key=commit,
            raise_on_error=False,
        )
        outcome = read_outcome(instance, instance.get_run_records()[0])
        recorded = instance.get_latest_materialization_event(dg.AssetKey("recognizer_release"))
    assert (done.success, outcome.word) == (not refused, word)
    assert outcome.reason == (f"v2.0.0 is {REFUSED}" if refused else "")
    assert recorded and recorded.asset_materialization
    assert recorded.asset_materialization.metadata["stage_reason"].value == reason
