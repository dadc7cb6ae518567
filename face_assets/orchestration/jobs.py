"""Jobs: selections of assets that run together."""

import dagster as dg

from face_assets.orchestration.storage_loss import again_after_storage_loss

COMMIT_TO_LIVE = "commit_to_live"
COMMIT_TO_EVALUATION = "commit_to_evaluation"
DEPLOY_PRODUCTION = "deploy_production"
OBSERVE_TRAFFIC = "observe_traffic"
FORGET_PERSON = "forget_person"
ERASE_DUE_PEOPLE = "erase_due_people"
HOOKS = {again_after_storage_loss}
DEPLOY_PRIORITY = "10"  # of the queue: before commits that wait to be trained

SERVING = dg.AssetSelection.assets("triton_model_repository", "triton_image", "triton_deployment")
EVALUATED = dg.AssetSelection.assets("embedder_evaluation").upstream()

commit_to_live = dg.define_asset_job(
    COMMIT_TO_LIVE,
    selection=dg.AssetSelection.assets("recognizer_release").upstream() | SERVING,
    hooks=HOOKS,
    description="From the photos and parameters of a commit to a checked deployment.",
)
commit_to_evaluation = dg.define_asset_job(
    COMMIT_TO_EVALUATION,
    selection=EVALUATED,
    hooks=HOOKS,
    description="Trains and evaluates a commit and stops there: an experiment, compared with production.",
)
deploy_production = dg.define_asset_job(
    DEPLOY_PRODUCTION,
    selection=SERVING,
    hooks=HOOKS,
    description="Deploys the release that the stage tag names: a promotion or a rollback.",
)
observe_traffic = dg.define_asset_job(
    OBSERVE_TRAFFIC,
    selection=dg.AssetSelection.assets("live_traffic", "drift_report"),
    hooks=HOOKS,
    description="Summarizes an hour of traffic, and compares it with the release's reference.",
)


def includes(run: dg.DagsterRun, asset: str) -> bool:
    """True if the run makes the asset: all of its job's assets without a selection."""
    return not run.asset_selection or dg.AssetKey(asset) in run.asset_selection
