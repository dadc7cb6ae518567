"""Ledger of notifications: causes that fire, and messages that a channel has not accepted yet."""

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from face_assets.core.errors import UserError
from face_assets.core.files import file_lock, read_json, write_json
from face_assets.notification.channels import Channel
from face_assets.notification.message import Message

FILE = "notifications.json"
FORMER_KINDS = {"problem": "firing", "well": "resolved"}
MOST_FIRING = 500
LISTED = 10
SECONDS_A_PASS = 10.0
"""Time for a channel in one pass: sensors have a minute for everything."""
FIRST_DELAY = 15.0
LONGEST_DELAY = 600.0
LONGEST_UNSENT = 3 * 24 * 3600.0


class Ledger:
    """The file notifications.json of a state directory, shared by its processes.

    One write opens a cause and queues its message for the channels. A message leaves a channel's queue after the channel accepted it. A
    kill loses no message; a kill between the two sends that message again: at least once, not exactly once.
    """

    def __init__(self, home: Path):
        self.path = home / FILE
        self._lock = home / ".notifications.lock"
        self._sending = home / ".notifications.sending.lock"

    def fire(self, message: Message, channels: Sequence[str] = ()) -> bool:
        """Opens the message's cause and queues the message. Returns False, and queues nothing, when the cause fires already."""
        message = message.fit_to_send()
        with self._changing() as state:
            if message.cause in state["open"]:
                return False
            state["open"][message.cause] = asdict(message)
            for oldest in list(state["open"])[:-MOST_FIRING]:  # abandoned branches never resolve
                del state["open"][oldest]
            _queue(state, message, channels)
        return True

    def resolve(
        self, message: Message, causes: Sequence[str] = (), channels: Sequence[str] = (), before: float | None = None
    ) -> list[Message]:
        """Closes `causes` (by default the message's own) and all below them, and queues the message, which then lists them.

        Causes that fired after `before` (seconds since the epoch) stay open. Returns the messages of the closed causes; without one,
        queues nothing.
        """
        with self._changing() as state:
            closed = [
                _message(problem)
                for cause, problem in state["open"].items()
                if any(_covers(wider, cause) for wider in causes or [message.cause]) and (before is None or problem["time"] <= before)
            ]
            if not closed:
                return []
            for problem in closed:
                del state["open"][problem.cause]
            resolved = [f"Resolved: {problem.title}" for problem in closed[:LISTED]]
            resolved += [f"and {len(closed) - LISTED} more"] if len(closed) > LISTED else []
            reason = "\n".join(line for line in (message.reason, *resolved) if line)
            _queue(state, replace(message, reason=reason).fit_to_send(), channels)
        return closed

    def firing(self) -> list[Message]:
        """Returns the messages of the causes that fire, oldest first."""
        with file_lock(self._lock):
            return [_message(problem) for problem in self._read()["open"].values()]

    def unsent(self) -> list[Message]:
        """Returns the messages that a channel has not accepted yet, oldest first."""
        with file_lock(self._lock):
            return [_message(waiting["message"]) for waiting in self._read()["unsent"]]

    def send(self, channels: Mapping[str, Channel], now: Callable[[], float] = time.time) -> list[str]:
        """Sends the waiting messages to the channels, one process at a time; returns a sentence for each failure.

        A channel that fails rests for a delay that doubles each time. A message is dropped after three days.
        """
        if not self._has_unsent():
            return []
        with file_lock(self._sending):
            failures = self._drop_old(channels, now())
            for name, channel in channels.items():
                failures += self._send_to(name, channel, now)
        return failures

    def _has_unsent(self) -> bool:
        with file_lock(self._lock):
            return bool(self._read()["unsent"])

    def _drop_old(self, channels: Mapping[str, Channel], now: float) -> list[str]:
        """Removes messages that are too old, and channels that are no longer in the settings."""
        failures = []
        with self._changing() as state:
            for waiting in state["unsent"]:
                waiting["channels"] = [name for name in waiting["channels"] if name in channels]
                if waiting["channels"] and now - waiting["since"] > LONGEST_UNSENT:
                    failures.append(f"Dropped after three days without {', '.join(waiting['channels'])}: {waiting['message']['title']}")
                    waiting["channels"] = []
            state["unsent"] = [waiting for waiting in state["unsent"] if waiting["channels"]]
        return failures

    def _send_to(self, name: str, channel: Channel, now: Callable[[], float]) -> list[str]:
        with file_lock(self._lock):
            state = self._read()
        tries = state["failing"].get(name, {"tries": 0, "again": 0.0})
        if now() < tries["again"]:
            return []
        failures: list[str] = []
        ends = time.monotonic() + SECONDS_A_PASS
        for waiting in [waiting for waiting in state["unsent"] if name in waiting["channels"]]:
            try:
                channel.send(_message(waiting["message"]))
            except UserError as error:
                failures.append(str(error))
            else:
                self._dequeue(waiting["id"], name)
            if time.monotonic() > ends:
                break
        with self._changing() as state:
            state["failing"].pop(name, None)
            if failures:
                delay = min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(tries["tries"], 10))
                state["failing"][name] = {"tries": tries["tries"] + 1, "again": now() + delay, "why": failures[-1]}
        return failures

    def _dequeue(self, identity: str, channel: str) -> None:
        with self._changing() as state:
            for waiting in state["unsent"]:
                if waiting["id"] == identity:
                    waiting["channels"] = [name for name in waiting["channels"] if name != channel]
            state["unsent"] = [waiting for waiting in state["unsent"] if waiting["channels"]]

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Any]]:
        """Yields the state for changes; writes it when the block ends without an error and changed something."""
        with file_lock(self._lock):
            state = self._read()
            before = deepcopy(state)
            yield state
            if state != before:
                # a list keeps the order in which they fired, for write_json sorts keys
                write_json(self.path, {**state, "open": list(state["open"].values())})

    def _read(self) -> dict[str, Any]:
        if not self.path.is_file():
            return {"open": {}, "unsent": [], "failing": {}}
        try:
            state: dict[str, Any] = read_json(self.path)
            return {**state, "open": {problem["cause"]: problem for problem in state["open"]}}
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{self.path} is damaged ({error}): delete it; causes that fire are then reported again.") from error


def _message(stored: Mapping[str, Any]) -> Message:
    """Returns a stored message, also of an earlier version, which had other words for its kind."""
    return Message(**{**stored, "kind": FORMER_KINDS.get(stored["kind"], stored["kind"])})


def _covers(wider: str, cause: str) -> bool:
    return cause == wider or cause.startswith(f"{wider}: ")


def _queue(state: dict[str, Any], message: Message, channels: Sequence[str]) -> None:
    if channels:
        entry = {"id": uuid.uuid4().hex, "since": time.time(), "message": asdict(message), "channels": list(channels)}
        state["unsent"].append(entry)
