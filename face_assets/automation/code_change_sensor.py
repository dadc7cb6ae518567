"""The code change sensor: assets whose step has a new version are remade for the commit in production."""

import dagster as dg

from face_assets.orchestration.tags import TRIGGER

code_change_sensor = dg.AutomationConditionSensorDefinition(
    "code_change_sensor",
    target=dg.AssetSelection.all(),
    use_user_code_server=True,
    minimum_interval_seconds=60,  # code changes with a restart alone
    default_status=dg.DefaultSensorStatus.RUNNING,
    run_tags={TRIGGER: "code"},
    description="Remakes assets whose code changed, and those made from them, for the commit in production.",
)
