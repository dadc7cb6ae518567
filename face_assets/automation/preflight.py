"""Preflight checks of a run for a commit: certain failures are reported before any work is done.

`run` makes them before there is a run. Runs of sensors, the UI and GraphQL make them in their first step, except for those of this
machine's server: a release is made and registered also where it cannot be served.

A check takes the plan and returns a sentence with the problem and what to do next, or None; a UserError that it raises counts as its
sentence. A new check goes into CHECKS.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from face_assets.automation.starting_weights import trouble_of_weights
from face_assets.core.errors import UserError
from face_assets.core.outside_text import echo
from face_assets.core.project_files import SERVING_REQUIREMENTS
from face_assets.detection.detectors import detector_networks
from face_assets.orchestration.workspace_resource import WorkspaceResource
from face_assets.registry.git import GitError, git
from face_assets.registry.remotes import remote_trouble
from face_assets.registry.workspace import Workspace
from face_assets.serving.docker_steps import container_target, containers_started
from face_assets.serving.embedded import was_started
from face_assets.serving.server_environment import ensure_environment
from face_assets.serving.triton_server import Ports, TritonServer

LEAST_FREE = 16_000_000  # bytes: less than any release takes
SECONDS_TO_ANSWER = 20.0
TRIAL_TAG = "refs/tags/face-assets-may-write"  # tag of the trial push (dry run)


@dataclass(frozen=True)
class Plan:
    """Plan of a run. commit: None where nothing is made from one; registers: True where it ends in a release; serves: and on the server."""

    workspace: Workspace
    commit: str | None
    registers: bool
    serves: bool


Check = Callable[[Plan], str | None]


class CheckedWorkspace(WorkspaceResource):
    """The workspace of a run that makes the checks in its first step."""

    def check_plan(self, workspace: Workspace, commit: str, registers: bool) -> None:
        """Raises UserError with what is certain to fail later."""
        require_possible(Plan(workspace, commit, registers, serves=False))


def require_possible(plan: Plan) -> None:
    """Raises UserError with the sentence of every failed check, each on a line."""
    found = dict.fromkeys(sentence for check in CHECKS if (sentence := _sentence(check, plan)))
    if found:
        raise UserError(*found)


def _sentence(check: Check, plan: Plan) -> str | None:
    try:
        return check(plan)
    except UserError as error:
        return str(error)


def disk_space(plan: Plan) -> str | None:
    """Checks that the disk has space for the least that will be written."""
    there, free = free_space(plan)
    needed = _least_bytes(plan)
    if free >= needed:
        return None
    found = f"The disk is full, but for {free / 1e6:,.0f} MB at {there}, and at least {needed / 1e6:,.0f} MB are needed"
    return f"{found}: free some space and run again."


def free_space(plan: Plan) -> tuple[Path, int]:
    """Returns the state directory, or the folder in which it will be created, and the free bytes there."""
    home = plan.workspace.home.root
    there = next(folder for folder in (home, *home.parents) if folder.exists())
    return there, shutil.disk_usage(there).free


def _least_bytes(plan: Plan) -> int:
    """Returns the least bytes to be written: the crops where there are none yet, and the photos where they must be fetched."""
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
    """Checks that the weights exist or can be downloaded, and have a known format."""
    return trouble_of_weights(plan.workspace, plan.commit) if plan.commit else None


def detector_model(plan: Plan) -> str | None:
    """Checks that the detector's file is there and that its network has the input and the outputs of its family."""
    if plan.commit and (detector := plan.workspace.params(plan.commit).detector).family:
        detector_networks(plan.workspace, detector)
    return None


def dvc_remotes(plan: Plan) -> str | None:
    """Checks that the settings of DVC's remotes are valid and allowed in a commit."""
    if plan.commit:
        plan.workspace.repository.dvc_settings(plan.commit)
    return None


def writable_repository(plan: Plan) -> str | None:
    """Checks that tags can be pushed to the data repository, by which releases are registered."""
    if not plan.registers or plan.commit is None:
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
    """Checks that one of the DVC remotes is the default, to which releases are pushed."""
    return remote_trouble(plan.workspace.repository, plan.commit) if plan.registers and plan.commit else None


def serving_environment(plan: Plan) -> str | None:
    """Creates the environment of the embedded server, which the run needs at its end."""
    settings = plan.workspace.settings
    if plan.serves and settings.target == "embedded":
        ensure_environment(settings.serving_env, SERVING_REQUIREMENTS, lambda line: echo(line, err=True))
    return None


def container_engine(plan: Plan) -> str | None:
    """Checks that the Docker engine responds and the certificate is readable, for the docker target."""
    if plan.serves and plan.workspace.settings.target == "docker":
        _ = container_target(plan.workspace).docker.client
    return None


def free_ports(plan: Plan) -> str | None:
    """Checks that the ports are free; a server that was started, and may have crashed, keeps its own."""
    settings, serving = plan.workspace.settings, plan.workspace.home.serving
    if plan.serves and not was_started(serving) and not containers_started(plan.workspace):
        TritonServer(serving).require_free(settings.host, Ports(settings.http_port, settings.grpc_port, settings.metrics_port))
    return None


CHECKS: tuple[Check, ...] = (
    disk_space,
    starting_weights,
    detector_model,
    dvc_remotes,
    writable_repository,
    default_remote,
    serving_environment,
    container_engine,
    free_ports,
)
