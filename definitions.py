"""The code location that workspace.yaml names: assets, checks, jobs and resources in one place."""

import dagster as dg

from face_assets.assets import dataset, embedder, release, serving, sources
from face_assets.automation import jobs
from face_assets.resources.handles import ArtifactHandles
from face_assets.resources.workspace import WorkspaceResource

defs = dg.Definitions(
    assets=dg.load_assets_from_modules([sources, dataset, embedder, release, serving]),
    jobs=[jobs.commit_to_live, jobs.commit_to_evaluation, jobs.deploy_production],
    # one process a run: it imports torch once, and steps start in a tenth of a second
    executor=dg.in_process_executor,
    resources={"platform": WorkspaceResource(), "io_manager": ArtifactHandles()},
)
