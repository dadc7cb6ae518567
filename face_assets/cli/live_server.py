"""The live release of the embedded server, started before anything is loaded that takes longer: `face-assets up` begins with it."""

from contextlib import suppress

from face_assets.cli.followed_repository import follow_repository
from face_assets.core.errors import UserError
from face_assets.registry.workspace import Workspace
from face_assets.serving.machine_state import ask_to_retry
from face_assets.serving.steps import target


def start_live(repo: str | None, server: bool) -> Workspace:
    """Returns the workspace of `up`, for `repo` where given; with `server`, its live release answers. Raises UserError.

    Dagster, which takes a second or two to import, has no part in it.
    """
    workspace = follow_repository(repo)
    ask_to_retry(workspace)
    if server:
        _start(workspace)
    return workspace


def _start(workspace: Workspace) -> None:
    """Starts the embedded server with the release in production, where that was live here.

    The deployment that follows checks it, and reports what fails here.
    """
    if not workspace.settings.repo or workspace.settings.target != "embedded":
        return
    with suppress(UserError, OSError):
        workspace.repository.refresh()
        assignment, server = workspace.stages.production(), target(workspace)
        live = server.status().live
        if assignment and live and (live.release, live.release_commit) == (assignment.release.version, assignment.release.commit):
            server.start()
