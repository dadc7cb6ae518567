"""Run tags: what a run is for, so that the UI, the history and the sensors can tell runs apart."""

from collections.abc import Mapping

from face_assets.core.errors import UserError
from face_assets.core.outside_text import one_line
from face_assets.notification.message import plain
from face_assets.registry.git_mirror import CommitInfo
from face_assets.registry.stages import Assignment
from face_assets.registry.workspace import Workspace

PARTITION = "dagster/partition"
"""Dagster's own: the commit that the run's assets are kept by."""
NAME = "face_assets/name"
"""What the run is for, in words."""
COMMIT = "face_assets/commit"
BRANCH = "face_assets/branch"
AUTHOR = "face_assets/author"
SUBJECT = "face_assets/subject"
DATASET_VERSION = "face_assets/dataset_version"
TRIGGER = "face_assets/trigger"
"""Why the run was started: commit, code, stage, health, schedule, traffic, drift, retention or manual."""
MANUAL = "manual"
FORMER_TRIGGER, FORMER_MANUAL = "face_assets/cause", "hand"
"""The same in runs of earlier versions."""
TRAIN = "face_assets/train"
"""`true` for a run that trains the embedder whatever the commit adds; else `train.again_at` decides."""
STAGE_TAG = "face_assets/stage_tag"
REASON = "face_assets/reason"
"""Why the run failed; the list of runs shows it."""
LONGEST = 200


def trigger_of(run_tags: Mapping[str, str]) -> str:
    """The trigger of a run, also of one with the former tag; empty where none is known."""
    former = run_tags.get(FORMER_TRIGGER, "")
    return run_tags.get(TRIGGER) or (MANUAL if former == FORMER_MANUAL else former)


def training_tag(asked: bool) -> dict[str, str]:
    """The tag of a run that trains whatever the commit adds; none where `train.again_at` decides."""
    return {TRAIN: "true"} if asked else {}


def is_training_asked(run_tags: Mapping[str, str]) -> bool:
    """True for a run that a person or a schedule started to train the embedder."""
    return run_tags.get(TRAIN) == "true"


def reason_tag(sentence: str) -> dict[str, str]:
    """The tag that says why a run failed: one line, without credentials."""
    return {REASON: one_line(plain(sentence), LONGEST)}


def named(info: CommitInfo, branch: str = "") -> str:
    """A commit as a person knows it: when, on which branch, what. `branch` is where it was seen; without it, a branch that holds it."""
    on = ", ".join(filter(None, (info.time[:16].replace("T", " "), branch or next(iter(info.branches), ""))))
    return f"{on}: {info.subject}"


def commit_tags(workspace: Workspace, commit: str, trigger: str, branch: str = "") -> dict[str, str]:
    """The tags of a run for a commit. `branch` is where it was seen; without it, a branch that holds it."""
    info = workspace.repository.commit_info(commit)
    try:
        pointer = workspace.repository.pointer(commit, "photos")
    except UserError:  # the run itself says what is wrong with it
        pointer = None
    tags = {
        NAME: named(info, branch),
        COMMIT: commit,
        BRANCH: branch or (info.branches[0] if info.branches else ""),
        AUTHOR: info.author,
        SUBJECT: info.subject,
        DATASET_VERSION: pointer.md5 if pointer else "",
        TRIGGER: trigger,
    }
    return _short(tags)


def stage_tags(assignment: Assignment, trigger: str) -> dict[str, str]:
    """The tags of a run that deploys what a stage tag names."""
    reason = assignment.decision.reason
    tags = {
        NAME: f"{assignment.release.version} to production: {reason}",
        STAGE_TAG: assignment.tag,
        AUTHOR: assignment.author,
        COMMIT: assignment.release.trained_commit,
        SUBJECT: reason,
        TRIGGER: trigger,
    }
    return _short(tags)


def _short(tags: dict[str, str]) -> dict[str, str]:
    return {name: value[:LONGEST] for name, value in tags.items() if value}
