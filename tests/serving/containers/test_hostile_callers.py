"""Callers who mean harm: what they cannot reach, and what of theirs ends no server, no gateway and no deployment."""

import os
import signal
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from face_assets.serving.containers.canary import read_traffic
from face_assets.serving.containers.docker_engine import DockerEngine
from face_assets.serving.containers.servers import own_tree
from tests.serving.containers.test_gateway import http
from tests.waiting import until

pytestmark = pytest.mark.slow

INFER = "/v2/models/face_recognizer/infer"
DEEP = b'{"inputs":' + b"[" * 200_000 + b"]" * 200_000 + b"}"


def reply(address: str, port: int, sent: bytes) -> bytes:
    """Returns the first bytes of a response, none where the connection is closed without one."""
    try:
        with socket.create_connection((address, port), timeout=20) as connection:
            connection.sendall(sent)
            return connection.recv(1000)
    except (ConnectionResetError, BrokenPipeError):  # also while it is made: the listener sends nothing but a reset to who is not let in
        return b""


def server(box: Any) -> Any:
    """The container of the one server."""
    (found,) = DockerEngine(box.home).containers("server")
    return found


def test_a_servers_own_address_lets_the_gateway_in_alone(box: Any, live: Any) -> None:
    (address,) = live.servers.addresses(live._state()[2])
    for asked in ("GET /v2/health/live", f"POST {INFER}", "GET /v2/logging", "GET /v2/trace/setting", "GET /v2/systemsharedmemory/status"):
        assert reply(address, 8000, f"{asked} HTTP/1.1\r\nHost: here\r\nContent-Length: 0\r\n\r\n".encode()) == b""
    assert reply(address, 8001, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\4" + bytes(5)) == b""
    for port in (18000, 18001, 18002):  # Triton's own
        with pytest.raises(ConnectionRefusedError):
            reply(address, port, b"")
    assert b" 200 " in reply(address, 8002, b"GET /metrics HTTP/1.0\r\n\r\n")  # for Prometheus, and published on loopback too
    assert b" 403 " in reply(address, 8002, b"GET /v2/logging HTTP/1.0\r\n\r\n")


def test_the_platforms_own_key_opens_no_control_and_nobody_elses_names_a_server(box: Any, live: Any, key: str) -> None:
    from tritonclient.grpc import InferenceServerClient
    from tritonclient.utils import InferenceServerException

    server = live.servers.server_names(live._state()[2])[0]
    asker = InferenceServerClient(f"{live.internal.address}:9001")
    headers = {"authorization": f"Bearer {live.gateway.keys.own()}", "face-assets-server": server}
    assert asker.is_model_ready("face_recognizer", headers=headers)
    for call in (
        asker.get_log_settings,
        asker.get_trace_settings,
        asker.get_system_shared_memory_status,
        asker.unregister_system_shared_memory,
    ):
        with pytest.raises(InferenceServerException, match="403"):
            call(headers=headers)
    before = live.gateway.counts()[f"http-{server}", "BACKEND"].requests
    for asker, seen in ((key, 0), (live.gateway.keys.own(), 1)):
        assert http(box.ports.http, "/v2/models/face_recognizer", asker, None, **{"Face-Assets-Server": server}) == 200
        assert live.gateway.counts()[f"http-{server}", "BACKEND"].requests == before + seen


def test_what_has_no_key_or_is_no_request_is_no_evidence_about_a_candidate(box: Any, live: Any, key: str) -> None:
    slot = live._state()[2]

    def evidence() -> tuple[int, Any]:
        return live._lost(live.servers.server_names(slot)), read_traffic(live.servers.addresses(slot))

    before = evidence()
    for _ in range(20):
        assert http(box.ports.http, "/v2/health/ready", None, None, X="a" * 60_000) == 431
        assert http(box.ports.http, "/v2/health/ready", key, None, X="a" * 60_000) == 431
        assert http(box.ports.http, "/v2/health/ready", None, None, X="a" * 15_000) == 200  # the header goes no further
        assert http(box.ports.http, INFER, key, b"{}") in (400, 500)
        assert http(box.ports.http, INFER, key, b"no photo", **{"Inference-Header-Content-Length": "0"}) in (400, 500)
    lost, traffic = evidence()
    assert (lost, traffic.failed) == (before[0], before[1].failed)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 413),
        ({"Inference-Header-Content-Length": str(len(DEEP))}, 400),
        ({"Inference-Header-Content-Length": "99999"}, 413),
        ({"Inference-Header-Content-Length": f"0, {len(DEEP)}"}, 400),
        ({"Inference-Header-Content-Length": "-1"}, 400),
    ],
)
def test_deep_json_ends_no_server(box: Any, live: Any, key: str, headers: dict[str, str], status: int) -> None:
    before = server(box)
    assert http(box.ports.http, INFER, key, DEEP, **headers) == status
    assert box.asker(key).identify(box.kit.photo(0, 2)).release == "v1.0.0"
    after = server(box)
    assert (after.id, after.attrs["RestartCount"]) == (before.id, before.attrs["RestartCount"])


def test_silent_connections_give_way(box: Any, live: Any, key: str) -> None:
    beginnings = (b"", b"GET /v2/health/live HTTP/1.1\r\nX: ", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    with ExitStack() as stack:
        opened = []
        for number in range(900):
            port = box.ports.grpc if number % 2 else box.ports.http
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
            connection.sendall(beginnings[number % 3])
            opened.append(connection)
        for _ in range(5):
            assert box.asker(key).identify(box.kit.photo(0, 2)).release == "v1.0.0"
            assert live.client().identify(box.kit.photo(0, 2)).release == "v1.0.0"
        for connection in opened:  # closed by the gateway: the end of what it sends comes within the time limit of each
            while connection.recv(1000):
                pass


def test_a_request_over_which_a_server_ends_is_not_sent_again_and_the_server_comes_back(box: Any, live: Any, key: str) -> None:
    from tritonclient.http import InferenceServerClient, InferInput
    from tritonclient.utils import InferenceServerException

    version = box.write("v2.0.0", commit="ends")
    answer = "            if len(photos) == 1:\n"
    kill = (
        "[os.kill(int(one), 9) for one in os.listdir('/proc') if one.isdigit() and open(f'/proc/{one}/comm').read() == 'tritonserver\\n']"
    )
    ends = f"            if 'deadly' in request.parameters():\n                {kill}\n{answer}"
    box.kit.change(box.folder / "models", version, "face_recognizer", {answer: ends})
    live.deploy(version, box.kit.golden_requests("v2.0.0"), box.budget(canary_seconds=0.0))
    before = server(box).attrs["RestartCount"]
    asker, image = InferenceServerClient(f"127.0.0.1:{box.ports.http}"), InferInput("IMAGE", [1], "BYTES")
    image.set_data_from_numpy(np.array([box.kit.photo(0, 2)], dtype=np.object_))
    with pytest.raises(InferenceServerException, match="502"):
        asker.infer("face_recognizer", [image], headers={"Authorization": f"Bearer {key}"}, parameters={"deadly": "yes"})
    assert box.asker(key).identify(box.kit.photo(0, 2)).release == "v2.0.0"  # waits until it has restarted
    assert server(box).attrs["RestartCount"] == before + 1


def test_a_server_whose_models_died_is_replaced_by_itself(box: Any, live: Any, key: str) -> None:
    before = server(box)
    rows = before.top(ps_args="-eo pid,args")["Processes"]
    stubs = [int(pid) for pid, arguments in rows if "triton_python_backend_stub" in arguments and "face_detector" in arguments]
    assert stubs
    for pid in stubs:
        os.kill(pid, signal.SIGKILL)

    def is_replaced() -> bool:
        after = server(box)
        return bool(after.attrs["RestartCount"] > before.attrs["RestartCount"] and live.status().ready)

    assert until(is_replaced, 120)
    assert box.asker(key).identify(box.kit.photo(0, 2)).release == live.status().live.release


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_no_link_in_a_containers_folder_gives_a_file_of_the_host_away(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "traffic"
    (outside / "below").mkdir(parents=True)
    (outside / "below" / "secret").write_text("secret")
    (folder / "window").mkdir(parents=True)
    (folder / "window" / "histograms").write_text("histograms")
    (folder / "file").symlink_to(outside / "below" / "secret")
    (folder / "window" / "folder").symlink_to(outside, target_is_directory=True)
    own_tree(folder, 10001)
    assert {path.lstat().st_uid for path in [folder, *folder.rglob("*")]} == {10001}
    assert {path.stat().st_uid for path in [outside, *outside.rglob("*")]} == {0}
