"""The model repository: one number for the same inputs, configurations that parse back, nothing needed is swept."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from face_assets.core.full_disk import full_disk
from face_assets.core.params import Search
from face_assets.gallery.enrolment import templates_of, write_gallery
from face_assets.gallery.index_building import write_index
from face_assets.serving import model_repository as models
from face_assets.serving.config_text import parse, render
from face_assets.serving.embedded import EmbeddedTarget
from tests.small_disk import SmallDisk


def test_the_same_inputs_give_the_same_number(kit: Any, tmp_path: Path) -> None:
    first, second = kit.write(tmp_path, "v1.0.0"), kit.write(tmp_path, "v2.0.0")
    assert (first.number, second.number) == (1, 2)
    assert kit.write(tmp_path, "v1.0.0") == first
    assert models.versions(tmp_path) == [first, second]
    fresh = kit.write(tmp_path, "v1.0.0", anew=True)
    assert fresh.number == 3
    assert kit.write(tmp_path, "v1.0.0") == fresh, "and not the copy that it took the place of"


def test_a_version_is_its_owners_alone(kit: Any, tmp_path: Path) -> None:
    os.umask(0o077)
    kit.write(tmp_path, "v1.0.0")
    linked = {name for names in models.FILES.values() for name in names}  # to the bundle, whose rights they have
    made = [path for path in tmp_path.rglob("*") if not linked & {*path.relative_to(tmp_path).parts}]
    assert {"model.py", "decoding.py"} <= {path.name for path in made}
    assert not [path for path in made if path.stat().st_mode & 0o077]


def test_a_configuration_parses_back_with_its_parameters(kit: Any, tmp_path: Path) -> None:
    version = kit.write(tmp_path, "v1.0.0")
    for model in models.MODELS:
        name = models.configure(tmp_path, model, [version.number])
        config = parse((tmp_path / name / "config.pbtxt").read_text(encoding="utf-8"))
        assert parse(render(config)) == config
        assert (config.name, list(config.version_policy.specific.versions)) == (model, [version.number])
        assert len(config.instance_group) == 1
        assert {key: config.parameters[key].string_value for key in ("release", "release_commit", "identification_threshold")} == {
            "release": "v1.0.0",
            "release_commit": version.release_commit,
            "identification_threshold": "-0.5",
        }
        if model == models.EMBEDDER:
            assert config.max_batch_size == kit.budget.max_batch
            assert config.parameters["preferred_batch"].string_value == str(kit.budget.preferred_batch)
            assert config.parameters["queue_delay_us"].string_value == str(kit.budget.queue_delay_us)


def test_a_candidate_asks_parts_of_its_own(kit: Any, tmp_path: Path) -> None:
    version = kit.write(tmp_path, "v1.0.0")
    name = models.configure(tmp_path, models.RECOGNIZER, [version.number], candidate=True)
    config = parse((tmp_path / name / "config.pbtxt").read_text(encoding="utf-8"))
    assert config.parameters["detector"].string_value == "candidate_face_detector"
    assert config.parameters["embedder"].string_value == "candidate_face_embedder"
    assert (tmp_path / name / str(version.number) / "gallery.npz").is_file()
    models.remove_candidates(tmp_path)
    assert (tmp_path / models.RECOGNIZER / str(version.number) / "gallery.npz").is_file()


def test_a_release_shares_the_networks_of_one_whose_files_can_be_read_and_are_the_same(kit: Any, tmp_path: Path) -> None:
    bundle = shutil.copytree(kit.bundle("v1.0.0"), tmp_path / "bundle")
    live, other = kit.write(tmp_path, "v1.0.0"), kit.write(tmp_path, "v1.1.0", bundle)
    shared = models.with_parts_of(tmp_path, other, live)
    assert (shared.detector, shared.embedder) == (live.number, live.number)
    kit.change(tmp_path, other, models.DETECTOR, {"DETECTOR_BATCH = 4": "DETECTOR_BATCH = 5"})
    shared = models.with_parts_of(tmp_path, other, live)
    assert (shared.detector, shared.embedder) == (None, live.number)
    (tmp_path / "configs" / str(live.number) / f"{models.EMBEDDER}.pbtxt").unlink()
    assert models.with_parts_of(tmp_path, other, live) == other
    shutil.rmtree(tmp_path / models.EMBEDDER / str(live.number))
    assert models.with_parts_of(tmp_path, other, live) == other


def test_what_a_killed_run_left_half_written_is_removed_and_not_counted(kit: Any, tmp_path: Path) -> None:
    partial = tmp_path / models.DETECTOR / ".partial-1-killed"
    partial.mkdir(parents=True)
    uncounted = tmp_path / models.EMBEDDER / "1"
    uncounted.mkdir(parents=True)
    assert kit.write(tmp_path, "v1.0.0").number == 1
    assert not partial.exists()
    assert (uncounted / "embedder.bin").is_file()


def test_a_disk_that_is_full_anywhere_leaves_the_versions_there_are(
    kit: Any, make_disk: Callable[[Path, int], SmallDisk], tmp_path: Path
) -> None:
    disk = make_disk(tmp_path / "models", 50)
    empty = disk.free()
    first = kit.write(disk.folder, "v1.0.0")
    there, free = contents(disk.folder), disk.free()
    needed, stopped = empty - free, set()
    for missing in (needed, 1.0, 0.5, *np.arange(0.35, 0.0, -0.05)):
        disk.leave(needed - missing)
        with pytest.raises(OSError) as caught:
            kit.write(disk.folder, "v2.0.0")
        assert "The disk is full" in str(full_disk(caught.value, disk.folder))
        assert models.versions(disk.folder) == [first]
        found = contents(disk.folder)
        assert {name: found[name] for name in there} == there
        stopped.add(len(found) - len(there))
        disk.clear()
        for model in models.MODELS:
            shutil.rmtree(disk.folder / model / "2", ignore_errors=True)  # whole, but not counted; the next run removes it first
    assert len(stopped) > 2, "they stopped in several folders"
    assert kit.write(disk.folder, "v2.0.0").number == 2
    disk.clear()
    assert len(contents(disk.folder)) == 2 * (len(there) - 1) + 1  # versions.json counts both
    assert free - disk.free() < 1.5 * needed, "nothing half written is left"


def contents(folder: Path) -> dict[str, bytes]:
    """The files by their paths."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in ("filler", ".versions.lock"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


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
    assert target.check_live(kit.golden_requests("v2.0.0"), kit.budget).passed


def test_the_servers_environment_searches_a_large_gallery_by_its_index(kit: Any, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).standard_normal((50, 16)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    bundle, names = tmp_path / "bundle", [f"person {row}" for row in range(len(rows))]
    shutil.copytree(kit.bundle("v1.0.0"), bundle)
    (bundle / "gallery.npz").unlink()
    write_gallery(templates_of(rows, names), bundle)
    write_index(templates_of(rows, names), rows, names, 0.5, Search(index_from=1), bundle, print)
    version = kit.write(tmp_path / "models", "v1.0.0", bundle)
    folder = tmp_path / "models" / models.RECOGNIZER / str(version.number)
    code = "import pathlib; from face_assets.gallery.search import Gallery; print(Gallery.load(pathlib.Path()).index.inner.ntotal)"
    python = str(kit.environment.directory / "bin" / "python")
    done = subprocess.run([python, "-c", code], cwd=folder, capture_output=True, text=True, env={}, check=False)
    assert done.stdout.strip() == "50", done.stderr
