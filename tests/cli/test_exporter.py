"""Exporter: committed feedback becomes error rates, and other feedback does not."""

from pathlib import Path

import dagster as dg
import pytest

from face_assets.cli.exporter import Platform
from face_assets.monitoring.feedback import Feedback, write_feedback
from face_assets.registry.git import git


def say(answered: str | None, truth: str, sampled: bool = True) -> Feedback:
    return Feedback(answered, truth, "v1.0.0", 1e9, sampled)


@pytest.fixture
def people(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data repository that this home follows."""
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "Ann")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "ann@example.org")
    monkeypatch.setenv("FACE_ASSETS_REPO", str(tmp_path / "people"))
    git("init", "-q", "-b", "main", str(tmp_path / "people"))
    git("commit", "-q", "--allow-empty", "-m", "Begin", cwd=tmp_path / "people")
    return tmp_path / "people"


def figures(platform: Platform) -> dict[tuple[str, ...], float]:
    platform.workspace().repository.refresh()  # as the sensors do
    (collector,) = [one for one in platform.collectors() if one.name == "feedback"]
    return {
        (one.name.removeprefix("face_assets_feedback_"), *one.labels.values()): one.value
        for family in collector.read()
        for one in family.samples
    }


def test_committed_feedback_is_told_as_rates_by_release(people: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        platform = Platform(instance)
        for one in [say("Ann", "Ann")] * 9 + [say("Ann", "Bob"), say("Ann", "Bob", sampled=False)]:
            write_feedback(people, one)
        assert figures(platform) == {("unreadable_files",): 0}
        (people / "inbox" / "broken.json").write_text("[]")
        git("add", "inbox", cwd=people)
        git("commit", "-q", "-m", "Say what was true", cwd=people)
        found = figures(platform)
        assert found["error_rate", "v1.0.0", "false_accept", "estimate"] == pytest.approx(0.1)
        low, high = (found["error_rate", "v1.0.0", "false_accept", bound] for bound in ("low", "high"))
        assert (round(low, 3), round(high, 3)) == (0.018, 0.404)
        assert (found["judged_answers", "v1.0.0", "false_accept"], found["judged_answers", "v1.0.0", "false_reject"]) == (10, 0)
        assert ("error_rate", "v1.0.0", "false_reject", "estimate") not in found, "of what nobody looked at there is no rate"
        assert (found["reported_errors", "v1.0.0", "false_accept"], found["unreadable_files",]) == (1, 1)
