"""The workspace as a Dagster resource."""

import dagster as dg

from face_assets.core.settings import load_settings
from face_assets.registry.workspace import Workspace


class WorkspaceResource(dg.ConfigurableResource[Workspace]):
    """Settings, state directory, data repository and releases, read from FACE_ASSETS_* and the state directory in each run."""

    repo: str | None = None

    def workspace(self) -> Workspace:
        """The workspace of `repo` if it is set, else of the repository in the settings."""
        settings = load_settings()
        return Workspace(settings.model_copy(update={"repo": self.repo}) if self.repo else settings)

    def check_plan(self, workspace: Workspace, commit: str, registers: bool) -> None:
        """Checks nothing: `automation.preflight` does, which knows all that a run for a commit needs. registers: a release at its end."""
