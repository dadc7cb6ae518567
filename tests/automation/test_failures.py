"""Failed runs, on a real instance: the reason in the event log, one message for a cause, and one when it is resolved."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.test_utils import create_run_for_test

from face_assets.automation.failures import NO_REASON, failed_runs, refused_runs, succeeded_runs, unsent_messages
from face_assets.cli.main import main
from face_assets.core.errors import RefusedError
from face_assets.core.project_files import ROOT
from face_assets.event_log.instance import WORKSPACE, open_instance
from face_assets.event_log.missed_retries import WILL_RETRY
from face_assets.event_log.outcomes import Outcome, read_outcome, read_outcomes
from face_assets.event_log.run_totals import count_runs
from face_assets.event_log.runs import run_job
from face_assets.notification.ledger import Ledger
from face_assets.orchestration import tags
from face_assets.orchestration.metadata import enforce_checks, user_errors
from face_assets.orchestration.partitions import add_commit, commits
from face_assets.orchestration.workspace_resource import WorkspaceResource
from face_assets.registry.git import git
from face_assets.storage.home import Home
from tests.far_end import FarEnd

ENDS: dict[str, str] = {}
"""How the run of each commit ends."""
REFUSAL = "Nobody can be enrolled: no photo has a usable face."
FAILURE = "photos.dvc: 3 photos are missing from the remote: run `dvc push`"


@dg.asset(partitions_def=commits)
def aligned_faces() -> None: ...


@dg.asset(
    partitions_def=commits,
    deps=[aligned_faces],
    check_specs=[dg.AssetCheckSpec(name, asset="embedder_evaluation", blocking=name == "gate") for name in ("gate", "hint")],
)
def embedder_evaluation(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:  # type: ignore[type-arg]
    end = ENDS[context.partition_key]
    if end == "refusal":
        with user_errors(context):
            raise RefusedError(REFUSAL)
    if end == "failure":
        raise dg.Failure(FAILURE, metadata={"reason": FAILURE, "missing": 3}, allow_retries=False)
    if end == "exception":
        try:
            int("no number")
        except ValueError as error:
            raise RuntimeError("evaluation failed") from error
    figures: dict[str, Any] = {"auc": 0.71, "tar": dg.MetadataValue.json({"0.001": 0.6})}
    gate = dg.AssetCheckResult(check_name="gate", passed=end != "gate", metadata=figures, description="AUC 0.71 is below the floor of 0.9")
    hint = dg.AssetCheckResult(check_name="hint", passed=False, severity=dg.AssetCheckSeverity.WARN, description="only a hint")
    yield from enforce_checks(context, dg.MaterializeResult(check_results=[hint, gate]))


@dg.asset(deps=[embedder_evaluation])
def triton_deployment() -> dg.MaterializeResult:  # type: ignore[type-arg]
    if ENDS.get("production") == "failure":
        raise dg.Failure("the server does not start", allow_retries=False)
    return dg.MaterializeResult(metadata={"commit": "e" * 40, "author": "Eve"})


defs = dg.Definitions(
    assets=[aligned_faces, embedder_evaluation, triton_deployment],
    jobs=[
        dg.define_asset_job("commit_to_live", selection="*"),
        dg.define_asset_job("commit_to_evaluation", selection="+embedder_evaluation"),
        dg.define_asset_job("deploy_production", selection="triton_deployment"),
    ],
    executor=dg.in_process_executor,
)


@dataclass
class Platform:
    """An instance, runs on it, and the sensors as the daemon evaluates them."""

    instance: dg.DagsterInstance
    home: Path
    far_end: FarEnd
    cursors: dict[str, str | None] = field(default_factory=dict)

    def tick(self, *sensors: dg.SensorDefinition) -> None:
        """Evaluates the sensors, which keep their cursors; what one of them raises is an error here."""
        for sensor in sensors or (failed_runs, refused_runs, succeeded_runs):
            cursor = self.cursors.get(sensor.name)
            resources = {"platform": WorkspaceResource()}
            with dg.build_sensor_context(
                self.instance, cursor=cursor, resources=resources, repository_def=defs.get_repository_def()
            ) as context:
                done = sensor.evaluate_tick(context)
            self.cursors[sensor.name] = done.cursor
            assert [reaction.error for reaction in done.dagster_run_reactions or [] if reaction.error] == []

    def run(
        self,
        commit: str | None,
        end: str,
        branch: str = "main",
        job: str = "commit_to_evaluation",
        only: Sequence[str] | None = None,
        more: dict[str, str] | None = None,
    ) -> str:
        """Runs a job as `face-assets run` does; `end`: failure, gate, refusal, exception or well."""
        ENDS[commit or "production"] = end
        named = {tags.BRANCH: branch, tags.AUTHOR: "Ann", tags.TRIGGER: "commit", tags.COMMIT: commit} if commit and branch else {}
        if commit:
            add_commit(self.instance, commit)
        done = defs.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            partition_key=commit,
            tags=named | (more or {}),
            asset_selection=[dg.AssetKey(name) for name in only] if only else None,
            raise_on_error=False,
        )
        assert done.success == (end == "well")
        return done.run_id

    def outcome(self, run_id: str) -> Outcome:
        record = self.instance.get_run_record_by_id(run_id)
        assert record
        return read_outcome(self.instance, record)

    def tag(self, run_id: str, name: str) -> str | None:
        run = self.instance.get_run_by_id(run_id)
        assert run
        return run.tags.get(name)

    @property
    def told(self) -> list[tuple[str, str]]:
        """Kind and title of the messages that the webhook received."""
        return [(post["kind"], post["title"]) for post in self.far_end.posts]


@pytest.fixture
def platform(home: Path, far_end: FarEnd, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    monkeypatch.setenv("FACE_ASSETS_NOTIFY_WEBHOOK", far_end.url())
    monkeypatch.setenv("DAGSTER_HOME", str(home / "dagster"))
    with open_instance(Home(home)) as instance:
        found = Platform(instance, home, far_end)
        found.tick()  # a sensor's first tick only says from where on it looks
        yield found


def _sha(letter: str) -> str:
    return letter * 40


def test_an_outcome_has_the_sentence_the_check_and_its_figures(platform: Platform) -> None:
    failure, gate, exception, well = (
        platform.outcome(platform.run(_sha(letter), end))
        for letter, end in zip("abcd", ("failure", "gate", "exception", "well"), strict=True)
    )
    assert (failure.word, failure.where, failure.reason, failure.figures) == ("failed", "embedder_evaluation", FAILURE, {"missing": 3})
    assert (gate.word, gate.where) == ("refused", "embedder_evaluation: gate")
    assert (gate.reason, gate.figures) == ("AUC 0.71 is below the floor of 0.9", {"auc": 0.71, "tar": {"0.001": 0.6}})
    assert (exception.word, exception.asset, exception.check) == ("failed", "embedder_evaluation", "")
    assert exception.reason == "ValueError: invalid literal for int() with base 10: 'no number'"
    assert (well.word, well.asset, well.reason, well.done) == ("done", "", "", ("aligned_faces", "embedder_evaluation"))
    assert (gate.commit, gate.branch, gate.author, gate.trigger, gate.for_commit) == (_sha("b"), "main", "Ann", "commit", True)
    assert gate.seconds is not None
    assert [outcome.run_id for outcome in read_outcomes(platform.instance, 2, failed=True)] == [exception.run_id, gate.run_id]


@pytest.mark.parametrize(
    ("end", "where", "reason"),
    [("gate", "embedder_evaluation: gate", "AUC 0.71 is below the floor of 0.9"), ("refusal", "embedder_evaluation", REFUSAL)],
)
def test_a_refusal_is_one_in_history_command_run_page_and_message(platform: Platform, end: str, where: str, reason: str) -> None:
    run = platform.run(_sha("a"), end, job="commit_to_live")
    platform.tick()
    assert platform.told == [("firing", f"{where} refused commit {'a' * 12} (main)")]
    assert platform.tag(run, tags.REASON) == f"{where}: {reason}"
    assert " refused " in CliRunner().invoke(main, ["history", "--failed"]).output
    watched = CliRunner().invoke(main, ["watch", run])
    assert watched.exit_code == 3
    assert f"Refused: {where}: {reason}" in watched.output
    totals, _ = count_runs(platform.instance, Home(platform.home))
    assert totals.runs == {"commit_to_live": {"refused": 1}}
    (failure,) = platform.instance.get_records_for_run(run, of_type=dg.DagsterEventType.STEP_FAILURE).records
    assert failure.event_log_entry.dagster_event
    error = failure.event_log_entry.dagster_event.step_failure_data.error
    assert error and error.message.startswith("Refused: ") and reason in error.message
    assert (error.stack, error.cause, error.context) == ([], None, None)


def test_what_a_refused_run_did_not_make_counts_as_no_failure(platform: Platform) -> None:
    """Dagster shows an asset red whose last run failed, or whose run for a commit did, as long as it made nothing there."""
    made = platform.run(_sha("a"), "well", job="commit_to_live")
    refused = platform.run(_sha("b"), "gate", job="commit_to_live")
    checks = platform.instance.get_records_for_run(refused, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION).records
    assert {check.event_log_entry.dagster_event.asset_check_evaluation_data.severity for check in checks} == {dg.AssetCheckSeverity.WARN}  # type: ignore[union-attr]
    (deployed,) = platform.instance.get_latest_materialization_events([dg.AssetKey("triton_deployment")]).values()
    assert deployed and deployed.run_id == made
    last = platform.instance.get_asset_records([dg.AssetKey("triton_deployment")])[0].asset_entry.last_run_id
    assert last
    assert platform.instance.get_run_by_id(last).status == dg.DagsterRunStatus.CANCELED  # type: ignore[union-attr]


def test_a_run_that_a_person_canceled_is_no_refusal(platform: Platform) -> None:
    run = create_run_for_test(platform.instance, job_name="commit_to_live", tags={"dagster/partition": _sha("a")})
    platform.instance.report_run_canceled(run)
    platform.tick()
    assert (platform.told, platform.outcome(run.run_id).word) == ([], "canceled")


def test_a_run_that_follows_the_stage_takes_its_commit_from_the_event_log(platform: Platform) -> None:
    outcome = platform.outcome(platform.run(None, "well", job="deploy_production"))
    assert (outcome.commit, outcome.author, outcome.for_commit) == (_sha("e"), "Eve", False)


def test_one_message_for_a_cause_and_one_when_it_is_well(platform: Platform) -> None:
    refused = platform.run(_sha("a"), "gate")
    platform.tick()
    post = platform.far_end.posts[0]
    assert platform.told == [("firing", f"embedder_evaluation: gate refused commit {'a' * 12} (main)")]
    assert (post["commit"], post["branch"], post["author"], post["run_id"]) == (_sha("a"), "main", "Ann", refused)
    assert post["reason"] == "AUC 0.71 is below the floor of 0.9"
    assert post["figures"] == {"auc": 0.71, "tar": {"0.001": 0.6}}
    assert platform.tag(refused, tags.REASON) == "embedder_evaluation: gate: AUC 0.71 is below the floor of 0.9"

    platform.run(_sha("a"), "gate", job="commit_to_live")
    platform.tick()
    assert len(platform.told) == 1, "the same commit fails the same way"
    platform.run(_sha("a"), "failure")
    platform.run(_sha("b"), "exception")
    platform.tick()
    assert [title for _, title in platform.told[1:]] == [f"embedder_evaluation failed for commit {letter * 12} (main)" for letter in "ab"]

    platform.run(_sha("c"), "well")
    platform.tick()
    assert platform.told[3:] == [("resolved", f"commit_to_evaluation went through for commit {'c' * 12} (main)")]
    assert len(platform.far_end.posts[3]["reason"].splitlines()) == 3
    platform.run(_sha("d"), "well")
    platform.tick()
    assert len(platform.told) == 4


def test_another_branch_or_another_asset_makes_nothing_well(platform: Platform) -> None:
    platform.run(_sha("a"), "gate")
    platform.run(_sha("b"), "well", branch="main2")
    platform.run(_sha("b"), "well", only=["aligned_faces"])
    platform.tick()
    assert [kind for kind, _ in platform.told] == ["firing"]
    platform.run(_sha("a"), "well", only=["embedder_evaluation"])
    platform.tick()
    assert [kind for kind, _ in platform.told] == ["firing", "resolved"]


def test_production_is_well_when_any_branch_reaches_the_server(platform: Platform) -> None:
    platform.run(None, "failure", job="deploy_production")
    platform.run(None, "failure", job="deploy_production")
    platform.tick()
    assert platform.told == [("firing", "triton_deployment failed for production")]
    platform.run(_sha("a"), "well")
    platform.tick()
    assert len(platform.told) == 1, "it stopped at the evaluation"
    ENDS["production"] = "well"
    platform.run(_sha("a"), "well", job="commit_to_live")
    platform.tick()
    assert platform.told[1:] == [("resolved", f"commit_to_live went through for commit {'a' * 12} (main)")]


@pytest.mark.parametrize("order", [(failed_runs, refused_runs, succeeded_runs), (succeeded_runs, refused_runs, failed_runs)])
def test_a_failure_and_its_mending_between_two_ticks_are_told_whatever_sensor_looks_first(
    platform: Platform, order: tuple[dg.SensorDefinition, ...]
) -> None:
    platform.run(_sha("a"), "well")
    platform.run(_sha("b"), "gate")
    platform.tick(*order)
    assert [kind for kind, _ in platform.told] == ["firing"], "the success came before"
    platform.run(_sha("c"), "failure")
    platform.run(_sha("c"), "well")
    platform.tick(*order)
    platform.tick(*order)
    assert [kind for kind, _ in platform.told].count("firing") == 2
    assert Ledger(platform.home).firing() == []
    closed = [line for post in platform.far_end.posts if post["kind"] == "resolved" for line in post["reason"].splitlines()]
    assert len(closed) == 2


def test_a_run_that_dagster_retries_says_nothing_until_the_last_try(platform: Platform) -> None:
    location = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("face-assets"), "__repository__")
    origin = RemoteJobOrigin(location, "commit_to_live")

    def killed(tries: str) -> str | None:
        named = {"dagster/partition": _sha("a"), tags.BRANCH: "main", tags.AUTHOR: "Ann", "dagster/max_retries": tries}
        run = create_run_for_test(platform.instance, job_name="commit_to_live", tags=named, remote_job_origin=origin)
        platform.instance.report_run_failed(run, "the process of the run ended before the run did")
        return platform.tag(run.run_id, WILL_RETRY)

    assert killed("1") == "true"
    platform.tick()
    assert platform.told == []
    assert killed("0") == "false"
    platform.tick()
    assert platform.told == [("firing", f"commit_to_live failed for commit {'a' * 12} (main)")]
    assert platform.far_end.posts[0]["reason"] == "the process of the run ended before the run did"


def test_a_run_of_the_command_is_told_though_marked_for_a_retry_that_never_comes(platform: Platform) -> None:
    """Dagster marks it so, and then finds no code location to retry it in."""
    run = platform.run(_sha("a"), "failure")
    platform.instance.add_run_tags(run, {WILL_RETRY: "true"})
    platform.tick()
    assert [kind for kind, _ in platform.told] == ["firing"]


def test_a_run_again_that_succeeds_does_not_keep_the_reason_of_the_first(platform: Platform) -> None:
    again = platform.run(_sha("a"), "well", more={tags.REASON: "embedder_evaluation: it failed"})
    platform.tick()
    assert platform.tag(again, tags.REASON) == NO_REASON


def test_a_run_launched_in_the_ui_gets_branch_and_author_from_the_repository(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "data"
    git("init", "-q", "-b", "faces", repository)
    git("commit", "-q", "--allow-empty", "-m", "More photos", cwd=repository)
    commit = git("rev-parse", "HEAD", cwd=repository).decode().strip()
    monkeypatch.setenv("FACE_ASSETS_REPO", str(repository))
    run = platform.run(commit, "gate", branch="")
    platform.tick()
    assert platform.told == [("firing", f"embedder_evaluation: gate refused commit {commit[:12]} (faces)")]
    outcome = platform.outcome(run)
    assert (outcome.branch, outcome.author, outcome.subject) == ("faces", "Ann <ann@example.org>", "More photos")


def test_a_repository_that_cannot_be_read_keeps_no_failure_from_being_told(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACE_ASSETS_REPO", str(tmp_path / "gone"))
    platform.run(_sha("a"), "failure", branch="")
    platform.tick()
    assert platform.told == [("firing", f"embedder_evaluation failed for commit {'a' * 12} ({'a' * 40})")]


def test_what_could_not_be_sent_is_sent_by_the_sensor_for_it(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("face_assets.notification.ledger.FIRST_DELAY", 0.0)
    platform.far_end.down()
    platform.run(_sha("a"), "failure")
    platform.tick(failed_runs)
    assert len(Ledger(platform.home).unsent()) == 1
    platform.far_end.up()
    platform.tick(unsent_messages)
    assert len(platform.told) == 1
    assert Ledger(platform.home).unsent() == []


def test_the_history_is_a_line_a_run_newest_first(platform: Platform) -> None:
    for letter, end in zip("abc", ("well", "gate", "failure"), strict=True):
        run = platform.run(_sha(letter), end)
    platform.instance.add_run_tags(run, {tags.STAGE_TAG: "face-recognizer#production#7", tags.SUBJECT: "Too slow"})
    lines = CliRunner().invoke(main, ["history"]).output.splitlines()
    assert [line.split()[3:7] for line in lines] == [
        ["commit", "c" * 12, "main", "failed"],
        ["commit", "b" * 12, "main", "refused"],
        ["commit", "a" * 12, "main", "done"],
    ]
    assert lines[0].endswith(f"embedder_evaluation: {FAILURE}; face-recognizer#production#7 by Ann: Too slow")
    assert lines[1].endswith("embedder_evaluation: gate: AUC 0.71 is below the floor of 0.9")
    failed = json.loads(CliRunner().invoke(main, ["history", "--failed", "--limit", "1", "--json"]).output)
    assert [(row["outcome"], row["asset"], row["figures"]) for row in failed] == [("failed", "embedder_evaluation", {"missing": 3})]


def test_a_fresh_home_has_no_history(home: Path) -> None:
    assert "Nothing has run yet" in CliRunner().invoke(main, ["history"]).output
    assert json.loads(CliRunner().invoke(main, ["history", "--json"]).output) == []


@pytest.mark.slow
def test_the_daemon_tells_of_a_run_that_the_command_made_in_its_own_process(
    home: Path, far_end: FarEnd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """That run has no code location: a sensor that monitors only its own would never see it."""
    monkeypatch.setenv("FACE_ASSETS_NOTIFY_WEBHOOK", far_end.url())
    reason = "dataset_version: No data repository is named"

    def run(commit: str) -> str:
        report = run_job(Home(home), "commit_to_evaluation", commit, {tags.BRANCH: "main"}, lambda step: None)
        assert report.reasons[0].startswith(reason)
        return report.run_id

    with open_instance(Home(home)) as instance:
        before = instance.get_run_by_id(run(_sha("a")))
        assert before
        assert before.remote_job_origin is None
        assert before.tags[tags.REASON].startswith(reason), "without the daemon, too"
        with _daemon(tmp_path / "daemon.log") as log:
            _wait(lambda: _cursors(instance) == {"failed_runs", "refused_runs", "succeeded_runs"}, log)
            told = run(_sha("b"))
            _wait(lambda: far_end.posts, log)
    assert [(post["kind"], post["asset"], post["run_id"]) for post in far_end.posts] == [("firing", "dataset_version", told)]


class _daemon:  # noqa: N801
    """Dagster's daemon on the platform's own workspace, stopped in the end."""

    def __init__(self, log: Path):
        self.log = log

    def __enter__(self) -> Path:
        with open(self.log, "wb") as output:
            program = str(Path(sys.executable).with_name("dagster-daemon"))
            self.process = subprocess.Popen(
                [program, "run", "-w", str(WORKSPACE)], cwd=ROOT, stdout=output, stderr=output, start_new_session=True
            )
        return self.log

    def __exit__(self, *_: Any) -> None:
        os.killpg(self.process.pid, signal.SIGINT)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)


def _cursors(instance: dg.DagsterInstance) -> set[str]:
    wanted = {"failed_runs", "refused_runs", "succeeded_runs"}
    return {
        state.name for state in instance.all_instigator_state() if state.name in wanted and getattr(state.instigator_data, "cursor", None)
    }


def _wait(until: Callable[[], Any], log: Path) -> None:
    ends = time.monotonic() + 300
    while not until():
        assert time.monotonic() < ends, log.read_text(encoding="utf-8")[-5000:]
        time.sleep(0.2)
