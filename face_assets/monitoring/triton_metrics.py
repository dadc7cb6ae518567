"""What the server's own metrics say now, read from its endpoint: totals since it was started."""

from dataclasses import dataclass

from face_assets.core.direct_connections import open_url
from face_assets.core.errors import UserError
from face_assets.serving.triton_counters import ANSWERS, FAILURE, OURS, SECONDS, SUCCESS, totals

COUNTERS = ("photos", "photos_without_face", "photos_refused", "faces_accepted", "faces_refused")


@dataclass(frozen=True)
class Traffic:
    """Totals since the server was started, all releases together; milliseconds: of an answer on average, None before the first.

    failures: requests that Triton failed, and photos that got no answer by a fault of the models, which it counts as successes.
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
    """The traffic of the server whose metrics are at http://HOST:PORT. Raises UserError where it does not answer."""
    try:
        with open_url(f"{address}/metrics", timeout=seconds) as answer:
            return parse_traffic(answer.read().decode())
    except (OSError, ValueError) as error:  # URLError and timeouts are OSErrors
        raise UserError(f"The server's metrics at {address} cannot be read: {error}") from error


def parse_traffic(text: str) -> Traffic:
    """The traffic in Prometheus's text format. A server without metrics of ours has counted nothing. Raises ValueError."""
    values = totals(text)
    return Traffic(
        **{name: int(values[f"{OURS}{name}_total"]) for name in COUNTERS},
        requests=int(values[SUCCESS] + values[FAILURE]),
        failures=int(values[FAILURE] + values[f"{OURS}photos_failed_total"]),
        milliseconds=values[SECONDS] * 1000 / values[ANSWERS] if values[ANSWERS] else None,
    )
