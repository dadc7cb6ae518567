"""What a Triton server tells in Prometheus's text format, as totals."""

from collections import defaultdict
from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

RECOGNIZER = "face_recognizer"
OURS = "face_assets_"
# the parser gives every counter the ending that Triton's lack
SUCCESS, FAILURE = (f"nv_inference_request_{name}_total" for name in ("success", "failure"))
BACKEND_FAILURE = "failures_of_a_model"  # of FAILURE, those by a model's fault and not by the request's (Triton's reason BACKEND)
# the models' own: Triton's time of a request ends when a model has taken it, not when it has answered
SECONDS, ANSWERS = (f"{OURS}answer_seconds_{part}" for part in ("sum", "count"))


def totals(text: str) -> Mapping[str, float]:
    """Sums by name, of all releases together: the models' own metrics, and Triton's of the recognizer. What is not told is 0.
    Raises ValueError."""
    found: dict[str, float] = defaultdict(float)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name.startswith(OURS) or sample.labels.get("model") == RECOGNIZER:
                found[sample.name] += sample.value
                if sample.name == FAILURE and sample.labels.get("reason") == "BACKEND":
                    found[BACKEND_FAILURE] += sample.value
    return found
