"""The sign-in of Compose: its real configuration and HAProxy before services that say what reaches them."""

import base64
import json
import os
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from face_assets.serving.containers.docker_engine import DockerEngine
from face_assets.serving.containers.images import Images, Recipe
from tests.waiting import until

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]
PASSWORD = "correct horse"
PORTS = {"dagster": 3000, "grafana": 3001, "web": 8004, "prometheus": 9090}
BACKENDS = {"dagster": "webserver:3000", "grafana": "grafana:3000", "web": "web:8004", "prometheus": "prometheus:9090"}


class Echo(BaseHTTPRequestHandler):
    """Responds with what reached it; a websocket's handshake is accepted."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.headers.get("upgrade"):
            self.send_response(101)
            self.send_header("Upgrade", "websocket")
            self.send_header("Connection", "Upgrade")
            self.send_header("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
            self.end_headers()
            self.close_connection = True
            return
        content = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET  # noqa: N815

    def log_message(self, format: str, *arguments: Any) -> None:
        """Logs nothing."""


def users(secrets: Path, *arguments: str, password: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "FACE_ASSETS_SECRETS": str(secrets), "FACE_ASSETS_STACK": "face-assets-signin-test"}
    return subprocess.run(["deploy/platform/users", *arguments], cwd=ROOT, env=environment, input=password, capture_output=True, text=True)


@pytest.fixture(scope="module")
def ports(free_ports: Callable[[int], list[int]]) -> dict[str, int]:
    return dict(zip(PORTS, free_ports(len(PORTS)), strict=True))


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("signin") / "secrets"
    assert users(made, "set", "ann", password=PASSWORD).returncode == 0
    return made


@pytest.fixture(scope="module")
def signin(base_image: str, ports: dict[str, int], secrets: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of its container."""
    folder = tmp_path_factory.mktemp("config")
    text = (ROOT / "deploy/platform/signin.cfg").read_text().replace("default-server resolvers engine init-addr none", "")
    services = []
    for name, port in PORTS.items():
        service = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
        threading.Thread(target=service.serve_forever, daemon=True).start()
        services.append(service)
        text = text.replace(f" {BACKENDS[name]}\n", f" 127.0.0.1:{service.server_port}\n")
        text = text.replace(f"bind :{port}", f"bind 127.0.0.1:{ports[name]}").replace(f"dst_port {port}", f"dst_port {ports[name]}")
    (folder / "signin.cfg").write_text(text)
    (folder / "signin.sh").write_text((ROOT / "deploy/platform/signin.sh").read_text())
    images = Images(DockerEngine("signin"), Recipe(ROOT / "deploy", base_image, None, "face-assets-test/recognizer"), folder, folder)
    mounts = (f"{folder}:/etc/face-assets:ro", f"{secrets / 'signin'}:/run/signin:ro", f"{secrets}:/run/secrets:ro")
    run = ["docker", "run", "--detach", "--rm", "--network=host", f"--user={os.getuid()}:{os.getgid()}", "--cap-drop=ALL", "--read-only"]
    run += [f"--volume={mount}" for mount in mounts]
    started = subprocess.run(
        [*run, "--entrypoint=sh", images.gateway(), "/etc/face-assets/signin.sh"], capture_output=True, text=True, check=True
    )
    name = started.stdout.strip()
    try:
        assert until(lambda: asked(ports["dagster"], user=None)[0] == 401), subprocess.run(["docker", "logs", name], capture_output=True)
        yield name
    finally:
        subprocess.run(["docker", "rm", "--force", name], capture_output=True)
        for service in services:
            service.shutdown()


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def asked(
    port: int, path: str = "/", user: str | None = "ann", password: str = PASSWORD, method: str = "GET", **headers: str
) -> tuple[int, Any]:
    """Returns status and JSON of a response; 0 where there is none yet."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers, method=method)
    if user is not None:
        request.add_header("Authorization", basic(user, password))
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())
    except OSError:
        return 0, None


@pytest.mark.parametrize("service", list(PORTS))
def test_each_service_is_for_who_has_signed_in(signin: str, ports: dict[str, int], service: str) -> None:
    wrong = (("/", None, ""), ("/graphql", None, ""), ("/x", "ann", "wrong"), ("/", "eve", PASSWORD), ("/", "", PASSWORD))
    for path, user, password in wrong:
        status, found = asked(ports[service], path, user, password)
        assert (status, found["code"], set(found)) == (401, "no_user", {"error", "code"})
    status, headers = asked(ports[service], **{"Face-Assets-Caller": "eve", "Face-Assets-Rights": "embeddings", "Face-Assets-Proxy": "x"})
    assert status == 200
    assert "authorization" not in headers
    stated = [headers.get(f"face-assets-{name}") for name in ("caller", "rights")]
    assert stated == (["ann", "identify,people,operate"] if service == "web" else [None, None])
    assert ("face-assets-proxy" in headers) is (service == "web")


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("POST", "/graphql", {"Origin": "https://evil.example.org"}),
        ("POST", "/graphql", {"Origin": "null"}),
        ("GET", "/graphql", {"Origin": "https://evil.example.org", "Upgrade": "websocket", "Connection": "Upgrade"}),
        ("GET", "/graphql", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}),
        ("GET", "/runs", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}),
        ("POST", "/", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}),
    ],
)
def test_other_sites_pages_may_use_nobodys_password(
    signin: str, ports: dict[str, int], method: str, path: str, headers: dict[str, str]
) -> None:
    status, found = asked(ports["dagster"], path, method=method, **headers)
    assert (status, found["code"]) == (403, "foreign_origin")
    assert asked(ports["dagster"], "/runs", **{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"})[0] == 200  # a link
    assert asked(ports["dagster"], path, method=method, Origin=f"http://127.0.0.1:{ports['dagster']}")[0] == 200


def test_the_websocket_of_graphql_is_for_who_has_signed_in(signin: str, ports: dict[str, int]) -> None:
    def handshake(*lines: str) -> bytes:
        with socket.create_connection(("127.0.0.1", ports["dagster"]), timeout=20) as connection:
            head = ["GET /graphql HTTP/1.1", "Host: here", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
            connection.sendall("\r\n".join([*head, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", *lines, "", ""]).encode())
            return connection.recv(1000).split(b"\r\n")[0]

    assert b" 401 " in handshake()
    assert b" 101 " in handshake(f"Authorization: {basic('ann', PASSWORD)}")


def test_a_proxy_with_its_password_says_who_has_signed_in(signin: str, ports: dict[str, int], secrets: Path) -> None:
    password = (secrets / "signin/proxy_password").read_text()
    assert asked(ports["web"], user="bob@example.org", password=password)[1]["face-assets-caller"] == "bob@example.org"
    for user in ("a b", "", "x\ny", "<b>"):
        assert asked(ports["web"], user=user, password=password)[0] == 401


def test_users_come_and_go_and_their_passwords_are_hashed(signin: str, ports: dict[str, int], secrets: Path) -> None:
    file = secrets / "signin/users.cfg"
    assert users(secrets, "set", "ben.b", password="another password\n").returncode == 0
    assert users(secrets, "list").stdout.split() == ["ann", "ben.b"]
    assert PASSWORD not in file.read_text() and "another" not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0
    for wrong in (("set", "a b"), ("set", "ben\nuser eve insecure-password x"), ("remove", "benxb"), ("set", "short"), ()):
        assert users(secrets, *wrong, password="123456789").returncode == 1
    subprocess.run(["docker", "kill", "--signal=USR2", signin], check=True, capture_output=True)
    assert until(lambda: asked(ports["dagster"], user="ben.b", password="another password")[0] == 200)
    assert users(secrets, "remove", "ben.b").returncode == 0
    subprocess.run(["docker", "kill", "--signal=USR2", signin], check=True, capture_output=True)
    assert until(lambda: asked(ports["dagster"], user="ben.b", password="another password")[0] == 401)


def test_guessing_is_slow(signin: str, ports: dict[str, int]) -> None:
    statuses = [asked(ports["grafana"], password=f"guess {number}")[0] for number in range(40)]
    assert statuses[0] in (401, 429)
    assert statuses[-1] == 429
    assert asked(ports["grafana"], user=None)[0] == 401
