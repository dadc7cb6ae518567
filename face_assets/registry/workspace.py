"""The workspace: settings, state directory, data repository and releases, which every step of the pipeline needs."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from face_assets.core.errors import UserError
from face_assets.core.params import Params
from face_assets.core.params_yaml import parse_params
from face_assets.core.settings import Settings, load_settings
from face_assets.registry.data_repository import DataRepository
from face_assets.registry.releases import Releases
from face_assets.registry.signatures import Signing
from face_assets.registry.stages import Stages
from face_assets.registry.watch import matches
from face_assets.storage.home import Home

Log = Callable[[str], None]


@dataclass(frozen=True)
class Workspace:
    """Context of every step. Cheap to make: nothing is fetched or created before its first use."""

    settings: Settings

    @staticmethod
    def load() -> "Workspace":
        """The workspace of the settings in force."""
        return Workspace(load_settings())

    @cached_property
    def home(self) -> Home:
        """Paths and stores of the state directory."""
        return Home(self.settings.home, self.settings.store)

    @cached_property
    def repository(self) -> DataRepository:
        """The data repository. Raises UserError when none is named."""
        if not self.settings.repo:
            raise UserError("No data repository is named: `face-assets use PATH_OR_URL` names one, or set FACE_ASSETS_REPO.")
        return DataRepository(self.settings.repo, self.home.root, Signing(self.settings.allowed_signers, self.settings.signing_key))

    @cached_property
    def releases(self) -> Releases:
        """The releases registered in the data repository."""
        return Releases(self.repository)

    @cached_property
    def stages(self) -> Stages:
        """The stages of these releases."""
        return Stages(self.releases, self.settings.production_approval == "required")

    def production_heads(self) -> list[str]:
        """The newest commits of the branches of production, as of the last refresh, by the branches' names."""
        heads = self.repository.mirrored_heads()
        return [heads[branch] for branch in self.production_branches()]

    def production_branches(self) -> list[str]:
        """The branches of production, as of the last refresh, by name."""
        return sorted(branch for branch in self.repository.mirrored_heads() if matches(branch, self.settings.production_branches))

    def params(self, commit: str) -> Params:
        """params.yaml at the commit. Raises UserError that names each wrong key."""
        content = self.repository.read(commit, "params.yaml")
        if content is None:
            raise UserError(
                f"params.yaml is missing at commit {commit[:12]}: add one (`face-assets params` prints every default) and commit it."
            )
        try:
            text = content.decode()
        except UnicodeDecodeError as error:
            raise UserError(f"params.yaml at commit {commit[:12]} is not UTF-8 text: {error}") from error
        return parse_params(text, f"params.yaml at commit {commit[:12]}").of(commit)
