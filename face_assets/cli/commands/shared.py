"""Shared parts of the commands: options, exit statuses, JSON, and messages instead of tracebacks."""

import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import IO, Any

import click

from face_assets.cli.terminal import say_next
from face_assets.core.errors import RefusedError, UserError
from face_assets.core.full_disk import mendable
from face_assets.core.outside_text import shown, shown_json, shown_lines
from face_assets.core.settings import default_home

FAILED = 1
REFUSED = 3

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
repo_option = click.option(
    "--repo",
    metavar="PATH_OR_URL",
    help="The data repository, which this machine follows from then on. FACE_ASSETS_REPO must not name another.",
)
read_repo_option = click.option(
    "--repo", metavar="PATH_OR_URL", help="The data repository to read; without it the one that this machine follows."
)
same_repo_option = click.option("--repo", metavar="PATH_OR_URL", help="The data repository; an error if this machine follows another.")


class Refusal(click.ClickException):
    """Refusal that ends a command."""

    exit_code = REFUSED

    def show(self, file: IO[Any] | None = None) -> None:
        """Prints the message on standard error."""
        click.echo(f"Refused: {self.format_message()}", file=file, err=True)


def _sentence(error: Exception) -> str | None:
    try:
        return mendable(error, default_home())
    except UserError as no_home:
        return str(no_home)


def _no_traceback(command: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):  # click ends quietly where nobody reads on
            raise
        except Exception as error:
            sentence = _sentence(error) or _system_error(error)
            if sentence is None:
                raise
            raise (Refusal if isinstance(error, RefusedError) else click.ClickException)(shown_lines(sentence.split("\n"))) from error
        except KeyboardInterrupt:
            click.echo("Stopped.", err=True)
            sys.exit(130)

    return wrapped


def _system_error(error: Exception) -> str | None:
    """Returns the message for an error of the system or an unusable name; None for a fault of the platform."""
    if isinstance(error, OSError) and error.errno is not None:
        return shown(f"{error.filename or 'the system'}: {error.strerror}")
    if isinstance(error, UnicodeError):
        return shown(f"an argument, or the name of a file, is not UTF-8: {error}")
    if isinstance(error, RuntimeError) and str(error).startswith("Symlink loop"):  # of pathlib's resolve
        return shown(f"{error}: name what the link should lead to.")
    return None


class Group(click.Group):
    """Group of commands that turn errors of the user into a message and exit status 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Invokes the command as click does, within `_no_traceback`."""
        if os.environ.get("NO_COLOR"):
            ctx.color = False
        return _no_traceback(super().invoke)(ctx)


def end(report: dict[str, Any], as_json: bool, then: str = "face-assets status shows what is live") -> None:
    """Prints the report of a run as JSON on demand, else on a terminal what to do `then`, and exits with the status of its outcome."""
    if as_json:
        print_json(report)
    else:
        mend = "mend what the line above names, and repeat the command; face-assets status shows what is live"
        say_next(then if report["success"] else mend)
    sys.exit(0 if report["success"] else REFUSED if report["refused"] else FAILED)


def print_json(value: Any) -> None:
    """Prints JSON on standard output."""
    click.echo(shown_json(value))
