"""`face-assets keys`: who may ask the gateway."""

from contextlib import suppress
from typing import Any

from face_assets.errors import UserError
from face_assets.pipeline.containers import container_target, keys
from face_assets.pipeline.workspace import Workspace
from face_assets.serving.containers.keys import OWN


def add_key(name: str) -> str:
    """A line that begins with the new key."""
    workspace = Workspace.load()
    key = keys(workspace).add(name)
    return f"{key} is the key of {name}: {_apply(workspace)}. It is not shown again."


def revoke_key(name: str) -> str:
    """What was done, in a sentence."""
    workspace = Workspace.load()
    if name == OWN:
        raise UserError(f"{name} is the platform's own key, with which it verifies what is live: it stays.")
    keys(workspace).revoke(name)
    return f"The key of {name} is no more: {_apply(workspace)}."


def list_keys() -> dict[str, Any]:
    """The names of the keys in force, and the requests that were refused for want of one (None where no gateway runs)."""
    workspace = Workspace.load()
    refused = None
    if _may_run(workspace):
        with suppress(UserError):
            refused = container_target(workspace).gateway.refused_keys()
    return {"keys": [{"name": key.name, "created": key.created} for key in keys(workspace).all()], "refused": refused}


def _apply(workspace: Workspace) -> str:
    if not _may_run(workspace):
        return "in force when the gateway is started"
    container_target(workspace).gateway.apply_keys()
    return "in force"


def _may_run(workspace: Workspace) -> bool:
    return workspace.settings.target == "docker" and container_target(workspace).was_started()
