"""Approval by a second person: no way to production without it, and who approved stands on record."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner
from fastapi.testclient import TestClient
from playwright.sync_api import expect

from face_assets.automation.stage_sensor import stage_sensor
from face_assets.cli.exporter import Platform
from face_assets.cli.main import main
from face_assets.cli.releases import approve_release, list_releases, promote_release, resume_following, roll_back
from face_assets.cli.status import _production
from face_assets.cli.status_text import _production_lines
from face_assets.core.errors import RefusedError, UserError
from face_assets.core.settings import Settings, load_settings
from face_assets.event_log.commit_progress import progress_of
from face_assets.notification.ledger import Ledger
from face_assets.orchestration.jobs import COMMIT_TO_LIVE
from face_assets.orchestration.tags import PARTITION
from face_assets.orchestration.workspace_resource import WorkspaceResource
from face_assets.registry.approval import objection
from face_assets.registry.decision import gate_message, machine_message, person_message
from face_assets.registry.git import git
from face_assets.registry.person import PLATFORM, Person
from face_assets.registry.releases import Release
from face_assets.registry.workspace import Workspace
from face_assets.release.approval import approve
from face_assets.release.promotion import Staged
from face_assets.serving import assets
from face_assets.serving.steps import _roll_back, approval_facts, deploy, nothing_to_serve, production
from face_assets.serving.target import DeploymentRefusedError
from face_assets.web.app import create_app
from face_assets.web.people import author_of
from face_assets.web.recognizer import Recognizer
from tests.serving.test_promotion import Repository
from tests.web.browser import browser, open_page, served

ANN, BOB = Person("Ann", "ann@example.org"), Person("Bob", "bob@example.org")
"""The author of every commit, and somebody else."""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git repository without photos, which no rule of approval looks at."""
    folder = tmp_path / "data"
    git("init", "-q", "-b", "main", str(folder))
    (folder / "params.yaml").write_text("train: {epochs: 1}\n")
    git("add", "params.yaml", cwd=folder)
    git("commit", "-q", "-m", "Begin", cwd=folder)
    return folder


@pytest.fixture
def data(repository: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    monkeypatch.setenv("FACE_ASSETS_REPO", str(repository))
    monkeypatch.setenv("FACE_ASSETS_PRODUCTION_APPROVAL", "required")
    return Repository(repository, Workspace(load_settings()))


@pytest.fixture
def one(data: Repository) -> tuple[str, Release]:
    """A candidate, v1.0.0, and its commit."""
    made = data.release()
    assert not data.stage(*made).in_production
    return made


@pytest.fixture
def as_bob(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def become() -> None:
        for who in ("AUTHOR", "COMMITTER"):
            monkeypatch.setenv(f"GIT_{who}_NAME", BOB.name)
            monkeypatch.setenv(f"GIT_{who}_EMAIL", BOB.email)

    return become


@pytest.fixture
def no_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("face_assets.cli.releases.run_on_terminal", lambda *_: {"success": True, "refused": False})


def tag(data: Repository, name: str, release: Release, message: str, who: Person, later: int = 0) -> None:
    """Sets a tag with plain git, as from a clone, dated `later` seconds from now."""
    variables = {
        "GIT_COMMITTER_NAME": who.name,
        "GIT_COMMITTER_EMAIL": who.email,
        "GIT_COMMITTER_DATE": f"@{int(time.time()) + later} +0000",
    }
    git("tag", "-a", "-m", message, name, release.commit, cwd=data.folder, env=variables)


def test_the_gate_makes_a_candidate_and_a_second_person_puts_it_into_production(data: Repository) -> None:
    commit, release = data.release()
    staged = data.stage(commit, release)
    said = "the gate let it through, and it is the candidate: `face-assets approve v1.0.0` by a second person puts it into production"
    assert staged == Staged(False, said) and data.production is None
    assert "it is the candidate already" in data.stage(commit, release).reason, "a run that is executed again changes nothing"
    with pytest.raises(
        RefusedError, match=r"v1.0.0 is not approved: Ann <ann@example.org> made commit .* nobody approves a commit of their"
    ):
        approve(data.workspace, "v1.0.0", "Mine", ANN)
    assert data.production is None
    made = approve(data.workspace, "1.0.0", "Read the card", BOB)
    assert data.production == "v1.0.0" and made.tag.startswith("face-recognizer#production#")
    approval = data.workspace.stages.approval(release)
    assert approval and (approval.person, approval.note, approval.tag) == (BOB, "Read the card", made.tag) and approval.time == made.time
    facts = {"approved_by": "Bob <bob@example.org>", "approved": made.time, "approval_note": "Read the card"}
    assert approval_facts(data.workspace, release) == facts
    assert data.stage(commit, release).in_production, "a run that is executed again leaves it there"
    text = git("cat-file", "tag", made.tag, cwd=data.folder).decode()
    assert "tagger Bob <bob@example.org>" in text and "Read the card" in text and "Decided-by: person" in text
    next_commit, following = data.release()
    assert "is the candidate" in data.stage(next_commit, following).reason, "an approval does not hold for the next"
    assert data.production == "v1.0.0" and data.workspace.stages.hold() is None
    with pytest.raises(RefusedError, match=r"was approved by Bob"):
        approve(data.workspace, "v1.0.0", "", BOB)


GATE = gate_message("The gate let it through", "a" * 40)
NO_APPROVALS = [
    (GATE, PLATFORM),
    (GATE, BOB),
    (machine_message("too slow"), BOB),
    (person_message("Mine"), ANN),
    (person_message("Mine"), Person("Someone else", " ANN@Example.org ")),
    (person_message("The platform"), PLATFORM),
    (person_message("Nobody"), Person("Nobody", "nobody")),
    (person_message("Renamed") + "\nDecided-by: gate", BOB),
]


def test_a_tag_that_is_no_approval_puts_nothing_into_production(data: Repository, one: tuple[str, Release]) -> None:
    stages = data.workspace.stages
    for number, (message, who) in enumerate(NO_APPROVALS, 9):
        tag(data, f"face-recognizer#production#{number}", one[1], message, who)
    assert data.production is None
    assert stages.history() == [] and stages.last() is None
    assert "puts v1.0.0 into production without the approval of a second person" in str(stages.unapproved())
    for route in (lambda: production(data.workspace), lambda: deploy(data.workspace, print)):
        with pytest.raises(UserError, match=r"No release is in production: .* without the approval of a second person"):
            route()
    assert "without the approval" in shown(data)


def shown(data: Repository) -> str:
    """The part of the status about production."""
    return "\n".join(_production_lines(_production(data.workspace.settings, threading.Event())))


def test_a_tag_of_another_person_from_any_clone_is_an_approval(data: Repository, one: tuple[str, Release]) -> None:
    tag(data, "face-recognizer#production#9", one[1], "Looked at it", BOB)
    assert data.production == "v1.0.0"
    assert str(data.workspace.stages.approval(one[1])).startswith("Bob <bob@example.org>, 20")
    tag(data, "face-recognizer#production!#10", one[1], "Taken out", ANN, later=1)
    assert data.production is None, "anybody may take it out"
    tag(data, "face-recognizer#production#11", one[1], "Back", ANN, later=2)
    assert data.production is None, "with it the approval ends"
    tag(data, "face-recognizer#production#12", one[1], "Again", BOB, later=3)
    assert data.production == "v1.0.0"


def test_every_author_of_a_commit_needs_another(data: Repository) -> None:
    (data.folder / ".mailmap").write_text("Nobody <nobody@example.org> <ann@example.org>\n")
    git("add", ".mailmap", cwd=data.folder)
    message = "Rename me\n\nCo-authored-by: Carol <Carol@example.org>"
    git("commit", "-q", "-m", message, cwd=data.folder, env={"GIT_COMMITTER_EMAIL": "dave@example.org"})
    named = git("rev-parse", "HEAD", cwd=data.folder).decode().strip()
    _, release = data.release()
    made = replace(release, trained_commit=named)  # the record is data: the parents of the release's own commit count, too
    for email in ("ann@example.org", "carol@example.org", "dave@example.org"):
        assert "nobody approves" in str(objection(data.workspace.repository, made, Person("X", email))), email
    assert objection(data.workspace.repository, made, BOB) is None
    gone = replace(release, trained_commit="b" * 40)
    assert "cannot be read" in str(objection(data.workspace.repository, gone, BOB))


def test_a_user_of_the_web_service_is_known_by_name(data: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "carol@example.org")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", PLATFORM.email)
    _, release = data.release()
    assert objection(data.workspace.repository, release, Person("Carol", "carol@example.org"))
    assert objection(data.workspace.repository, release, BOB) is None


def test_commands_cannot_go_around_it(data: Repository, one: tuple[str, Release], no_runs: None, as_bob: Callable[[], None]) -> None:
    with pytest.raises(RefusedError, match=r"it needs the approval of a second person, and Ann .* made commit"):
        promote_release("v1.0.0", "Hurry", follow=True, quiet=True)
    with pytest.raises(RefusedError, match=r"v1.0.0 is not approved: Ann"):
        approve_release("v1.0.0", "", deploy=True, quiet=True)
    with pytest.raises(UserError, match="nothing to roll back from"):
        roll_back("", quiet=True)
    assert data.production is None
    as_bob()
    report = approve_release("v1.0.0", "Fine", deploy=False, quiet=True)
    assert (report["approved_by"], report["note"], data.production) == ("Bob <bob@example.org>", "Fine", "v1.0.0")
    assert [(row["stage"], row["approved_by"][:21]) for row in list_releases(None)] == [("production", "Bob <bob@example.org>")]


def test_rollback_returns_to_what_was_approved_and_to_nothing_else(data: Repository, one: tuple[str, Release], no_runs: None) -> None:
    """The release was approved, and a rollback that waits for a person keeps a bad release alive."""
    approve(data.workspace, "v1.0.0", "", BOB)
    data.stage(*data.release())
    tag(data, "face-recognizer#production#50", data.workspace.releases.get("v2.0.0"), person_message("Mine"), ANN)
    data.stage(*data.release())
    approve(data.workspace, "v3.0.0", "", BOB)
    assert roll_back("Bad figures", quiet=True)["version"] == "v1.0.0", "not to v2.0.0, which nobody else approved"
    assert data.production == "v1.0.0"
    assert promote_release("v3.0.0", "Better after all", follow=True, quiet=True)["success"], "it was approved, too"


def test_a_machine_rolls_back_only_to_what_was_approved(
    data: Repository, one: tuple[str, Release], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACE_ASSETS_MACHINE", "alone")
    monkeypatch.setenv("FACE_ASSETS_ROLLBACK_BY", "alone")
    workspace = Workspace(load_settings())
    late = DeploymentRefusedError("too late", None)
    data.stage(*data.release())
    made = approve(workspace, "v2.0.0", "", BOB)
    said = _roll_back(workspace, made, "v1.0.0", late)
    assert "Production was not rolled back: v1.0.0 does not go into production" in said and data.production == "v2.0.0"
    data.stage(*data.release())
    made = approve(workspace, "v3.0.0", "", BOB)
    assert _roll_back(workspace, made, "v2.0.0", late) == ". Production was rolled back to v2.0.0"
    assert data.production == "v2.0.0"


def test_the_stage_sensor_and_the_assets_deploy_nothing_that_is_not_approved(data: Repository, one: tuple[str, Release]) -> None:
    """As a run from the UI, over GraphQL, a resumed one and one executed again would."""
    data.workspace.stages.approval_required = False  # as by a machine without the setting
    data.workspace.stages.assign("v1.0.0", gate_message("The gate let it through", one[0]))
    data.workspace.stages.approval_required = True
    platform = WorkspaceResource()
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(instance=instance, resources={"platform": platform})
        result = stage_sensor(context)
        assert isinstance(result, dg.SensorResult) and not result.run_requests
        for asset in (assets.triton_model_repository, assets.triton_image, assets.triton_deployment):
            done = dg.materialize([asset], instance=instance, resources={"platform": platform}, raise_on_error=False)
            failure = next(event for event in done.all_events if event.is_step_failure)
            assert "without the approval of a second person" in str(failure.step_failure_data)
    approve(data.workspace, "v1.0.0", "Fine", BOB)
    with dg.DagsterInstance.ephemeral() as instance:
        result = stage_sensor(dg.build_sensor_context(instance=instance, resources={"platform": platform}))
        assert isinstance(result, dg.SensorResult) and result.run_requests
        tags = result.run_requests[0].tags
    assert tags["face_assets/author"] == "Bob" and tags["face_assets/subject"] == "Fine", "the history names both"


def test_resume_approves_nothing(data: Repository, one: tuple[str, Release], no_runs: None, as_bob: Callable[[], None]) -> None:
    assert nothing_to_serve(data.workspace) == (
        "No release is in production: v1.0.0 is the candidate, and `face-assets approve v1.0.0` by a second person puts it into production."
    )
    approve(data.workspace, "v1.0.0", "", BOB)
    tag(data, "face-recognizer#production!#60", one[1], "Keep it out", ANN, later=5)
    as_bob()
    with pytest.raises(RefusedError, match="a release goes there by approval"):
        resume_following("", quiet=True)
    assert data.production is None


def test_what_the_gate_refused_is_no_candidate(data: Repository, no_runs: None) -> None:
    commit, release = data.release()
    assert data.stage(commit, release, lambda _: ["worse"]).is_refused
    with pytest.raises(RefusedError, match=r"v1.0.0 is no candidate: the gate did not let it through"):
        approve(data.workspace, "v1.0.0", "", BOB)
    with pytest.raises(UserError, match=r"v7.0.0 is not registered"):
        approve(data.workspace, "v7.0.0", "", BOB)


def test_a_candidate_is_judged_against_what_is_in_production_when_it_is_approved(data: Repository, one: tuple[str, Release]) -> None:
    approve(data.workspace, "v1.0.0", "", BOB)
    second, third = data.release(), data.release()
    data.stage(*second)
    data.stage(*third)
    approve(data.workspace, "v2.0.0", "", BOB)
    with pytest.raises(RefusedError, match=r"the gate judged it before v2.0.0 went into production, by face-recognizer#production#"):
        approve(data.workspace, "v3.0.0", "", BOB)
    compared: list[str | None] = []

    def judge(other: Release | None) -> list[str]:
        compared.append(other.version if other else None)
        return []

    assert "it is the candidate" in data.stage(*third, judge).reason and compared == ["v2.0.0"]
    approve(data.workspace, "v3.0.0", "", BOB)
    assert data.production == "v3.0.0"


def test_a_candidate_whose_commit_left_the_branch_is_none(data: Repository, one: tuple[str, Release]) -> None:
    git("checkout", "-q", "-b", "experiment", cwd=data.folder)
    git("branch", "-f", "main", f"{one[0]}~1", cwd=data.folder)
    with pytest.raises(RefusedError, match=r"v1.0.0 is no candidate: .* on no branch of production"):
        approve(data.workspace, "v1.0.0", "", BOB)


def test_an_older_candidate_does_not_replace_a_newer_one(data: Repository) -> None:
    first, second = data.release(), data.release()
    data.stage(*second)
    assert "v2.0.0 is the candidate for the newer commit" in data.stage(*first).reason
    found = data.workspace.stages.candidate()
    assert found and found.release.version == "v2.0.0"


def test_the_requirement_is_the_machines_and_counts_from_when_it_is_set(
    data: Repository, one: tuple[str, Release], monkeypatch: pytest.MonkeyPatch
) -> None:
    tag(data, "face-recognizer#production#9", one[1], gate_message("The gate let it through", one[0]), PLATFORM)
    assert data.production is None
    approve(data.workspace, "v1.0.0", "It is there already", BOB)
    assert data.production == "v1.0.0"
    (data.folder / "params.yaml").write_text("production: {approval: none}\n")
    monkeypatch.setenv("FACE_ASSETS_PRODUCTION_APPROVAL", "none")
    relaxed = Workspace(load_settings())
    assert relaxed.stages.approval(one[1]) is None
    with pytest.raises(RefusedError, match="No approval is required here"):
        approve(relaxed, "v1.0.0", "", BOB)


def test_status_and_the_command_name_the_candidate_and_the_approver(data: Repository, one: tuple[str, Release]) -> None:
    assert "candidate   v1.0.0 of commit" in shown(data)
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_run(dg.DagsterRun(COMMIT_TO_LIVE, status=dg.DagsterRunStatus.SUCCESS, tags={PARTITION: one[0]}))
        progress = progress_of(data.workspace, instance, one[0])
    assert progress.state == "held" and "v1.0.0 is the candidate: `face-assets approve v1.0.0`" in progress.reason
    refused = CliRunner().invoke(main, ["approve", "v1.0.0", "--no-deploy", "--json"])
    assert refused.exit_code and "nobody approves a commit of their own" in refused.output
    variables = {"GIT_COMMITTER_NAME": "Bob", "GIT_COMMITTER_EMAIL": "bob@example.org"}
    done = CliRunner().invoke(main, ["approve", "v1.0.0", "--note", "All well", "--no-deploy", "--json"], env=variables)
    assert done.exit_code == 0 and json.loads(done.stdout)["approved_by"] == "Bob <bob@example.org>", done.output
    said = shown(data)
    assert "approved by Bob <bob@example.org>" in said and "All well" in said and "candidate   v1" not in said


def test_a_click_approves_in_the_name_of_who_signed_in(data: Repository, one: tuple[str, Release]) -> None:
    def no_endpoint() -> None:
        raise UserError("No server was started.")

    app = create_app(Settings(), Recognizer(no_endpoint))  # type: ignore[arg-type]
    caller = [PLATFORM]
    app.dependency_overrides[author_of] = lambda: caller[0]
    with TestClient(app, "http://localhost:8004") as client:
        for who, reason in ((PLATFORM, "nobody is known who approves"), (ANN, "nobody approves a commit of their own")):
            caller[0] = who
            answer = client.post("/api/v1/releases/v1.0.0/approve", json={"note": "me"})
            assert (answer.status_code, answer.json()["code"]) == (403, "refused") and reason in answer.json()["error"]
        assert client.post("/api/v1/releases/v9.0.0/approve", json={}).status_code == 422
        assert data.production is None
        caller[0] = Person("bob@example.org", PLATFORM.email)
        answer = client.post("/api/v1/releases/v1.0.0/approve", json={"note": "Looks well"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["approved_by"] == "bob@example.org <bob@example.org>" and answer.json()["note"] == "Looks well"
    assert data.production == "v1.0.0"


def test_the_button_approves_for_whom_it_names_and_is_not_shown_to_the_author(
    data: Repository, one: tuple[str, Release], free_ports: Callable[[int], list[int]]
) -> None:
    def no_endpoint() -> None:
        raise UserError("No server was started.")

    app = create_app(Settings(), Recognizer(no_endpoint))  # type: ignore[arg-type]
    caller = [ANN]
    app.dependency_overrides[author_of] = lambda: caller[0]
    with served(app, free_ports(1)[0]) as address, browser() as chromium:
        page, errors = open_page(chromium, address)
        page.goto("/releases")
        expect(page.get_by_text("You cannot approve it: Ann <ann@example.org> made commit")).to_be_visible()
        expect(page.get_by_role("button", name="Approve v1.0.0")).to_have_count(0)
        caller[0] = BOB
        page.reload()
        page.get_by_label("What you looked at").fill("The card <b>")
        with TestClient(app, "http://localhost:8004") as other:
            refused = other.post("/api/v1/releases/v1.0.0/approve", json={"note": ""}, headers={"origin": "https://evil.example.org"})
        assert refused.status_code == 403 and data.production is None
        page.get_by_role("button", name="Approve v1.0.0 as Bob <bob@example.org>").click()
        expect(page.get_by_role("status").first).to_contain_text("v1.0.0 was approved by Bob <bob@example.org>")
        assert data.production == "v1.0.0" and errors == []
        approval = data.workspace.stages.approval(one[1])
        assert approval and (approval.person, approval.note) == (BOB, "The card <b>")
        page.reload()
        expect(page.get_by_role("heading", name="waits for approval")).to_have_count(0)


def test_people_are_notified_once_of_a_candidate_and_once_that_none_waits(data: Repository, one: tuple[str, Release], home: Path) -> None:
    def look() -> list[tuple[str, str]]:
        with dg.DagsterInstance.ephemeral() as instance, dg.build_sensor_context(instance) as context:
            stage_sensor(context, platform=WorkspaceResource())
        return [(message.cause, message.title) for message in Ledger(home).firing()]

    waits = [("candidate: v1.0.0", "v1.0.0 waits for the approval of a second person")]
    assert look() == waits == look()
    with dg.DagsterInstance.ephemeral() as instance:
        names = [metric.name for metric in Platform(instance)._decision()]
    assert "face_assets_candidate_waiting_timestamp_seconds" in names
    approve(data.workspace, "v1.0.0", "Read the card", BOB)
    assert look() == []
