"""State of this machine's server compared with production: wanted release, live release and since when, and the difference's reason."""

import re
import time
import uuid
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from face_assets.core.errors import UnreachableError, UserError
from face_assets.core.files import file_lock, read_json, write_json
from face_assets.core.settings import MACHINE
from face_assets.registry.machines import MachineState, publish
from face_assets.registry.stages import Assignment
from face_assets.registry.workspace import Workspace
from face_assets.serving.runtime.use_record import read_head
from face_assets.serving.target import DeploymentRefusedError, Status

PENDING = "deployment pending"
DOWN = "server down"
STOPPED = "stopped"
RETRY = "retry.json"


@dataclass(frozen=True)
class Attempt:
    """The last deployment on this machine. tag: of its assignment; since: begin of serving `live`, ISO 8601.

    why: a sentence, empty where the wanted release is live; trouble: the same in a few fixed words, without names, paths or figures.
    """

    tag: str
    wanted: str
    live: str | None
    since: str | None
    why: str = ""
    trouble: str = ""


@dataclass(frozen=True)
class Observed:
    """Observed state of this machine. Texts as in Attempt; tag: of the wanted assignment."""

    wanted: str | None
    tag: str | None
    live: str | None
    since: str | None
    why: str
    trouble: str

    @property
    def is_as_wanted(self) -> bool:
        """True where the wanted release is live."""
        return not self.trouble


def observe(workspace: Workspace, production: Assignment | None, status: Status) -> Observed:
    """Returns this machine's state, from the server's status and the result of the last deployment."""
    attempt = last_attempt(workspace)
    live = status.live if status.running and status.ready else None
    wanted, tag = (production.release.version, production.tag) if production else (None, None)
    since = attempt.since if attempt and live and attempt.live == live.release else None
    if production is None or (live and live.release_commit == production.release.commit):
        why = trouble = ""
    elif attempt and attempt.tag == tag and attempt.trouble:
        why, trouble = attempt.why, attempt.trouble
    elif live is None:
        why, trouble = "the server does not run, or answers with no release", DOWN
    else:
        why, trouble = "it is not deployed yet", PENDING
    return Observed(wanted, tag, live.release if live else None, since, why, trouble)


def last_attempt(workspace: Workspace) -> Attempt | None:
    """Returns the last deployment; None where there was none."""
    file = _file(workspace)
    return Attempt(**read_json(file)) if file.is_file() else None


def record_attempt(workspace: Workspace, assignment: Assignment, live: str | None, error: Exception | None = None) -> None:
    """Records the result of a deployment; `error` where the assigned release is not live."""
    before = last_attempt(workspace)
    since = before.since if before and live and before.live == live else _now() if live else None
    trouble = trouble_of(error) if error else ""
    attempt = Attempt(assignment.tag, assignment.release.version, live, since, str(error) if error else "", trouble)
    write_json(_file(workspace), asdict(attempt))


def record_stop(workspace: Workspace) -> None:
    """Records that the server was stopped on purpose, so that it is not restarted."""
    if attempt := last_attempt(workspace):
        stopped = replace(attempt, live=None, since=None, why="the server was stopped by `face-assets down`", trouble=STOPPED)
        write_json(_file(workspace), asdict(stopped))


def ask_to_retry(workspace: Workspace) -> None:
    """Keeps that a person wants what failed here to be tried again, however long the pause that it led to."""
    write_json(workspace.home.serving / RETRY, {"asked": time.time()})


def asked_to_retry(workspace: Workspace) -> float:
    """When a person last wanted that; 0.0 where nobody did."""
    file = workspace.home.serving / RETRY
    return float(read_json(file)["asked"]) if file.is_file() else 0.0


def trouble_of(error: Exception) -> str:
    """Returns the failure of a deployment in a few fixed words, for error messages may contain names and paths."""
    if isinstance(error, DeploymentRefusedError):
        failed = ", ".join(dict.fromkeys(check.name for check in error.report.checks if not check.passed)) if error.report else ""
        return f"deployment check failed: {failed}" if failed else "the release does not load"
    return "repository or registry out of reach" if isinstance(error, UnreachableError) else "the server cannot be started"


def machine_name(workspace: Workspace) -> str:
    """Returns the public name of this machine: that of the settings, else a random one of the state directory."""
    if workspace.settings.machine:
        return workspace.settings.machine
    file = workspace.home.root / "machine.json"
    with file_lock(workspace.home.root / ".machine.lock"):
        if not file.is_file():
            write_json(file, {"name": f"machine-{uuid.uuid4().hex[:8]}"})
        name = str(read_json(file)["name"])
    if not re.fullmatch(MACHINE, name):
        raise UserError(f"{file}: {name!r} is no valid name of a machine: delete that file.")
    return name


def publish_state(workspace: Workspace, observed: Observed) -> None:
    """Publishes this machine's state in the data repository. Raises UserError where that cannot be written."""
    end = read_head(workspace.home.record)
    state = MachineState(
        machine=machine_name(workspace),
        target=workspace.settings.target,
        wanted=observed.wanted,
        live=observed.live,
        since=observed.since,
        trouble=observed.trouble,
        seen=_now(),
        record=f"{end.number}:{end.digest}" if end else None,
    )
    publish(workspace.repository, state)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _file(workspace: Workspace) -> Path:
    return workspace.home.serving / "deployment.json"
