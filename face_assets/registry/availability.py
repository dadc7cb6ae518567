"""Availability of a commit's bytes in caches and the DVC remote: photos are often committed before they are pushed."""

import json
import subprocess
import sys
from typing import Any

from face_assets.core.credentials import without_credentials
from face_assets.core.errors import UserError
from face_assets.core.subprocesses import python
from face_assets.registry.data_repository import DataRepository

SECONDS_TO_ANSWER = 15.0
NAMED = 3
_FOUND: set[tuple[str, str]] = set()
"""State directories and md5s of folders whose files were all in a cache: a folder of a thousand pointers has millions of files."""


def missing_bytes(repository: DataRepository, commit: str, tracked: tuple[str, ...]) -> str | None:
    """A message about bytes of the commit that are neither in a cache nor in its DVC remote; None where none are missing.

    tracked: folders and files, of which a folder may have several pointers. The remote is checked for a folder's listing alone: DVC pushes
    it after the files it lists. Files found once are not looked for again by
    this process while their listing is there. Raises UserError for a pointer that cannot be
    read.
    """
    pointers = {part: pointer for name in tracked for part, pointer in repository.pointers(commit, name).items()}
    absent = {}
    for part, pointer in pointers.items():
        key = (str(repository.home), pointer.md5)
        if key in _FOUND and repository.cached([pointer.md5]):
            continue
        if repository.is_cached(pointer.md5):
            _FOUND.add(key)
        else:
            absent[part] = pointer
    for pointer in absent.values():
        if pointer.not_pushed:
            raise UserError(pointer.not_pushed)
    missing = {name: pointer.md5 for name, pointer in absent.items() if pointer.remote is None}  # a fetch reads other remotes
    if not missing:
        return None
    repository.dvc_settings(commit)  # settings that a commit may not make are an error, and no reason to wait
    try:
        missing = not_in_remote(repository, commit, missing)
    except UserError as error:
        return f"the DVC remote of commit {commit[:12]} cannot be reached: {error}"
    if not missing:
        return None
    named = " and ".join(missing) if len(missing) <= NAMED else f"{', '.join([*missing][:NAMED])} and {len(missing) - NAMED:,} more"
    return f"{named} of commit {commit[:12]} are not in the DVC remote yet: run `dvc push`"


def not_in_remote(repository: DataRepository, commit: str, wanted: dict[str, str], patience: int = 1) -> dict[str, str]:
    """The part of `wanted` (name → md5) that the commit's DVC remote lacks. Raises UserError.

    Checked in a process of its own, since some of DVC's file systems wait for minutes; its limit is `patience` times SECONDS_TO_ANSWER.
    """
    with repository.checkout(commit) as clone:  # cloned here, since a killed process removes nothing
        command = python("-m", __name__, str(clone))
        try:
            done = subprocess.run(
                command, input=json.dumps(wanted), capture_output=True, text=True, timeout=patience * SECONDS_TO_ANSWER, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise UserError(f"no response within {patience * SECONDS_TO_ANSWER:g} s") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise UserError(without_credentials(lines[-1]))
    missing: dict[str, str] = json.loads(done.stdout)
    return missing


def _lacking(clone: str, wanted: dict[str, str]) -> dict[str, str]:
    from dvc.repo import Repo

    with Repo(clone) as opened:
        remote = opened.cloud.get_remote_odb()
        return {name: md5 for name, md5 in wanted.items() if not _is_there(remote, md5)}


def _is_there(remote: Any, md5: str) -> bool:
    """True where the remote has the bytes. DVC's own `exists` takes S3's rejection, as of wrong keys, for absence."""
    try:
        remote.fs.info(remote.oid_to_path(md5))
    except FileNotFoundError:
        return False
    return True


if __name__ == "__main__":
    print(json.dumps(_lacking(sys.argv[1], json.load(sys.stdin))))
