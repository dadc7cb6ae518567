"""The decision of a commit to train the embedder, or to keep that of the release in production, because it adds little to train on.

The first decision on given inputs stays: a release records it, and this machine does for commits that are not released. So a commit that
is run again gives the same release, whatever went into production since. Only a person or a schedule that asks for a training
(`face-assets run --train`) turns a decision to keep into one to train.
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from face_assets.core.files import read_json, write_json
from face_assets.core.fingerprint import fingerprint
from face_assets.core.params import Params
from face_assets.core.step_versions import step_version
from face_assets.dataset.manifest import Photo
from face_assets.detection.detectors import detector_fingerprint
from face_assets.detection.steps import read_faces, read_photos
from face_assets.embedding.training_record import TrainingRecord, photos_of, read_record
from face_assets.registry.releases import Release
from face_assets.registry.workspace import Workspace
from face_assets.storage.artifacts import Artifact

ASKED = "a training was asked for"


@dataclass(frozen=True)
class Added:
    """Addition of a commit to a training: photos and people of the train split, with a usable face, that the training did not have, and
    their shares of those that it had."""

    photos: int
    people: int
    photo_share: float
    people_share: float

    @property
    def share(self) -> float:
        """The larger share, which `train.again_at` bounds."""
        return max(self.photo_share, self.people_share)

    def __str__(self) -> str:
        return f"{self.photos:,} photos ({self.photo_share:.1%}) and {self.people:,} people ({self.people_share:.1%})"


@dataclass(frozen=True)
class Decision:
    """A decision.

    key: digest of the inputs and the recipe of a training and of `train.again_at`; reason: a clause with the figures; kept: version of the
    release whose embedder is kept, None to train; asked: true where a training was asked for.
    """

    key: str
    reason: str
    kept: str | None = None
    asked: bool = False


def recipe_of(workspace: Workspace, params: Params, start: str) -> str:
    """Digest of all that decides a training except the photos. start: digest of the starting weights."""
    train, split = params.train, params.split
    parameters = (
        params.embedder.model_dump(mode="json", include={"embedding_size", "whitening"}),
        train.fingerprint(),
        (train.compatible_with, train.compatibility),
        split.model_dump(mode="json", exclude={"min_test_people"}),
        params.detector.choose,
        params.audit.action,
    )
    return fingerprint(start, *parameters, detector_fingerprint(workspace, params.detector), step_version("face_embedder"))


def decide(workspace: Workspace, params: Params, aligned: Artifact, inputs: str, recipe: str, asked: bool) -> Decision:
    """The decision for the faces of a commit, recorded on this machine.

    inputs: digest of all that decides a free training; asked: true where a person or a schedule asks for a training.
    """
    key = fingerprint(inputs, recipe, params.train.again_at)
    file = workspace.home.training_decisions / f"{key}.json"
    if asked:
        decision = Decision(key, ASKED, asked=True)
    else:
        decision = _earlier(workspace, file, key, inputs) or _decide_first(workspace, params, aligned, key, recipe)
    write_json(file, asdict(decision))
    return decision


def _earlier(workspace: Workspace, file: Path, key: str, inputs: str) -> Decision | None:
    """The decision on record: a training that was asked for here, else that of the newest release, else of this machine."""
    here = Decision(**read_json(file)) if file.is_file() else None
    if here and here.asked:
        return here
    releases = workspace.releases.with_deprecated()
    decided = decided_by(releases, key, inputs)
    if decided is None:
        return here if here and (here.kept is None or any(one.version == here.kept for one in releases)) else None
    if decided.lineage.training.get("kept_from"):
        return Decision(key, str(decided.lineage.training["reason"]), decided.version)
    return Decision(key, f"{decided.version} was trained on these photos")


def decided_by(releases: Sequence[Release], key: str, inputs: str) -> Release | None:
    """The newest release, of releases in order, that was trained on these inputs, or kept its embedder under this key."""
    for release in reversed(releases):
        training = release.lineage.training
        if training.get("considered") == key if training.get("kept_from") else training.get("inputs") == inputs:
            return release
    return None


def _decide_first(workspace: Workspace, params: Params, aligned: Artifact, key: str, recipe: str) -> Decision:
    """The decision by what is in production now."""
    assignment = workspace.stages.production()
    if assignment is None:
        return Decision(key, "no release is in production")
    production, again_at = assignment.release, params.train.again_at
    if not again_at:
        return Decision(key, "train.again_at is 0")
    recorded = production.lineage.training.get("recipe")
    record = read_record(workspace.releases.bundle(production)) if recorded else None
    if record is None:
        return Decision(key, f"{production.version} in production does not record what its embedder learned from")
    if recorded != recipe:
        changed = "parameters, starting weights, detector, split or the code of the training"
        return Decision(key, f"{changed} differ from those by which the embedder of {production.version} was trained")
    reason = must_train(record, read_photos(aligned))
    if reason:
        return Decision(key, reason)
    added = added_to(record, aligned)
    sentence = f"{added} were added to those that the embedder of {production.version} learned from; train.again_at is {again_at:.1%}"
    return Decision(key, sentence, None if added.share >= again_at else production.version)


def must_train(record: TrainingRecord, photos: Collection[Photo]) -> str | None:
    """Reason for which the embedder may not stay, whatever a training gains; None where it may.

    It has learned from photos that are gone, which includes those of people who were erased, from photos that have another name now, or
    from people who are to be evaluated on.
    """
    moved = {photo.identity for photo in photos if photo.split != "train"} & record.people
    if moved:
        return f"{len(moved):,} people from whom the embedder in production learned are in another split"
    gone = record.learned - {(photo.identity, photo.md5) for photo in photos}
    if gone:
        left = len(record.people - {photo.identity for photo in photos})
        return f"{len(gone):,} photos from which the embedder in production learned are gone or renamed, and {left:,} of its people"
    return None


def added_to(record: TrainingRecord, aligned: Artifact) -> Added:
    """The faces of the train split from which the record's embedder did not learn."""
    new = photos_of(read_faces(aligned, "train")) - record.learned
    people = {identity for identity, _ in new} - record.people
    return Added(len(new), len(people), len(new) / len(record.learned), len(people) / len(record.people))


def training_facts(embedder: Artifact, record: TrainingRecord | None, params: Params) -> dict[str, Any]:
    """The training in the lineage of a release: what the next commits decide by (inputs, recipe, considered), towards which embeddings it
    pulled, and how old the embedder is: the commit that it was trained for, and how much was added since."""
    found = embedder.summary
    facts: dict[str, Any] = {
        "inputs": found.get("training_inputs", embedder.fingerprint),  # an artifact of earlier versions is named by them
        "towards": found.get("pulled_towards"),
        "compatible_with": params.train.compatible_with,
    }
    if record is None or "recipe" not in found:
        return facts
    kept = found.get("kept") or {}
    return facts | {
        "recipe": found["recipe"],
        "considered": found["considered"],
        "reason": found["reason"],
        "trained_commit": record.summary["trained_commit"],
        "trained_time": record.summary["trained_time"],
        "kept_from": kept.get("release"),
        "photos_since": kept.get("photos", 0),
        "people_since": kept.get("people", 0),
    }
