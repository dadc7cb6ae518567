"""Text from outside: a name forges no line of a terminal, a log, a message or a page, and moves no cursor."""

import json
import unicodedata
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from face_assets.cli.commands.shared import Group, print_json
from face_assets.cli.history import history_text
from face_assets.core.errors import UserError
from face_assets.core.outside_text import echo, one_line, shown, shown_in_markdown, shown_json, shown_lines
from face_assets.evaluation.group_figures import groups_markdown
from face_assets.notification.message import Message

HOSTILE = [
    "Ann\nBob (0.99) [v9]",
    "\x1b[2J\x1b[HAll is well",
    "Ann\r✓ live",
    "\x9b31m",
    "\u202egnp.exe",
    "Ann\u200b",
    "a\u2028b",
    "\ud800",
    "\x00\x08\x7f",
]
names = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=30))


def is_harmless(text: str) -> bool:
    return not any(unicodedata.category(one) in ("Cc", "Zl", "Zp", "Cs") or "\u202a" <= one <= "\u202e" for one in text)


@given(names)
def test_a_name_is_one_harmless_line_and_an_ordinary_one_is_as_it_is(name: str) -> None:
    assert is_harmless(shown(name))
    assert shown_lines([name, name]).count("\n") == 1
    assert shown("Zoë Müller (0.93), 王 🙂 \u0628\u200c") == "Zoë Müller (0.93), 王 🙂 \u0628\u200c"


@given(names)
def test_a_text_of_several_lines_becomes_one_of_a_stated_length(name: str) -> None:
    for line in (one_line(f"{name}\n {name}"), one_line(name * 9, 20)):
        assert is_harmless(line) and line == one_line(line)
    assert len(one_line(name * 9, 20)) <= 20
    assert one_line(" two\n\tlines ") == "two lines"


@given(names)
def test_json_for_scripts_holds_the_name_as_it_is_and_shows_it_harmless(name: str) -> None:
    text = shown_json({name: [name]})
    assert json.loads(text) == {name: [name]}
    assert is_harmless(text.replace("\n", ""))


@given(names)
def test_an_error_that_quotes_a_name_is_one_line(name: str) -> None:
    assert is_harmless(str(UserError(f"{name} is wrong")))
    assert str(UserError("one", "two")) == "one\ntwo"


@pytest.mark.parametrize("name", HOSTILE)
def test_commands_print_no_control_character(name: str) -> None:
    import click

    @click.group(cls=Group)
    def group() -> None: ...

    @group.command()
    def fail() -> None:
        raise UserError(f"{name} is wrong")

    @group.command()
    def missing() -> None:
        raise FileNotFoundError(2, "No such file", name)

    @group.command()
    def say() -> None:
        echo(f"{name}: right")
        print_json({"identity": name})

    for command, lines in (("fail", 1), ("missing", 1), ("say", 4)):
        result = CliRunner().invoke(group, [command])
        assert is_harmless(result.output.replace("\n", "")), command
        assert result.output.count("\n") == lines


ROW = {
    "started": 0,
    "seconds": 1.0,
    "job": "j",
    "status": "FAILURE",
    "run_id": "r" * 32,
    "trigger": "commit",
    "commit": "c" * 40,
    "outcome": "failed",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_reports_and_messages_keep_their_lines(name: str) -> None:
    text = history_text([{**ROW, "branch": name, "where": name, "reason": name, "decision": name}] * 2, failed=False)
    assert text.count("\n") == 1 and is_harmless(text.replace("\n", ""))
    facts: dict[str, Any] = {"author": name, "branch": name, "asset": name, "figures": {name: name}}
    plain, hostile = (Message("firing", "c", "title", reason="r", **one).fit_to_send() for one in (_named(facts, "x"), facts))
    assert hostile.text().count("\n") == plain.text().count("\n")
    assert is_harmless(hostile.text().replace("\n", ""))
    assert is_harmless(Message("firing", "c", f"{name} failed").fit_to_send().title)


def _named(facts: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: {name: name} if isinstance(value, dict) else name for key, value in facts.items()}


MARKUP = ["![x](http://far/away.png)", "[x](javascript:alert(1))", "<img src=x onerror=alert(1)>", "a|b", "# x", "`x`", "*x*", "&lt;b&gt;"]


@pytest.mark.parametrize("name", MARKUP + HOSTILE)
def test_a_group_s_name_is_text_in_markdown(name: str) -> None:
    group = {"people": 3, "figures": {"accept_rate": {"value": 0.5, "low": 0.4, "high": 0.6}}, "note": ""}
    text = groups_markdown({name: {name: group}}, [name])
    assert is_harmless(text.replace("\n", ""))
    for mark in "[<|`*!#&":
        if mark in shown(name):
            assert f"\\{mark}" in text
    assert shown_in_markdown("Zoë Müller, 40-49 (old)") == "Zoë Müller, 40-49 (old)"
