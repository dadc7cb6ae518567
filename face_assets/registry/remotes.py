"""The DVC remote that a commit's releases are pushed to, as DVC's settings choose it."""

from face_assets.core import subprocesses
from face_assets.core.credentials import without_credentials
from face_assets.core.rights import outside
from face_assets.registry.data_repository import DataRepository
from face_assets.registry.dvc import DVC_ENVIRONMENT
from face_assets.registry.git import environment

SECONDS_TO_WRITE = 60.0
WRITE = """
import sys, uuid
from dvc.repo import Repo
with Repo(sys.argv[1]) as repo:
    remote = repo.cloud.get_remote()
    probe = remote.fs.join(remote.path, f"face-assets-may-write-{uuid.uuid4().hex}")
    remote.fs.makedirs(remote.path, exist_ok=True)
    remote.fs.pipe_file(probe, b"")
    remote.fs.remove(probe)
"""


def remote_trouble(repository: DataRepository, commit: str) -> str | None:
    """A sentence where DVC has no default remote to push to; None where it has. Raises UserError for a commit without DVC."""
    from dvc.config import Config

    with repository.checkout(commit) as clone:
        config = Config(str(clone / ".dvc"), validate=False)
    names, default = sorted(config.get("remote", {})), config.get("core", {}).get("remote")
    if default in names:
        return None
    where = f"Commit {commit[:12]} of {repository.shown}"
    if not names:
        return f"{where} has no DVC remote, to which releases go: `dvc remote add -d NAME URL`, `dvc push`, and commit .dvc/config."
    found = f"has {default!r} for its default DVC remote, which is none of" if default else "has no default among its DVC remotes"
    return f"{where} {found} {', '.join(names)}: choose one by `dvc remote default NAME`, and commit .dvc/config."


@outside()
def write_trouble(repository: DataRepository, commit: str) -> str | None:
    """A sentence where no file can be written to the default DVC remote and removed again; None where one was."""
    with repository.checkout(commit) as clone:
        try:
            done = subprocesses.run(subprocesses.python("-c", WRITE, str(clone)), SECONDS_TO_WRITE, {**environment(), **DVC_ENVIRONMENT})
        except subprocesses.TookTooLongError:
            return f"The DVC remote does not answer within {SECONDS_TO_WRITE:g} s: see whether it can be reached from here."
    if done.returncode == 0:
        return None
    words = without_credentials((done.stderr.strip().splitlines() or ["no message"])[-1])
    return f"The DVC remote cannot be written ({words}): see its address, and your rights there."
