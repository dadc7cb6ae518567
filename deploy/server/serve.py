"""Entry point of the serving image: Triton on the container's loopback, and a listener before it that admits the gateway.

The container ends when Triton ends, or photos no longer get a response: the engine then restarts it. With `--is-healthy` the exit status
is 0 after a recent response to a photo, for Docker's HEALTHCHECK.
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
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy leads to this server
PAUSE_SECONDS = 2.0
LONGEST_ANSWER = 15.0
FAILING_SECONDS = 10.0  # with errors and without any response, after which the container ends
SILENT_SECONDS = 25.0  # without any response, or with 503: the machine may be overloaded
BUSY = 503
HEALTHY_SECONDS = 30.0
FAILED = 70
# All models are loaded at the start: the server has no model control.
TRITON = [
    "tritonserver",
    "--model-repository=/models",
    "--backend-directory=/tmp/backends",
    "--model-control-mode=none",
    "--backend-config=python,stub-timeout-seconds=100",  # 30 without it: too little on a busy machine, and Triton aborts
    "--disable-auto-complete-config",
    "--exit-timeout-secs=25",
    "--http-header-forward-pattern=face-assets-embeddings",  # which the gateway alone sets
    "--grpc-header-forward-pattern=face-assets-embeddings",
    "--log-format=ISO8601",
    "--http-address=127.0.0.1",
    f"--http-port={HTTP}",
    "--grpc-address=127.0.0.1",
    f"--grpc-port={GRPC}",
    "--metrics-address=127.0.0.1",
    f"--metrics-port={METRICS}",
]


def main():
    """Runs Triton and the listener until Triton ends; returns its exit status as a shell does."""
    # the Python backend sets its stub's run bit at each start, which needs an own file on a writable file system
    shutil.copytree("/opt/tritonserver/backends/python", "/tmp/backends/python", dirs_exist_ok=True)
    for backend in Path("/opt/tritonserver/backends").iterdir():  # NVIDIA's image has those that run networks
        if backend.name != "python" and not (there := Path("/tmp/backends") / backend.name).is_symlink():
            there.symlink_to(backend)
    triton = subprocess.Popen([*TRITON, *sys.argv[1:]])
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: triton.terminate())
    while triton.poll() is None and not is_ready():
        time.sleep(0.1)
    if triton.poll() is None:  # an earlier listener would accept connections without a response, and the gateway retries refused ones
        listener = subprocess.Popen(["/usr/sbin/haproxy", "-db", "-f", str(HERE / "listener.cfg")])
        failed = threading.Event()
        threading.Thread(target=watch, args=(triton, failed), daemon=True).start()
        while triton.poll() is None:
            if listener.poll() is not None:
                print("The listener ended: so does the server.", file=sys.stderr, flush=True)
                triton.kill()
            time.sleep(0.05)
        listener.send_signal(signal.SIGUSR1)  # it refuses connections, and ends those whose server has ended
        try:
            listener.wait(1)
        except subprocess.TimeoutExpired:
            listener.kill()
        if failed.is_set():
            return FAILED
    return triton.returncode if triton.returncode >= 0 else 128 - triton.returncode


def is_ready():
    """Returns True where the recognizer and the models that it calls are loaded."""
    try:
        with OPENER.open(f"{URL}/ready", timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


def watch(triton, failed):
    """Ends Triton when neither the health check's photo nor another one gets a response for too long."""
    healthy, before = time.monotonic(), 0.0
    while triton.poll() is None:
        trouble, patience = answer_photo()
        after = answers(before)
        if trouble is None or after > before:  # a server that is busy with others is late, and healthy
            healthy = time.monotonic()
            ANSWERED.touch()
        elif time.monotonic() - healthy > patience:
            print(
                f"No photo got a response for {time.monotonic() - healthy:.0f} s, so the server ends: {trouble}",
                file=sys.stderr,
                flush=True,
            )
            failed.set()
            triton.kill()
            return
        before = after
        time.sleep(PAUSE_SECONDS)


def answer_photo():
    """Sends a drawn face through the real protocol; returns the failure, None without one, and the time that it may last."""
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
    """Returns the number of callers' photos with a result; `before` where it cannot be read now."""
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
