"""Runs of the job forget_person, for the command and the web service: one goes on with the erasure of a journal."""

from face_assets.event_log.runs import RunReport, ShowProgress, run_job
from face_assets.orchestration.jobs import FORGET_PERSON
from face_assets.orchestration.tags import MANUAL, NAME, TRIGGER
from face_assets.storage.home import Home


def run_erasure(home: Home, pseudonym: str, show: ShowProgress = lambda step: None) -> RunReport:
    """The report of a run that goes on with an erasure. Neither its tags nor its configuration name the person."""
    config = {"ops": {"erased_person": {"config": {"pseudonym": pseudonym}}}}
    return run_job(home, FORGET_PERSON, None, {TRIGGER: MANUAL, NAME: f"Erase {pseudonym}"}, show, config)
