"""The workspace as a Dagster resource."""

import dagster as dg

from face_assets.core.settings import load_settings
from face_assets.registry.workspace import Workspace


class WorkspaceResource(dg.ConfigurableResource[Workspace]):
    """Settings, home, data repository and releases; read from FACE_ASSETS_* and the home at the start of each run."""

    repo: str | None = None

    def workspace(self) -> Workspace:
        """The workspace, of `repo` where it is set and else of the repository that the home remembers."""
        settings = load_settings()
        return Workspace(settings.model_copy(update={"repo": self.repo}) if self.repo else settings)
