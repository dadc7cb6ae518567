"""One message for a cause and one when it is well, over processes, kills, and far ends that are down for a while."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import pytest

from face_assets.core.errors import UserError
from face_assets.core.files import write_json
from face_assets.core.settings import load_settings
from face_assets.notification.channels import Channel, Email, Slack, Webhook
from face_assets.notification.ledger import FIRST_DELAY, LONGEST_UNSENT, MOST_FIRING, Ledger
from face_assets.notification.message import Message
from face_assets.notification.notifier import channels, report_firing, report_resolved, send_unsent
from tests.far_end import FarEnd

REPORT = """
import sys
from face_assets.notification.message import Message
from face_assets.notification.notifier import report_firing
from face_assets.core.settings import load_settings
sys.stdin.readline()
print(report_firing(load_settings(), Message("firing", "repository", "The repository cannot be read")))
"""
RESOLVED = Message("resolved", "main", "commit_to_live went through for commit 5678 (main)", time=2e9)


@pytest.fixture
def hooked(home: Path, far_end: FarEnd, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory with a webhook."""
    monkeypatch.setenv("FACE_ASSETS_NOTIFY_WEBHOOK", far_end.url())
    return home


def _later(seconds: float) -> Callable[[], float]:
    return lambda: time.time() + seconds


def _kinds(far_end: FarEnd) -> list[str]:
    return [post["kind"] for post in far_end.posts]


def test_a_cause_is_sent_once_and_once_when_it_is_resolved(hooked: Path, far_end: FarEnd, problem: Message) -> None:
    settings = load_settings()
    assert report_firing(settings, problem)
    assert not report_firing(settings, replace(problem, run_id="another run", reason="the same in other words"))
    assert [message.cause for message in Ledger(hooked).firing()] == [problem.cause]
    assert report_resolved(settings, RESOLVED) == [problem]
    assert report_resolved(settings, RESOLVED) == []
    assert _kinds(far_end) == ["firing", "resolved"]
    assert far_end.posts[1]["reason"] == f"Resolved: {problem.title}"
    assert report_firing(settings, problem), "it came back, which is news"
    assert _kinds(far_end) == ["firing", "resolved", "firing"]


def test_well_closes_the_cause_and_what_is_below_it_in_one_message(hooked: Path, far_end: FarEnd, problem: Message) -> None:
    settings = load_settings()
    causes = ["main: gate: 1", "main: gate: 2", "main", "main2: gate: 1", "maintenance"]
    for cause in causes:
        report_firing(settings, replace(problem, cause=cause, title=cause))
    assert [closed.cause for closed in report_resolved(settings, RESOLVED)] == causes[:3]
    assert far_end.posts[-1]["reason"] == "Resolved: main: gate: 1\nResolved: main: gate: 2\nResolved: main"
    assert [closed.cause for closed in report_resolved(settings, RESOLVED, ["main2: gate", "none"])] == ["main2: gate: 1"]
    assert _kinds(far_end) == ["firing"] * 5 + ["resolved"] * 2


def test_a_success_does_not_close_what_failed_after_it(home: Path, problem: Message) -> None:
    ledger = Ledger(home)
    ledger.fire(replace(problem, time=100.0))
    assert ledger.resolve(RESOLVED, before=99.0) == []
    assert len(ledger.resolve(RESOLVED, before=101.0)) == 1


def test_without_a_channel_only_the_ledger_is_kept(home: Path, problem: Message) -> None:
    settings = load_settings()
    assert channels(settings) == {}
    assert report_firing(settings, problem)
    assert Ledger(home).unsent() == []
    assert report_resolved(settings, RESOLVED) == [problem]


def test_every_channel_that_the_settings_name_is_used(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WEBHOOK": "http://a", "SLACK": "http://b", "SMTP": "smtp://c", "FROM": "f@g", "TO": "h@i,j@k"}.items():
        monkeypatch.setenv(f"FACE_ASSETS_NOTIFY_{name}", value)
    found = channels(load_settings())
    assert found == {"webhook": Webhook("http://a"), "slack": Slack("http://b"), "email": Email("smtp://c", "f@g", ["h@i", "j@k"])}


def test_what_a_far_end_missed_is_sent_in_order_when_it_is_up(hooked: Path, far_end: FarEnd, problem: Message) -> None:
    settings, said = load_settings(), list[str]()
    far_end.down()
    assert report_firing(settings, problem, said.append)
    assert len(said) == 1
    assert "The webhook at 127.0.0.1 did not accept the message: Connection refused." in said
    report_resolved(settings, RESOLVED, log=said.append)
    assert len(said) == 1, "a far end that is down is left alone for a while"
    far_end.up()
    ledger = Ledger(hooked)
    ways = channels(settings)
    assert ledger.send(ways) == []
    assert far_end.posts == []
    assert ledger.send(ways, _later(FIRST_DELAY)) == []
    assert _kinds(far_end) == ["firing", "resolved"]
    assert ledger.unsent() == []
    send_unsent(settings)
    assert len(far_end.posts) == 2


def test_a_channel_that_is_down_keeps_no_other_waiting_and_doubles_nothing(home: Path, far_end: FarEnd, problem: Message) -> None:
    down = FarEnd(port=far_end.port)
    other = FarEnd()
    other.may_answer.set()
    other.up()
    far_end.down()
    ways: dict[str, Channel] = {"webhook": Webhook(far_end.url()), "slack": Slack(other.url())}
    ledger = Ledger(home)
    ledger.fire(problem, tuple(ways))
    assert len(ledger.send(ways)) == 1
    assert len(other.posts) == 1
    down.may_answer.set()
    down.up()
    assert ledger.send(ways, _later(FIRST_DELAY)) == []
    assert (len(down.posts), len(other.posts)) == (1, 1)
    down.down()
    other.down()


def test_a_receiver_that_stays_down_is_tried_less_and_less_and_dropped_after_three_days(
    home: Path, far_end: FarEnd, problem: Message
) -> None:
    far_end.down()
    ways: dict[str, Channel] = {"webhook": Webhook(far_end.url())}
    ledger = Ledger(home)
    ledger.fire(problem, tuple(ways))
    tries = [second for second in range(0, 4000, 5) if ledger.send(ways, _later(second))]
    assert tries[:5] == [0, 15, 45, 105, 225]
    assert {after - before for before, after in pairwise(tries[6:])} == {600}
    assert ledger.unsent()
    assert "Dropped after three days without webhook" in ledger.send(ways, _later(LONGEST_UNSENT + 1))[0]
    assert ledger.unsent() == []
    assert [message.cause for message in ledger.firing()] == [problem.cause]


def test_a_channel_that_is_named_no_more_is_forgotten(home: Path, far_end: FarEnd, problem: Message) -> None:
    far_end.down()
    ledger = Ledger(home)
    ledger.fire(problem, ("webhook", "slack"))
    assert ledger.send({}) == []
    assert ledger.unsent() == []


def test_abandoned_branches_do_not_pile_up(home: Path, problem: Message, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("face_assets.notification.ledger.MOST_FIRING", 3)
    assert MOST_FIRING > 100
    ledger = Ledger(home)
    for number in range(5):
        ledger.fire(replace(problem, cause=f"cause {number}"))
    assert [message.cause for message in ledger.firing()] == ["cause 2", "cause 3", "cause 4"]


def test_a_ledger_of_an_earlier_version_is_read(home: Path, problem: Message) -> None:
    stored = asdict(problem) | {"kind": "problem"}
    waiting = {"id": "1", "since": 0.0, "channels": ["webhook"], "message": stored | {"kind": "well"}}
    write_json(home / "notifications.json", {"open": [stored], "unsent": [waiting], "failing": {}})
    ledger = Ledger(home)
    assert ledger.firing() == [problem]
    assert ledger.unsent() == [replace(problem, kind="resolved")]
    assert ledger.resolve(RESOLVED) == [problem]


def test_a_damaged_ledger_is_named(home: Path, problem: Message) -> None:
    ledger = Ledger(home)
    ledger.fire(problem)
    ledger.path.write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match=r"notifications\.json"):
        ledger.firing()
    ledger.path.unlink()
    assert ledger.fire(problem)


def test_processes_with_the_same_cause_at_once_send_it_once(hooked: Path, far_end: FarEnd) -> None:
    children = [_child() for _ in range(4)]
    answers = [child.communicate("go\n", timeout=60)[0].strip() for child in children]
    assert sorted(answers) == ["False", "False", "False", "True"]
    assert len(far_end.posts) == 1


def test_a_kill_while_sending_loses_no_message(hooked: Path, far_end: FarEnd) -> None:
    """The receiver has it and the ledger does not record it: it is sent again, at least once and not exactly once."""
    far_end.may_answer.clear()
    child = _child()
    assert child.stdin
    child.stdin.write("go\n")
    child.stdin.flush()
    assert far_end.got_one.wait(60)
    child.send_signal(signal.SIGKILL)
    child.wait()
    far_end.may_answer.set()
    assert len(Ledger(hooked).unsent()) == 1
    settings = load_settings()
    assert not report_firing(settings, Message("firing", "repository", "The same from another process"))
    assert [post["title"] for post in far_end.posts] == ["The repository cannot be read"] * 2
    send_unsent(settings)
    assert len(far_end.posts) == 2


def test_a_kill_before_sending_loses_no_message(hooked: Path, far_end: FarEnd, problem: Message) -> None:
    Ledger(hooked).fire(problem, ["webhook"])  # what is on the disk when the process is killed here
    assert json.loads((hooked / "notifications.json").read_text(encoding="utf-8"))["unsent"]
    send_unsent(load_settings())
    assert len(far_end.posts) == 1


def _child() -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", REPORT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
