"""Times of the platform of FACE_ASSETS_HOME with a release in production: `python -m benchmarks.running PHOTO`.

It stops the services and starts them. It prints the seconds from `up` to the first answer, the milliseconds of the photo at the median,
and the processor time of the idle platform, part by part. Nothing else may run meanwhile.
"""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import psutil

from face_assets.core.errors import UserError
from face_assets.registry.workspace import Workspace
from face_assets.serving.steps import target

ANSWERS = 200
SECONDS_TO_SETTLE, SECONDS_IDLE = 60.0, 120.0
MOST_SECONDS = 300.0


def main() -> None:
    """Measures and prints."""
    photo = Path(sys.argv[1]).read_bytes()
    command = str(Path(sys.executable).with_name("face-assets"))
    subprocess.run([command, "down"], check=True, stdout=subprocess.DEVNULL)
    workspace = Workspace.load()
    started = time.perf_counter()
    with subprocess.Popen([command, "up"], stdout=subprocess.DEVNULL):
        while not _answers(workspace, photo):
            if time.perf_counter() - started > MOST_SECONDS:
                raise TimeoutError("no answer after `up`")
            time.sleep(0.05)
        print(f"first answer after up: {time.perf_counter() - started:.1f} s")
    print(f"up: {time.perf_counter() - started:.1f} s")
    client = target(workspace).client()
    times = []
    for _ in range(ANSWERS):
        since = time.perf_counter()
        client.identify(photo)
        times.append((time.perf_counter() - since) * 1000)
    print(f"a photo: {statistics.median(times):.1f} ms at the median")
    time.sleep(SECONDS_TO_SETTLE)
    before = _used()
    time.sleep(SECONDS_IDLE)
    after = _used()
    for name in sorted(after, key=lambda name: before.get(name, 0.0) - after[name]):
        if (used := after[name] - before.get(name, 0.0)) > 0:
            print(f"idle: {used / SECONDS_IDLE:.2%} of a core, {name}")
    print(f"idle: {(sum(after.values()) - sum(before.values())) / SECONDS_IDLE:.2%} of a core in all")


def _answers(workspace: Workspace, photo: bytes) -> bool:
    try:
        target(workspace).client(seconds=5.0).identify(photo)
    except UserError:
        return False
    return True


def _used() -> dict[str, float]:
    """Seconds of a core by process of the state directory, with those of its ended children."""
    used = {}
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get("FACE_ASSETS_HOME") == os.environ["FACE_ASSETS_HOME"]:
                times, words = process.cpu_times(), " ".join(process.cmdline())
                used[f"{process.pid} {words[-60:]}"] = times.user + times.system + times.children_user + times.children_system
        except psutil.Error:
            continue
    return used


if __name__ == "__main__":
    main()
