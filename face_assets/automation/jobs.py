"""Jobs: the selections of assets that are run together."""

import dagster as dg

from face_assets.automation.partitions import commits

COMMIT_TO_LIVE = "commit_to_live"
COMMIT_TO_EVALUATION = "commit_to_evaluation"
DEPLOY_PRODUCTION = "deploy_production"

SERVING = dg.AssetSelection.assets("triton_model_repository", "triton_deployment")
EVALUATED = dg.AssetSelection.assets("embedder_evaluation").upstream()

commit_to_live = dg.define_asset_job(
    COMMIT_TO_LIVE,
    selection=dg.AssetSelection.assets("recognizer_release").upstream() | SERVING,
    partitions_def=commits,
    description="From the photos and parameters of a commit to a verified answer of the server.",
)
commit_to_evaluation = dg.define_asset_job(
    COMMIT_TO_EVALUATION,
    selection=EVALUATED,
    partitions_def=commits,
    description="Trains and evaluates a commit and stops there: an experiment, compared with production.",
)
deploy_production = dg.define_asset_job(
    DEPLOY_PRODUCTION,
    selection=SERVING,
    description="Brings the server to the release that the stage tag names: a promotion or a rollback.",
)
