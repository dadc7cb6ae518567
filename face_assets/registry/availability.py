"""Whether the bytes of a commit can be had yet: photos are often committed before they are pushed."""

from face_assets.errors import UserError
from face_assets.registry.data_repository import DataRepository

TRACKED = ("photos", "gallery")


def missing_bytes(repository: DataRepository, commit: str, tracked: tuple[str, ...] = TRACKED) -> str | None:
    """A sentence about what of the commit lies neither in a cache nor in its DVC remote; None where all is there.

    In the remote, a folder's listing alone is asked for: DVC pushes it after the files it lists. Raises UserError for a pointer that
    cannot be read.
    """
    wanted = {name: pointer.md5 for name in tracked if (pointer := repository.pointer(commit, name))}
    missing = {name: md5 for name, md5 in wanted.items() if not repository.is_cached(md5)}
    if not missing:
        return None
    try:
        missing = _not_in_remote(repository, commit, missing)
    except UserError:
        raise
    except Exception as error:  # DVC's file systems raise whatever their libraries do
        words = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return f"the DVC remote of commit {commit[:12]} cannot be reached: {words}"
    if not missing:
        return None
    return f"{' and '.join(missing)} of commit {commit[:12]} are not in the DVC remote yet: `dvc push` brings them"


def _not_in_remote(repository: DataRepository, commit: str, wanted: dict[str, str]) -> dict[str, str]:
    from dvc.repo import Repo

    with repository.checkout(commit) as clone, Repo(str(clone)) as opened:
        remote = opened.cloud.get_remote_odb()
        return {name: md5 for name, md5 in wanted.items() if not remote.exists(md5)}
