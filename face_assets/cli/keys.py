"""`face-assets keys`: who may ask the gateway."""

from contextlib import suppress
from typing import Any

from face_assets.core.errors import UserError
from face_assets.registry.workspace import Workspace
from face_assets.serving.containers.keys import OWN
from face_assets.serving.docker_steps import container_target, containers_started, keys


def add_key(name: str) -> str:
    """A line that begins with the new key."""
    workspace = Workspace.load()
    made = keys(workspace)
    key = made.add(name)
    try:
        applied = _apply(workspace)
    except UserError:
        made.revoke(name)  # nobody has been told it
        raise
    return f"{key} is the key of {name}: {applied}. It is not shown again."


def revoke_key(name: str) -> str:
    """What was done, in a sentence. Raises UserError where there is no such key, or the gateway may still know it."""
    workspace = Workspace.load()
    if name == OWN:
        raise UserError(f"{name} is the platform's own key, with which it verifies what is live: it stays.")
    try:
        keys(workspace).revoke(name)
    finally:  # also where an earlier call forgot the key, and could not tell the gateway
        try:
            applied = _apply(workspace)
        except UserError as error:
            raise UserError(f"The gateway may still take the key of {name}, so revoke it again once this is mended: {error}") from error
    return f"The key of {name} is no more: {applied}."


def list_keys() -> dict[str, Any]:
    """The names of the keys in force, and the requests that were refused for want of one (None where no gateway runs)."""
    workspace = Workspace.load()
    refused = None
    if containers_started(workspace):
        with suppress(UserError):
            refused = container_target(workspace).gateway.rejected_keys()
    return {"keys": [{"name": key.name, "created": key.created} for key in keys(workspace).all()], "refused": refused}


def _apply(workspace: Workspace) -> str:
    at_once = containers_started(workspace) and container_target(workspace).gateway.apply_keys()
    return "in force" if at_once else "in force when the gateway is started"
