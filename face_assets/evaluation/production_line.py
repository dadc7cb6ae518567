"""Releases of the production line with which a candidate is compared: the one in production, and the best before it."""

from dataclasses import dataclass

from face_assets.registry.releases import Release
from face_assets.registry.stages import Stages


@dataclass(frozen=True)
class Line:
    """production: the release in production, None before the first; best: another release of the line with a better recorded figure."""

    production: Release | None
    best: Release | None

    @property
    def releases(self) -> list[Release]:
        """The releases to compare with, at most two."""
        return [release for release in (self.production, self.best) if release]


def production_line(stages: Stages, far: float) -> Line:
    """The line since the last decision of a person, who may take a loss knowingly.

    The best is chosen by the recorded TAR at `far`, or else AUC; of equal ones the newest. A deprecated release is not of the line.
    """
    assignment = stages.production()
    if assignment is None:
        return Line(None, None)
    line = [one.release for one in stages.line()]
    best = max(line, key=lambda release: recorded(release, far), default=None)
    behind = best is None or best.commit == assignment.release.commit or recorded(best, far) <= recorded(assignment.release, far)
    return Line(assignment.release, None if behind else best)


def recorded(release: Release, far: float) -> tuple[float, float]:
    """Recorded TAR at `far` and AUC of a release; -1 for a figure that is missing."""
    rates = release.metrics.get("tar")
    return _number(rates.get(f"{far:g}") if isinstance(rates, dict) else None), _number(release.metrics.get("auc"))


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else -1.0
