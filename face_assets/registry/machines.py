"""States of the machines on a data repository, a git ref each: refs/face-assets/machines/NAME, a commit without files or parents."""

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from face_assets.core.errors import UnreachableError
from face_assets.core.files import file_lock
from face_assets.core.settings import MACHINE
from face_assets.registry.data_repository import DataRepository
from face_assets.registry.git import GitError, git
from face_assets.registry.git_mirror import MACHINES
from face_assets.registry.release_commits import identity

VERSION = r"^v\d{1,9}\.\d{1,9}\.\d{1,9}$"
GONE_AFTER = timedelta(days=7)
MOST = 100
MOST_BYTES = 4096
SECONDS_TO_PUSH = 20.0


class MachineState(BaseModel):
    """The state of a machine's server, without a name of a person or a path; times in ISO 8601.

    record: number and hash of the last line of its record of use, None without one.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    machine: str = Field(pattern=f"^{MACHINE}$", max_length=40)
    target: str = Field(pattern="^[a-z]{1,20}$")
    wanted: str | None = Field(pattern=VERSION)
    live: str | None = Field(pattern=VERSION)
    since: AwareDatetime | None
    trouble: str = Field(pattern=r"^[A-Za-z0-9 ,:_-]*$", max_length=200)
    seen: AwareDatetime
    record: str | None = Field(None, pattern="^[0-9]{1,20}:[0-9a-f]{64}$")


def machines(repository: DataRepository, now: datetime | None = None) -> list[MachineState]:
    """The machines seen within GONE_AFTER, by name, as of the last refresh; refs without a valid state are left out."""
    oldest = (now or datetime.now(UTC)) - GONE_AFTER
    return [state for state in _read(repository).values() if state and state.seen >= oldest][:MOST]


def machine_state(repository: DataRepository, machine: str) -> MachineState | None:
    """The state that a machine published last, as of the last refresh; None where there is none that is valid."""
    return _read(repository).get(f"{MACHINES}/{machine}")


def _read(repository: DataRepository) -> dict[str, MachineState | None]:
    """The states by ref; None where a ref has no valid state of the machine in its name."""
    names = repository.git("for-each-ref", f"--count={10 * MOST}", "--format=%(objecttype) %(refname)", MACHINES).decode(errors="replace")
    refs = [name for kind, _, name in (line.partition(" ") for line in names.splitlines()) if kind == "commit"]
    found: dict[str, MachineState | None] = {}
    for ref, commit in zip(refs, repository.read_many(refs, MOST_BYTES, "commit"), strict=True):
        found[ref] = None
        with suppress(ValidationError):
            state = MachineState.model_validate_json((commit or b"").partition(b"\n\n")[2])
            found[ref] = state if ref == f"{MACHINES}/{state.machine}" else None
    return found


def publish(repository: DataRepository, state: MachineState) -> None:
    """Replaces the machine's ref in the data repository, and removes those not seen for GONE_AFTER. Raises UserError."""
    repository.refresh(SECONDS_TO_PUSH)
    gone = [ref for ref, found in _read(repository).items() if found and found.seen < state.seen - GONE_AFTER]
    mirror = repository.mirror
    tree = git("mktree", cwd=mirror).decode().strip()
    when = state.seen.isoformat(timespec="seconds")
    message = json.dumps(state.model_dump(mode="json", exclude=set() if state.record else {"record"}), sort_keys=True)
    commit = git("commit-tree", tree, "-m", message, cwd=mirror, env=identity(when)).decode().strip()
    specs = [f"+{commit}:{MACHINES}/{state.machine}", *(f":{ref}" for ref in gone)]
    try:
        git("push", "-q", "--no-verify", "--end-of-options", repository.source, *specs, cwd=mirror, seconds=SECONDS_TO_PUSH)
    except GitError as error:
        raise UnreachableError(f"The state of this machine could not be written to {repository.shown}: {error}") from error
    with file_lock(mirror.with_suffix(".lock")):
        git("update-ref", f"{MACHINES}/{state.machine}", commit, cwd=mirror)
