"""Checks at the start of `run`: what is certain to fail later is said before any work is done.

A check takes the plan and returns a sentence that says what was found and what to do next, or None; a UserError that it raises counts as
its sentence. A new check goes into CHECKS.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass

from face_assets.cli.starting_weights import trouble_of_weights
from face_assets.core.errors import UserError
from face_assets.core.outside_text import echo
from face_assets.core.project_files import SERVING_REQUIREMENTS
from face_assets.registry.git import GitError, git
from face_assets.registry.remotes import remote_trouble
from face_assets.registry.workspace import Workspace
from face_assets.serving.docker_steps import container_target, containers_started
from face_assets.serving.embedded import was_started
from face_assets.serving.server_environment import ensure_environment
from face_assets.serving.triton_server import Ports, TritonServer

LEAST_FREE = 16_000_000  # bytes: less than any release takes
SECONDS_TO_ANSWER = 20.0
TRIAL_TAG = "refs/tags/face-assets-may-write"  # the tag whose push is tried without being done


@dataclass(frozen=True)
class Plan:
    """What is about to be done. commit: None where nothing is made from one; serves: whether it ends in a release and the server."""

    workspace: Workspace
    commit: str | None
    serves: bool


Check = Callable[[Plan], str | None]


def require_possible(plan: Plan) -> None:
    """Raises UserError with the sentence of every check that found something, each on a line."""
    found = dict.fromkeys(sentence for check in CHECKS if (sentence := _sentence(check, plan)))
    if found:
        raise UserError(*found)


def _sentence(check: Check, plan: Plan) -> str | None:
    try:
        return check(plan)
    except UserError as error:
        return str(error)


def disk_space(plan: Plan) -> str | None:
    """A disk that cannot hold what is certain to be written."""
    home = plan.workspace.home.root
    there = next(folder for folder in (home, *home.parents) if folder.exists())
    free, needed = shutil.disk_usage(there).free, _least_bytes(plan)
    if free >= needed:
        return None
    found = f"The disk is full, but for {free / 1e6:,.0f} MB at {there}, and at least {needed / 1e6:,.0f} MB are needed"
    return f"{found}: free some space and run again."


def _least_bytes(plan: Plan) -> int:
    """The least that is written: in a home without crops those of all photos, and the photos where they have to be fetched."""
    workspace, needed = plan.workspace, LEAST_FREE
    pointer = workspace.repository.pointer(plan.commit, "photos") if plan.commit else None
    if plan.commit is None or pointer is None:
        return needed
    if not (workspace.home.root / "crops").is_dir():
        needed += (pointer.files or 1) * 3 * workspace.params(plan.commit).detector.image_size ** 2
    if workspace.repository.local is None and not workspace.repository.cache.exists():
        needed += pointer.size or 0
    return needed


def starting_weights(plan: Plan) -> str | None:
    """Weights that are not there, cannot be downloaded, or are of no kind that can be read."""
    return trouble_of_weights(plan.workspace, plan.commit) if plan.commit else None


def dvc_remotes(plan: Plan) -> str | None:
    """Settings of DVC's remotes that a commit may not make, or that cannot be read."""
    if plan.commit:
        plan.workspace.repository.dvc_settings(plan.commit)
    return None


def writable_repository(plan: Plan) -> str | None:
    """A data repository that takes no tags, by which a release is registered."""
    if not plan.serves or plan.commit is None:
        return None
    repository = plan.workspace.repository
    cure = "A release is registered by a tag there: give the platform the right to write."
    if repository.local:
        folder = repository.local / os.fsdecode(git("rev-parse", "--git-common-dir", cwd=repository.local)).rstrip("\n")
        closed = [path for path in (folder / "refs" / "tags", folder / "objects") if path.exists() and not os.access(path, os.W_OK)]
        return f"{closed[0]} cannot be written. {cure}" if closed else None
    try:
        push = ("push", "-q", "--dry-run", "--no-verify", "--end-of-options", repository.source, f"{plan.commit}:{TRIAL_TAG}")
        git(*push, cwd=repository.mirror, seconds=SECONDS_TO_ANSWER)
    except GitError as error:
        return f"No tag can be pushed to {repository.shown} ({error}). {cure}"
    return None


def default_remote(plan: Plan) -> str | None:
    """DVC remotes of which none is the default: releases could not be pushed."""
    return remote_trouble(plan.workspace.repository, plan.commit) if plan.serves and plan.commit else None


def serving_environment(plan: Plan) -> str | None:
    """The environment of the embedded server, made now where it is not there: the run needs it at its end."""
    settings = plan.workspace.settings
    if plan.serves and settings.target == "embedded":
        ensure_environment(settings.serving_env, SERVING_REQUIREMENTS, lambda line: echo(line, err=True))
    return None


def container_engine(plan: Plan) -> str | None:
    """A docker target without an engine that answers, or with a certificate that cannot be read."""
    if plan.serves and plan.workspace.settings.target == "docker":
        _ = container_target(plan.workspace).docker.client
    return None


def free_ports(plan: Plan) -> str | None:
    """Ports that somebody else holds; those of a server that this home started are its own, also after a crash."""
    settings, serving = plan.workspace.settings, plan.workspace.home.serving
    if plan.serves and not was_started(serving) and not containers_started(plan.workspace):
        TritonServer(serving).require_free(settings.host, Ports(settings.http_port, settings.grpc_port, settings.metrics_port))
    return None


CHECKS: tuple[Check, ...] = (
    disk_space,
    starting_weights,
    dvc_remotes,
    writable_repository,
    default_remote,
    serving_environment,
    container_engine,
    free_ports,
)
