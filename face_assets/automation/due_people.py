"""People whose time in people.csv has passed: a sensor that looks each day, and the jobs that erase them or end their enrolment.

The logs of both have numbers and pseudonyms, and no names: the event log keeps them for ever.
"""

import dagster as dg

from face_assets.core.errors import UserError
from face_assets.erasure.jobs import erase
from face_assets.erasure.journal import Journal, erasing
from face_assets.erasure.plan import begin, make_plan
from face_assets.gallery.people_changes import RemovePerson
from face_assets.gallery.people_commits import Request, change_people, followed_branch
from face_assets.gallery.people_register import today
from face_assets.gallery.retention import Person, people_of_register
from face_assets.orchestration.jobs import ERASE_DUE_PEOPLE
from face_assets.orchestration.metadata import user_errors
from face_assets.orchestration.tags import NAME, TRIGGER
from face_assets.orchestration.workspace_resource import WorkspaceResource
from face_assets.registry.person import PLATFORM
from face_assets.registry.watch import REGISTER
from face_assets.registry.workspace import Log, Workspace

END_ENROLMENT = "end_enrolment"
SECONDS_BETWEEN_TICKS = 300


def past_people(workspace: Workspace) -> tuple[str, list[Person]]:
    """The head of the followed branch, and the people of whom something is left there after their time. Raises UserError.

    Where the setting `after_consent` is `unenrol`, those who are enrolled.
    """
    workspace.repository.refresh()
    head = workspace.repository.resolve(followed_branch(workspace))
    found = people_of_register(workspace, head, today()) or []
    erases = workspace.settings.after_consent == "erase"
    return head, [one for one in found if one.standing.state == "past" and (one.is_enrolled or erases)]


def end_enrolment_of(workspace: Workspace, names: list[str]) -> tuple[int, list[str]]:
    """Removes people from the gallery by one commit; returns how many, and the reasons of those who stay."""
    outcomes = change_people(workspace, [Request(RemovePerson(name), PLATFORM) for name in names])
    reasons = [str(one.error) for one in outcomes if one.error]
    return len(outcomes) - len(reasons), reasons


@dg.op(description="Removes the people from the gallery whose time in people.csv has passed.")
def end_enrolment_of_past_people(context: dg.OpExecutionContext, platform: WorkspaceResource) -> None:
    """Ends enrolments by one commit."""
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


def erase_past_people(workspace: Workspace, log: Log) -> int:
    """Erases the people whose time has passed, and goes on with such erasures that stopped; returns the number of people.

    All are taken out of the branches first, so that one release without them is made for all. Raises UserError with the reasons of those
    that stopped.
    """
    root = workspace.home.root
    with erasing(root):
        _, past = past_people(workspace)
        for one in past:
            if Journal.find(root, one.standing.name) is None:
                begin(workspace, make_plan(workspace, one.standing.name), PLATFORM)
        begun = Journal.under_way(root, PLATFORM)
        reasons: dict[str, str] = {}
        for only_heads in (True, False):
            for pseudonym in [one for one in begun if one not in reasons]:
                try:
                    certificate = erase(workspace, pseudonym, log, only_heads)
                except UserError as error:
                    reasons[pseudonym] = str(error)
                else:
                    if certificate:
                        log(f"erased {pseudonym}, whose time in {REGISTER} has passed: {certificate} is the certificate")
    if reasons:
        listed = "; ".join(f"{pseudonym}: {reason}" for pseudonym, reason in reasons.items())
        raise UserError(f"{len(reasons):,} of {len(begun):,} people whose time in {REGISTER} has passed are not erased yet. {listed}")
    return len(begun)


@dg.op(description="Erases the people whose time in people.csv has passed, as `face-assets forget` does.", out=dg.Out(dg.Nothing))
def erased_past_people(context: dg.OpExecutionContext, platform: WorkspaceResource) -> None:
    """Erases people, and goes on with erasures that stopped."""
    with user_errors():
        erased = erase_past_people(platform.workspace(), context.log.info)
        context.log.info(f"{erased:,} people are erased, for their time in {REGISTER} has passed.")


@dg.job(
    name=ERASE_DUE_PEOPLE,
    resource_defs={"platform": WorkspaceResource()},
    executor_def=dg.in_process_executor,
    description="Erases the people whose time in people.csv has passed everywhere, each with a certificate.",
)
def erase_due_people() -> None:
    """Erases the people whose time has passed."""
    erased_past_people()


@dg.sensor(
    jobs=[end_enrolment, erase_due_people],
    minimum_interval_seconds=SECONDS_BETWEEN_TICKS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Looks each day and at each commit for people whose time in people.csv has passed, and erases them, or ends their "
    "enrolment, by FACE_ASSETS_AFTER_CONSENT.",
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
    erases = workspace.settings.after_consent == "erase"
    stopped = Journal.under_way(workspace.home.root, PLATFORM) if erases else []
    if not past and not stopped:
        return dg.SkipReason(f"Of nobody with an entry of {REGISTER} that has ended is anything left to be removed.")
    tags = {TRIGGER: "retention", NAME: f"{len(past) or len(stopped):,} people whose time has passed"}
    job = ERASE_DUE_PEOPLE if erases else END_ENROLMENT
    return dg.SensorResult(run_requests=[dg.RunRequest(run_key=f"{head}:{today()}", job_name=job, tags=tags)])
