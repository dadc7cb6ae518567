"""Listing a million photos, reading a commit's photos, and making a data repository, against plain copies and plain DVC."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.table import Row
from face_assets.core.params import Split
from face_assets.dataset.manifest import make_manifest
from face_assets.dataset.photo_survey import survey
from face_assets.dataset.repository_creation import create_repository
from face_assets.registry.data_repository import DataRepository

ENTRIES = 1_000_000
SECONDS_FOR_ENTRIES = 60.0
ROUNDS = 3


def run(photos: Path) -> list[Row]:
    """photos: a folder with one folder a person."""
    with tempfile.TemporaryDirectory() as folder:
        return [_million_entries(), *_repository(photos, Path(folder))]


def _million_entries() -> Row:
    listing = json.dumps([{"md5": hashlib.md5(str(i).encode()).hexdigest(), "relpath": f"person {i // 5}/{i}.jpg"} for i in range(ENTRIES)])
    seconds = _seconds(lambda: make_manifest(((entry["relpath"], entry["md5"]) for entry in json.loads(listing)), Split()))
    return Row("list, split and sort a million photos", seconds, SECONDS_FOR_ENTRIES, "s", 1.0, "the reference is the limit")


def _repository(photos: Path, folder: Path) -> list[Row]:
    """Making a repository turn by turn with plain DVC, the disk quiet before each; the best of the rounds counts."""
    times = [(_init(photos, folder / "ours"), _plain_dvc(photos, folder / "plain")) for _ in range(ROUNDS)]
    best = [min(column) for column in zip(*times, strict=True)]
    count = len(survey(photos).files)
    note = "ours copies the photos into the repository too"
    return [
        Row(f"init of {count:,} photos against dvc add + push", best[0], best[1], "s", 1.2, note),
        _reading(folder / "ours", folder, count),
    ]


def _init(photos: Path, repository: Path) -> float:
    remote = _emptied(repository)
    return _seconds(lambda: create_repository(repository, photos, "", str(remote), None))


def _plain_dvc(photos: Path, repository: Path) -> float:
    remote = _emptied(repository)
    shutil.copytree(photos, repository / "photos")
    _run("git", "init", "-q", cwd=repository)
    _dvc(repository, "init", "-q")
    _dvc(repository, "remote", "add", "-q", "-d", "storage", str(remote))

    def add_and_push() -> None:
        _dvc(repository, "add", "-q", "photos")
        _dvc(repository, "push", "-q")

    return _seconds(add_and_push)


def _emptied(repository: Path) -> Path:
    """The remote of a repository, both of them gone."""
    remote = repository.with_name(f"{repository.name}.remote")
    for path in (repository, remote):
        shutil.rmtree(path, ignore_errors=True)
    return remote


def _reading(repository: Path, folder: Path, count: int) -> Row:
    """Both read every byte from the cache, the first of each round the other way round; the best of the rounds counts."""
    data = DataRepository(str(repository), folder / "home")
    data.refresh()
    commit = data.resolve("HEAD")
    cached = [path for path in (repository / ".dvc" / "cache" / "files").rglob("*") if path.is_file() and path.suffix != ".dir"]

    def ours() -> None:
        files = data.locate(commit, "photos", [file.md5 for file in data.files(commit, "photos")])
        for path in files.values():
            path.read_bytes()

    def copying() -> None:
        target = folder / "copies"
        target.mkdir()
        for number, path in enumerate(cached):
            shutil.copyfile(path, target / str(number))
        shutil.rmtree(target)

    times = [(_seconds(ours), _seconds(copying)) for _ in range(ROUNDS)]
    best = [min(column) for column in zip(*times, strict=True)]
    return Row(f"read the {count:,} photos of a commit against copying them", best[0], best[1], "s", 1.2)


def _seconds(work: Callable[[], object]) -> float:
    os.sync()
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _dvc(cwd: Path, *arguments: str) -> None:
    _run(sys.executable, "-m", "dvc", *arguments, cwd=cwd)


def _run(*command: str, cwd: Path) -> None:
    subprocess.run(command, cwd=cwd, check=True, capture_output=True, env=os.environ)
