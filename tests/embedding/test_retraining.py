"""The decision to train anew or to keep production's embedder: what decides it, and that it stays."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from face_assets.cli.commit_runs import run_commit
from face_assets.core.params import Params
from face_assets.core.tables import write_rows
from face_assets.detection.steps import read_photos
from face_assets.embedding.assets import face_embedder
from face_assets.embedding.retraining import Decision, added_to, decide, decided_by, must_train
from face_assets.embedding.training_record import TrainingRecord, read_record, write_record
from face_assets.orchestration.partitions import add_commit, commits
from face_assets.orchestration.workspace_resource import WorkspaceResource
from face_assets.registry.releases import Digests, Lineage, Release
from face_assets.registry.workspace import Workspace
from face_assets.storage.artifacts import Artifact
from face_assets.storage.home import Home

LEARNED = [("ann", "a1"), ("ann", "a2"), ("bob", "b1"), ("bob", "b2")]


def aligned(folder: Path, *more: tuple[str, str, str], status: str = "face") -> Artifact:
    """Faces of LEARNED in the split train, of a test person, and `more` (identity, md5, split) with a status."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [(name, md5, "train", "face") for name, md5 in LEARNED] + [("tess", "t1", "test", "face")]
    rows += [(*one, status) for one in more]
    header = ("path", "md5", "identity", "split", "status")
    write_rows(folder / "faces.csv", header, ((f"{name}/{md5}.jpg", md5, name, split, state) for name, md5, split, state in rows))
    return Artifact("label_audit", "faces", folder, {})


def without(made: Artifact, *md5s: str) -> Artifact:
    lines = (made.directory / "faces.csv").read_text().splitlines(keepends=True)
    (made.directory / "faces.csv").write_text("".join(line for line in lines if not any(f",{md5}" in line for md5 in md5s)))
    return made


def release(version: str, **training: Any) -> Release:
    return Release(version, version, "commit", version, Digests(version, "gallery", "packaging"), {}, lineage=Lineage(training=training))


@pytest.fixture
def record(tmp_path: Path) -> TrainingRecord:
    """The record of a training on LEARNED."""
    (tmp_path / "bundle").mkdir()
    embedder = Artifact("face_embedder", "trained", tmp_path, {"epochs": 3, "recipe": "as now", "training_seconds": 1.0, "reason": "first"})
    write_record(embedder, aligned(tmp_path / "first"), {"trained_commit": "c", "trained_time": "t"}, tmp_path / "bundle")
    found = read_record(tmp_path / "bundle")
    assert found and found.summary == {"epochs": 3, "trained_commit": "c", "trained_time": "t"}  # nothing of one commit, and no time
    return found


@pytest.mark.parametrize(
    ("more", "status", "photos", "people"),
    [
        ([], "face", 0, 0),
        ([("ann", "a3", "train")], "face", 1, 0),
        ([("cem", "c1", "train"), ("cem", "c2", "train")], "face", 2, 1),
        ([("cem", "c1", "train")], "no_face", 0, 0),
        ([("tom", "x1", "test"), ("val", "v1", "validation")], "face", 0, 0),
    ],
)
def test_faces_of_the_train_split_count_as_added(
    record: TrainingRecord, tmp_path: Path, more: list[tuple[str, str, str]], status: str, photos: int, people: int
) -> None:
    added = added_to(record, aligned(tmp_path / "now", *more, status=status))
    assert (added.photos, added.people) == (photos, people)
    assert added.share == max(photos / 4, people / 2)


def test_what_was_learned_from_must_still_be_there(record: TrainingRecord, tmp_path: Path) -> None:
    def reason(made: Artifact) -> str:
        return must_train(record, read_photos(made)) or ""

    assert reason(aligned(tmp_path / "same")) == ""
    assert reason(without(aligned(tmp_path / "tested", ("tom", "x1", "test")), "t1")) == ""  # nobody learned from that person
    assert reason(without(aligned(tmp_path / "photo"), "a1")).startswith("1 photos from which the embedder in production learned are gone")
    assert "2 photos" in reason(without(aligned(tmp_path / "person"), "a1", "a2")) and "1 of its people" in reason(
        without(aligned(tmp_path / "again"), "a1", "a2")
    )
    renamed = without(aligned(tmp_path / "renamed", ("anna", "a1", "train"), ("anna", "a2", "train")), "a1,ann,train", "a2,ann,train")
    assert reason(renamed).startswith("2 photos")
    moved = without(aligned(tmp_path / "moved", ("ann", "a1", "test"), ("ann", "a2", "test")), "a1,ann,train", "a2,ann,train")
    assert reason(moved) == "1 people from whom the embedder in production learned are in another split"


def test_the_newest_release_of_these_inputs_decides() -> None:
    trained = release("v1.0.0", inputs="a")
    kept = release("v1.1.0", inputs="a", kept_from="v1.0.0", considered="key")
    again = release("v1.2.0", inputs="b")
    assert decided_by([trained, kept, again], "key", "b") == again
    assert decided_by([trained, kept], "key", "b") == kept
    assert decided_by([trained, kept], "other key", "a") == trained
    assert decided_by([trained, kept], "other key", "c") is None


class Known:
    """A state directory and a registry, as a decision reads them."""

    def __init__(self, folder: Path, production: Release | None) -> None:
        self.home, self.registered, self.in_production = Home(folder / "home"), list[Release](), production
        self.releases = SimpleNamespace(with_deprecated=lambda: self.registered, bundle=lambda _: folder / "bundle")
        self.stages = SimpleNamespace(production=lambda: production and SimpleNamespace(release=self.in_production))

    def decide(self, made: Artifact, again_at: float = 0.25, recipe: str = "as now", asked: bool = False) -> Decision:
        params = Params.model_validate({"train": {"again_at": again_at}})
        return decide(self, params, made, made.directory.name, recipe, asked)  # type: ignore[arg-type]


def test_a_share_at_the_bound_trains_and_one_below_it_keeps(record: TrainingRecord, tmp_path: Path) -> None:
    workspace = Known(tmp_path, release("v1.0.0", inputs="first", recipe="as now"))
    one = aligned(tmp_path / "one", ("ann", "a3", "train"))
    assert workspace.decide(one, 0.26).kept == "v1.0.0"
    assert workspace.decide(one, 0.25).kept is None
    assert workspace.decide(one, 0.0).reason == "train.again_at is 0"
    assert workspace.decide(one, 0.26, recipe="other").reason.startswith("parameters, starting weights, detector, split or the code")
    assert "1 photos (25.0%) and 0 people (0.0%)" in workspace.decide(one, 0.26).reason
    assert Known(tmp_path / "new", None).decide(one).reason == "no release is in production"


def test_a_production_without_a_record_of_its_training_is_not_kept(tmp_path: Path) -> None:
    for production in (release("v1.0.0", inputs="of an earlier version"), release("v2.0.0", recipe="as now")):
        (tmp_path / production.version).mkdir()
        decision = Known(tmp_path / production.version, production).decide(aligned(tmp_path / "now"))
        assert decision.kept is None and "does not record" in decision.reason


def test_a_decision_stays_whatever_comes_into_production(record: TrainingRecord, tmp_path: Path) -> None:
    first = release("v1.0.0", inputs="first", recipe="as now")
    workspace = Known(tmp_path, first)
    workspace.registered = [first]
    one = aligned(tmp_path / "one", ("ann", "a3", "train"))
    kept = workspace.decide(one, 0.5)
    workspace.in_production = release("v1.1.0", inputs="more", recipe="another recipe")
    assert workspace.decide(one, 0.5) == kept
    assert workspace.decide(one, 0.5, asked=True).kept is None
    assert workspace.decide(one, 0.5).kept is None  # a training that was asked for stays, also in a run that does not ask
    workspace.registered = []
    elsewhere = Known(tmp_path / "another", first)
    elsewhere.registered = [first, release("v1.2.0", inputs="first", considered=kept.key, kept_from="v1.0.0", reason="little")]
    assert elsewhere.decide(one, 0.5) == Decision(kept.key, "little", "v1.2.0")


def test_a_decision_to_keep_a_release_whose_tag_is_gone_is_taken_anew(record: TrainingRecord, tmp_path: Path) -> None:
    first = release("v1.0.0", inputs="first", recipe="as now")
    workspace = Known(tmp_path, first)
    one = aligned(tmp_path / "one", ("ann", "a3", "train"))
    assert workspace.decide(one, 0.5).kept == "v1.0.0"
    workspace.in_production = release("v1.3.0", inputs="others", recipe="as now")
    assert workspace.decide(one, 0.5).kept == "v1.3.0"


def test_a_run_that_was_started_to_train_asks_the_step_for_it(
    repository: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, run_tags = list[bool](), list[Mapping[str, str]]()

    def train(*facts: Any) -> Artifact:
        asked.append(facts[-1])
        return Artifact("face_embedder", "trained", tmp_path, {"reason": "asked", "kept": None})

    monkeypatch.setattr("face_assets.embedding.steps.train_embedder", train)
    monkeypatch.setattr("face_assets.cli.commit_runs.require_possible", lambda _: None)
    monkeypatch.setattr("face_assets.cli.commit_runs.run_on_terminal", lambda *facts: run_tags.append(facts[3]) or {"success": True})
    for train_it in (True, False):
        run_commit(str(repository), "HEAD", "live", quiet=True, train=train_it)

    @dg.asset(name="label_audit", partitions_def=commits)
    def audited() -> Artifact:
        return Artifact("label_audit", "", tmp_path, {})

    commit = Workspace.load().repository.resolve("HEAD")
    resources = {"platform": WorkspaceResource(), "io_manager": dg.mem_io_manager}
    with dg.DagsterInstance.ephemeral() as instance:
        add_commit(instance, commit)
        for tags in run_tags:
            dg.materialize([audited, face_embedder], instance=instance, resources=resources, partition_key=commit, tags=dict(tags))
    assert asked == [True, False]
