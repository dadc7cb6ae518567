"""The DVC remote that a commit's releases are pushed to, as DVC's settings choose it."""

from face_assets.registry.data_repository import DataRepository


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
