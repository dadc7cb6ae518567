"""The sources: photos and parameters at the commits of the data repository."""

import dagster as dg

from face_assets.core.errors import UserError
from face_assets.core.identifiers import commit_id
from face_assets.orchestration.metadata import user_errors
from face_assets.orchestration.partitions import commits
from face_assets.orchestration.workspace_resource import WorkspaceResource
from face_assets.registry.versions import parameters_version, photos_version
from face_assets.registry.workspace import Workspace

GROUP = "data"


def _versions(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.DataVersionsByPartition:
    wanted = context.partition_keys if context.has_partition_key else context.instance.get_dynamic_partitions(str(commits.name))
    versions = {}
    for commit in wanted:
        try:
            versions[commit] = VERSION_OF[context.asset_key.to_user_string()](workspace, commit_id(commit))
        except UserError as error:
            context.log.warning(str(error))
    return dg.DataVersionsByPartition(versions)


VERSION_OF = {"photos": photos_version, "parameters": parameters_version}


@dg.observable_source_asset(
    group_name=GROUP,
    partitions_def=commits,
    description="Face photos, one folder a person, tracked by DVC: their version is the md5 of photos.dvc (and gallery.dvc) at the commit.",
    tags={"dagster/kind/dvc": ""},
)
def photos(context: dg.AssetExecutionContext, platform: WorkspaceResource) -> dg.DataVersionsByPartition:
    """Observes the data set's version at each commit, without reading a photo."""
    with user_errors():
        return _versions(context, platform.workspace())


@dg.observable_source_asset(
    group_name=GROUP,
    partitions_def=commits,
    description="params.yaml at the commit: every parameter of the pipeline.",
    tags={"dagster/kind/yaml": ""},
)
def parameters(context: dg.AssetExecutionContext, platform: WorkspaceResource) -> dg.DataVersionsByPartition:
    """Observes the parameters' digest at each commit."""
    with user_errors():
        return _versions(context, platform.workspace())
