"""The connection to a Ray cluster, and its nodes: which are there, which joined, were lost or are refused."""

import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from face_assets.core.errors import UnreachableError, UserError
from face_assets.core.settings import Settings

LOCAL = "local"
BATCHES_A_PROCESSOR = 3
LEAST_BATCHES = 8
SECONDS_A_LOOK = 2.0
SECONDS_A_REMINDER = 60.0

Log = Callable[[str], None]


class Nodes:
    """The nodes of the cluster: those that join, are lost, or are refused, each logged once."""

    def __init__(self, log: Log, address: str):
        self._log = log
        self.refused: dict[str, str] = {}
        self._seen: dict[str, str] = {}
        self._processors: dict[str, int] = {}
        self._next_look = 0.0
        self._reminder = time.monotonic() + SECONDS_A_REMINDER
        self._read()
        _log_once(f"Ray cluster {address}: {len(self._seen)} nodes with {sum(self._processors.values())} processors", log)

    def room(self, processors: int) -> int:
        """Number of batches that may be under way."""
        return max(LEAST_BATCHES, BATCHES_A_PROCESSOR * sum(self._usable().values()) // processors)

    def largest(self) -> int:
        """Processors of the largest node."""
        return max(self._usable().values(), default=0)

    def selector(self) -> dict[str, str]:
        """Ray's label selector of nodes that are not refused."""
        return {"ray.io/node-id": f"!in({','.join(sorted(self.refused))})"}

    def refuse(self, node: str, differences: dict[str, tuple[str, str]]) -> None:
        """Gives a node no more work. differences: by name what is expected, and what it has. Raises UserError where no node is left."""
        if node in self.refused:
            return
        self._read()
        found = "; ".join(f"{name} is {there}, here {here}" for name, (here, there) in sorted(differences.items()))
        self.refused[node] = f"Node {self._seen.get(node, node[:12])} gets no work, since it has another version: {found}."
        if node not in _refused:  # the steps of a run say it once
            _refused.add(node)
            self._log(f"{self.refused[node]} Install there what is installed here, and start its Ray again.")
        self._require_usable()

    def _require_usable(self) -> None:
        if self.refused and not self._usable():
            raise UserError(
                "No node of the Ray cluster has the versions of this machine.", *self.refused.values(), "Install the same on both."
            )

    def look(self) -> None:
        """Logs what has changed, SECONDS_A_LOOK after the last look at the earliest. Raises UserError where only refused nodes are left."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + SECONDS_A_LOOK
        before = dict(self._seen)
        self._read()
        for node in self._seen.keys() - before.keys():
            self._log(f"node {self._seen[node]} joined the cluster, with {self._processors[node]} processors")
        for node in before.keys() - self._seen.keys():
            self._log(f"node {before[node]} is lost: its batches are done again")
        self._require_usable()
        if not sum(self._usable().values()) and now > self._reminder:
            self._reminder = now + SECONDS_A_REMINDER
            self._log("the cluster has no processors: waiting for a node")

    def _usable(self) -> dict[str, int]:
        return {node: count for node, count in self._processors.items() if count and node not in self.refused}

    def _read(self) -> None:
        import ray

        alive = [node for node in ray.nodes() if node["Alive"]]
        self._seen = {node["NodeID"]: f"{node['NodeManagerAddress']} ({node['NodeID'][:6]})" for node in alive}
        self._processors = {node["NodeID"]: int(node["Resources"].get("CPU", 0)) for node in alive}


def connect(settings: Settings) -> None:
    """Connects this process to the cluster that the settings name, once.

    Raises UserError where Ray is not installed, or of another version than the cluster's, and UnreachableError where no cluster answers.
    """
    try:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray sends figures of use to its makers otherwise
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        import ray
    except ModuleNotFoundError as error:
        raise UserError("FACE_ASSETS_RAY is set, and Ray is not installed: pip install 'face-assets[ray]', or unset it.") from error
    if ray.is_initialized():
        return
    own: dict[str, Any] = {"num_cpus": settings.cores, "include_dashboard": False} if settings.ray == LOCAL else {}
    try:
        ray.init(address=settings.ray, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (ConnectionError, TimeoutError) as error:
        raise UnreachableError(
            f"No Ray cluster answers at FACE_ASSETS_RAY={settings.ray}: {_first_line(error)} "
            "Start one, or unset it to work on this machine alone."
        ) from error
    except (RuntimeError, ValueError) as error:  # as of another version of Ray or Python
        raise UserError(f"The Ray cluster at FACE_ASSETS_RAY={settings.ray} cannot be used: {_first_line(error)}") from error
    with suppress(ImportError, AttributeError):  # Ray prints the log of each lost node to this process's output; ours are sentences
        from ray._private.ray_logging import global_worker_stdstream_dispatcher

        global_worker_stdstream_dispatcher.remove_handler("ray_print_logs")


_logged: list[str] = []
_refused: set[str] = set()
"""Nodes whose refusal this process has logged: a node that is started again has another name."""


def _log_once(line: str, log: Log) -> None:
    """Logs a line unless it is the last one of its kind in this process: the steps of a run use the same cluster."""
    if _logged[-1:] != [line]:
        _logged.append(line)
        log(line)


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
