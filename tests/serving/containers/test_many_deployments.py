"""Many deployments leave no more containers, images, networks, volumes, files and bytes than a few.

FACE_ASSETS_TEST_DEPLOYMENTS=100 does a hundred.
"""

import gc
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

DEPLOYMENTS = int(os.environ.get("FACE_ASSETS_TEST_DEPLOYMENTS", "3"))
BEFORE = 3  # from then on there is a live and a previous release, and one more that is kept
CONNECTIONS = 25  # docker's client keeps ten open, and there are two
PAGE = os.sysconf("SC_PAGE_SIZE")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900 + 60 * DEPLOYMENTS)]


def left(box: Any, engine: Any) -> dict[str, int]:
    """Returns the number of this state directory's objects on the engine, and of this process' files."""
    gc.collect()
    ours = {"filters": {"label": f"face-assets.home={box.home}"}}
    return {
        "containers": len(engine.containers.list(all=True, **ours)),
        "images": len(engine.images.list(**ours)),
        "networks": len(engine.networks.list(**ours)),
        "volumes": len(engine.volumes.list(**ours)),
        "versions": len(list((box.folder / "models" / "face_recognizer").glob("[0-9]*"))),
        "build folders": len(list(Path("/tmp").glob("face-assets-build-*"))),
        "open files": len(list(Path("/proc/self/fd").iterdir())),
        "threads": len(list(Path("/proc/self/task").iterdir())),
    }


def megabytes() -> float:
    """The memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 1e6


def contexts(engine: Any) -> int:
    """The build contexts that BuildKit keeps, of whomever."""
    return sum(one["Description"] == "local source for context" for one in engine.df()["BuildCache"] or [])


def test_many_deployments_leave_what_a_few_leave(make_box: Callable[[], Any]) -> None:
    """Each a release of its own with an image of its own, as two releases in turn; swept after each, as the asset does it."""
    box = make_box()
    target, engine = box.target(), box.target().docker.client
    before: dict[str, int] = {}
    began, kept, seconds = 0.0, 0, []
    for number in range(BEFORE + DEPLOYMENTS):
        release = ("v1.0.0", "v2.0.0")[number % 2]
        version = box.write(release, commit=f"{number:08x}")
        started = time.monotonic()
        target.deploy(version, box.kit.golden_requests(release), box.budget(canary_seconds=0.5))
        target.sweep(keep=3)
        seconds.append(time.monotonic() - started)
        assert target.status().live.number == version.number
        print(f"{number + 1}: {seconds[-1]:.1f} s, {left(box, engine)}, {contexts(engine)} contexts, {megabytes():.0f} MB", flush=True)
        if number == BEFORE - 1:
            before, began, kept = left(box, engine), megabytes(), contexts(engine)
    after, ended = left(box, engine), megabytes()
    print(json.dumps({"deployments": DEPLOYMENTS, "before": before, "after": after, "MB before": began, "MB after": ended}, indent=1))
    print(f"{sorted(seconds)[len(seconds) // 2]:.1f} s a deployment, {max(seconds):.1f} s at most")
    assert before["containers"] == 2
    allowed = {**before, "open files": before["open files"] + CONNECTIONS, "threads": before["threads"] + DEPLOYMENTS - 1}
    assert {name: count for name, count in after.items() if count > allowed[name]} == {}
    assert ended - began < 20 + DEPLOYMENTS
    assert contexts(engine) - kept < DEPLOYMENTS
