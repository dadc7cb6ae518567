"""Trials of files from outside: a refusal, a crash and a hang each become a sentence."""

from pathlib import Path

import pytest

from face_assets.core import trial_process
from face_assets.core.errors import UserError
from face_assets.core.trial_process import answer_trial, try_apart


def trial(what: str) -> None:
    """Behaves as a file that is asked for."""
    if what == "refused":
        raise UserError("weights: it is refused", "for a reason")
    if what == "large":
        bytearray(trial_process.MOST_BYTES)
    while what == "hangs":
        pass


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the process import this module, which no installation has."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))


@pytest.mark.parametrize(
    "what, sentence",
    [("refused", "weights: it is refused\nfor a reason"), ("large", "more than 8 GB of memory"), ("hangs", "did not answer within")],
)
def test_what_goes_wrong_is_a_sentence(what: str, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_process, "SECONDS", 0.01 if what == "hangs" else 300.0)
    with pytest.raises(UserError, match=sentence):
        try_apart("tests.core.test_trial_process", "weights: it", what)


def test_what_is_fine_returns() -> None:
    try_apart("tests.core.test_trial_process", "weights: it", "fine")


if __name__ == "__main__":
    answer_trial(trial)
