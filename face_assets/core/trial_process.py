"""A trial of a file from outside in a process of its own, with bounds of time and memory: neither can take the platform down."""

import json
import resource
import sys
from collections.abc import Callable

from face_assets.core.errors import UserError
from face_assets.core.subprocesses import TookTooLongError, python, run

SECONDS = 300.0
MOST_BYTES = 8_000_000_000
REFUSED = 3


def try_apart(module: str, subject: str, *arguments: str) -> None:
    """Runs `module` as a program that calls `answer_trial`. Raises UserError with its sentence, or that the trial exceeded its bounds.

    subject: the parameter and the file, as sentences begin with.
    """
    try:
        ended = run(python("-m", module, *arguments), SECONDS)
    except TookTooLongError as error:
        raise UserError(f"{subject} did not answer within {SECONDS:g} s: take a smaller network.") from error
    if ended.returncode == REFUSED:
        raise UserError(*json.loads(ended.stdout.splitlines()[-1]))
    if ended.returncode:
        raise UserError(f"{subject} ends the process that tries it, or takes more than {MOST_BYTES / 1e9:g} GB of memory.")


def answer_trial(trial: Callable[..., None]) -> None:
    """Runs the trial with the arguments of this process, whose memory is bounded; its UserError is printed for `try_apart`."""
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_BYTES, MOST_BYTES))
    try:
        trial(*sys.argv[1:])
    except UserError as error:
        print(json.dumps(error.args))
        raise SystemExit(REFUSED) from None
