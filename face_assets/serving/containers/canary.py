"""The canary: what a candidate's servers did with a small share of the traffic, against what the live ones did with theirs."""

import math
import urllib.error
from collections.abc import Iterable
from dataclasses import dataclass

from face_assets.core.direct_connections import open_url
from face_assets.core.params import Serving
from face_assets.serving.deployment_check import Check
from face_assets.serving.triton_counters import ANSWERS, BACKEND_FAILURE, FAILURE, OURS, SECONDS, SUCCESS, totals

ENOUGH = 10  # requests from which on a slow candidate is stopped before its time is over
METRICS_SECONDS = 2.0
# Faults of a server's own: a model that fails, and one that answers with an error, which is a success to Triton. What a caller did wrong
# (a photo that cannot be used, a request that is none) and what was turned away is no evidence about a candidate.
NO_ANSWER = (BACKEND_FAILURE, f"{OURS}photos_failed_total")


@dataclass(frozen=True)
class Traffic:
    """Requests to the recognizers of a slot: all, those without an answer, and the answers that were timed with their seconds, summed."""

    asked: int = 0
    failed: int = 0
    timed: int = 0
    seconds: float = 0.0

    def __add__(self, other: "Traffic") -> "Traffic":
        return Traffic(self.asked + other.asked, self.failed + other.failed, self.timed + other.timed, self.seconds + other.seconds)

    def since(self, before: "Traffic") -> "Traffic":
        """What came after `before`; a server that was started anew counts from nothing."""
        if self.asked < before.asked or self.failed < before.failed or self.timed < before.timed:
            return self
        return Traffic(self.asked - before.asked, self.failed - before.failed, self.timed - before.timed, self.seconds - before.seconds)

    @property
    def mean_ms(self) -> float:
        """The mean time of an answer; 0 where none was timed."""
        return self.seconds * 1000 / self.timed if self.timed else 0.0


def read_traffic(addresses: Iterable[str]) -> Traffic:
    """What was counted at each address. A server that does not answer counts nothing: its container is looked at elsewhere."""
    return sum((_of_one(address) for address in addresses), Traffic())


def _of_one(address: str) -> Traffic:
    try:
        with open_url(f"http://{address}:8002/metrics", timeout=METRICS_SECONDS) as answer:
            text = answer.read().decode()
    except (urllib.error.URLError, OSError):
        return Traffic()
    return parse_traffic(text)


def parse_traffic(text: str) -> Traffic:
    """The traffic of a server in Prometheus's text format."""
    values = totals(text)
    return Traffic(
        int(values[SUCCESS] + values[FAILURE]), int(sum(values[name] for name in NO_ANSWER)), int(values[ANSWERS]), values[SECONDS]
    )


def judge(candidate: Traffic, live: Traffic, lost: int, budget: Serving, over: bool) -> list[Check]:
    """The checks of a canary.

    candidate, live: what each was sent meanwhile; lost: requests with a key that HAProxy had to send to another server;
    over: its time is over.
    Errors count where the candidate's share exceeds the live one's.
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
            f"mean {candidate.mean_ms:.0f} ms over {candidate.timed} answers, budget {budget.max_latency_ms:g} ms, "
            f"the live release {live.mean_ms:.0f} ms",
        ),
    ]
