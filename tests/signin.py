"""The sign-in of Compose for tests: its real configuration and HAProxy, before services on ports of this machine, with TLS."""

import base64
import os
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from face_assets.serving.containers.docker_engine import DockerEngine
from face_assets.serving.containers.images import Images, Recipe
from tests.waiting import until

ROOT = Path(__file__).parents[1]
PASSWORD = "correct horse"
BACKENDS = {3000: "webserver:3000", 3001: "grafana:3000", 8004: "web:8004", 9090: "prometheus:9090"}
"""Services by the ports of the sign-in in its container."""


@dataclass(frozen=True)
class SignIn:
    """A running sign-in. ports: of this machine, by those in Compose; secrets: the stack's folder."""

    container: str
    ports: Mapping[int, int]
    secrets: Path

    @property
    def has_tls(self) -> bool:
        """Returns True where it is reached by https."""
        return (self.secrets / "signin/tls.pem").is_file()

    def address(self, service: int) -> str:
        """Returns the address of a service for a browser."""
        return f"{'https' if self.has_tls else 'http'}://127.0.0.1:{self.ports[service]}"

    def set_user(self, name: str, password: str = PASSWORD) -> None:
        """Lets a user sign in."""
        assert users(self.secrets, "set", name, password=password).returncode == 0
        self.reload()

    def remove_user(self, name: str) -> None:
        """Lets a user sign in no more."""
        assert users(self.secrets, "remove", name).returncode == 0
        self.reload()

    def reload(self) -> None:
        """Does what deploy/platform/users does where the stack runs."""
        subprocess.run(["docker", "kill", "--signal=USR2", self.container], check=True, capture_output=True)


def users(secrets: Path, *arguments: str, password: str = "") -> subprocess.CompletedProcess[str]:
    """Runs deploy/platform/users, which makes the stack's secrets too."""
    environment = {**os.environ, "FACE_ASSETS_SECRETS": str(secrets), "FACE_ASSETS_STACK": "face-assets-signin-test"}
    return subprocess.run(["deploy/platform/users", *arguments], cwd=ROOT, env=environment, input=password, capture_output=True, text=True)


def basic(user: str, password: str = PASSWORD) -> str:
    """Returns the header Authorization of a user."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def write_certificate(file: Path) -> None:
    """Writes a key and a certificate for loopback."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    made += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(file), "-out", f"{file}.crt"]
    subprocess.run(made, check=True, capture_output=True)
    with file.open("a", encoding="ascii") as both:
        both.write(Path(f"{file}.crt").read_text(encoding="ascii"))


@contextmanager
def sign_in(
    base: str, folder: Path, ports: Mapping[int, int], services: Mapping[int, int], *, tls: bool = True, token: str = ""
) -> Iterator[SignIn]:
    """Starts the sign-in, with the user ann. base: image; ports: of this machine, by those in Compose; services: ports of what is behind;
    token: the secret by which the web service recognizes it."""
    secrets, config = folder / "secrets", folder / "config"
    config.mkdir(parents=True)
    if tls:
        write_certificate(secrets / "signin/tls.pem")
    if token:
        secrets.mkdir(mode=0o700, exist_ok=True)
        (secrets / "proxy_token").write_text(token, encoding="ascii")
    made = users(secrets, "set", "ann", password=PASSWORD)
    assert made.returncode == 0, made.stderr
    text = (ROOT / "deploy/platform/signin.cfg").read_text(encoding="utf-8")
    text = text.replace("default-server resolvers engine init-addr none", "").replace("hard-stop-after 60s", "hard-stop-after 1s")
    for port, service in BACKENDS.items():
        text = text.replace(f" {service}\n", f" 127.0.0.1:{services.get(port, 1)}\n")
        text = text.replace(f"bind :{port}", f"bind 127.0.0.1:{ports[port]}").replace(f"dst_port {port}", f"dst_port {ports[port]}")
    (config / "signin.cfg").write_text(text, encoding="utf-8")
    (config / "signin.sh").write_text((ROOT / "deploy/platform/signin.sh").read_text(encoding="utf-8"), encoding="utf-8")
    image = Images(DockerEngine("signin"), Recipe(ROOT / "deploy", base, None, "face-assets-test/recognizer"), folder, folder).gateway()
    run = ["docker", "run", "--detach", "--network=host", f"--user={os.getuid()}:{os.getgid()}", "--cap-drop=ALL", "--read-only"]
    for source, target in ((config, "/etc/face-assets"), (secrets / "signin", "/run/signin"), (secrets, "/run/secrets")):
        run.append(f"--volume={source}:{target}:ro")
    started = subprocess.run([*run, "--entrypoint=sh", image, "/etc/face-assets/signin.sh"], capture_output=True, text=True, check=True)
    name = started.stdout.strip()
    try:
        assert until(lambda: listens(ports[3000])), subprocess.run(["docker", "logs", name], capture_output=True)
        yield SignIn(name, ports, secrets)
    finally:
        subprocess.run(["docker", "rm", "--force", name], capture_output=True)


def listens(port: int) -> bool:
    """Returns True where somebody listens on a port of loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
