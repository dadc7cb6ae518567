"""The code location that workspace.yaml names: assets, checks, jobs and resources in one place."""

import os

import dagster as dg

import face_assets.audit.assets
import face_assets.dataset.assets
import face_assets.dataset.sources
import face_assets.detection.assets
import face_assets.embedding.assets
import face_assets.evaluation.assets
import face_assets.gallery.assets
import face_assets.monitoring.assets
import face_assets.release.assets
import face_assets.serving.assets
from face_assets.automation.code_change_sensor import code_change_sensor
from face_assets.automation.commit_sensor import commit_sensor
from face_assets.automation.container_sweep import STACK, container_sweep
from face_assets.automation.drift_sensors import drift_sensor, traffic_sensor
from face_assets.automation.due_people import due_people_sensor, end_enrolment, erase_due_people
from face_assets.automation.failures import failed_runs, refused_runs, succeeded_runs, unsent_messages
from face_assets.automation.health_sensor import health_sensor
from face_assets.automation.machine_sensor import machine_sensor
from face_assets.automation.preflight import CheckedWorkspace
from face_assets.automation.schedules import daily_verification, weekly_training
from face_assets.automation.stage_sensor import stage_sensor
from face_assets.core.rights import keep_private
from face_assets.core.settings import default_home
from face_assets.core.user_identity import name_user
from face_assets.erasure.jobs import forget_person
from face_assets.orchestration import jobs
from face_assets.orchestration.artifact_io import ArtifactIOManager

keep_private(default_home())  # the webserver, the daemon and every run load this module
name_user(default_home())

ASSETS = [
    face_assets.dataset.sources,
    face_assets.dataset.assets,
    face_assets.detection.assets,
    face_assets.audit.assets,
    face_assets.embedding.assets,
    face_assets.evaluation.assets,
    face_assets.gallery.assets,
    face_assets.release.assets,
    face_assets.serving.assets,
    face_assets.monitoring.assets,
]

defs = dg.Definitions(
    assets=dg.load_assets_from_modules(ASSETS),
    jobs=[
        jobs.commit_to_live,
        jobs.commit_to_evaluation,
        jobs.deploy_production,
        jobs.observe_traffic,
        end_enrolment,
        erase_due_people,
        forget_person,
    ],
    sensors=[
        commit_sensor,
        stage_sensor,
        health_sensor,
        machine_sensor,
        code_change_sensor,
        traffic_sensor,
        drift_sensor,
        due_people_sensor,
        failed_runs,
        refused_runs,
        succeeded_runs,
        unsent_messages,
        *([container_sweep] if os.environ.get(STACK) else []),
    ],
    schedules=[daily_verification, weekly_training],
    # one process a run: it imports torch once, and steps start in a tenth of a second
    executor=dg.in_process_executor,
    resources={"platform": CheckedWorkspace(), "io_manager": ArtifactIOManager()},
)
