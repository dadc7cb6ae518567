"""Mistakes of the user end a run with a sentence; passing errors are retried in runs that nobody waits for."""

import dagster as dg
import pytest

from face_assets.core.errors import UnreachableError, UserError
from face_assets.orchestration import metadata
from face_assets.orchestration.metadata import user_errors
from face_assets.orchestration.tags import TRIGGER


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
