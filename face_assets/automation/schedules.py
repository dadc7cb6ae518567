"""Schedules: what is done without a cause."""

import dagster as dg

from face_assets.automation import jobs
from face_assets.automation.tags import CAUSE

daily_verification = dg.ScheduleDefinition(
    name="daily_verification",
    job=jobs.deploy_production,
    cron_schedule="17 4 * * *",
    tags={CAUSE: "schedule"},
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Asks what is live the questions of its release; puts a fresh copy in its place where it answers wrongly.",
)
