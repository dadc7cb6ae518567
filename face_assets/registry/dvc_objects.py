"""Objects of DVC by their md5, in caches and remotes: read one by one, and erased with every version that an S3 bucket keeps of them."""

import json
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from face_assets.core.credentials import without_credentials
from face_assets.core.errors import UnreachableError, UserError
from face_assets.core.rights import outside
from face_assets.core.subprocesses import python
from face_assets.registry.data_repository import DataRepository
from face_assets.registry.dvc import DVC_ENVIRONMENT
from face_assets.registry.git import GitError, environment, git

SECONDS = 3600.0


@dataclass(frozen=True)
class ErasedObjects:
    """Objects erased from a remote. address: without credentials; removed: objects; versions: all that S3 kept of them; left: objects
    that are there still."""

    remote: str
    address: str
    removed: int
    versions: int
    left: int


def caches(repository: DataRepository) -> list[Path]:
    """The DVC caches on this machine: the platform's, that of the followed clone, and those of its worktrees; a folder once."""
    found = [repository.cache, *repository.user_caches()]
    if repository.local:
        with suppress(GitError):
            listed = git("worktree", "list", "--porcelain", "-z", cwd=repository.local).decode(errors="surrogateescape")
            found += [Path(line.partition(" ")[2]) / ".dvc" / "cache" for line in listed.split("\0") if line.startswith("worktree ")]
    return list(dict.fromkeys(cache.resolve() for cache in found))


def erase_from_cache(cache: Path, md5s: Iterable[str]) -> int:
    """Removes objects from a cache; returns their number."""
    removed = 0
    for md5 in md5s:
        path = DataRepository.cached_path(cache, md5)
        for file in (path, path.with_name(f"{path.name}.unpacked")):
            if file.is_dir():
                shutil.rmtree(file)
            elif file.is_file() or file.is_symlink():
                file.unlink()
                removed += 1
    return removed


def fetch_objects(repository: DataRepository, commits: Sequence[str], md5s: Collection[str]) -> set[str]:
    """Fetches objects into the platform's cache from whichever remote has them; returns those that are in no remote.

    commits: whose configurations name the remotes. Raises UserError.
    """
    missing = set(md5s) - repository.cached(md5s).keys()
    for commit in _configurations(repository, commits) if missing else ():
        with repository.checkout(commit) as clone:
            wanted = {md5: str(DataRepository.cached_path(repository.cache, md5)) for md5 in missing}
            missing -= set(_ask(clone, "fetch", wanted))
    return missing


@outside()
def erase_objects(repository: DataRepository, commits: Sequence[str], md5s: Collection[str]) -> list[ErasedObjects]:
    """Erases objects from every remote that one of the commits names. Raises UserError where a remote does not let them be erased."""
    found: dict[tuple[str, str], ErasedObjects] = {}
    for commit in _configurations(repository, commits):
        with repository.checkout(commit) as clone:
            for one in _ask(clone, "erase", sorted(md5s)):
                done = ErasedObjects(**one)
                before = found.get((done.remote, done.address), replace(done, removed=0, versions=0))
                removed, versions = before.removed + done.removed, before.versions + done.versions
                found[done.remote, done.address] = replace(done, removed=removed, versions=versions)
    return list(found.values())


def _configurations(repository: DataRepository, commits: Sequence[str]) -> Iterator[str]:
    """The first of the commits with each configuration of DVC; those without any are left out."""
    contents = repository.read_many([f"{commit}:.dvc/config" for commit in commits], 256 * 1024)
    first: dict[bytes, str] = {}
    for commit, content in zip(commits, contents, strict=True):
        if content is not None:
            first.setdefault(content, commit)
    yield from first.values()


def _ask(clone: Path, what: str, objects: Any) -> list[Any]:
    """The results of this module in a process of its own, since some of DVC's file systems wait for minutes. Raises UserError."""
    command = python("-m", __name__, what, str(clone))
    try:
        done = subprocess.run(
            command, input=json.dumps(objects), capture_output=True, text=True, timeout=SECONDS, check=False,
            env={**environment(), **DVC_ENVIRONMENT},
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise UnreachableError(f"The DVC remote did not answer within {SECONDS:g} s.") from error
    if done.returncode:
        words = without_credentials((done.stderr.strip().splitlines() or ["no message"])[-1])
        raise UserError(f"The DVC remote could not be read or changed ({words}): see its address and your rights there, and run again.")
    answer: list[Any] = json.loads(done.stdout)
    return answer


def _fetch(remote: Any, objects: dict[str, str]) -> list[str]:
    found = []
    for md5, path in objects.items():
        target = Path(path)
        if target.is_file():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = target.with_name(f".{target.name}.fetched")
        try:
            remote.fs.get_file(remote.oid_to_path(md5), str(aside))
        except FileNotFoundError:
            continue
        aside.chmod(0o444)
        aside.replace(target)
        found.append(md5)
    return found


def _erase(name: str, remote: Any, md5s: Sequence[str]) -> dict[str, Any]:
    paths = [remote.oid_to_path(md5) for md5 in md5s]
    removed = versions = 0
    for path in paths:
        try:
            remote.fs.info(path)
            remote.fs.remove(path)
            removed += 1
        except FileNotFoundError:
            pass
        if remote.fs.protocol == "s3":
            versions += _erase_versions(remote.fs.fs, path)
    left = sum(_is_there(remote, path) for path in paths)
    return {"remote": name, "address": without_credentials(str(remote.fs.unstrip_protocol(remote.path))), "removed": removed,
            "versions": versions, "left": left}  # fmt: skip


def _versions(s3: Any, path: str) -> list[dict[str, str]]:
    """Versions and delete markers of a key (AWS, ListObjectVersions)."""
    bucket, _, key = path.removeprefix("s3://").partition("/")
    found: list[dict[str, str]] = []
    more: dict[str, str] = {}
    while True:
        page = s3.call_s3("list_object_versions", Bucket=bucket, Prefix=key, **more)
        rows = (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))
        found += [{"Bucket": bucket, "Key": key, "VersionId": row["VersionId"]} for row in rows if row["Key"] == key]
        if not page.get("IsTruncated"):
            return found
        more = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}


def _erase_versions(s3: Any, path: str) -> int:
    found = _versions(s3, path)
    for version in found:
        s3.call_s3("delete_object", **version)
    return len(found)


def _is_there(remote: Any, path: str) -> bool:
    if remote.fs.protocol == "s3":
        return bool(_versions(remote.fs.fs, path))
    try:
        remote.fs.info(path)
    except FileNotFoundError:
        return False
    return True


def _main(what: str, clone: str) -> list[Any]:
    from dvc.repo import Repo

    objects = json.load(sys.stdin)
    with Repo(clone) as repo:
        remotes = {name: repo.cloud.get_remote_odb(name) for name in repo.config["remote"]}
        if what == "fetch":
            return [md5 for remote in remotes.values() for md5 in _fetch(remote, objects)]
        return [_erase(name, remote, objects) for name, remote in remotes.items()]


if __name__ == "__main__":
    print(json.dumps(_main(sys.argv[1], sys.argv[2])))
