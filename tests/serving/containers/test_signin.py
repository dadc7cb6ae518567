"""The sign-in of Compose: its real configuration and HAProxy before services that say what reaches them, with TLS and without."""

import contextlib
import json
import socket
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.signin import BACKENDS, PASSWORD, SignIn, basic, sign_in, users
from tests.waiting import until

pytestmark = pytest.mark.slow
DAGSTER, GRAFANA, WEB, PROMETHEUS = BACKENDS


class Echo(BaseHTTPRequestHandler):
    """Responds with what reached it; any upgrade is accepted."""

    protocol_version = "HTTP/1.1"
    reached: list[str]

    def do_GET(self) -> None:
        self.reached.append(self.path)
        self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.headers.get("upgrade"):
            self.send_response(101)
            self.send_header("Upgrade", self.headers["upgrade"])
            self.send_header("Connection", "Upgrade")
            self.send_header("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
            self.end_headers()
            self.connection.recv(1)  # until the tunnel ends
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


class Service(ThreadingHTTPServer):
    """Notes the paths of requests that reach it."""

    def __init__(self) -> None:
        self.reached: list[str] = []
        super().__init__(("127.0.0.1", 0), type("NotedEcho", (Echo,), {"reached": self.reached}))

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Is silent about connections that a test leaves."""


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    made = Service()
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()


@pytest.fixture(scope="module", params=["http", "https"])
def signin(
    base_image: str,
    service: Service,
    free_ports: Callable[[int], list[int]],
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Iterator[SignIn]:
    ports = dict(zip(BACKENDS, free_ports(len(BACKENDS)), strict=True))
    services = dict.fromkeys(BACKENDS, service.server_port)
    with sign_in(base_image, tmp_path_factory.mktemp("signin"), ports, services, tls=request.param == "https") as made:
        yield made


def trusting(signin: SignIn) -> ssl.SSLContext | None:
    """Trusts the certificate of the tests alone."""
    return ssl.create_default_context(cafile=f"{signin.secrets}/signin/tls.pem.crt") if signin.has_tls else None


def asked(
    signin: SignIn,
    port: int = DAGSTER,
    path: str = "/",
    user: str | None = "ann",
    password: str = PASSWORD,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
) -> tuple[int, Any]:
    """Returns status and JSON of a response; 0 where there is none yet."""
    request = urllib.request.Request(f"{signin.address(port)}{path}", headers=dict(headers or {}), method=method)
    if user is not None:
        request.add_header("Authorization", basic(user, password))
    try:
        with urllib.request.urlopen(request, timeout=20, context=trusting(signin)) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())
    except OSError:
        return 0, None


def connected(signin: SignIn) -> socket.socket:
    """A connection to the port of Dagster's UI."""
    plain = socket.create_connection(("127.0.0.1", signin.ports[DAGSTER]), timeout=20)
    context = trusting(signin)
    return context.wrap_socket(plain, server_hostname="127.0.0.1") if context else plain


def sent(signin: SignIn, *lines: str, body: str = "") -> bytes:
    """Sends a request as it stands and returns all that comes until the connection ends."""
    with connected(signin) as connection:
        connection.sendall("\r\n".join([*lines, "", body]).encode("latin-1"))
        found = b""
        with contextlib.suppress(OSError):
            while part := connection.recv(4096):
                found += part
        return found


@pytest.mark.parametrize("port", list(BACKENDS))
def test_each_service_is_for_who_has_signed_in(signin: SignIn, port: int) -> None:
    wrong = (("/", None, ""), ("/graphql", None, ""), ("/x", "ann", "wrong"), ("/", "eve", PASSWORD), ("/", "", PASSWORD))
    for path, user, password in wrong:
        status, found = asked(signin, port, path, user, password)
        assert (status, found["code"], set(found)) == (401, "no_user", {"error", "code"})
    forged = {"Face-Assets-Caller": "eve", "Face-Assets-Rights": "embeddings", "Face-Assets-Proxy": "x", "X-Forwarded-Proto": "gopher"}
    status, headers = asked(signin, port, headers={**forged, "Forwarded": "for=eve"})
    assert status == 200
    assert not {"authorization", "forwarded", "x-forwarded-proto"} & set(headers)
    stated = [headers.get(f"face-assets-{name}") for name in ("caller", "rights")]
    assert stated == (["ann", "identify,people,operate"] if port == WEB else [None, None])
    assert ("face-assets-proxy" in headers) is (port == WEB)


WEBSOCKET = {"Upgrade": "websocket", "Connection": "Upgrade"}
EVIL = {"Origin": "https://evil.example.org"}
MUTATION = "/graphql?query=mutation"


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("POST", "/graphql", EVIL),
        ("POST", "/graphql", {"Origin": "null"}),
        ("GET", "/graphql", {**EVIL, **WEBSOCKET}),
        ("GET", "/graphql", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}),
        ("GET", "/%67raphql", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}),
        ("GET", "/runs", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}),
        ("GET", "/runs", {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"}),
        ("POST", "/", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}),
    ],
)
def test_other_sites_pages_may_use_nobodys_password(signin: SignIn, method: str, path: str, headers: dict[str, str]) -> None:
    status, found = asked(signin, path=path, method=method, headers=headers)
    assert (status, found["code"]) == (403, "foreign_origin")


def test_own_pages_and_links_of_others_work(signin: SignIn) -> None:
    own = {"Origin": signin.address(DAGSTER), "Sec-Fetch-Site": "same-origin"}
    assert asked(signin, path="/graphql", method="POST", headers=own)[0] == 200
    assert asked(signin, path="/graphql", headers={"Accept": "text/html,*/*"})[0] == 200
    assert asked(signin, path="/runs", headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"})[0] == 200
    mixed = asked(signin, path="/graphql", method="POST", headers={"Origin": signin.address(DAGSTER).replace("https:", "http:")})[0]
    assert mixed == (403 if signin.has_tls else 200), "a page that came without TLS may be anybody's"


@pytest.mark.parametrize("path", [MUTATION, "/%67raph%71l?query=mutation", "/%2e%2e/graphql?query=mutation"])
def test_no_mutation_comes_by_get(signin: SignIn, path: str) -> None:
    for method in ("GET", "HEAD"):
        found = sent(
            signin, f"{method} {path} HTTP/1.1", "Host: here", f"Authorization: {basic('ann')}", "Accept: image/*", "Connection: close"
        )
        assert b" 405 " in found.split(b"\r\n")[0]


def test_only_websockets_open_a_tunnel_and_only_for_who_has_signed_in(signin: SignIn) -> None:
    def handshake(protocol: str, *lines: str) -> bytes:
        head = ["GET /graphql HTTP/1.1", "Host: here", "Accept: text/html", f"Upgrade: {protocol}", "Connection: Upgrade", *lines]
        with connected(signin) as connection:
            connection.sendall("\r\n".join([*head, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "", ""]).encode())
            return connection.recv(1000).split(b"\r\n")[0]

    ann = f"Authorization: {basic('ann')}"
    assert b" 401 " in handshake("websocket")
    assert b" 401 " in handshake("websocket", f"Authorization: {basic('ann', 'wrong')}")
    assert b" 101 " in handshake("websocket", ann)
    assert b" 403 " in handshake("websocket", ann, "Origin: https://evil.example.org")
    assert b" 200 " in handshake("h2c", ann)
    assert b" 400 " in sent(signin, "CONNECT 127.0.0.1:9090 HTTP/1.1", "Host: 127.0.0.1:9090", ann, "Connection: close")


ODD = (
    "GET //graphql HTTP/1.1",
    "GET /%2e%2e/graphql HTTP/1.1",
    "GET /..;/graphql HTTP/1.1",
    "GET /static/../graphql HTTP/1.1",
    "GET http://here/graphql HTTP/1.1",
    "GET * HTTP/1.1",
    "GET / HTTP/1.0",
    "OPTIONS / HTTP/1.1",
    "HEAD / HTTP/1.1",
    "TRACE / HTTP/1.1",
    "GET /\r\n",
    "GET /graphql#/api HTTP/1.1",
    "GET \\graphql HTTP/1.1",
    "PRI * HTTP/2.0",
)


@pytest.mark.parametrize("line", ODD)
def test_no_odd_request_reaches_a_service_without_a_password(signin: SignIn, service: Service, line: str) -> None:
    service.reached.clear()
    for host in ("Host: here", "Host: HERE", "Host: here.", "Host: here\r\nHost: there", "X: y"):
        found = sent(signin, line, host, "Connection: close")
        assert service.reached == []
        assert found[:4] != b"HTTP" or found.split()[1] in (b"400", b"401")


def test_a_request_in_a_request_needs_a_password_of_its_own(signin: SignIn, service: Service) -> None:
    second = "GET /smuggled HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"
    lengths = (
        ("Content-Length: 5", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: xchunked", "Content-Length: 5"),
        ("Transfer-Encoding : chunked",),
        ("Transfer-Encoding: chunked, identity",),
        ("Transfer-Encoding:\x0bchunked",),
        ("Content-Length: 0", "Content-Length: 60"),
        ("Content-Length: ",),
        ("Content-Length: +5",),
        ("Content-Length: 5",),
    )
    service.reached.clear()
    for lines in lengths:
        found = sent(signin, "POST /first HTTP/1.1", "Host: here", f"Authorization: {basic('ann')}", *lines, body=f"0\r\n\r\n{second}")
        assert b" 400 " in found or b" 401 " in found or found.count(b"HTTP/1.1") == 1, (lines, found)
    assert "/smuggled" not in service.reached


def test_a_proxy_with_its_password_says_who_has_signed_in(signin: SignIn, service: Service) -> None:
    password = (signin.secrets / "signin/proxy_password").read_text()
    assert asked(signin, WEB, user="bob@example.org", password=password)[1]["face-assets-caller"] == "bob@example.org"
    service.reached.clear()
    for user in ("a b", "", "x\ny", "bob\n", "bob\r\n", "bob\0", "<b>"):
        assert asked(signin, WEB, user=user, password=password)[0] == 401
    assert service.reached == []


def test_users_come_and_go_and_their_passwords_are_hashed(signin: SignIn) -> None:
    file = signin.secrets / "signin/users.cfg"
    signin.set_user("ben.b", "another password\n")
    assert users(signin.secrets, "list").stdout.split() == ["ann", "ben.b"]
    assert PASSWORD not in file.read_text() and "another" not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0
    for wrong in (("set", "a b"), ("set", "ben\nuser eve insecure-password x"), ("remove", "benxb"), ("set", "short"), ()):
        assert users(signin.secrets, *wrong, password="123456789").returncode == 1
    assert until(lambda: asked(signin, user="ben.b", password="another password")[0] == 200)
    head = (
        "GET /graphql HTTP/1.1",
        "Host: here",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        f"Authorization: {basic('ben.b', 'another password')}",
    )
    with connected(signin) as websocket:
        websocket.sendall("\r\n".join([*head, "Upgrade: websocket", "Connection: Upgrade", "", ""]).encode())
        assert b" 101 " in websocket.recv(1000)
        signin.remove_user("ben.b")
        assert until(lambda: asked(signin, user="ben.b", password="another password")[0] == 401)
        websocket.settimeout(60)
        with contextlib.suppress(ConnectionResetError, ssl.SSLError):
            assert websocket.recv(1000) == b"", "a websocket ends soon after its user was removed"


def test_guessing_is_slow_and_locks_nobody_else_out(signin: SignIn) -> None:
    statuses = [asked(signin, GRAFANA, user="cem", password=f"guess {number}")[0] for number in range(40)]
    assert statuses[0] == 401
    assert statuses[-1] == 429
    assert asked(signin, GRAFANA)[0] == 200
    assert asked(signin, GRAFANA, user=None)[0] == 401
    if not signin.has_tls:
        statuses = [asked(signin, GRAFANA, user=f"user {number}")[0] for number in range(300)]
        assert statuses[0] == 401 and statuses[-1] == 429, "of all users together, from one address"
        assert asked(signin, GRAFANA)[0] == 429, "the right password is as good as a guess meanwhile"


def test_with_a_certificate_there_is_tls_alone_of_a_present_version(signin: SignIn) -> None:
    port = signin.ports[DAGSTER]
    if not signin.has_tls:
        return
    with socket.create_connection(("127.0.0.1", port), timeout=20) as plain, contextlib.suppress(ConnectionResetError):
        plain.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        assert not plain.recv(1000).startswith(b"HTTP")
    old = trusting(signin)
    assert old is not None
    with pytest.warns(DeprecationWarning):
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", port), timeout=20) as plain, pytest.raises(OSError):
        old.wrap_socket(plain, server_hostname="127.0.0.1")
    new = trusting(signin)
    assert new is not None
    new.set_alpn_protocols(["h2", "http/1.1"])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as plain, new.wrap_socket(plain, server_hostname="127.0.0.1") as safe:
        assert safe.selected_alpn_protocol() == "http/1.1"
