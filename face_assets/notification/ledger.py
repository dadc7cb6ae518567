"""The ledger of what people were told: causes that are open, and messages that some channel has not taken yet."""

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
MOST_OPEN = 500
LISTED = 10
SECONDS_A_PASS = 10.0
"""How long a channel is tried in one pass: sensors have a minute for everything."""
FIRST_DELAY = 15.0
LONGEST_DELAY = 600.0
LONGEST_UNSENT = 3 * 24 * 3600.0


class Ledger:
    """HOME/notifications.json, shared by the processes of a home.

    A cause opens, and its message waits for the channels, in one write; a message is struck off a channel's list after the channel
    took it. A kill loses none; one between the taking and the striking off sends that message again: at least once, not exactly.
    """

    def __init__(self, home: Path):
        self.path = home / FILE
        self._lock = home / ".notifications.lock"
        self._sending = home / ".notifications.sending.lock"

    def problem(self, message: Message, channels: Sequence[str] = ()) -> bool:
        """Opens the message's cause and queues the message. False, and nothing queued, when the cause is open already."""
        message = message.fit_to_send()
        with self._changing() as state:
            if message.cause in state["open"]:
                return False
            state["open"][message.cause] = asdict(message)
            for oldest in list(state["open"])[:-MOST_OPEN]:  # branches that were given up never get well
                del state["open"][oldest]
            _queue(state, message, channels)
        return True

    def well(
        self, message: Message, causes: Sequence[str] = (), channels: Sequence[str] = (), before: float | None = None
    ) -> list[Message]:
        """Closes `causes` (without them the message's own) and all below them, and queues the message, which then lists them.

        Problems later than `before` (seconds since the epoch) stay open. Returns the problems that closed; none queues nothing.
        """
        with self._changing() as state:
            closed = [
                Message(**problem)
                for cause, problem in state["open"].items()
                if any(_covers(wider, cause) for wider in causes or [message.cause]) and (before is None or problem["time"] <= before)
            ]
            if not closed:
                return []
            for problem in closed:
                del state["open"][problem.cause]
            over = [f"Over: {problem.title}" for problem in closed[:LISTED]]
            over += [f"and {len(closed) - LISTED} more"] if len(closed) > LISTED else []
            reason = "\n".join(line for line in (message.reason, *over) if line)
            _queue(state, replace(message, reason=reason).fit_to_send(), channels)
        return closed

    def open(self) -> list[Message]:
        """The problems that are open, oldest first."""
        with file_lock(self._lock):
            return [Message(**problem) for problem in self._read()["open"].values()]

    def unsent(self) -> list[Message]:
        """The messages that some channel has not taken yet, oldest first."""
        with file_lock(self._lock):
            return [Message(**waiting["message"]) for waiting in self._read()["unsent"]]

    def send(self, channels: Mapping[str, Channel], now: Callable[[], float] = time.time) -> list[str]:
        """Hands what is unsent to the channels, one process at a time; returns a sentence for each failure.

        A channel that fails is left alone for a while, twice as long each time; a message that is three days old is given up.
        """
        if not self._has_unsent():
            return []
        with file_lock(self._sending):
            troubles = self._give_up(channels, now())
            for name, channel in channels.items():
                troubles += self._send_to(name, channel, now)
        return troubles

    def _has_unsent(self) -> bool:
        with file_lock(self._lock):
            return bool(self._read()["unsent"])

    def _give_up(self, channels: Mapping[str, Channel], now: float) -> list[str]:
        """Strikes off what is too old, and channels that the settings name no more."""
        troubles = []
        with self._changing() as state:
            for waiting in state["unsent"]:
                waiting["channels"] = [name for name in waiting["channels"] if name in channels]
                if waiting["channels"] and now - waiting["since"] > LONGEST_UNSENT:
                    troubles.append(f"Given up after three days on {', '.join(waiting['channels'])}: {waiting['message']['title']}")
                    waiting["channels"] = []
            state["unsent"] = [waiting for waiting in state["unsent"] if waiting["channels"]]
        return troubles

    def _send_to(self, name: str, channel: Channel, now: Callable[[], float]) -> list[str]:
        with file_lock(self._lock):
            state = self._read()
        tries = state["failing"].get(name, {"tries": 0, "again": 0.0})
        if now() < tries["again"]:
            return []
        troubles: list[str] = []
        ends = time.monotonic() + SECONDS_A_PASS
        for waiting in [waiting for waiting in state["unsent"] if name in waiting["channels"]]:
            try:
                channel.send(Message(**waiting["message"]))
            except UserError as error:
                troubles.append(str(error))
            else:
                self._strike_off(waiting["id"], name)
            if time.monotonic() > ends:
                break
        with self._changing() as state:
            state["failing"].pop(name, None)
            if troubles:
                delay = min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(tries["tries"], 10))
                state["failing"][name] = {"tries": tries["tries"] + 1, "again": now() + delay, "why": troubles[-1]}
        return troubles

    def _strike_off(self, identity: str, channel: str) -> None:
        with self._changing() as state:
            for waiting in state["unsent"]:
                if waiting["id"] == identity:
                    waiting["channels"] = [name for name in waiting["channels"] if name != channel]
            state["unsent"] = [waiting for waiting in state["unsent"] if waiting["channels"]]

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Any]]:
        """The state, to change; written when the block ends well and changed something."""
        with file_lock(self._lock):
            state = self._read()
            before = deepcopy(state)
            yield state
            if state != before:
                # a list, since write_json sorts keys and the order is the one in which they opened
                write_json(self.path, {**state, "open": list(state["open"].values())})

    def _read(self) -> dict[str, Any]:
        if not self.path.is_file():
            return {"open": {}, "unsent": [], "failing": {}}
        try:
            state: dict[str, Any] = read_json(self.path)
            return {**state, "open": {problem["cause"]: problem for problem in state["open"]}}
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{self.path} is not what the platform wrote ({error}): delete it, and open problems are told anew.") from error


def _covers(wider: str, cause: str) -> bool:
    return cause == wider or cause.startswith(f"{wider}: ")


def _queue(state: dict[str, Any], message: Message, channels: Sequence[str]) -> None:
    if channels:
        entry = {"id": uuid.uuid4().hex, "since": time.time(), "message": asdict(message), "channels": list(channels)}
        state["unsent"].append(entry)
