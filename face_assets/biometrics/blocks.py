"""Rows in blocks, so that the scores of many photos with many people are never in memory at once."""

from collections.abc import Iterator

SCORES_AT_ONCE = 16_000_000


def blocks(rows: int, columns: int) -> Iterator[slice]:
    """Slices of so many rows that a block of scores stays below SCORES_AT_ONCE, which bounds the memory."""
    step = max(1, SCORES_AT_ONCE // max(1, columns))
    return (slice(start, min(rows, start + step)) for start in range(0, rows, step))
