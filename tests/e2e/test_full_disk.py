"""A disk that fills up anywhere in the main job: each run ends with that sentence, what is live answers, and space is all it takes."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from face_assets.dataset.repository_creation import commit_photos
from face_assets.demo.synthetic import write_people
from tests.e2e.untrained import UNTRAINED
from tests.small_disk import SmallDisk

PARAMS = UNTRAINED + "serving: {golden_requests: 3, max_latency_ms: 10000}\n"
SPACES = [float(space) for space in os.environ.get("FACE_ASSETS_TEST_SPACES", "0.3 20").split()]  # MB more before each run
DISK = 6_000  # MB

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture
def disk(cli: Any, make_disk: Callable[[Path, int], SmallDisk]) -> Iterator[SmallDisk]:
    """The folder of the tests, home and data repository in it, as a disk."""
    made = make_disk(cli.folder, DISK)
    yield made
    made.clear()
    cli("down")


def test_a_disk_that_is_full_stops_a_run_anywhere_with_a_sentence_and_leaves_what_is_live(cli: Any, disk: SmallDisk) -> None:
    write_people(cli.folder / "photos", 12, 4)
    (cli.folder / "params.yaml").write_text(PARAMS)
    cli("init", "data", "--photos", "photos", "--params", "params.yaml")
    assert cli.json("run", "--repo", "data")["assets"]["triton_deployment"]["live"] == "v1.0.0"
    write_people(cli.folder / "added", 3, 2, first_photo=4)
    commit_photos(cli.folder / "data", cli.folder / "added", "Add six photos")
    photo = next((cli.folder / "photos").rglob("*.jpg"))
    stopped, wrong = [], []
    for space in SPACES:
        disk.leave(disk.free() + space if stopped else space)
        done = cli.run("run")
        said = (done.stderr.strip().splitlines() or [""])[-1]
        print(f"{space:g} MB more: exit status {done.returncode}, {said}", flush=True)
        if done.returncode == 0:
            break
        if done.returncode != 1 or "disk is full" not in said or "Traceback" in done.stderr:
            wrong.append(f"{done.returncode}: {done.stderr[-3000:]}")
        answers = cli.run("identify", photo, "--json")
        if answers.returncode or json.loads(answers.stdout)[0]["release"] != "v1.0.0":
            wrong.append(f"what was live: {answers.stdout} {answers.stderr}")
        stopped.append(said.removeprefix("Error: ").split(":")[0])
    print(stopped, flush=True)
    assert wrong == []
    disk.clear()
    report = cli.json("run")
    assert report["assets"]["triton_deployment"]["live"] == "v1.1.0"  # more people, the same untrained embedder
    assert cli.json("identify", photo)[0]["release"] == "v1.1.0"
