"""A message with everything in it that is hard to pass on."""

import pytest

from face_assets.notification.message import Message


@pytest.fixture
def problem() -> Message:
    return Message(
        kind="firing",
        cause="main: embedder_evaluation: gate: 1234",
        title="embedder_evaluation: gate refused commit 1234 (main)",
        reason='TAR@FAR 1e-3 is 0.71, "floor" 0.9\nand worse than production: 0.95 → 0.71 \\ {title}',
        commit="1234",
        branch="main",
        author="Ann Österreicher <ann@example.org>",
        asset="embedder_evaluation",
        job="commit_to_live",
        run_id="a-run",
        figures={"auc": 0.71, "tar": {"0.001": 0.7}, "odd": float("nan")},
        time=1_700_000_000.0,
    ).fit_to_send()
