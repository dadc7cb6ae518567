"""Steps triton_model_repository and triton_deployment, which make the server serve the release in production."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from face_assets.core.errors import RefusedError, UnreachableError, UserError
from face_assets.core.files import read_json
from face_assets.core.params import Serving
from face_assets.core.project_files import SERVING_REQUIREMENTS, TRITON_MODELS
from face_assets.registry.decision import machine_message
from face_assets.registry.releases import Release
from face_assets.registry.stages import Assignment
from face_assets.registry.workspace import Log, Workspace
from face_assets.release.promotion import holds, needs_approval
from face_assets.serving.deployment_check import GoldenRequest, check_deployment
from face_assets.serving.docker_steps import container_target, containers_started
from face_assets.serving.embedded import EmbeddedTarget, stop_server, was_started
from face_assets.serving.machine_state import (
    STOPPED,
    last_attempt,
    machine_name,
    observe,
    publish_state,
    record_attempt,
    record_stop,
    trouble_of,
)
from face_assets.serving.model_repository import ModelVersion, write_models
from face_assets.serving.server_environment import ServingEnvironment, ensure_environment
from face_assets.serving.target import DeploymentRefusedError, Status, Target
from face_assets.serving.triton_networks import Serving as NetworkServing
from face_assets.serving.triton_server import Ports, Recording

SECONDS_TO_ANSWER = 8.0


@dataclass(frozen=True)
class Deployment:
    """The result of a deployment: the live release, and the wanted one."""

    live: str | None
    wanted: str
    verified: bool
    reason: str
    tag: str
    assigned_by: str
    report: Mapping[str, Any]


def production(workspace: Workspace) -> Assignment:
    """Returns the current assignment of production. Raises UserError where there is none."""
    workspace.repository.refresh()
    assignment = workspace.stages.production()
    if assignment is None:
        raise UserError(_nothing(workspace))
    return assignment


def approval_facts(workspace: Workspace, release: Release) -> dict[str, Any]:
    """Returns who approved the release, when and with which note; empty where no approval is required."""
    found = workspace.stages.approval(release)
    if found is None:
        return {}
    return {"approved_by": str(found.person), "approved": found.time, "approval_note": found.note}


def nothing_to_serve(workspace: Workspace) -> str | None:
    """Returns a sentence where no release is in production; None where one is."""
    workspace.repository.refresh()
    return None if workspace.stages.production() else _nothing(workspace)


def _nothing(workspace: Workspace) -> str:
    if unsigned := workspace.stages.unsigned():
        return f"No release is in production: {unsigned}"
    if unapproved := workspace.stages.unapproved():
        return f"No release is in production: {unapproved}"
    if candidate := workspace.stages.candidate():
        return f"No release is in production: {candidate.release.version} is the candidate, and {needs_approval(candidate.release)}."
    hold = workspace.stages.hold()
    if hold:
        return f"No release is in production: {holds(hold)}; `face-assets promote VERSION` names one."
    return "No release is in production yet: run a commit, or `face-assets promote VERSION`."


def write_repository(workspace: Workspace, release: Release, anew: bool = False) -> ModelVersion:
    """Writes a release's version folders of the Triton model repository; the same release has the same number, unless `anew`."""
    bundle = workspace.releases.bundle(release)
    models, cores = workspace.home.serving / "models", workspace.settings.cores
    how = NetworkServing(workspace.settings.triton_backend, workspace.settings.docker_gpus)
    return write_models(bundle, release.version, release.commit, models, TRITON_MODELS, cores, anew, how)


def target(workspace: Workspace) -> Target:
    """Returns the serving target of this state directory without starting or creating anything."""
    if workspace.settings.target == "docker":
        return container_target(workspace)
    return _embedded(workspace)


def _embedded(workspace: Workspace) -> EmbeddedTarget:
    settings = workspace.settings
    ports, max_bytes = Ports(settings.http_port, settings.grpc_port, settings.metrics_port), int(settings.max_request_mb * 1e6)
    record = Recording(settings.record, settings.record_photos_to, settings.record_photo_days)
    environment, root = ServingEnvironment(settings.serving_env), workspace.home.serving
    return EmbeddedTarget(root, environment, ports, settings.cores, settings.host, max_bytes, record)


def stop_servers(workspace: Workspace) -> bool:
    """Stops this state directory's server of either target; returns True where one ran. Raises UserError on failure."""
    ran = stop_server(workspace.home.serving)
    if containers_started(workspace):
        ran = container_target(workspace).stop() or ran
    before = last_attempt(workspace)
    record_stop(workspace)
    if before and before.trouble != STOPPED and workspace.settings.repo:
        _publish(workspace)  # the sensor that publishes is stopped, too
    return ran


def _other_target(workspace: Workspace) -> Target | None:
    """Returns the target that is not in the settings, where it was started: it uses the ports, and serves."""
    if workspace.settings.target == "docker":
        return _embedded(workspace) if was_started(workspace.home.serving) else None
    return container_target(workspace) if containers_started(workspace) else None


def _make_ready(workspace: Workspace, version: ModelVersion, log: Log) -> None:
    """Makes images, or the server's environment, before anything is stopped. Raises UserError."""
    if workspace.settings.target == "docker":
        containers = container_target(workspace)
        containers.images.gateway()
        containers.build(version)
    else:
        ensure_environment(workspace.settings.serving_env, SERVING_REQUIREMENTS, log)


def deploy(workspace: Workspace, log: Log) -> Deployment:
    """Deploys the release in production, checked before it gets traffic, and records the result as this machine's state.

    A release that fails its deployment check gets no traffic here, and the live one stays. Production does not change, unless the settings
    name this machine as the one that rolls back. Raises UserError where no check took place.
    """
    assignment = production(workspace)
    with failure_recorded(workspace, assignment):
        done = _deploy(workspace, assignment, log)
    _publish(workspace)
    return done


@contextmanager
def failure_recorded(workspace: Workspace, assignment: Assignment) -> Iterator[None]:
    """Records in this machine's state why a deployment failed before a check."""
    try:
        yield
    except (UserError, OSError) as error:
        status = _status(workspace)
        record_attempt(workspace, assignment, status.live.release if status and status.live and status.ready else None, error)
        _publish(workspace)
        raise


def _status(workspace: Workspace) -> Status | None:
    try:
        return target(workspace).status()
    except UserError:
        return None


def _publish(workspace: Workspace) -> None:
    """Publishes this machine's state where possible; otherwise the health sensor does it later."""
    if status := _status(workspace):
        with suppress(UserError):
            publish_state(workspace, observe(workspace, workspace.stages.production(), status))


def _deploy(workspace: Workspace, assignment: Assignment, log: Log) -> Deployment:
    """Deploys a release.

    After a change of the target in the settings, the old target frees its ports last, and restarts where the release is not live then.
    """
    version = write_repository(workspace, assignment.release)
    _make_ready(workspace, version, log)
    server, other = target(workspace), _other_target(workspace)
    requests = golden_requests(workspace, assignment.release)
    if other is None:
        return _deploy_to(workspace, server, assignment, version, requests, None, log)
    before = other.status().live
    log("the serving target frees its ports for the target of the settings")
    other.stop()
    server.forget()
    live = None
    try:
        done = _deploy_to(workspace, server, assignment, version, requests, before, log)
        live = server.status().live
        return done
    finally:
        if live is None:
            with suppress(UserError):  # it may use the ports, or be the cause of the failure
                server.stop()
            other.start()


def _deploy_to(
    workspace: Workspace,
    server: Target,
    assignment: Assignment,
    version: ModelVersion,
    requests: Sequence[GoldenRequest],
    before: ModelVersion | None,
    log: Log,
) -> Deployment:
    """Deploys to `server`. before: the release that was live on the other target."""
    release, allowed = assignment.release, budget(workspace, assignment.release)
    live = server.status().live
    named = {"wanted": release.version, "tag": assignment.tag, "assigned_by": assignment.author}
    trouble = _trouble_at_start(server)
    if live and live.number == version.number and (trouble or server.is_current()):
        if not trouble:
            report = server.check_live(requests, allowed)
            if report.passed or report.only_late:
                reason = "was live already" if report.passed else report.failures
                record_attempt(workspace, assignment, live.release)
                return Deployment(live.release, verified=report.passed, reason=reason, report=asdict(report), **named)
            trouble = f"its results are wrong: {report.failures}"
        log(f"a new copy replaces the live release: {trouble}")
        version = write_repository(workspace, release, anew=True)
    try:
        report = server.deploy(version, requests, allowed)
    except DeploymentRefusedError as refused:
        back = live or before
        kept = back.release if back else None
        reason = f"{refused}{_roll_back(workspace, assignment, kept, refused)}"
        record_attempt(workspace, assignment, kept, refused)
        return Deployment(kept, verified=False, reason=reason, report=asdict(refused.report) if refused.report else {}, **named)
    record_attempt(workspace, assignment, release.version)
    server.sweep(keep=workspace.settings.keep_releases)
    return Deployment(release.version, verified=True, reason="verified, then promoted", report=asdict(report), **named)


def _trouble_at_start(server: Target) -> str | None:
    """Starts the server; returns why the live release cannot be loaded. A server that does not start at all fails again later."""
    try:
        server.start()
    except UnreachableError:
        raise
    except UserError as error:
        return str(error)
    return None


def _roll_back(workspace: Workspace, assignment: Assignment, live: str | None, refused: DeploymentRefusedError) -> str:
    """Rolls production back to the live release, where the settings name this machine for it and no person decided.

    Returns a sentence about it, or an empty text.
    """
    if not workspace.settings.rollback_by or workspace.settings.rollback_by != machine_name(workspace):
        return ""
    if live is None or live == assignment.release.version:
        return ""
    if assignment.decision.by == "person" and not assignment.decision.approves:
        return f". Production stays {assignment.release.version}: {assignment.author} put it there"
    stages = workspace.stages
    message = machine_message(f"{machine_name(workspace)} kept {live}, {assignment.release.version}: {trouble_of(refused)}")
    try:
        rolled = stages.assign(live, message, condition=lambda: stages.last() == assignment)
    except RefusedError as error:  # as where approval is required, and the live release has none yet
        return f". Production was not rolled back: {error}"
    return f". Production was rolled back to {live}" if rolled else ""


def golden_requests(workspace: Workspace, release: Release) -> list[GoldenRequest]:
    """Returns the golden requests of a release, with the bytes of their photos."""
    bundle = workspace.releases.bundle(release)
    stored, threshold = read_json(bundle / "probes.json"), read_json(bundle / "recognizer.json")["identification_threshold"]
    files = workspace.repository.locate(release.trained_commit, "photos", [golden["md5"] for golden in stored])
    return [
        GoldenRequest(
            content=files[golden["md5"]].read_bytes(),
            embedding=np.array(golden["embedding"], np.float32),
            identity=golden["identity"],
            score=golden["score"],
            threshold=threshold,
        )
        for golden in stored
    ]


def trouble_of_live(workspace: Workspace, live: ModelVersion) -> str | None:
    """Returns the failure of the live release at one golden request, None where the result is right. Lateness is no failure.

    Raises UserError where the right result is unknown.
    """
    release = workspace.releases.get(live.release)
    if release.commit != live.release_commit:
        raise UserError(f"{live.release} is live from another data repository.")
    requests, expected = golden_requests(workspace, release)[:1], budget(workspace, release)
    client = target(workspace).client(SECONDS_TO_ANSWER, internal=True)
    report = check_deployment(client, live.release, requests, expected)
    return None if report.passed or report.only_late else f"The server's results are wrong: {report.failures}."


def budget(workspace: Workspace, release: Release) -> Serving:
    """Returns the release's parameters of a deployment."""
    return Serving(**read_json(workspace.releases.bundle(release) / "recognizer.json")["serving"])
