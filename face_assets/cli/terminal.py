"""Text on a terminal: within its width, with colour, and with what to do now at its end. Elsewhere text stays as it is."""

import os
import re
import shutil
import sys
import textwrap

import click

from face_assets.core.outside_text import shown

DEEPEST = 14
LABEL = re.compile(r" +|\S+ {2,}")
COLOURS = {
    **dict.fromkeys(("ready", "up", "done", "no_drift"), "green"),
    **dict.fromkeys(("refused", "canceled", "running", "queued"), "yellow"),
    **dict.fromkeys(("failed", "down", "drift"), "red"),
}
STATE = re.compile(rf"(?<= )(?:{'|'.join(COLOURS)})(?=[ ,]|$)")


def print_text(text: str) -> None:
    """Prints text that is `shown` already."""
    click.echo(fitted(text, _width(), colour=not os.environ.get("NO_COLOR")) if sys.stdout.isatty() else text)


def say_next(sentence: str) -> None:
    """Says on a terminal what to do now."""
    if sys.stderr.isatty():
        click.echo(fitted(shown(f"Next: {sentence}"), _width(), colour=False), err=True)


def _width() -> int:
    return shutil.get_terminal_size().columns


def fitted(text: str, width: int, colour: bool) -> str:
    """The text with long lines broken below their label, no word in two, and with `colour` the words that name a state in theirs."""
    lines: list[str] = []
    for line in text.split("\n"):
        label = LABEL.match(line)
        below = " " * min(len(label[0]) if label else 2, DEEPEST)
        lines += textwrap.wrap(line, width, subsequent_indent=below, break_long_words=False, break_on_hyphens=False) or [""]
    fitting = "\n".join(lines)
    return STATE.sub(lambda found: click.style(found[0], fg=COLOURS[found[0]]), fitting) if colour else fitting
