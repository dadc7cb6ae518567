"""The canary: what a candidate's servers did with a small share of the traffic, against what the live ones did with theirs."""

import math
import urllib.error
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass

from face_assets.params import Serving
from face_assets.serving.model_repository import RECOGNIZER
from face_assets.serving.verification import Check

ENOUGH = 10  # requests from which on a slow candidate is stopped before its time is over
SECONDS = 2.0
SUCCESS, FAILURE, DURATION = "nv_inference_request_success", "nv_inference_request_failure", "nv_inference_request_duration_us"


@dataclass(frozen=True)
class Traffic:
    """Requests to the recognizers of a colour: answered, failed, and the seconds that they took in the servers, summed."""

    answered: int = 0
    failed: int = 0
    seconds: float = 0.0

    def __add__(self, other: "Traffic") -> "Traffic":
        return Traffic(self.answered + other.answered, self.failed + other.failed, self.seconds + other.seconds)

    def since(self, before: "Traffic") -> "Traffic":
        """What came after `before`; a server that was started anew counts from nothing."""
        if self.answered < before.answered or self.failed < before.failed:
            return self
        return Traffic(self.answered - before.answered, self.failed - before.failed, self.seconds - before.seconds)

    @property
    def asked(self) -> int:
        """All requests."""
        return self.answered + self.failed

    @property
    def mean_ms(self) -> float:
        """The mean time of an answer."""
        return self.seconds * 1000 / self.answered if self.answered else 0.0


def read_traffic(addresses: Iterable[str]) -> Traffic:
    """What Triton counted at each address. A server that does not answer counts nothing: its container is looked at elsewhere."""
    return sum((_of_one(address) for address in addresses), Traffic())


def _of_one(address: str) -> Traffic:
    from prometheus_client.parser import text_string_to_metric_families

    try:
        with urllib.request.urlopen(f"http://{address}:8002/metrics", timeout=SECONDS) as answer:
            text = answer.read().decode()
    except (urllib.error.URLError, OSError):
        return Traffic()
    sums = dict.fromkeys((SUCCESS, FAILURE, DURATION), 0.0)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name in sums and sample.labels.get("model") == RECOGNIZER:
                sums[sample.name] += sample.value
    return Traffic(int(sums[SUCCESS]), int(sums[FAILURE]), sums[DURATION] / 1e6)


def judge(candidate: Traffic, live: Traffic, lost: int, budget: Serving, over: bool) -> list[Check]:
    """The checks of a canary.

    candidate, live: what each was asked meanwhile; lost: requests that HAProxy had to ask of another server; over: its time is over.
    Callers send photos that cannot be used to both, so errors count where the candidate's share exceeds the live one's.
    """
    usual = live.failed / live.asked if live.asked else 0.0
    failed, asked = candidate.failed + lost, candidate.asked + lost
    allowed = math.ceil((usual + budget.canary_max_errors) * asked)
    late = candidate.mean_ms > budget.max_latency_ms and (over or candidate.answered >= ENOUGH)
    return [
        Check(
            "canary errors",
            failed <= allowed,
            f"{failed} of {asked} requests failed while it had a share of the traffic, {live.failed} of {live.asked} at the live release",
        ),
        Check(
            "canary latency",
            not late,
            f"mean {candidate.mean_ms:.0f} ms over {candidate.answered} requests, budget {budget.max_latency_ms:g} ms, "
            f"the live release {live.mean_ms:.0f} ms",
        ),
    ]
