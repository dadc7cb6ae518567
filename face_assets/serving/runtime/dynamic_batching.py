"""Crops of many callers, embedded together: an engine is faster on eight crops than on one.

A batcher that looks at its queue alone must choose between short batches and needless waiting. This one also knows who is being served:
where few are asking nobody waits, and where many are, those just answered are given a moment to ask again.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from face_assets.serving.runtime.recorder import tell

Crops = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
FORGOTTEN = 0.9  # what is left of an expectation at the next batch

Take = Callable[[Floats | Exception], None]


@dataclass
class _Asked:
    crops: Crops
    take: Take
    since: float
    results: dict[int, Floats | Exception] = field(default_factory=dict)  # by row

    def answer(self) -> Floats | Exception:
        """float32 (n, d), or the first of what went wrong."""
        vectors: list[Floats] = []
        for row in range(len(self.crops)):
            found = self.results[row]
            if isinstance(found, Exception):
                return found
            vectors.append(found)
        return np.stack(vectors)


class DynamicBatcher:
    """Rows of all callers in one queue, of which each thread takes a batch as it comes free."""

    def __init__(self, embedders: Sequence[Callable[[Crops], Floats]], batch: int, delay: float):
        """embedders: one a thread, each uint8 (n, s, s, 3) -> float32 (n, d); batch: the most crops that one takes at once; delay: the
        most seconds that crops wait for others."""
        self._batch, self._delay = batch, delay
        self._waiting: deque[tuple[_Asked, int]] = deque()
        self._computing = 0
        self._expected = 0.0  # crops at a time, of late
        self._closed = False
        self._changed = threading.Condition()
        self._threads = [threading.Thread(target=self._work, args=(embed,), name="embedder") for embed in embedders]
        for thread in self._threads:
            thread.start()

    def put(self, crops: Crops, take: Take) -> None:
        """crops: uint8 (n, s, s, 3) with n >= 1. `take` is called once, in another thread, with float32 (n, d) or with what went wrong."""
        asked = _Asked(crops, take, time.monotonic())
        with self._changed:
            self._waiting.extend((asked, row) for row in range(len(crops)))
            self._expected = max(self._expected, len(self._waiting) + self._computing)
            self._changed.notify()

    def close(self) -> None:
        """Answers what waits, and ends the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self, embed: Callable[[Crops], Floats]) -> None:
        while rows := self._next():
            try:
                vectors: Floats | Exception = embed(np.stack([asked.crops[row] for asked, row in rows]))
            except Exception as error:
                vectors = error
            for asked, answer in self._finished(rows, vectors):
                try:
                    asked.take(answer)
                except Exception as error:  # of one caller; the others wait for this thread
                    tell("answer_not_taken", reason=f"{type(error).__name__}: {error}")

    def _next(self) -> list[tuple[_Asked, int]]:
        """The rows of the next batch; none at the end."""
        with self._changed:
            while True:
                if self._waiting:
                    enough = min(self._batch, self._expected / len(self._threads))
                    left = self._waiting[0][0].since + self._delay - time.monotonic()
                    if len(self._waiting) >= enough or left <= 0 or self._closed:
                        rows = [self._waiting.popleft() for _ in range(min(self._batch, len(self._waiting)))]
                        self._computing += len(rows)
                        self._expected = max(self._expected * FORGOTTEN, len(self._waiting) + self._computing)
                        return rows
                    self._changed.wait(left)
                elif self._closed:
                    return []
                else:
                    self._changed.wait()

    def _finished(self, rows: list[tuple[_Asked, int]], vectors: Floats | Exception) -> list[tuple[_Asked, Floats | Exception]]:
        """Notes what was computed; returns those whose last row it was."""
        finished: list[tuple[_Asked, Floats | Exception]] = []
        with self._changed:
            self._computing -= len(rows)
            for place, (asked, row) in enumerate(rows):
                asked.results[row] = vectors if isinstance(vectors, Exception) else vectors[place]
                if len(asked.results) == len(asked.crops):
                    finished.append((asked, asked.answer()))
        return finished
