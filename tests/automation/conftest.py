"""Sensors called directly do not wait for a change."""

import pytest

from face_assets.automation import change_watch


@pytest.fixture(autouse=True)
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tick ends at once where nothing is new."""
    monkeypatch.setattr(change_watch, "SECONDS_TO_WAIT", 0.0)
