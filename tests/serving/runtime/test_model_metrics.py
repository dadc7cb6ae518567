"""The recognizer's metrics, with the server's end of them played."""

from typing import Any

from face_assets.serving.runtime.model_metrics import Metrics


def test_a_metric_outlives_its_recognizer() -> None:
    """Triton's own, ended with their interpreter, crash it; and ended before, they take back what was counted."""
    ended: list[str] = []

    class Family:
        COUNTER, HISTOGRAM = "counter", "histogram"

        def __init__(self, **described: Any):
            self.name = described["name"]

        def Metric(self, **_: Any) -> "Family":  # noqa: N802  (the server's name)
            return Family(name=f"one of {self.name}")

        def __del__(self) -> None:
            ended.append(self.name)

    metrics = Metrics(Family, "v1.0.0")
    del metrics
    assert ended == []
