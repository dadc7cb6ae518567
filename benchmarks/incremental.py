"""Costs of a commit by its change, with `face-assets run` and the sensor: seconds of the assets, and from commit to live."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from benchmarks.server import free_ports
from benchmarks.table import Row
from face_assets.dataset.photo_survey import survey
from face_assets.dataset.repository_creation import commit_photos, create_repository
from face_assets.event_log.instance import open_instance
from face_assets.registry.git import git
from face_assets.storage.home import Home

CHANGED = 100  # one photo in so many is new
SENT = 50  # photos of the commit that the sensor sees
ENROLLED = 100
POLL_SECONDS, MOST_SECONDS = 0.5, 600.0
TO_FACES = ("dataset_version", "aligned_faces")
TO_GALLERY = (*TO_FACES, "label_audit", "face_embedder", "exported_embedder", "embedder_evaluation", "gallery_audit", "face_gallery")
PARAMS = """
detector: {{choose: most_central}}
embedder: {{weights: {weights}, whitening: per_image}}
serving: {{max_latency_ms: 5000}}
"""
SYNTHETIC = """
train: {min_people: 2, unfreeze: all, epochs: 4, learning_rate: 0.002, embedding_regularization: 0.0, margin: 0.2, scale: 16.0}
embedder: {weights: scratch, embedding_size: 64}
evaluation: {min_auc: 0.0, min_accuracy: 0.0, max_regression: 1.0}
gallery: {action: report}
"""


@dataclass(frozen=True)
class Platform:
    """A home with a data repository; the command runs in `environment`."""

    folder: Path
    environment: dict[str, str]

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def command(self, *arguments: str | Path) -> str:
        done = subprocess.run(
            [str(Path(sys.executable).with_name("face-assets")), *map(str, arguments)], env=self.environment, capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(f"{arguments}: {done.stdout}\n{done.stderr}")
        return done.stdout

    def run(self) -> tuple[float, dict[str, float]]:
        """Runs HEAD; returns the seconds of the whole command and those of each asset."""
        started = time.perf_counter()
        report = json.loads(self.command("run", "--repo", self.data, "--json"))
        return time.perf_counter() - started, report["seconds"]

    def live_after(self, since: float) -> float:
        """Seconds from `since` until HEAD's deployment, launched by the sensor, was verified and live."""
        commit = git("rev-parse", "HEAD", cwd=self.data).decode().strip()
        while time.time() - since < MOST_SECONDS:
            with open_instance(Home(self.folder / "home")) as instance:
                runs = instance.get_runs(dg.RunsFilter(tags={"dagster/partition": commit}))
            for run in runs:
                if run.status == dg.DagsterRunStatus.FAILURE:
                    raise RuntimeError(f"the run of {commit} failed")
                if run.status == dg.DagsterRunStatus.SUCCESS:
                    return _ended(instance, run.run_id, "triton_deployment") - since
            time.sleep(POLL_SECONDS)
        raise TimeoutError(f"{commit} was not live after {MOST_SECONDS:.0f} s")


def run(photos: Path) -> list[Row]:
    """The first commit has all photos but those of the later ones."""
    files = survey(photos).files
    later = files[::CHANGED]
    sent = files[1::CHANGED][:SENT]
    with _platform(photos, [file for file in files if file not in {*later, *sent}]) as platform:
        _, full = platform.run()
        platform.run()  # beside what is in production now
        unchanged, _ = platform.run()
        _commit(platform, photos, later)
        _, one = platform.run()
        (platform.data / "params.yaml").write_text((platform.data / "params.yaml").read_text() + "monitoring: {consecutive_windows: 4}\n")
        git("commit", "-q", "-a", "-m", "Wait longer for drift", cwd=platform.data)
        _, parameters = platform.run()
        platform.command("up")
        since = _commit(platform, photos, sent)
        live = platform.live_after(since)
        since = time.time()
        shutil.copytree(photos / files[-1].parts[0], platform.data / "gallery" / "one more")
        _dvc(platform, "add", "-q", "gallery")
        _dvc(platform, "push", "-q")
        git("commit", "-q", "-a", "-m", "Enroll one more", cwd=platform.data)
        enrolled = platform.live_after(since)
    whole = {name: sum(full[step] for step in steps) for name, steps in (("faces", TO_FACES), ("gallery", TO_GALLERY))}
    some = {name: sum(one[step] for step in steps) for name, steps in (("faces", TO_FACES), ("gallery", TO_GALLERY))}
    what = f"a commit of {len(later):,} more photos against all {len(files):,}"
    limit = "from the commit to its end, by the sensor; the reference is the limit"
    return [
        Row(f"{what}, up to aligned_faces", some["faces"], whole["faces"], "s", 0.03, _parts(one, TO_FACES)),
        Row(f"{what}, up to face_gallery", some["gallery"], whole["gallery"], "s", 0.10, _parts(one, TO_GALLERY)),
        Row("a commit of parameters alone, aligned_faces", parameters["aligned_faces"], full["aligned_faces"], "s", 0.03, "finds all kept"),
        Row("an unchanged commit again, the whole command", unchanged, 10.0, "s", 1.0, "the reference is the limit"),
        Row(f"a commit of {len(sent)} photos, live", live, 120.0, "s", 1.0, limit),
        Row("a commit of the gallery alone, live", enrolled, 45.0, "s", 1.0, limit),
    ]


def _ended(instance: dg.DagsterInstance, run: str, step: str) -> float:
    (found,) = instance.get_run_step_stats(run, [step])
    assert found.end_time
    return found.end_time


def _parts(seconds: dict[str, float], steps: tuple[str, ...]) -> str:
    return ", ".join(f"{step} {seconds[step]:.1f}" for step in steps)


def _commit(platform: Platform, photos: Path, files: list[Path]) -> float:
    """Commits more photos; returns when."""
    with tempfile.TemporaryDirectory() as name:
        _copy(photos, files, Path(name))
        commit_photos(platform.data, Path(name), f"Add {len(files)} photos")
    return time.time()


def _copy(photos: Path, files: list[Path], to: Path) -> None:
    for file in files:
        (to / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(photos / file, to / file)


def _dvc(platform: Platform, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=platform.data, check=True, env=platform.environment)


@contextmanager
def _platform(photos: Path, files: list[Path]) -> Iterator[Platform]:
    weights = next(iter(sorted((photos.parent / "weights").glob("*.pt"))), None)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _copy(photos, files, folder / "photos")
        people = sorted({file.parts[0] for file in files})[:ENROLLED]
        _copy(photos, [file for file in files if file.parts[0] in people], folder / "gallery")
        text = PARAMS.format(weights=weights) if weights else SYNTHETIC
        create_repository(folder / "data", folder / "photos", text, None, folder / "gallery")
        names = ("HTTP_PORT", "GRPC_PORT", "METRICS_PORT", "UI_PORT", "EXPORTER_PORT", "PROMETHEUS_PORT", "WEB_PORT")
        ports = {f"FACE_ASSETS_{name}": str(port) for name, port in zip(names, free_ports(len(names)), strict=True)}
        platform = Platform(folder, {**os.environ, **ports, "FACE_ASSETS_HOME": str(folder / "home")})
        try:
            yield platform
        finally:
            platform.command("down")
