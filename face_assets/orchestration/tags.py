"""Run tags: what a run is for, so that the UI, the history and the sensors can tell runs apart."""

from face_assets.core.errors import UserError
from face_assets.notification.message import plain
from face_assets.registry.workspace import Workspace

PARTITION = "dagster/partition"
"""Dagster's own: the commit that the run's assets are kept by."""
COMMIT = "face_assets/commit"
BRANCH = "face_assets/branch"
AUTHOR = "face_assets/author"
SUBJECT = "face_assets/subject"
DATASET_VERSION = "face_assets/dataset_version"
CAUSE = "face_assets/cause"
"""Why the run was asked for: commit, code, stage, health, schedule, traffic, drift or hand."""
STAGE_TAG = "face_assets/stage_tag"
REASON = "face_assets/reason"
"""Why the run failed, so that the list of runs says it."""
LONGEST = 200


def reason_tag(sentence: str) -> dict[str, str]:
    """The tag that says why a run failed: one line, without credentials."""
    line = " ".join(str(plain(sentence)).split())
    return {REASON: line if len(line) <= LONGEST else line[: LONGEST - 2] + " …"}


def commit_tags(workspace: Workspace, commit: str, cause: str, branch: str = "") -> dict[str, str]:
    """The tags of a run for a commit. `branch` is where it was seen; without it, a branch that holds it."""
    info = workspace.repository.commit_info(commit)
    try:
        pointer = workspace.repository.pointer(commit, "photos")
    except UserError:  # the run itself says what is wrong with it
        pointer = None
    tags = {
        COMMIT: commit,
        BRANCH: branch or (info.branches[0] if info.branches else ""),
        AUTHOR: info.author,
        SUBJECT: info.subject,
        DATASET_VERSION: pointer.md5 if pointer else "",
        CAUSE: cause,
    }
    return {name: value[:LONGEST] for name, value in tags.items() if value}
