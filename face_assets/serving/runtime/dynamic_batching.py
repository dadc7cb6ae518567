"""Dynamic batching of crops over requests: an engine is faster on eight crops than on one.

A batcher that sees its queue alone has either short batches or needless delay. This one also counts the crops under way: with few callers
nothing is delayed, and with many it waits a moment for the next requests of those just served.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from face_assets.serving.runtime.recorder import log_event

Crops = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
FORGOTTEN = 0.9  # factor of the expected number of crops, from batch to batch

Take = Callable[[Floats | Exception], None]


@dataclass
class _Request:
    crops: Crops
    take: Take
    since: float
    results: dict[int, Floats | Exception] = field(default_factory=dict)  # by row

    def answer(self) -> Floats | Exception:
        """Returns float32 (n, d), or the first error of a row."""
        vectors: list[Floats] = []
        for row in range(len(self.crops)):
            found = self.results[row]
            if isinstance(found, Exception):
                return found
            vectors.append(found)
        return np.stack(vectors)


class DynamicBatcher:
    """One queue of rows of all requests; each idle thread takes a batch of it."""

    def __init__(self, embedders: Sequence[Callable[[Crops], Floats]], batch: int, delay: float):
        """Starts the threads.

        embedders: one a thread, each uint8 (n, s, s, 3) -> float32 (n, d); batch: largest batch of crops; delay: longest time in seconds
        that crops wait for others.
        """
        self._batch, self._delay = batch, delay
        self._waiting: deque[tuple[_Request, int]] = deque()
        self._computing = 0
        self._expected = 0.0  # crops under way at a time, lately
        self._closed = False
        self._changed = threading.Condition()
        self._threads = [threading.Thread(target=self._work, args=(embed,), name="embedder") for embed in embedders]
        for thread in self._threads:
            thread.start()

    def put(self, crops: Crops, take: Take) -> None:
        """Queues crops: uint8 (n, s, s, 3) with n >= 1. `take` is called once, in another thread, with float32 (n, d) or with an error."""
        asked = _Request(crops, take, time.monotonic())
        with self._changed:
            self._waiting.extend((asked, row) for row in range(len(crops)))
            self._expected = max(self._expected, len(self._waiting) + self._computing)
            self._changed.notify()

    def close(self) -> None:
        """Computes what waits, and ends the threads."""
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
                except Exception as error:  # of one request; others wait for this thread
                    log_event("result_not_taken", reason=f"{type(error).__name__}: {error}")

    def _next(self) -> list[tuple[_Request, int]]:
        """Waits for the next batch and returns its rows; none after `close`."""
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

    def _finished(self, rows: list[tuple[_Request, int]], vectors: Floats | Exception) -> list[tuple[_Request, Floats | Exception]]:
        """Stores the results of rows; returns the requests that are complete, with their results."""
        finished: list[tuple[_Request, Floats | Exception]] = []
        with self._changed:
            self._computing -= len(rows)
            for place, (asked, row) in enumerate(rows):
                asked.results[row] = vectors if isinstance(vectors, Exception) else vectors[place]
                if len(asked.results) == len(asked.crops):
                    finished.append((asked, asked.answer()))
        return finished
