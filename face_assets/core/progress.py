"""Progress of long work: a bar on a terminal, and a line each ten seconds in a log or a file."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from time import monotonic

from face_assets.core.outside_text import echo

SECONDS_A_LINE = 10.0

Progress = Callable[[int, int], None]
"""Callback with the number done, and the number of all."""


def progress_lines(log: Callable[[str], None], doing: str, unit: str = "photos", clock: Callable[[], float] = monotonic) -> Progress:
    """A progress callback that logs count and rate, one line each SECONDS_A_LINE, and the last."""
    started = last = clock()

    def progress(done: int, whole: int) -> None:
        nonlocal last
        now = clock()
        if now - last >= SECONDS_A_LINE or done == whole:
            last = now
            log(f"{doing} {done:,} of {whole:,} {unit}, {done / max(now - started, 1e-6):,.0f} a second")

    return progress


@contextmanager
def progress_bar(doing: str, unit: str = "photos") -> Iterator[Progress]:
    """Progress on standard error: a bar where that is a terminal, else `progress_lines`."""
    if not sys.stderr.isatty():
        yield progress_lines(partial(echo, err=True), doing, unit)
        return
    from tqdm import tqdm

    with tqdm(desc=doing, unit=f" {unit}", file=sys.stderr) as bar:

        def progress(done: int, whole: int) -> None:
            bar.total = whole
            bar.update(done - bar.n)

        yield progress
