"""Entry point of the serving image: Triton on the container's loopback, and a listener before it that lets the gateway in.

The container ends when Triton ends, and when no photo is answered any more: the engine then starts it again. With `--is-healthy` it
says by its exit status whether a photo was answered lately, for Docker's HEALTHCHECK.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent
HTTP, GRPC, METRICS = 18000, 18001, 18002
URL = f"http://127.0.0.1:{HTTP}/v2/models/face_recognizer"
ANSWERS = "face_assets_photos_total"
TOKEN = os.environ.get("FACE_ASSETS_PROBE_TOKEN", "")  # of requests that are no traffic
ANSWERED = Path("/tmp/answered")
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy for the world outside is none for this server
PAUSE_SECONDS = 2.0
LONGEST_ANSWER = 15.0
FAILING_SECONDS = 10.0  # without any answer and with errors, after which the container ends
SILENT_SECONDS = 25.0  # where nothing is said, or that it is busy: a machine may be starved
BUSY = 503
HEALTHY_SECONDS = 30.0
FAILED = 70
# All models are loaded at the start and none later: the server has no model control that anybody could reach.
TRITON = [
    "tritonserver",
    "--model-repository=/models",
    "--backend-directory=/tmp/backends",
    "--model-control-mode=none",
    "--backend-config=python,stub-timeout-seconds=100",  # 30 without it: too little on a busy machine, and Triton aborts
    "--disable-auto-complete-config",
    "--exit-timeout-secs=25",
    "--log-format=ISO8601",
    "--http-address=127.0.0.1",
    f"--http-port={HTTP}",
    "--grpc-address=127.0.0.1",
    f"--grpc-port={GRPC}",
    "--metrics-address=127.0.0.1",
    f"--metrics-port={METRICS}",
]


def main():
    """Runs both until Triton ends; returns its exit status as a shell's."""
    # the Python backend sets its stub's run bit at each start, which takes a file of one's own on a file system that can be written
    shutil.copytree("/opt/tritonserver/backends/python", "/tmp/backends/python", dirs_exist_ok=True)
    triton = subprocess.Popen([*TRITON, *sys.argv[1:]])
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: triton.terminate())
    while triton.poll() is None and not is_ready():
        time.sleep(0.1)
    if triton.poll() is None:  # a listener before would take connections that nobody answers, and the gateway waits for refused ones
        listener = subprocess.Popen(["/usr/sbin/haproxy", "-db", "-f", str(HERE / "listener.cfg")])
        failed = threading.Event()
        threading.Thread(target=watch, args=(triton, failed), daemon=True).start()
        while triton.poll() is None:
            if listener.poll() is not None:
                print("The listener ended: so does the server.", file=sys.stderr, flush=True)
                triton.kill()
            time.sleep(0.05)
        listener.send_signal(signal.SIGUSR1)  # it refuses connections, and answers those whose server has ended
        try:
            listener.wait(1)
        except subprocess.TimeoutExpired:
            listener.kill()
        if failed.is_set():
            return FAILED
    return triton.returncode if triton.returncode >= 0 else 128 - triton.returncode


def is_ready():
    """Whether Triton says that the recognizer, with all that it asks, is loaded."""
    try:
        with OPENER.open(f"{URL}/ready", timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


def watch(triton, failed):
    """Ends Triton once neither our photo nor anybody else's has been answered for so long."""
    well, before = time.monotonic(), 0.0
    while triton.poll() is None:
        trouble, patience = answer_photo()
        after = answers(before)
        if trouble is None or after > before:  # who is busy with others is late, and well
            well = time.monotonic()
            ANSWERED.touch()
        elif time.monotonic() - well > patience:
            print(f"No photo was answered for {time.monotonic() - well:.0f} s, so the server ends: {trouble}", file=sys.stderr, flush=True)
            failed.set()
            triton.kill()
            return
        before = after
        time.sleep(PAUSE_SECONDS)


def answer_photo():
    """Sends a drawn face through the real protocol; returns why it was not answered, None where it was, and for how long that may be."""
    photo = (HERE / "photo.jpg").read_bytes()
    content = len(photo).to_bytes(4, "little") + photo
    tensor = {"name": "IMAGE", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(content)}}
    asked = {"inputs": [tensor], "outputs": [{"name": "RELEASE"}], "parameters": {"face_assets_probe": TOKEN or True}}
    head = json.dumps(asked).encode()
    request = urllib.request.Request(f"{URL}/infer", head + content, {"Inference-Header-Content-Length": str(len(head))})
    try:
        with OPENER.open(request, timeout=LONGEST_ANSWER) as answer:
            answer.read()
            return None, FAILING_SECONDS
    except urllib.error.HTTPError as error:
        return f"{error}: {error.read(300).decode(errors='replace')}", SILENT_SECONDS if error.code == BUSY else FAILING_SECONDS
    except OSError as error:
        return str(error), SILENT_SECONDS


def answers(before):
    """How many photos of callers were answered, as far as that can be had now."""
    try:
        with OPENER.open(f"http://127.0.0.1:{METRICS}/metrics", timeout=2) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return before
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(ANSWERS))


if __name__ == "__main__":
    if sys.argv[1:] == ["--is-healthy"]:
        sys.exit(not ANSWERED.is_file() or time.time() - ANSWERED.stat().st_mtime > HEALTHY_SECONDS)
    os.environ.setdefault("FACE_ASSETS_GATEWAY", "127.0.0.1")
    sys.exit(main())
