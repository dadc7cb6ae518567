"""Callers of a server, in a process of their own: as fast as they are answered, or at a given rate."""

import multiprocessing
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from face_assets.core.direct_connections import GRPC_OPTIONS

WARM_UP = 1.0


@dataclass(frozen=True)
class Measured:
    """Answers a second, seconds each, and the processor's seconds a second that the callers took themselves."""

    rate: float
    seconds: list[float]
    callers_cpu: float


def closed(address: str, model: str, name: str, kind: str, items: Sequence[Any], callers: int, seconds: float) -> Measured:
    """Each of `callers` asks again as soon as it has an answer; items: arrays for the input `name` of type `kind`."""
    return _elsewhere(_closed, address, model, name, kind, items, callers, seconds)


def paced(address: str, model: str, name: str, kind: str, items: Sequence[Any], rate: float, seconds: float) -> Measured:
    """`rate` questions a second at even times, whatever is answered; an answer's seconds count from the time it was due to be asked."""
    return _elsewhere(_paced, address, model, name, kind, items, rate, seconds)


def _elsewhere(work: Any, *arguments: Any) -> Measured:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        found: Measured = pool.submit(work, *arguments).result()
        return found


def _asker(address: str, model: str, name: str, kind: str) -> Any:
    from tritonclient.grpc import InferenceServerClient, InferInput

    client = InferenceServerClient(address, channel_args=list(GRPC_OPTIONS))

    def ask(item: np.ndarray) -> None:
        asked = InferInput(name, list(item.shape), kind)
        asked.set_data_from_numpy(item)
        client.infer(model, [asked], client_timeout=120.0)

    return ask


def _closed(address: str, model: str, name: str, kind: str, items: Sequence[Any], callers: int, seconds: float) -> Measured:
    ask = _asker(address, model, name, kind)
    taken: list[tuple[float, float]] = []
    ends = time.perf_counter() + WARM_UP + seconds

    def call(first: int) -> None:
        turn = first
        while (started := time.perf_counter()) < ends:
            ask(items[turn % len(items)])
            taken.append((time.perf_counter(), time.perf_counter() - started))
            turn += callers

    threads = [threading.Thread(target=call, args=(first,)) for first in range(callers)]
    for thread in threads:
        thread.start()
    time.sleep(WARM_UP)
    began, cpu = time.perf_counter(), time.process_time()
    time.sleep(max(0.0, ends - time.perf_counter()))
    cpu, whole = time.process_time() - cpu, time.perf_counter() - began
    for thread in threads:
        thread.join()
    counted = [took for when, took in taken if began <= when <= began + whole]
    return Measured(len(counted) / whole, counted, cpu / whole)


def _paced(address: str, model: str, name: str, kind: str, items: Sequence[Any], rate: float, seconds: float) -> Measured:
    ask = _asker(address, model, name, kind)
    count = max(2, int(rate * seconds))
    began, cpu = time.perf_counter(), time.process_time()

    def call(turn: int) -> float:
        ask(items[turn % len(items)])
        return time.perf_counter() - (began + turn / rate)

    with ThreadPoolExecutor(64) as pool:
        waiting = []
        for turn in range(count):
            time.sleep(max(0.0, began + turn / rate - time.perf_counter()))
            waiting.append(pool.submit(call, turn))
        taken = [one.result() for one in waiting]
    whole = time.perf_counter() - began
    return Measured(count / whole, taken, (time.process_time() - cpu) / whole)
