"""`face-assets keys`: API keys of the gateway."""

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from face_assets.core.errors import UserError
from face_assets.registry.workspace import Workspace
from face_assets.serving.containers.keys import OWN, Key, Uses
from face_assets.serving.docker_steps import container_target, containers_started, folder, keys
from face_assets.serving.rights import NEW_KEY, RIGHTS


def add_key(name: str, rights: Sequence[str] = (), rate: int | None = None) -> str:
    """Creates a key; returns a line that begins with it."""
    workspace = Workspace.load()
    made = keys(workspace)
    key = made.add(name, rights or NEW_KEY, rate)
    try:
        applied = _apply(workspace)
    except UserError:
        made.revoke(name)  # nobody has received it
        raise
    return f"{key} is the key of {name}: {applied}. It is not shown again."


def change_key(name: str, rights: Sequence[str], rate: int | None) -> str:
    """Changes rights or limit of a key; returns a sentence about it. Raises UserError."""
    if not rights and rate is None:
        raise UserError("State what changes: --right, for each right that the key shall have, or --rate.")
    _require_foreign(name)
    workspace = Workspace.load()
    keys(workspace).change(name, rights or None, rate)
    return f"The key of {name} is changed: {_apply(workspace)}."


def rotate_key(name: str, hours: float) -> str:
    """Creates another key of the same name; returns a line that begins with it. Raises UserError."""
    _require_foreign(name)
    workspace = Workspace.load()
    key = keys(workspace).rotate(name, hours * 3600)
    return f"{key} is the new key of {name}: {_apply(workspace)}. It is not shown again. The old one ends in {hours:g} hours."


def _require_foreign(name: str) -> None:
    if name == OWN:
        raise UserError(f"{name} is the platform's own key, with which it checks the live release: it stays.")


def revoke_key(name: str) -> str:
    """Revokes a key; returns a sentence about it. Raises UserError for an unknown key, or where the gateway may still accept it."""
    workspace = Workspace.load()
    _require_foreign(name)
    try:
        keys(workspace).revoke(name)
    finally:  # also where an earlier call removed the key, and could not update the gateway
        try:
            applied = _apply(workspace)
        except UserError as error:
            raise UserError(f"The gateway may still take the key of {name}, so revoke it again once this is mended: {error}") from error
    return f"The key of {name} is no more: {applied}."


def list_keys() -> dict[str, Any]:
    """Returns the valid keys, and the number of requests that were rejected without one (None where no gateway runs)."""
    workspace = Workspace.load()
    refused, uses = None, Uses(folder(workspace)).all()
    if containers_started(workspace):
        with suppress(UserError):
            gateway = container_target(workspace).gateway
            refused, uses = gateway.rejected_keys(), gateway.remember_uses()
    return {"keys": [_row(key, uses.get(key.name)) for key in keys(workspace).all()], "refused": refused}


def _row(key: Key, used: int | None) -> dict[str, Any]:
    rights = [right for right in RIGHTS if right in key.allowed()]
    return {"name": key.name, "created": key.created, "rights": rights, "rate": key.rate, "until": _time(key.until), "used": _time(used)}


def _time(seconds: int | None) -> str | None:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds)) if seconds else None


def _apply(workspace: Workspace) -> str:
    at_once = containers_started(workspace) and container_target(workspace).gateway.apply_keys()
    return "in force" if at_once else "in force when the gateway is started"
