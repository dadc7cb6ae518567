"""Nothing waits for ever: each call that can hang names its time limit, as the source text shows."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from face_assets.core import subprocesses
from face_assets.core.code_digest import parsed

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    path
    for folder in ("face_assets", "triton_models", "deploy")
    for path in (ROOT / folder).rglob("*.py")
    if "site-packages" not in path.parts
)
NEED_TIMEOUT = {
    *(f"subprocess.{name}" for name in ("run", "call", "check_call", "check_output")),
    *("urllib.request.urlopen", "urlopen", "socket.create_connection", "smtplib.SMTP", "smtplib.SMTP_SSL", "docker.from_env"),
    *(f"requests.{name}" for name in ("get", "post", "put", "head", "request")),
}
CLIENT_TIMEOUT = {"load_model", "unload_model", "get_model_repository_index", "get_model_config", "is_server_ready", "is_model_ready"}
WAIT = {"wait", "communicate", "join", "get", "acquire"}
"""Methods of processes, threads, queues and locks that wait for ever where they are called with nothing."""
FOR_EVER = {
    ("face_assets/automation/", "watch.wait"): "a tick's watch ends after SECONDS_TO_WAIT",
    ("face_assets/automation/code_server.py", "server.wait"): "it keeps the code server until a signal comes",
    ("face_assets/cli/exporter.py", "thread.join"): "the exporter serves until it is stopped",
    ("face_assets/serving/runtime/dynamic_batching.py", "thread.join"): "Triton ends a model's process that does not finish",
    ("face_assets/serving/runtime/dynamic_batching.py", "self._changed.wait"): "the embedder's threads wait for work",
    ("face_assets/serving/runtime/use_record.py", "self._thread.join"): "Triton ends a model's process that does not finish",
    ("face_assets/serving/runtime/traffic.py", "self._thread.join"): "Triton ends a model's process that does not finish",
    ("triton_models/face_detector/model.py", "self.worker.join"): "Triton ends a model's process that does not finish",
    ("triton_models/face_detector/model.py", "self.waiting.get"): "the detector's thread waits for work",
    ("face_assets/serving/frontend/", "server.wait"): "the server's process serves until it is stopped, then by wait_for",
    ("face_assets/serving/frontend/", "stopped.wait"): "it serves until a signal comes",
    ("face_assets/embedding/distributed.py", "process_group.join"): "gloo has a time limit of its own",
    ("face_assets/web/caller.py", "CALLER.get"): "a context variable",
    ("face_assets/web/people_service.py", "self._waiting.get"): "the writer's thread waits for changes",
}


def unlimited(source: str, path: str = "") -> Iterator[str]:
    """The calls of a source text that can hang and name no time limit."""
    for node in ast.walk(parsed(source)):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        named = {keyword.arg for keyword in node.keywords}
        limited = "timeout" in named or (name == "socket.create_connection" and len(node.args) > 1)
        hangs = (
            (name in NEED_TIMEOUT and not limited)
            or (method in CLIENT_TIMEOUT and name.startswith(("self._client.", "client.")) and "client_timeout" not in named)
            or (method in WAIT and not node.args and "timeout" not in named and (method != "communicate" or not limited))
        )
        if hangs and not any(path.startswith(place) and name == call for place, call in FOR_EVER):
            yield f"{path}:{node.lineno}: {name}"


def test_every_call_that_can_hang_names_its_time_limit() -> None:
    found = [line for path in SOURCES for line in unlimited(path.read_text(encoding="utf-8"), str(path.relative_to(ROOT)))]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "subprocess.run(['git', 'gc'], check=True)",
        "child.wait()",
        "process.communicate()",
        "thread.join()",
        "queue.get()",
        "urllib.request.urlopen(url)",
        "socket.create_connection(address)",
    ],
)
def test_a_call_without_one_is_found(source: str) -> None:
    assert list(unlimited(source))
    assert not list(unlimited(source.removesuffix(")").removesuffix("(") + ("(" if source.endswith("()") else ", ") + "timeout=1)"))


@pytest.mark.parametrize(
    ("start", "said"),
    [
        (lambda: subprocesses.run(["sh", "-c", "sleep 600 & wait"], 0.2), "sh did not end within 0.2 s"),
        (lambda: subprocesses.follow(["sh", "-c", "echo here; sleep 600 & wait"], 0.2, print), "sh printed nothing for 0.2 s"),
        (lambda: subprocesses.follow(["sh", "-c", "exec >&- 2>&-; sleep 600"], 0.2, print), "sh printed nothing for 0.2 s"),
    ],
)
def test_a_program_that_hangs_is_ended_with_all_that_it_started(start: Callable[[], object], said: str) -> None:
    with pytest.raises(subprocesses.TookTooLongError, match=said):
        start()


def test_a_program_that_ends_in_time_says_its_lines_and_its_status() -> None:
    lines: list[str] = []
    assert subprocesses.follow(["sh", "-c", "echo one; echo two >&2; exit 3"], 60, lines.append) == 3
    assert lines == ["one", "two"]
    done = subprocesses.run(["sh", "-c", "echo out; echo err >&2; exit 2"], 60)
    assert (done.returncode, done.stdout, done.stderr) == (2, "out\n", "err\n")
