"""Mistakes of the user end a run with a sentence; passing errors are retried in runs that nobody waits for."""

import dagster as dg
import pytest

from face_assets.core.errors import UnreachableError, UserError
from face_assets.dataset.steps import left_out_text
from face_assets.orchestration import metadata
from face_assets.orchestration.metadata import as_metadata, picture_of, user_errors, without_names
from face_assets.orchestration.tags import TRIGGER, named
from face_assets.registry.git_mirror import CommitInfo


@pytest.mark.parametrize(
    ("error", "good_after", "tags", "tried", "success"),
    [
        (UnreachableError("the remote is away"), 2, {TRIGGER: "commit"}, 3, True),
        (UnreachableError("the remote is away"), 9, {TRIGGER: "commit"}, 4, False),
        (UnreachableError("the remote is away"), 1, {TRIGGER: "manual"}, 1, False),
        (UnreachableError("the remote is away"), 1, {"face_assets/cause": "hand"}, 1, False),
        (UnreachableError("the remote is away"), 2, {"face_assets/cause": "commit"}, 3, True),
        (UnreachableError("the remote is away"), 1, {}, 1, False),
        (UserError("photos.dvc is missing"), 1, {TRIGGER: "commit"}, 1, False),
    ],
)
def test_only_what_may_mend_itself_is_tried_again_and_only_where_nobody_waits(
    error: UserError, good_after: int, tags: dict[str, str], tried: int, success: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "SECONDS_BEFORE_A_RETRY", 0)
    seen: list[int] = []

    @dg.asset
    def remote_photos(context: dg.AssetExecutionContext) -> None:
        seen.append(context.retry_number)
        with user_errors(context):
            if len(seen) <= good_after:
                raise error

    with dg.instance_for_test() as instance:
        ended = dg.materialize([remote_photos], instance=instance, tags=tags, raise_on_error=False)
    assert (len(seen), ended.success) == (tried, success)
    if not success:
        (failure,) = [event for event in ended.all_events if event.event_type == dg.DagsterEventType.STEP_FAILURE]
        assert failure.step_failure_data.user_failure_data.description == str(error)


def test_verdict_pictures_and_figures_stand_above_how_it_was_made() -> None:
    facts = {
        "environment": {"torch": "2.13.0"},
        "code_version": "1",
        "commit": "c" * 40,
        "by_split": {"train": 60},
        "photos": 720,
        "roc": picture_of(b"", "roc"),
        "passed": True,
        "made_from": "2026-11-30 10:12, main: Add photos",
    }
    shown = ["made_from", "passed", "roc", "photos", "by_split", "commit", "code_version", "environment"]
    assert list(as_metadata(facts)) == shown
    stored = dg.deserialize_value(dg.serialize_value(dg.AssetMaterialization("a", metadata=as_metadata(facts))), dg.AssetMaterialization)
    assert list(stored.metadata) == shown


def test_a_commit_is_named_by_date_branch_and_subject() -> None:
    info = CommitInfo("c" * 40, "Ann <ann@example.org>", "2026-11-30T10:12:13+01:00", "Add photos", ("main", "try/1"))
    assert named(info) == "2026-11-30 10:12, main: Add photos"
    assert named(info, "try/1") == "2026-11-30 10:12, try/1: Add photos"
    assert named(CommitInfo(info.sha, info.author, info.time, info.subject, ())) == "2026-11-30 10:12: Add photos"


def test_metadata_counts_people_and_photos_and_names_none() -> None:
    facts = {
        "people_without_face": ["Ann", "Bob"],
        "people_without_face_examples": [],
        "rejected_examples": {"Ann/1.jpg": "no face"},
        "findings": [{"path": "Ann/1.jpg"}],
        "people": {"train": 3},
    }
    found = as_metadata(facts)
    assert found["people_without_face"] == "2, in summary.json of the artifact" and found["people_without_face_examples"] == "none"
    assert found["people"].data == {"train": 3}
    checked = dg.AssetCheckResult(passed=True, metadata={"examples": {"Ann/1.jpg": "no face"}, "rejected_rate": 0.1}).metadata
    assert without_names(checked)["examples"] == "1, in summary.json of the artifact"
    assert "Ann" not in str(found) and "Ann" not in str(without_names(checked))


def test_what_the_event_log_keeps_of_files_left_out_makes_a_message() -> None:
    """The command shows an asset's facts as the event log has them."""
    notes = {
        "left_out_files": {"hidden": 2},
        "left_out_files_examples": {"hidden": ["Ann/.a.jpg"]},
        "misplaced": 1,
        "misplaced_examples": ["b.jpg"],
        "people_without_photos": ["Bob"],
    }
    assert "such as Ann/.a.jpg" in left_out_text(notes) and "1 folders without a photo (Bob)" in left_out_text(notes)
    kept = left_out_text(without_names(notes))
    assert "2 hidden" in kept and "folders without a photo: 1" in kept
    assert not [name for name in ("Ann", "Bob", "b.jpg") if name in kept]
    nothing = {"left_out_files": {}, "left_out_files_examples": {}, "misplaced": 0, "misplaced_examples": [], "people_without_photos": []}
    assert left_out_text(without_names(nothing)) == left_out_text(nothing) == ""
