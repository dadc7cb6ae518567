"""Totals of a Triton server's metrics in Prometheus' text format."""

from collections import defaultdict
from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

RECOGNIZER = "face_recognizer"
OURS = "face_assets_"
# the parser adds the suffix that Triton's counters lack
SUCCESS, FAILURE = (f"nv_inference_request_{name}_total" for name in ("success", "failure"))
BACKEND_FAILURE = "failures_of_a_model"  # the part of FAILURE that is the model's fault (Triton's reason BACKEND)
# the models' own: Triton's duration of a request ends when a model has accepted it, not when it has responded
SECONDS, ANSWERS = (f"{OURS}answer_seconds_{part}" for part in ("sum", "count"))


def totals(text: str) -> Mapping[str, float]:
    """Returns sums by name over all releases: the models' own metrics, and Triton's of the recognizer; 0 for a missing one.

    Raises ValueError.
    """
    found: dict[str, float] = defaultdict(float)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name.startswith(OURS) or sample.labels.get("model") == RECOGNIZER:
                found[sample.name] += sample.value
                if sample.name == FAILURE and sample.labels.get("reason") == "BACKEND":
                    found[BACKEND_FAILURE] += sample.value
    return found
