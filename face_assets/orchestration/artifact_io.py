"""The IO manager: the reference from an asset and a commit to its artifact, a small JSON file; the artifact stays where it is."""

from pathlib import Path

import dagster as dg

from face_assets.core.errors import UserError
from face_assets.core.files import read_json, write_json
from face_assets.core.identifiers import commit_id
from face_assets.core.settings import load_settings
from face_assets.storage.artifacts import Artifact
from face_assets.storage.home import Home


class ArtifactIOManager(dg.ConfigurableIOManager):
    """Writes and reads references to artifacts in the state directory, by asset and partition."""

    def handle_output(self, context: dg.OutputContext, obj: Artifact) -> None:
        """Writes the reference to the artifact."""
        write_json(_file(context), obj.to_json(load_settings().home))

    def load_input(self, context: dg.InputContext) -> Artifact:
        """The upstream asset's artifact for the same commit. Raises Failure if it was not made or is deleted."""
        file = _file(context)
        asset, commit = context.asset_key.to_user_string(), context.partition_key
        if not file.is_file():
            raise dg.Failure(f"{asset} has not been materialized for commit {commit[:12]}: materialize it first.", allow_retries=False)
        settings = load_settings()
        artifact = Artifact.from_json(read_json(file), settings.home)
        if not Home(settings.home, settings.store).artifacts.restore(artifact):
            raise dg.Failure(
                f"The files of {asset} for commit {commit[:12]} are gone from {artifact.directory}: materialize it again.",
                allow_retries=False,
            )
        return artifact


def _file(context: dg.OutputContext | dg.InputContext) -> Path:
    try:
        commit = commit_id(context.partition_key)
    except UserError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    return load_settings().home / "handles" / context.asset_key.to_python_identifier() / f"{commit}.json"
