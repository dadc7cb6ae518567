"""`face-assets align`: alignment in shards, each in a process of its own, followed on the terminal."""

from typing import Any

from face_assets.cli.commit_runs import choose_commit, shown_on_terminal
from face_assets.cli.followed_repository import followed_repository
from face_assets.event_log.runs import run_job
from face_assets.orchestration.jobs import ALIGN_IN_PROCESSES
from face_assets.orchestration.tags import MANUAL, commit_tags


def align_commit(repo: str | None, revision: str, shards: int, quiet: bool) -> dict[str, Any]:
    """Runs align_in_processes for the commit of `revision`; returns the report as JSON-able values."""
    workspace = followed_repository(repo)
    commit = choose_commit(workspace, revision, quiet)
    config = {"ops": {"shards_to_align": {"config": {"shards": shards}}}}
    tags = commit_tags(workspace, commit, MANUAL)
    report = shown_on_terminal(quiet, lambda show: run_job(workspace.home, ALIGN_IN_PROCESSES, commit, tags, show, config))
    return {"commit": commit, "shards": shards, **report}
