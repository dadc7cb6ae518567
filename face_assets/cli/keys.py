"""`face-assets keys`: API keys of the gateway."""

from contextlib import suppress
from typing import Any

from face_assets.core.errors import UserError
from face_assets.registry.workspace import Workspace
from face_assets.serving.containers.keys import OWN
from face_assets.serving.docker_steps import container_target, containers_started, keys


def add_key(name: str) -> str:
    """Creates a key; returns a line that begins with it."""
    workspace = Workspace.load()
    made = keys(workspace)
    key = made.add(name)
    try:
        applied = _apply(workspace)
    except UserError:
        made.revoke(name)  # nobody has received it
        raise
    return f"{key} is the key of {name}: {applied}. It is not shown again."


def revoke_key(name: str) -> str:
    """Revokes a key; returns a sentence about it. Raises UserError for an unknown key, or where the gateway may still accept it."""
    workspace = Workspace.load()
    if name == OWN:
        raise UserError(f"{name} is the platform's own key, with which it checks the live release: it stays.")
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
    refused = None
    if containers_started(workspace):
        with suppress(UserError):
            refused = container_target(workspace).gateway.rejected_keys()
    return {"keys": [{"name": key.name, "created": key.created} for key in keys(workspace).all()], "refused": refused}


def _apply(workspace: Workspace) -> str:
    at_once = containers_started(workspace) and container_target(workspace).gateway.apply_keys()
    return "in force" if at_once else "in force when the gateway is started"
