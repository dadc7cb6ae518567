"""Feedback: what counts as a mistake, rates with honest intervals, and an inbox that holds no photo by itself."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from face_assets.cli.feedback import feedback_report, import_feedback
from face_assets.core.errors import UserError
from face_assets.monitoring.feedback import SOMEBODY_ELSE, STRANGER, Feedback, estimates, read_feedback, wilson, write_feedback
from face_assets.registry.git import git


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    git("init", "-q", str(tmp_path / "people"))
    return tmp_path / "people"


def say(answered: str | None, truth: str, sampled: bool = True) -> Feedback:
    return Feedback(answered, truth, "v1.0.0", 1e9, sampled)


def test_verdicts() -> None:
    assert say("Ann", "Ann").verdict == "right"
    assert say("Ann", "Bob").verdict == "false accept"
    assert say("Ann", STRANGER).verdict == "false accept"
    assert say("Ann", SOMEBODY_ELSE).verdict == "false accept"
    assert say(None, STRANGER).verdict == "right"
    assert say(None, "Ann").verdict == "false reject"


def test_intervals_hold_for_few_answers() -> None:
    none, few, many = wilson(0, 5), wilson(2, 10), wilson(200, 1000)
    assert (none.low, round(none.high, 3)) == (0.0, 0.434)  # the value in the tables
    assert (round(few.low, 4), round(few.high, 4)) == (0.0567, 0.5098)
    assert few.low < many.low < 0.2 < many.high < few.high


@pytest.mark.parametrize("name", ["inbox", "inbox/photos", "inbox/.gitignore"])
def test_a_link_in_the_inbox_s_place_is_not_followed(tree: Path, tmp_path: Path, name: str) -> None:
    """A commit can contain links, by which a secret of this machine became a file of the inbox, and photos files of another folder."""
    (tmp_path / "secret").write_text("secret")
    (tree / name).parent.mkdir(exist_ok=True)
    (tree / name).symlink_to(tmp_path / "secret" if name.endswith("ignore") else tmp_path)
    with pytest.raises(UserError, match="is a symbolic link"):
        write_feedback(tree, say("Ann", "Bob"), b"JPEG", ".jpg")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["people", "secret"]


def test_odd_proposals_are_named_and_the_rest_counts(tree: Path, tmp_path: Path) -> None:
    good = write_feedback(tree, say("Ann", "Bob"))
    values = json.loads(good.read_text())
    for name, more in (("late", {"time": 1e300}), ("nan", {"time": float("nan")}), ("long", {"note": "x" * 200_000})):
        (tree / "inbox" / f"{name}.json").write_text(json.dumps(values | more))
    (tree / "inbox" / "link.json").symlink_to(good)
    found, problems = read_feedback(tree)
    assert (len(found), len(problems)) == (1, 3)


def test_reported_mistakes_are_no_rate(tree: Path) -> None:
    found = [say("Ann", "Ann")] * 8 + [say("Ann", "Bob"), say(None, "Ann")] + [say("Ann", STRANGER, sampled=False)] * 5
    (one,) = estimates(found)
    assert (one.false_accepts.wrong, one.false_accepts.of, one.false_rejects.of) == (1, 9, 1)
    assert one.reported_false_accepts == 5
    for feedback in found[-5:]:
        write_feedback(tree, feedback)
    text = feedback_report(tree)["text"]
    assert "unknown, none of the faces identified as somebody" in text
    assert "5 false accepts" in text


def test_git_takes_no_photo_from_the_inbox(tree: Path) -> None:
    write_feedback(tree, say("Ann", "Ann"))
    assert [path.suffix for path in (tree / "inbox").iterdir()] == [".json"], "no photo is kept unless it is given"
    shutil.rmtree(tree / "inbox")
    (tree / "inbox").mkdir()
    (tree / "inbox" / ".gitignore").write_text("*.tmp")  # theirs
    file = write_feedback(tree, say("Ann", "Bob"), b"JPEG", ".jpg")
    subprocess.run(["git", "add", "inbox"], cwd=tree, check=True)
    listed = git("ls-files", cwd=tree).decode()
    assert file.name in listed
    assert ".jpg" not in listed
    (found,), problems = read_feedback(tree)
    assert found.photo
    assert (tree / "inbox" / found.photo).read_bytes() == b"JPEG"
    (tree / "inbox" / "broken.json").write_text('{"truth": 7}')
    found_now, problems = read_feedback(tree)
    assert found_now == [found]
    assert "broken.json" in problems[0]


def test_a_file_of_feedback_is_taken_whole_or_not_at_all(tree: Path, tmp_path: Path) -> None:
    rows = tmp_path / "said.csv"
    rows.write_text("answered,truth,release,sampled\nAnn,Ann,v1.0.0,yes\n,Zoë Müller,v1.0.0,yes\n", encoding="utf-8")
    assert len(import_feedback(tree, rows)) == 2
    rows.write_text("answered,truth,release\nAnn,,v1.0.0\n")
    with pytest.raises(UserError, match="line 2"):
        import_feedback(tree, rows)
    rows.write_text("who\nAnn\n")
    with pytest.raises(UserError, match="'answered' is missing"):
        import_feedback(tree, rows)
    assert len(read_feedback(tree)[0]) == 2
    with pytest.raises(UserError, match="no git working tree"):
        import_feedback(tmp_path / "elsewhere", rows)
