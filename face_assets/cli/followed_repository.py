"""The data repository that a home follows: `use`, `up` and `run` choose it; every other command reads another one without a trace."""

import os
import shlex

from face_assets.core.credentials import without_credentials
from face_assets.core.errors import UserError
from face_assets.core.outside_text import echo
from face_assets.core.settings import load_settings, remember
from face_assets.core.yaml_io import expanded
from face_assets.registry.workspace import Workspace

REPO = "FACE_ASSETS_REPO"


def follow_repository(repo: str | None) -> Workspace:
    """The workspace; `repo`, where given, is what this state directory follows from now on, which is printed where it is new.

    Raises UserError where the environment names another repository, and where `repo` cannot be read; then nothing has changed.
    """
    if repo:
        source = _source(repo)
        _require_same_in_environment(source)
        before = load_settings().repo
        if not before or _source(before) != source:
            _of(source).repository.refresh()
            was = f"followed {before} until now; from now on it follows" if before else "follows from now on:"
            echo(without_credentials(f"This state directory {was} {source}."), err=True)
        remember(repo=source)
    return Workspace.load()


def read_repository(repo: str | None) -> Workspace:
    """Returns the workspace to read from, of `repo` where given. The followed repository does not change."""
    return _of(_source(repo)) if repo else Workspace.load()


def followed_repository(repo: str | None) -> Workspace:
    """The workspace of what this state directory follows. Raises UserError where `repo` is given and is another."""
    workspace = Workspace.load()
    followed = workspace.settings.repo
    if repo and (not followed or _source(followed) != _source(repo)):
        use = f"`face-assets use {shlex.quote(_source(repo))}` changes that"
        found = f"This state directory follows {followed or 'no repository yet'}, not {_source(repo)}: {use}."
        raise UserError(without_credentials(found))
    return workspace


def _of(source: str) -> Workspace:
    return Workspace(load_settings().model_copy(update={"repo": source}))


def _source(repo: str) -> str:
    """Returns an absolute path, or the URL unchanged."""
    here = expanded(repo)
    return str(here.resolve()) if here.exists() or ("://" not in repo and ":" not in repo) else repo


def _require_same_in_environment(source: str) -> None:
    """Raises UserError where FACE_ASSETS_REPO, which wins over what the home remembers, is set to another repository."""
    named = os.environ.get(REPO)
    if not named or _source(named) == source:  # set to nothing is not set
        return
    found = f"{REPO} is set to {named!r} and wins over {source}: nothing was changed."
    raise UserError(without_credentials(f"{found} Unset {REPO}, set it to that repository, or name none."))
