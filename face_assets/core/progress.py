"""Progress of long work, as lines of a log."""

from collections.abc import Callable
from time import monotonic

SECONDS_A_LINE = 5.0


def every_few_seconds(log: Callable[[str], None], done_word: str) -> Callable[[int, int], None]:
    """Progress as lines of the log that say how many are `done_word`, and how fast."""
    started = last = monotonic()

    def progress(done: int, whole: int) -> None:
        nonlocal last
        now = monotonic()
        if now - last > SECONDS_A_LINE or done == whole:
            last = now
            log(f"{done_word} {done:,} of {whole:,} photos, {done / max(now - started, 1e-6):,.0f} a second")

    return progress
