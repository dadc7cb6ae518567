"""Escaping of text from outside (names, subjects, responses, other programs' output) for terminals, logs and messages."""

import json
import re
from collections.abc import Iterable

import click

# what moves the cursor, begins a line, changes the direction of text or is invisible; and surrogates, which no terminal can show
CONTROLS, LINE_BREAKS = "\\x00-\\x1f\\x7f-\\x9f", "\\u2028\\u2029"
DIRECTIONS = "\\u061c\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u206f"
UNSEEN = "\\u00ad\\u200b\\u2060-\\u2065\\ufeff\\ufff9-\\ufffb\\U000e0000-\\U000e007f\\ud800-\\udfff"
UNSAFE = re.compile(f"[{CONTROLS}{LINE_BREAKS}{DIRECTIONS}{UNSEEN}]")
UNSAFE_IN_JSON = re.compile(f"(?!\\n){UNSAFE.pattern}")
MARKUP = re.compile(r"[\\`*\[\]<>|!~&#]|(?<!\w)_|_(?!\w)")


def shown(text: object) -> str:
    """One line, with an escape such as `\\x1b` or `\\n` in place of what could forge or hide a part of it."""
    return UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), str(text))


def one_line(text: object, longest: int | None = None) -> str:
    """`shown`, with one blank for any white space, shortened to `longest` characters."""
    line = shown(" ".join(str(text).split()))
    return line if longest is None or len(line) <= longest else line[: longest - 2].rstrip() + " …"


def shown_lines(lines: Iterable[object]) -> str:
    """Several lines, each of them `shown`."""
    return "\n".join(map(shown, lines))


def shown_in_markdown(text: object) -> str:
    """The text escaped for Markdown, so that it makes no link, picture, tag, heading or cell."""
    return MARKUP.sub(r"\\\g<0>", shown(text))


def shown_json(value: object) -> str:
    """Readable JSON with such characters as JSON escapes: a script that parses it gets the text unchanged."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return UNSAFE_IN_JSON.sub(lambda found: json.dumps(found[0])[1:-1], text)


def echo(*lines: object, err: bool = False) -> None:
    """Prints lines that may hold text from outside."""
    click.echo(shown_lines(lines), err=err)
