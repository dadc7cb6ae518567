"""What the server's own metrics say now, read from its endpoint: totals since it was started."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from face_assets.errors import UserError

RECOGNIZER = "face_recognizer"
PREFIX = "face_assets_"
# the parser gives every counter the ending that Triton's lack
ANSWERED, FAILED, SPENT = (f"nv_inference_request_{name}_total" for name in ("success", "failure", "duration_us"))
COUNTERS = ("photos", "photos_without_face", "photos_refused", "faces_accepted", "faces_refused")


@dataclass(frozen=True)
class Traffic:
    """Totals since the server was started, all releases together; milliseconds: of an answer on average, None before the first."""

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
        with urllib.request.urlopen(f"{address}/metrics", timeout=seconds) as answer:
            return parse_traffic(answer.read().decode())
    except (OSError, ValueError) as error:  # URLError and timeouts are OSErrors
        raise UserError(f"The server's metrics at {address} cannot be read: {error}") from error


def parse_traffic(text: str) -> Traffic:
    """The traffic in Prometheus's text format. A server without metrics of ours has counted nothing. Raises ValueError."""
    totals: dict[str, float] = {}
    for name, labels, value in _samples(text):
        if name.startswith(PREFIX) or labels.get("model") == RECOGNIZER:
            totals[name] = totals.get(name, 0.0) + value
    answered, failed, spent = (totals.get(name, 0.0) for name in (ANSWERED, FAILED, SPENT))
    counted = {name: int(totals.get(f"{PREFIX}{name}_total", 0.0)) for name in COUNTERS}
    return Traffic(
        **counted, requests=int(answered + failed), failures=int(failed), milliseconds=spent / answered / 1000 if answered else None
    )


def _samples(text: str) -> Iterator[tuple[str, dict[str, str], float]]:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value
