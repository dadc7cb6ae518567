"""The production line: a candidate is compared with the best release since the last decision of a person, and not with the last alone."""

from collections.abc import Callable
from pathlib import Path

import pytest

from face_assets.evaluation.production_line import Line, production_line, recorded
from face_assets.registry.data_repository import DataRepository
from face_assets.registry.decision import LET_THROUGH, gate_message, person_message
from face_assets.registry.releases import Digests, Release, Releases
from face_assets.registry.stages import Stages

RATES = {"v1.0.0": 0.97, "v2.0.0": 0.98, "v3.0.0": 0.96}


@pytest.fixture
def stages(repository: Path, tmp_path: Path, bundle: Callable[[bytes], Path]) -> Stages:
    """Three releases, the second of which is the best; none is in production."""
    data = DataRepository(str(repository), tmp_path / "home")
    data.refresh()
    releases, commit = Releases(data), data.resolve("HEAD")
    for version, tar in RATES.items():
        metrics = {"auc": 0.99, "tar": {"0.001": tar, "0.0001": None}}
        made = releases.register(bundle(version.encode()), commit, version, Digests(version, "gallery", "packaging"), metrics, {})
        assert made.version == version
    return Stages(releases)


def versions(line: Line) -> list[str]:
    return [release.version for release in line.releases]


def test_the_best_of_the_line_is_compared_with_until_a_person_decides(stages: Stages) -> None:
    by_gate = gate_message(LET_THROUGH, stages.repository.resolve("HEAD"))
    assert versions(production_line(stages, 1e-3)) == []
    stages.assign("v1.0.0", by_gate)
    assert versions(production_line(stages, 1e-3)) == ["v1.0.0"]
    stages.assign("v2.0.0", by_gate)
    assert versions(production_line(stages, 1e-3)) == ["v2.0.0"]
    stages.assign("v3.0.0", by_gate)
    assert versions(production_line(stages, 1e-3)) == ["v3.0.0", "v2.0.0"]
    assert versions(production_line(stages, 1e-4)) == ["v3.0.0"], "without that rate they are equally good"
    stages.assign("v3.0.0", person_message("a smaller network", follow=True), again=True)
    assert versions(production_line(stages, 1e-3)) == ["v3.0.0"]
    stages.assign("v1.0.0", by_gate)
    assert versions(production_line(stages, 1e-3)) == ["v1.0.0"]


def test_a_release_without_figures_is_the_worst() -> None:
    metrics = {"auc": 0.99, "tar": {"0.001": 0.97, "0.0001": None}}
    release = Release("v1.0.0", "1" * 40, "2" * 40, "inputs", Digests("a", "b", "c"), metrics)
    assert recorded(release, 1e-3) == (0.97, 0.99)
    assert recorded(release, 1e-5) == (-1.0, 0.99)
