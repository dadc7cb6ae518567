"""The model repository: one number for the same inputs, configurations that parse back, nothing needed is swept."""

from pathlib import Path
from typing import Any

import pytest

from face_assets.serving import model_repository as models
from face_assets.serving.embedded import EmbeddedTarget


def test_the_same_inputs_give_the_same_number(kit: Any, tmp_path: Path) -> None:
    first, second = kit.write(tmp_path, "v1.0.0"), kit.write(tmp_path, "v2.0.0")
    assert (first.number, second.number) == (1, 2)
    assert kit.write(tmp_path, "v1.0.0") == first
    assert models.versions(tmp_path) == [first, second]


def test_a_configuration_parses_back_with_its_parameters(kit: Any, tmp_path: Path) -> None:
    version = kit.write(tmp_path, "v1.0.0")
    for model in models.MODELS:
        name = models.configure(tmp_path, model, [version.number])
        config = models.parse((tmp_path / name / "config.pbtxt").read_text(encoding="utf-8"))
        assert models.parse(models.render(config)) == config
        assert (config.name, list(config.version_policy.specific.versions)) == (model, [version.number])
        assert len(config.instance_group) == 1
        assert {key: config.parameters[key].string_value for key in ("release", "release_commit", "identification_threshold")} == {
            "release": "v1.0.0",
            "release_commit": version.release_commit,
            "identification_threshold": "-0.5",
        }
        if model == models.EMBEDDER:
            assert config.max_batch_size == kit.budget.max_batch
            assert list(config.dynamic_batching.preferred_batch_size) == [kit.budget.preferred_batch]
            assert config.dynamic_batching.max_queue_delay_microseconds == kit.budget.queue_delay_us


def test_a_candidate_asks_parts_of_its_own(kit: Any, tmp_path: Path) -> None:
    version = kit.write(tmp_path, "v1.0.0")
    name = models.configure(tmp_path, models.RECOGNIZER, [version.number], candidate=True)
    config = models.parse((tmp_path / name / "config.pbtxt").read_text(encoding="utf-8"))
    assert config.parameters["detector"].string_value == "candidate_face_detector"
    assert config.parameters["embedder"].string_value == "candidate_face_embedder"
    assert (tmp_path / name / str(version.number) / "gallery.npz").is_file()
    models.remove_candidates(tmp_path)
    assert (tmp_path / models.RECOGNIZER / str(version.number) / "gallery.npz").is_file()


def test_what_a_killed_run_left_half_written_is_removed_and_not_counted(kit: Any, tmp_path: Path) -> None:
    partial = tmp_path / models.DETECTOR / ".partial-1-killed"
    partial.mkdir(parents=True)
    uncounted = tmp_path / models.EMBEDDER / "1"
    uncounted.mkdir(parents=True)
    assert kit.write(tmp_path, "v1.0.0").number == 1
    assert not partial.exists()
    assert (uncounted / "embedder.bin").is_file()


@pytest.mark.slow
def test_a_sweep_keeps_what_is_live_and_what_was_before(kit: Any, target: EmbeddedTarget) -> None:
    first, second = kit.deploy(target, "v1.0.0"), kit.deploy(target, "v2.0.0")
    kit.deploy(target, "v2.0.0")  # once more: what was live before it is still the first
    others = [kit.write(target.models, "v2.0.0", commit=f"{number}") for number in range(3)]
    target.sweep(keep=1)
    kept = {first.number, second.number, others[-1].number}
    assert {version.number for version in models.versions(target.models)} == kept
    for folder in (*models.MODELS, "configs"):
        assert {int(one.name) for one in (target.models / folder).iterdir() if one.is_dir()} == kept
    assert target.verify_live(kit.probes("v2.0.0"), kit.budget).passed
