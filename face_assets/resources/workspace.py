"""The workspace as a Dagster resource."""

import dagster as dg

from face_assets.pipeline.workspace import Workspace
from face_assets.settings import load_settings


class WorkspaceResource(dg.ConfigurableResource[Workspace]):
    """Settings, home, data repository and releases; read from FACE_ASSETS_* and the home at the start of each run."""

    repo: str | None = None

    def workspace(self) -> Workspace:
        """The workspace, of `repo` where it is set and else of the repository that the home remembers."""
        settings = load_settings()
        return Workspace(settings.model_copy(update={"repo": self.repo}) if self.repo else settings)
