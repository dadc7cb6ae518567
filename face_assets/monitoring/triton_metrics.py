"""Totals of the server's metrics since its start, read from its endpoint."""

from dataclasses import dataclass

from face_assets.core.direct_connections import open_url
from face_assets.core.errors import UserError
from face_assets.serving.triton_counters import ANSWERS, FAILURE, OURS, SECONDS, SUCCESS, totals

COUNTERS = ("photos", "photos_without_face", "photos_refused", "faces_accepted", "faces_refused")


@dataclass(frozen=True)
class Traffic:
    """Totals since the server's start over all releases. milliseconds: mean response time, None before the first.

    failures: requests that Triton failed, and photos without a result by a fault of the models, which Triton counts as successes.
    """

    photos: int
    photos_without_face: int
    photos_refused: int
    faces_accepted: int
    faces_refused: int
    requests: int
    failures: int
    milliseconds: float | None


def read_traffic(address: str, seconds: float) -> Traffic:
    """Returns the traffic of the server with metrics at http://HOST:PORT. Raises UserError where it does not respond."""
    try:
        with open_url(f"{address}/metrics", timeout=seconds) as answer:
            return parse_traffic(answer.read().decode())
    except (OSError, ValueError) as error:  # URLError and timeouts are OSErrors
        raise UserError(f"The server's metrics at {address} cannot be read: {error}") from error


def parse_traffic(text: str) -> Traffic:
    """Returns the traffic in metrics of Prometheus' text format; zeros where our metrics are missing. Raises ValueError."""
    counted = totals(text)
    return Traffic(
        **{name: int(counted[f"{OURS}{name}_total"]) for name in COUNTERS},
        requests=int(counted[SUCCESS] + counted[FAILURE]),
        failures=int(counted[FAILURE] + counted[f"{OURS}photos_failed_total"]),
        milliseconds=counted[SECONDS] * 1000 / counted[ANSWERS] if counted[ANSWERS] else None,
    )
