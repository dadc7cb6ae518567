"""Work of a step on a Ray cluster: batches go out, results come back in their order. Without FACE_ASSETS_RAY nothing here runs.

The caller alone writes: nodes get photos, crops and networks as bytes, and share no file system with it.
"""

import hashlib
import pickle
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol, TypeVar

from face_assets.core import cluster_task
from face_assets.core.cluster_nodes import SECONDS_A_LOOK, Nodes, connect
from face_assets.core.devices import chosen
from face_assets.core.errors import UserError
from face_assets.core.settings import Settings, load_settings
from face_assets.core.step_libraries import SAME_RESULTS

RETRIES = 5
"""Times that Ray runs a batch again whose process or node was lost."""
MOST_BYTES = 1 << 30
"""Of batches that are under way or wait to be stored: within the object store of a machine of 4 GiB."""
OPEN_WORKS = 2
"""Works that a node's process keeps open, such as a compiled network."""

Log = Callable[[str], None]
B_contra = TypeVar("B_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)
B = TypeVar("B")
R = TypeVar("R")

_opened: dict[str, Callable[[Any], Any]] = {}
_is_node = False


class Work(Protocol[B_contra, R_co]):
    """Work on batches, which is pickled with all that it needs, as networks."""

    def open(self) -> Callable[[B_contra], R_co]:
        """The function from a batch to its result, opened once in each process of a node, which calls it on one thread."""


@dataclass(frozen=True)
class Folder:
    """A small folder by content, to be sent to nodes."""

    files: dict[str, bytes]

    @staticmethod
    def of(path: Path) -> "Folder":
        """The files of a folder, without those below its folders."""
        return Folder({file.name: file.read_bytes() for file in sorted(path.iterdir()) if file.is_file()})

    @contextmanager
    def written(self) -> Iterator[Path]:
        """Context with the folder on this machine's disk."""
        with TemporaryDirectory(prefix="face-assets-") as directory:
            for name, content in self.files.items():
                (Path(directory) / name).write_bytes(content)
            yield Path(directory)


def ray_cluster(log: Log) -> "Cluster | None":
    """The cluster that the setting `ray` names; None without it, and on its nodes. It is connected to when there is work.

    Raises UserError where results are named by a GPU of this machine: nodes compute on processors.
    """
    settings = load_settings()
    if not settings.ray or _is_node:
        return None
    if chosen().is_gpu:
        raise UserError(
            f"FACE_ASSETS_RAY spreads work over the processors of its nodes, and FACE_ASSETS_DEVICE is {chosen()} here: "
            "set FACE_ASSETS_DEVICE=cpu, or unset FACE_ASSETS_RAY."
        )
    return Cluster(settings, log)


class Cluster:
    """A cluster. Where it is used first, UserError is raised if Ray is not installed or of another version, and UnreachableError if no
    cluster answers."""

    def __init__(self, settings: Settings, log: Log):
        self._settings, self._log = settings, log

    @cached_property
    def _nodes(self) -> Nodes:
        connect(self._settings)
        return Nodes(self._log, str(self._settings.ray))

    def results(self, work: Work[B, R], batches: Iterable[B], processors: int = 1, same_processor: bool = False) -> Iterator[R]:
        """Yields the result of each batch in their order.

        Batches are under way for every processor of the cluster, in at most MOST_BYTES. Those of a lost node are done again; a node that
        joins gets its share; one of another version of Python, the code or a library gets none. A batch that does not fit a node's memory
        is halved. processors: of a batch; same_processor: refuses also nodes whose processor computes in other precisions than this one.
        Raises UserError where no node remains or a batch ends its process again and again, and what the work raises.
        """
        nodes = self._nodes
        job = _Job(work, processors, same_processor, nodes, self._log)
        source, waiting = iter(batches), deque[_Batch]()
        more = True
        try:
            while more or waiting:
                while more and len(waiting) < nodes.room(processors) and sum(batch.size for batch in waiting) < MOST_BYTES:
                    following = next(source, None)
                    if following is None:
                        more = False
                    else:
                        waiting.append(job.begin(following))
                job.look(waiting)
                while waiting and waiting[0].has_ended():
                    if (result := job.result(waiting[0])) is None:
                        break  # its node was lost after it was done, and a refused one did it again
                    waiting.popleft()
                    yield result.value
        finally:
            job.cancel(waiting)

    def result(self, work: Work[B, R], batch: B, processors: int = 1) -> R:
        """The result of a single batch, as of `results`."""
        return next(self.results(work, [batch], processors))

    def most_processors(self) -> int:
        """Processors of the largest node."""
        return self._nodes.largest()


@dataclass
class _Result:
    value: Any


@dataclass
class _Batch:
    """A batch under way: halves of it where it was too large for a node."""

    content: Any
    size: int
    status: Any = None
    result: Any = None
    is_done: bool = False
    halves: "list[_Batch] | None" = None

    def has_ended(self) -> bool:
        """True where the batch, or each of its halves, is done."""
        return self.is_done if self.halves is None else all(half.has_ended() for half in self.halves)


class _Job:
    """The tasks of one work."""

    def __init__(self, work: Work[Any, Any], processors: int, same_processor: bool, nodes: Nodes, log: Log):
        import ray

        content = pickle.dumps(work, protocol=5)
        self._ray, self._nodes, self._log = ray, nodes, log
        self._key = hashlib.sha256(content).hexdigest()
        self._work = ray.put(content)
        self._expected = versions_here(same_processor)
        ray.cloudpickle.register_pickle_by_value(cluster_task)  # a node of another version must be able to say so
        self._options = {"num_cpus": processors, "num_returns": 2, "max_retries": RETRIES, "scheduling_strategy": "SPREAD"}
        self._options["name"] = type(work).__name__
        self._task = ray.remote(cluster_task.run)

    def begin(self, content: Any) -> _Batch:
        """Starts a batch."""
        sent = pickle.dumps(content, protocol=5)
        batch = _Batch(content, len(sent))
        self._start(batch, sent)
        return batch

    def _start(self, batch: _Batch, sent: bytes) -> None:
        selector = {"label_selector": self._nodes.selector()} if self._nodes.refused else {}
        task = self._task.options(**self._options, **selector)
        batch.is_done = False
        batch.status, batch.result = task.remote(self._expected, f"{__name__}:perform", [self._work], self._key, sent)

    def look(self, batches: Iterable[_Batch]) -> None:
        """Waits for a batch to end, or for SECONDS_A_LOOK; starts again what a refused node did not do; halves what was too large."""
        under_way = {batch.status: batch for batch in self._leaves(batches) if not batch.is_done}
        if under_way:
            ended, _ = self._ray.wait(list(under_way), num_returns=1, timeout=SECONDS_A_LOOK)
            more, _ = self._ray.wait(list(under_way), num_returns=len(under_way), timeout=0)
            for status in {*ended, *more}:
                self._end(under_way[status])
        self._nodes.look()

    def _leaves(self, batches: Iterable[_Batch]) -> Iterator[_Batch]:
        for batch in batches:
            if batch.halves is None:
                yield batch
            else:
                yield from self._leaves(batch.halves)

    def _end(self, batch: _Batch) -> None:
        exceptions = self._ray.exceptions
        try:
            status = self._ray.get(batch.status)
        except exceptions.RayTaskError as error:
            if isinstance(error.cause, MemoryError):
                self._halve(batch)
            elif isinstance(error.cause, UserError):
                raise error.cause from None
            else:
                raise
        except exceptions.OutOfMemoryError:
            self._halve(batch)
        except (exceptions.WorkerCrashedError, exceptions.NodeDiedError, exceptions.ObjectLostError) as error:
            raise UserError(
                f"A batch of {len(batch.content):,} ended its process on the cluster {RETRIES + 1} times: {str(error).splitlines()[0]} "
                "Run again, what is done is kept; if it fails again, unset FACE_ASSETS_RAY to find the photo on this machine."
            ) from error
        else:
            if "refused" in status:
                self._nodes.refuse(status["node"], status["refused"])
                self._start(batch, pickle.dumps(batch.content, protocol=5))
            else:
                batch.is_done = True

    def _halve(self, batch: _Batch) -> None:
        count = len(batch.content)
        if count < 2:
            raise UserError(
                "A node of the cluster has too little memory for a single photo of a batch: give its Ray more (`ray start --memory`)."
            )
        self._log(f"a node has too little memory for a batch of {count:,}: two of {count - count // 2:,} instead")
        batch.halves = [self.begin(batch.content[: count - count // 2]), self.begin(batch.content[count - count // 2 :])]

    def result(self, batch: _Batch) -> _Result | None:
        """The result of a batch that is done; None where it has to be done again."""
        if batch.halves is not None:
            found = [self.result(half) for half in batch.halves]
            if None in found:
                return None
            return _Result(_joined([half.value for half in found if half]))
        try:
            made = self._ray.get(batch.result)
        except self._ray.exceptions.RayError:  # lost with its node, and in vain done again
            made = b""
        if not made:
            self._start(batch, pickle.dumps(batch.content, protocol=5))
            return None
        return _Result(pickle.loads(made))

    def cancel(self, batches: Iterable[_Batch]) -> None:
        """Cancels what is under way, where nobody waits for it any more."""
        for batch in self._leaves(batches):
            if not batch.is_done:
                with suppress(Exception):  # the connection may be gone, which has its own message
                    self._ray.cancel(batch.status)


def versions_here(same_processor: bool) -> dict[str, str]:
    """The versions by which a node may work for this process."""
    processor = [cluster_task.PROCESSOR] if same_processor else []
    return cluster_task.facts(["python", cluster_task.CODE, *sorted(SAME_RESULTS), *processor])


def perform(work: Any, key: str, batch: bytes) -> Any:
    """The result of a pickled batch by the work behind a reference, in a node's process."""
    import ray

    global _is_node
    _is_node = True  # a step that runs here spreads nothing in turn
    if key not in _opened:
        while len(_opened) >= OPEN_WORKS:
            del _opened[next(iter(_opened))]
        _opened[key] = pickle.loads(ray.get(work)).open()
    return _opened[key](pickle.loads(batch))


def _joined(parts: list[Any]) -> Any:
    """The result of a batch from those of its halves: lists and arrays, in their order."""
    if isinstance(parts[0], list):
        return [item for part in parts for item in part]
    import numpy as np

    return np.concatenate(parts)
