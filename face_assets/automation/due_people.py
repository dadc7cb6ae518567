"""People whose time in people.csv has passed: a sensor that looks each day, and the job that ends their enrolment."""

import dagster as dg

from face_assets.core.errors import UserError
from face_assets.gallery.people import RemovePerson
from face_assets.gallery.people_commits import Request, change_people, followed_branch
from face_assets.gallery.people_register import today
from face_assets.gallery.retention import Person, people_of_register
from face_assets.orchestration.metadata import user_errors
from face_assets.orchestration.tags import NAME, TRIGGER
from face_assets.orchestration.workspace_resource import WorkspaceResource
from face_assets.registry.person import PLATFORM
from face_assets.registry.watch import REGISTER
from face_assets.registry.workspace import Workspace

END_ENROLMENT = "end_enrolment"
SECONDS_BETWEEN_TICKS = 300


def past_people(workspace: Workspace) -> tuple[str, list[Person]]:
    """The head of the followed branch, and the enrolled people whose time has passed. Raises UserError."""
    workspace.repository.refresh()
    head = workspace.repository.resolve(followed_branch(workspace))
    found = people_of_register(workspace, head, today()) or []
    return head, [one for one in found if one.is_enrolled and one.standing.state == "past"]


def end_enrolment_of(workspace: Workspace, names: list[str]) -> tuple[int, list[str]]:
    """Removes people from the gallery by one commit; returns how many, and the reasons of those who stay."""
    outcomes = change_people(workspace, [Request(RemovePerson(name), PLATFORM) for name in names])
    reasons = [str(one.error) for one in outcomes if one.error]
    return len(outcomes) - len(reasons), reasons


@dg.op(description="Removes the people from the gallery whose time in people.csv has passed.")
def end_enrolment_of_past_people(context: dg.OpExecutionContext, platform: WorkspaceResource) -> None:
    """Its log has numbers and no names: the event log keeps it for ever."""
    with user_errors():
        workspace = platform.workspace()
        _, past = past_people(workspace)
        if not past:
            context.log.info(f"Nobody who is enrolled has an entry of {REGISTER} that has ended.")
            return
        removed, reasons = end_enrolment_of(workspace, [one.standing.name for one in past])
        context.log.info(f"{removed:,} people are no longer enrolled, for their time in {REGISTER} has passed.")
        if reasons:
            raise UserError(
                f"{len(reasons):,} people whose time in {REGISTER} has passed are enrolled still, for nobody else would be: enrol somebody "
                "else, or take the recognizer out of service."
            )


@dg.job(name=END_ENROLMENT, description="Ends the enrolment of the people whose time in people.csv has passed, by one commit.")
def end_enrolment() -> None:
    """Ends the enrolment of the people whose time has passed."""
    end_enrolment_of_past_people()


@dg.sensor(
    job=end_enrolment,
    minimum_interval_seconds=SECONDS_BETWEEN_TICKS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Looks each day and at each commit for enrolled people whose time in people.csv has passed, and ends their enrolment.",
)
def due_people_sensor(context: dg.SensorEvaluationContext, platform: WorkspaceResource) -> dg.SensorResult | dg.SkipReason:
    """Requests one run for a head of the followed branch and a day."""
    workspace = platform.workspace()
    if not workspace.settings.repo:
        return dg.SkipReason("No data repository is named yet.")
    try:
        head, past = past_people(workspace)
    except UserError as error:
        return dg.SkipReason(str(error))
    if not past:
        return dg.SkipReason(f"Nobody who is enrolled has an entry of {REGISTER} that has ended.")
    tags = {TRIGGER: "retention", NAME: f"{len(past):,} people whose time has passed"}
    return dg.SensorResult(run_requests=[dg.RunRequest(run_key=f"{head}:{today()}", tags=tags)])
