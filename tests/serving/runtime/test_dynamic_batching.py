"""Crops of many callers in batches: everyone gets his own, nobody waits for nobody, and what goes wrong reaches whom it concerns."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest

from face_assets.serving.runtime.dynamic_batching import Crops, DynamicBatcher, Floats


def embed(crops: Crops) -> Floats:
    """Returns the value that fills a crop, as its vector."""
    time.sleep(0.002)
    if (crops == 255).any():
        raise ValueError("a bad crop")
    return crops[:, 0, 0, :2].astype(np.float32)


@contextmanager
def gathering(*embedders: Callable[[Crops], Floats], batch: int = 8, delay: float = 0.005) -> Iterator[DynamicBatcher]:
    batcher = DynamicBatcher(embedders, batch, delay)
    try:
        yield batcher
    finally:
        batcher.close()


def crops(*values: int) -> Crops:
    return np.stack([np.full((4, 4, 3), value, np.uint8) for value in values])


def ask(batcher: DynamicBatcher, *values: int) -> "Future[Floats]":
    answer: Future[Floats] = Future()

    def take(found: Floats | Exception) -> None:
        if isinstance(found, Exception):
            answer.set_exception(found)
        else:
            answer.set_result(found)

    batcher.put(crops(*values), take)
    return answer


def counting(sizes: list[int]) -> Callable[[Crops], Floats]:
    """Embeds, and notes how many crops came at once."""

    def counted(some: Crops) -> Floats:
        sizes.append(len(some))
        return embed(some)

    return counted


def test_everyone_gets_the_vectors_of_his_own_crops_in_their_order() -> None:
    sizes: list[int] = []

    def call(caller: int) -> None:
        random = np.random.default_rng(caller)
        for _ in range(20):
            values = random.integers(0, 200, random.integers(1, 20))
            assert ask(batcher, *values).result(10)[:, 0].tolist() == values.tolist()

    with gathering(counting(sizes), counting(sizes)) as batcher, ThreadPoolExecutor(8) as callers:
        list(callers.map(call, range(8)))
    assert max(sizes) == 8


def test_callers_of_one_crop_come_together() -> None:
    sizes: list[int] = []

    def call(caller: int) -> None:
        for _ in range(30):
            assert ask(batcher, caller).result(10)[0, 0] == caller

    with gathering(counting(sizes), delay=1.0) as batcher, ThreadPoolExecutor(8) as callers:
        list(callers.map(call, range(8)))
    assert np.mean(sizes) > 4


def test_a_lone_caller_waits_for_nobody() -> None:
    with gathering(embed, embed, delay=60.0) as batcher:
        for value in range(5):
            assert ask(batcher, value).result(10)[0, 0] == value


def test_after_a_crowd_a_lone_caller_waits_no_longer_than_the_delay_and_soon_not_at_all() -> None:
    with gathering(embed, delay=0.05) as batcher:
        for answer in [ask(batcher, value) for value in range(100)]:
            answer.result(10)
        for value in range(40):
            assert ask(batcher, value).result(10)[0, 0] == value

        def seconds() -> float:
            started = time.monotonic()
            ask(batcher, 1).result(10)
            return time.monotonic() - started

        assert min(seconds() for _ in range(20)) < 0.05


def test_what_goes_wrong_reaches_those_of_that_batch_alone() -> None:
    with gathering(embed, batch=2) as batcher:
        bad, good = ask(batcher, 255, 1, 2, 3), ask(batcher, 4, 5)
        with pytest.raises(ValueError, match="a bad crop"):
            bad.result(10)
        assert good.result(10)[:, 0].tolist() == [4, 5]


def test_a_caller_who_cannot_take_his_answer_stops_no_other(capfd: pytest.CaptureFixture[str]) -> None:
    def refuse(found: Floats | Exception) -> None:
        raise OSError("gone")

    with gathering(embed) as batcher:
        batcher.put(crops(1), refuse)
        assert ask(batcher, 2).result(10)[0, 0] == 2
    assert '"reason": "OSError: gone"' in capfd.readouterr().err


def test_closing_answers_what_waits() -> None:
    gate = threading.Event()

    def slow(some: Crops) -> Floats:
        gate.wait(10)
        return embed(some)

    batcher = DynamicBatcher([slow], 2, 60.0)
    answers = [ask(batcher, value) for value in range(7)]
    closing = threading.Thread(target=batcher.close)
    closing.start()
    gate.set()
    assert [int(answer.result(10)[0, 0]) for answer in answers] == list(range(7))
    closing.join(10)
    assert not closing.is_alive()
