"""Keys, limits and rules of the gateway, which is the only public listener."""

import json
import random
import socket
import ssl
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn

from face_assets.cli.keys import add_key, list_keys, revoke_key
from face_assets.core.errors import UserError
from face_assets.core.settings import Settings
from face_assets.registry.workspace import Workspace
from face_assets.serving.containers.docker_engine import DockerEngine
from face_assets.serving.containers.gateway import web_folder
from face_assets.serving.containers.haproxy import Limits
from face_assets.serving.containers.keys import digest
from face_assets.serving.containers.tls import read_certificate
from face_assets.serving.docker_steps import container_target
from face_assets.serving.internal_token import proxy_token
from face_assets.serving.rights import EMBEDDINGS, IDENTIFY, PEOPLE, RIGHTS
from face_assets.web.app import create_app
from face_assets.web.recognizer import Endpoint, Recognizer
from face_assets.web.server import listener_for_gateway
from tests.waiting import until

pytestmark = pytest.mark.slow


def http(port: int, path: str, key: str | None = None, body: bytes | None = None, **headers: str) -> int:
    """Returns the status of a response."""
    asked = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=body, headers=headers)
    if key:
        asked.add_header("Authorization", f"Bearer {key}")
    try:
        with urllib.request.urlopen(asked, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def question(photo: bytes, address: str, key: str, **options: Any) -> str:
    """Returns the release that is live over HTTP."""
    from tritonclient.http import InferenceServerClient, InferInput

    asker = InferenceServerClient(address, **options)
    image = InferInput("IMAGE", [1], "BYTES")
    image.set_data_from_numpy(np.array([photo], dtype=np.object_))
    answer = asker.infer("face_recognizer", [image], headers={"Authorization": f"Bearer {key}"})
    return str(answer.as_numpy("RELEASE")[0].decode())


def test_only_who_has_a_key_is_answered_and_the_others_are_counted(box: Any, live: Any, key: str) -> None:
    photo, ports = box.kit.photo(0, 2), box.ports
    assert question(photo, f"127.0.0.1:{ports.http}", key) == box.asker(key).identify(photo).release == "v1.0.0"
    before = live.gateway.rejected_keys()
    for wrong in (None, "fa_wrong", key + "x", ""):
        assert http(ports.http, "/v2/models/face_recognizer", wrong) == 401
        with pytest.raises(UserError, match="401"):
            box.asker(wrong).identify(photo)
    assert live.gateway.rejected_keys() == before + 8
    assert http(ports.http, "/v2/health/ready") == http(ports.http, "/v2/health/live") == 200  # health is open
    assert box.asker("")._client.is_server_ready()


def test_a_key_is_made_and_revoked_without_a_restart_and_only_its_hash_is_kept(box: Any, live: Any, key: str) -> None:
    gateway, photo = live.gateway, box.kit.photo(0, 2)
    container = gateway.container().id
    made = gateway.keys.add("another")
    with pytest.raises(UserError, match="already"):
        gateway.keys.add("another")
    gateway.apply_keys()
    assert box.asker(made).identify(photo).release == "v1.0.0"
    assert made not in gateway.keys.file.read_text()
    assert made.encode() not in b"".join(gateway._files([]).values())
    assert gateway.keys.file.stat().st_mode & 0o077 == 0
    gateway.keys.revoke("another")
    gateway.apply_keys()
    with pytest.raises(UserError, match="401"):
        box.asker(made).identify(photo)
    assert box.asker(key).identify(photo).release == "v1.0.0"
    assert gateway.container().id == container


def test_a_key_revoked_while_the_gateway_is_down_is_not_in_force_when_it_is_back(box: Any, live: Any, key: str) -> None:
    gateway, photo = live.gateway, box.kit.photo(0, 2)
    made, container = gateway.keys.add("guest"), gateway.container()
    assert gateway.apply_keys()
    assert box.asker(made).identify(photo).release == "v1.0.0"
    container.kill()  # the engine does not restart a container that it killed
    gateway.keys.revoke("guest")
    assert not gateway.apply_keys()
    container.start()
    gateway._wait(container)
    assert box.asker(key).identify(photo).release == "v1.0.0"
    with pytest.raises(UserError, match="401"):
        box.asker(made).identify(photo)


def test_a_revoked_key_is_not_in_force_whatever_the_shell_or_an_engine_that_was_away(
    home: Path, base_image: str, free_ports: Callable[[int], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, port in zip(("HTTP_PORT", "GRPC_PORT", "METRICS_PORT"), free_ports(3), strict=True):
        monkeypatch.setenv(f"FACE_ASSETS_{name}", str(port))
    monkeypatch.setenv("FACE_ASSETS_DOCKER_BASE", base_image)
    workspace = Workspace.load()
    target, port = container_target(workspace), workspace.settings.http_port
    target.start()
    try:
        caller, other = (add_key(name).split()[0] for name in ("caller", "other"))  # by a shell whose target is the embedded one
        assert http(port, "/v2", caller) == http(port, "/v2", other) == 503  # nothing is live
        assert revoke_key("other").endswith("no more: in force.")
        assert http(port, "/v2", other) == 401
        with monkeypatch.context() as away:
            away.setenv("DOCKER_HOST", f"unix://{home}/docker.sock")
            with pytest.raises(UserError, match=r"may still take the key of caller.*systemctl start docker"):
                revoke_key("caller")
            with pytest.raises(UserError, match="systemctl start docker"):
                add_key("third")
        with pytest.raises(UserError, match="no key named caller"):
            revoke_key("caller")
        assert http(port, "/v2", caller) == 401
        assert [key["name"] for key in list_keys()["keys"]] == ["face-assets"]
    finally:
        target.stop()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v2/repository/index", b"{}"),
        ("/v2/repository/models/face_recognizer/unload", b"{}"),
        ("/v2/repository/models/face_recognizer/load", b"{}"),
        ("/v2/logging", b"{}"),
        ("/v2/logging", None),
        ("/v2/trace/setting", None),
        ("/v2/systemsharedmemory/status", None),
        ("/v2/models/stats", None),
        ("/metrics", None),
        ("/v2/models/face_recognizer/../../repository/index", b"{}"),
        ("/v2//repository/index", b"{}"),
    ],
)
def test_control_settings_and_metrics_are_out_of_reach_over_http(box: Any, live: Any, key: str, path: str, body: bytes | None) -> None:
    assert http(box.ports.http, path, key, body) == 403
    assert http(box.ports.http, path, None, body) == 401


def test_control_settings_and_metrics_are_out_of_reach_over_grpc(box: Any, live: Any, key: str) -> None:
    from tritonclient.grpc import InferenceServerClient
    from tritonclient.utils import InferenceServerException

    asker, headers = InferenceServerClient(f"127.0.0.1:{box.ports.grpc}"), {"authorization": f"Bearer {key}"}
    assert asker.is_model_ready("face_recognizer", headers=headers)
    for refused in (
        lambda: asker.unload_model("face_recognizer", headers=headers),
        lambda: asker.load_model("face_recognizer", headers=headers),
        lambda: asker.get_model_repository_index(headers=headers),
        lambda: asker.get_log_settings(headers=headers),
        lambda: asker.get_trace_settings(headers=headers),
        lambda: asker.get_system_shared_memory_status(headers=headers),
        lambda: asker.get_inference_statistics(headers=headers),
    ):
        with pytest.raises(InferenceServerException, match="403"):
            refused()


def test_metrics_are_for_this_machine(box: Any, live: Any) -> None:
    for path, word in (("/metrics", "nv_inference_request_success"), ("/gateway", "haproxy_backend_http_requests_total")):
        with urllib.request.urlopen(f"http://127.0.0.1:{box.ports.metrics}{path}", timeout=20) as answer:
            assert word in answer.read().decode()
    assert http(box.ports.metrics, "/v2/health/live") == 403


def test_a_request_may_be_so_large_and_a_caller_so_frequent(box: Any, live: Any, key: str) -> None:
    container = live.gateway.container().id
    strict = box.listeners(live, limits=Limits(1, 0.5))
    strict.start()
    small = box.kit.photo(0, 2)
    large = small + bytes(600_000)
    assert http(box.ports.http, "/v2/models/face_recognizer/infer", key, large) == 413
    with pytest.raises(UserError, match="413"):
        box.asker(key).identify(large)

    def is_answered(_: int) -> bool:
        try:
            box.asker(key).identify(small)
        except UserError as error:
            assert "429" in str(error)
            return False
        return True

    with ThreadPoolExecutor(15) as pool:
        answered = list(pool.map(is_answered, range(15)))
    assert answered.count(True) <= 10
    assert answered.count(False) >= 4
    live.start()
    assert box.asker(key).identify(large).release == "v1.0.0"  # a photo with trailing bytes
    assert live.gateway.container().id == container


INFER = "POST /v2/models/face_recognizer/infer"
HUGE = bytes(1_100_000)  # more than the gateway's buffer, and all of it that is sent


@pytest.mark.parametrize(
    ("asked", "headers", "body", "status", "with_key"),
    [
        ("POST /v2/health/live", ["Content-Length: 2"], b"{}", 403, False),
        ("POST /v2/health/ready", ["Content-Length: 30000000"], HUGE, 403, False),
        ("GET /v2/health/live", ["Content-Length: 2"], b"{}", 413, False),
        ("GET /v2/health/live", ["Transfer-Encoding: chunked"], b"2\r\n{}\r\n0\r\n\r\n", 413, False),
        ("GET /v2", ["Transfer-Encoding: chunked"], b"2\r\n{}\r\n0\r\n\r\n", 413, True),
        (INFER, ["Content-Length: 3000000000"], HUGE, 413, True),  # negative in 32 bits
        (INFER, ["Content-Length: 18446744073709551615"], HUGE, 413, True),  # negative in 64 bits
        (INFER, ["Transfer-Encoding: chunked"], b"2\r\n{}\r\n0\r\n\r\n", 411, True),
        (INFER, ["Content-Length: 2", "Content-Encoding: gzip"], b"{}", 415, True),
        (INFER, ["Content-Length: 2", "Content-Encoding: deflate"], b"{}", 415, True),
    ],
)
def test_no_body_gets_past_the_limits_over_http(
    box: Any, live: Any, key: str, asked: str, headers: list[str], body: bytes, status: int, with_key: bool
) -> None:
    lines = [f"{asked} HTTP/1.1", "Host: here", "Connection: close", *headers, *([f"Authorization: Bearer {key}"] if with_key else [])]
    with socket.create_connection(("127.0.0.1", box.ports.http), timeout=20) as connection:
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        with suppress(ConnectionError):  # it may be refused by its head
            connection.sendall(body)
        assert connection.recv(100).startswith(f"HTTP/1.1 {status} ".encode())


def test_no_message_gets_past_the_limits_over_grpc(box: Any, live: Any, key: str) -> None:
    import grpc
    from tritonclient.grpc import InferenceServerClient, InferInput
    from tritonclient.utils import InferenceServerException

    photo, headers = box.kit.photo(0, 2), {"authorization": f"Bearer {key}"}
    asker, image = InferenceServerClient(f"127.0.0.1:{box.ports.grpc}"), InferInput("IMAGE", [1], "BYTES")
    image.set_data_from_numpy(np.array([photo], dtype=np.object_))
    asker.infer("face_recognizer", [image], headers=headers)
    with pytest.raises(InferenceServerException, match="415"):
        asker.infer("face_recognizer", [image], headers=headers, compression_algorithm="gzip")
    for size in (2_000, 3_000_000):
        with grpc.insecure_channel(f"127.0.0.1:{box.ports.grpc}") as channel, pytest.raises(grpc.RpcError, match="413"):
            channel.unary_unary("/inference.GRPCInferenceService/ServerLive")(bytes(size), timeout=20)


@pytest.mark.parametrize("with_key", [False, True])
def test_no_caller_can_take_the_gateways_memory(box: Any, live: Any, key: str, with_key: bool) -> None:
    """400 questions of 1 MB, of which none ends; more at once has ended grpc's own client."""
    import grpc

    before, over = live.gateway.container().attrs["State"]["Pid"], threading.Event()

    def body() -> Iterator[bytes]:
        yield bytes(1_000_000)
        over.wait(60)

    options = [("grpc.use_local_subchannel_pool", 1)]
    metadata = (("authorization", f"Bearer {key}"),) if with_key else ()
    channels = [grpc.insecure_channel(f"127.0.0.1:{box.ports.grpc}", options=options) for _ in range(20)]
    asked = [
        channel.stream_unary("/inference.GRPCInferenceService/ModelInfer").future(body(), metadata=metadata, timeout=60)
        for channel in channels
        for _ in range(20)
    ]
    if with_key:  # 320 came through at once, of 16 a connection
        assert until(lambda: any(one.done() and one.code() == grpc.StatusCode.UNAVAILABLE for one in asked))
    for _ in range(10):
        assert live.client().identify(box.kit.photo(0, 2)).release == "v1.0.0"  # the platform itself gets responses
    over.set()
    for one in asked:
        one.cancel()
    for channel in channels:
        channel.close()
    assert live.gateway.container().attrs["State"]["Pid"] == before
    assert box.asker(key).identify(box.kit.photo(0, 2)).release == "v1.0.0"


def test_the_rate_is_not_for_the_platform_itself(box: Any, live: Any) -> None:
    strict = box.listeners(live, limits=Limits(1, 20.0))
    strict.start()
    for _ in range(15):
        assert strict.client(internal=True).identify(box.kit.photo(0, 2)).release == "v1.0.0"
    live.start()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of this machine's, signed by itself, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    secret = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(secret.public_key())
    made = made.serial_number(x509.random_serial_number()).not_valid_before(datetime.now(UTC) - timedelta(days=1))
    made = made.not_valid_after(datetime.now(UTC) + timedelta(days=1))
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    folder = tmp_path_factory.mktemp("tls")
    public = made.sign(secret, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    private = secret.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "public.pem").write_bytes(public)
    (folder / "both.pem").write_bytes(public + private)
    return folder / "both.pem"


def test_with_a_certificate_the_gateway_speaks_tls_alone(box: Any, live: Any, key: str, certificate: Path) -> None:
    from tritonclient.grpc import InferenceServerClient

    safe = box.listeners(live, certificate=read_certificate(certificate))
    safe.start()
    public = certificate.with_name("public.pem")
    asker = InferenceServerClient(f"localhost:{box.ports.grpc}", ssl=True, root_certificates=str(public))
    assert asker.is_model_ready("face_recognizer", headers={"authorization": f"Bearer {key}"})
    context = ssl.create_default_context(cafile=str(public))
    asked = urllib.request.Request(f"https://localhost:{box.ports.http}/v2", headers={"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(asked, context=context, timeout=20) as answer:
        assert answer.status == 200
    with pytest.raises((OSError, UserError)):
        http(box.ports.http, "/v2/health/live")
    assert safe.check_live(box.kit.golden_requests("v1.0.0"), box.budget()).passed  # the platform uses the internal listeners
    live.start()
    assert http(box.ports.http, "/v2/health/live") == 200


def test_a_certificate_that_is_none_gets_a_sentence(certificate: Path) -> None:
    for wrong in (certificate.with_name("public.pem"), certificate.with_name("nowhere.pem")):
        with pytest.raises(UserError, match="FACE_ASSETS_GATEWAY_CERTIFICATE"):
            read_certificate(wrong)


def test_the_containers_may_do_little_and_say_what_they_are(box: Any, live: Any) -> None:
    found = {container.labels["face-assets.role"]: container.attrs for container in DockerEngine(box.home).containers()}
    for attributes in found.values():
        host = attributes["HostConfig"]
        assert host["ReadonlyRootfs"]
        assert host["CapDrop"] == ["ALL"]
        assert host["SecurityOpt"] == ["no-new-privileges"]
        assert host["Memory"] and host["NanoCpus"] and host["PidsLimit"]
        assert host["LogConfig"]["Config"] == {"max-file": "3", "max-size": "10m"}
        assert host["RestartPolicy"]["Name"] == "unless-stopped"
        assert not attributes["Config"]["User"].startswith("0")
        assert {"face-assets.home", "face-assets.role"} <= set(attributes["Config"]["Labels"])
    assert not found["server"]["NetworkSettings"]["Ports"].get("8000/tcp")  # only the gateway is published
    bound = {one["HostIp"] for ports in found["gateway"]["NetworkSettings"]["Ports"].values() for one in ports or []}
    assert bound == {"127.0.0.1"}


def test_the_image_holds_the_server_and_one_release_and_nothing_to_build_with(box: Any, live: Any) -> None:
    image = live.docker.image(live.build(live.status().live))
    unwanted = "find / -xdev -path '*-packages/torch' -o -name probes.json -o -path '*/secrets/*'"
    script = f"command -v gcc cc make pip pip3; {unwanted}; ls /models/* /run"
    run = ["docker", "run", "--rm", "--network=none", "--entrypoint", "sh", image.id, "-c", script]
    listed = subprocess.run(run, capture_output=True, text=True).stdout
    assert not [line for line in listed.splitlines() if line.startswith("/") and not line.endswith(":")]
    assert listed.count("config.pbtxt") == 3
    assert image.labels["org.opencontainers.image.version"] == "v1.0.0"
    assert image.attrs["Config"]["User"] == "10001:10001"
    assert image.attrs["Config"]["Healthcheck"]
    assert json.dumps(image.attrs["Config"]["Env"]).count("KEY") == 0


@pytest.fixture(scope="session")
def keys_by_right(target: Any) -> dict[str, str]:
    """A key for each right, and one with two."""
    made = {right: target.gateway.keys.add(f"may-{right}", [right]) for right in RIGHTS}
    made["both"] = target.gateway.keys.add("may-both", [IDENTIFY, EMBEDDINGS])
    target.gateway.apply_keys()
    return made


@pytest.fixture
def web(live: Any, home: Path) -> Iterator[Any]:
    """The web service as the gateway reaches it, on its socket."""
    internal = live.client()
    recognizer = Recognizer(lambda: Endpoint(internal.address, internal.headers))
    token = proxy_token(live.folder.parent)
    app = create_app(Settings(), recognizer, models=live.images.models, token=token, is_local=False)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener_for_gateway(web_folder(live.folder))]}, daemon=True)
    thread.start()
    try:
        assert until(lambda: live.gateway.counts()["web", "web"].is_up)
        yield server
    finally:
        server.should_exit = True
        thread.join(20)


def asked(port: int, method: str, path: str, key: str | None = None, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
    """Returns status and JSON of a response."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, headers, method=method)
    if key:
        request.add_header("Authorization", f"Bearer {key}")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status), json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_keys_may_what_their_rights_name_at_the_gateway_and_in_the_service(
    box: Any, live: Any, web: Any, keys_by_right: dict[str, str]
) -> None:
    port, photo, octets = box.ports.http, box.kit.photo(0, 2), {"Content-Type": "application/octet-stream"}
    needed = {"identify": ("POST", "/api/v1/recognize", photo), "people": ("GET", "/api/v1/people/x/../y", None)}
    needed["operate"] = ("GET", "/api/v1/nothing", None)
    for right, (method, path, body) in needed.items():
        for name, key in keys_by_right.items():
            status, found = asked(port, method, path, key, body, **octets)
            if right in (name, "identify" if name == "both" else name):
                assert status != 403, (right, name, found)
            else:
                assert (status, found["code"]) == (403, "no_right"), (right, name)
        assert asked(port, method, path, None, body)[0] == asked(port, method, path, "fa_revoked", body)[0] == 401
    status, found = asked(port, "GET", "/api/v1/status", keys_by_right["people"])
    assert (status, found["release"]) == (200, "v1.0.0")
    assert asked(port, "GET", "/openapi.json", keys_by_right["identify"])[0] == 200
    forged = {"Face-Assets-Rights": ",embeddings,", "Face-Assets-Caller": "Eve", "Face-Assets-Proxy": "x", **octets}
    status, found = asked(port, "POST", "/api/v1/recognize?embeddings=true", keys_by_right["identify"], photo, **forged)
    assert (status, found["code"]) == (403, "forbidden")
    status, found = asked(port, "POST", "/api/v1/recognize?embeddings=true", keys_by_right["both"], photo, **octets)
    assert status == 200
    assert len(found["faces"][0]["match"]["embedding"]) >= 16
    cross = {"Origin": "https://evil.example.org", **octets}
    assert asked(port, "POST", "/api/v1/recognize", keys_by_right["identify"], photo, **cross) == (403, ANY_PROBLEM)
    for raw in ("identify", "both", "embeddings", "people"):
        allowed = raw in ("identify", "both")
        assert (http(port, INFER.split()[1], keys_by_right[raw], photo, **{"Inference-Header-Content-Length": "0"}) == 200) is allowed


class _Problem:
    """Equals every error of the one shape."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, dict) and set(other) == {"error", "code"} and all(isinstance(one, str) and one for one in other.values())

    __hash__ = None  # type: ignore[assignment]


ANY_PROBLEM = _Problem()


@pytest.mark.parametrize(
    ("method", "path", "headers", "with_key", "status"),
    [
        ("GET", "/v2", {}, False, 401),
        ("GET", "/api/v1/status", {}, False, 401),
        ("GET", "/", {}, True, 403),
        ("POST", "/v2/logging", {}, True, 403),
        ("POST", "/api/v1/recognize", {"Content-Encoding": "gzip"}, True, 415),
        ("POST", "/api/v1/recognize", {"Content-Length": "30000000"}, True, 413),
        ("GET", "/v2", {"X": "a" * 60_000}, True, 431),
        ("GET", "/api/v1/status", {}, True, 503),
    ],
)
def test_the_gateways_errors_have_the_one_shape(
    box: Any, live: Any, key: str, method: str, path: str, headers: dict[str, str], with_key: bool, status: int
) -> None:
    assert asked(box.ports.http, method, path, key if with_key else None, None, **headers) == (status, ANY_PROBLEM)


def test_a_key_has_its_own_limit_and_a_rotated_one_ends(box: Any, live: Any) -> None:
    gateway, port = live.gateway, box.ports.http
    slow, old = gateway.keys.add("slow", [PEOPLE], 1), gateway.keys.add("rotated")
    new = gateway.keys.rotate("rotated", 3600)
    ended = gateway.keys.add("ended")
    gateway.apply_keys()
    statuses = [http(port, "/api/v1/commits/x", slow) for _ in range(14)]
    assert statuses.count(429) == 4
    assert asked(port, "GET", "/api/v1/commits/x", slow) == (429, ANY_PROBLEM)
    assert http(port, "/v2", old) == http(port, "/v2", new) == http(port, "/v2", ended) == 200
    gateway.execute([f"set map /etc/face-assets/rights.map {digest(ended)} ,identify,::1"])  # its end has come
    assert http(port, "/v2", ended) == 401
    assert {"slow"} <= set(gateway.remember_uses())
    for name in ("slow", "rotated", "ended"):
        gateway.keys.revoke(name)
    gateway.apply_keys()
    assert http(port, "/v2", old) == http(port, "/v2", new) == 401


def numbers(found: Any) -> Iterator[list[float]]:
    """Yields each list of numbers in a JSON document."""
    if isinstance(found, dict):
        for one in found.values():
            yield from numbers(one)
    elif isinstance(found, list) and found and all(isinstance(one, (int, float)) for one in found):
        yield [float(one) for one in found]
    elif isinstance(found, list):
        for one in found:
            yield from numbers(one)


def test_no_fuzzed_request_of_a_key_without_the_right_returns_an_embedding(
    box: Any, live: Any, web: Any, keys_by_right: dict[str, str]
) -> None:
    """1,000 requests, most of which get an answer, each with a form of asking for embeddings; with the right, they return them."""
    photo, draw, key = box.kit.photo(0, 2), random.Random(5), keys_by_right["identify"]
    embedding = box.asker(keys_by_right["both"]).identify(photo).faces[0].embedding
    assert embedding.size >= 16
    assert box.asker(key).identify(photo).faces[0].embedding.size == 0
    names = ["EMBEDDINGS", "SCORE", "RELEASE", "embeddings", "CROPS", "QUALITY", "IDENTITY"]

    def forged() -> dict[str, str]:
        header = draw.choice(["Face-Assets-Embeddings", "face-assets-rights", "Face-Assets-Proxy", "X-Api-Key", "Triton-Request-Id"])
        return {header: draw.choice(["true", "embeddings", ",embeddings,", key, ""])}

    def raw() -> tuple[str, bytes, dict[str, str]]:
        tensor = {"name": "IMAGE", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(photo) + 4}}
        stated: dict[str, Any] = {"inputs": [tensor]}
        if draw.random() < 0.7:
            binary = draw.choice([True, False])
            stated["outputs"] = [
                {"name": name, "parameters": {"binary_data": binary}} for name in draw.sample(names[:3], draw.randint(1, 3))
            ]
        if draw.random() < 0.5:
            stated["parameters"] = {"face-assets-embeddings": draw.choice(["true", True, 1, ""]), "binary_data_output": draw.random() < 0.5}
        head = json.dumps(stated).replace("EMBEDDINGS", draw.choice(["EMBEDDINGS", "\\u0045MBEDDINGS"])).encode()
        if draw.random() < 0.2:
            return INFER.split()[1], photo, {"Inference-Header-Content-Length": "0"}
        model = draw.choice(["face_recognizer"] * 8 + ["face_embedder", "face_recognizer/versions/1"])
        return (
            f"/v2/models/{model}/infer",
            head + len(photo).to_bytes(4, "little") + photo,
            {"Inference-Header-Content-Length": str(len(head))},
        )

    def rest() -> tuple[str, bytes, dict[str, str]]:
        path = draw.choice(["recognize", "recognize", "verify", "detect", "recognition/recognize", "recognition//recognize", "%72ecognize"])
        query = draw.choice(
            ["embeddings=true", "embeddings=1", "embeddings=on&k=3", "face_plugins=calculator,landmarks", "Embeddings=true", ""]
        )
        return f"/api/v1/{path}?{query}", photo, {"Content-Type": "application/octet-stream"}

    def returned(made: tuple[str, bytes, dict[str, str]], who: str) -> tuple[int, bool]:
        path, body, headers = made
        request = urllib.request.Request(f"http://127.0.0.1:{box.ports.http}{path}", body, {**headers, "Authorization": f"Bearer {who}"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                status, content = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, content = error.code, error.read()
        lists: list[list[float]] = []
        with suppress(ValueError):
            lists = list(numbers(json.loads(content)))
        near = [one for one in lists if len(one) >= embedding.size and np.dot(one[: embedding.size], embedding) > 0.5]
        return status, bool(near) or embedding[:4].tobytes() in content

    made = [(path, body, {**headers, **forged()}) for path, body, headers in (draw.choice([raw, raw, rest])() for _ in range(1000))]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda one: returned(one, key), made))
        allowed = list(pool.map(lambda one: returned(one, keys_by_right["both"]), made[:60]))
    assert not [one for one, (_, holds) in zip(made, found, strict=True) if holds]
    assert sum(status == 200 for status, _ in found) > 400
    assert sum(holds for _, holds in allowed) > 10, "the test sees an embedding where there is one"
