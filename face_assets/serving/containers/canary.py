"""Canary: a candidate's results with a small share of the traffic, compared with those of the live release."""

import math
import urllib.error
from collections.abc import Iterable
from dataclasses import dataclass

from face_assets.core.direct_connections import open_url
from face_assets.core.params import Serving
from face_assets.serving.deployment_check import Check
from face_assets.serving.triton_counters import ANSWERS, BACKEND_FAILURE, FAILURE, OURS, SECONDS, SUCCESS, totals

ENOUGH = 10  # requests after which a slow candidate is stopped early
SECONDS_TO_ANSWER = 2.0
# Faults of the server: a model that fails, and one that responds with an error, which Triton counts as a success. Errors of a caller (a
# photo that cannot be used, an invalid request) and rejected requests are no evidence about a candidate.
NO_ANSWER = (BACKEND_FAILURE, f"{OURS}photos_failed_total")


@dataclass(frozen=True)
class Traffic:
    """Requests to the recognizers of a slot: all, failed ones, and the number and the summed seconds of timed responses."""

    asked: int = 0
    failed: int = 0
    timed: int = 0
    seconds: float = 0.0

    def __add__(self, other: "Traffic") -> "Traffic":
        return Traffic(self.asked + other.asked, self.failed + other.failed, self.timed + other.timed, self.seconds + other.seconds)

    def since(self, before: "Traffic") -> "Traffic":
        """Returns the requests after `before`; a restarted server counts from zero."""
        if self.asked < before.asked or self.failed < before.failed or self.timed < before.timed:
            return self
        return Traffic(self.asked - before.asked, self.failed - before.failed, self.timed - before.timed, self.seconds - before.seconds)

    @property
    def mean_ms(self) -> float:
        """Mean time of a response; 0 where none was timed."""
        return self.seconds * 1000 / self.timed if self.timed else 0.0


def read_traffic(addresses: Iterable[str]) -> Traffic:
    """Returns the sum over the servers at `addresses`. One that does not respond counts as zero; its container is checked elsewhere."""
    return sum((_of_one(address) for address in addresses), Traffic())


def _of_one(address: str) -> Traffic:
    try:
        with open_url(f"http://{address}:8002/metrics", timeout=SECONDS_TO_ANSWER) as answer:
            text = answer.read().decode()
    except (urllib.error.URLError, OSError):
        return Traffic()
    return parse_traffic(text)


def parse_traffic(text: str) -> Traffic:
    """Returns the traffic in a server's metrics, in Prometheus' text format."""
    counted = totals(text)
    return Traffic(
        int(counted[SUCCESS] + counted[FAILURE]), int(sum(counted[name] for name in NO_ANSWER)), int(counted[ANSWERS]), counted[SECONDS]
    )


def judge(candidate: Traffic, live: Traffic, lost: int, budget: Serving, over: bool) -> list[Check]:
    """Returns the checks of a canary.

    candidate, live: the traffic of each meanwhile; lost: requests with a key that HAProxy had to send to another server;
    over: the canary's time is over.
    The candidate fails where its share of errors exceeds that of the live release.
    """
    usual = live.failed / live.asked if live.asked else 0.0
    failed, asked = candidate.failed + lost, candidate.asked + lost
    allowed = math.ceil((usual + budget.canary_max_errors) * asked)
    late = candidate.mean_ms > budget.max_latency_ms and (over or candidate.timed >= ENOUGH)
    return [
        Check(
            "canary errors",
            failed <= allowed,
            f"{failed} of {asked} requests failed while it had a share of the traffic, {live.failed} of {live.asked} at the live release",
        ),
        Check(
            "canary latency",
            not late,
            f"mean {candidate.mean_ms:.0f} ms over {candidate.timed} responses, budget {budget.max_latency_ms:g} ms, "
            f"the live release {live.mean_ms:.0f} ms",
        ),
    ]
