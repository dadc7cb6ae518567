"""Gateway: one HAProxy container with configuration, keys and certificate in a volume, controlled by its runtime API."""

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from face_assets.core.errors import UserError
from face_assets.core.files import read_json, write_json
from face_assets.core.fingerprint import fingerprint
from face_assets.core.ports import is_taken, require_free
from face_assets.serving.containers import haproxy
from face_assets.serving.containers.docker_engine import IMAGE, DockerEngine, Network, Spec, docker_errors
from face_assets.serving.containers.haproxy import BackendServer, Behind, Counts, Limits
from face_assets.serving.containers.internal_listeners import InternalListeners
from face_assets.serving.containers.keys import FILES, Keys, Uses
from face_assets.serving.triton_server import Ports

NAMES_MAP, RIGHTS_MAP = f"{FILES}/keys.map", f"{FILES}/rights.map"
WEB_FOLDER, WEB_SOCKET = "/run/web", "web.sock"  # in the container
SOCKET = "/run/haproxy/admin.sock"
MEMORY = 1024
ROLE = "gateway"
WEB_LABEL = "face-assets.web"
LISTENERS_LABEL = "face-assets.doors"  # as on the containers of earlier versions
STOPPED = ("created", "restarting", "exited", "dead")
SECONDS_TO_ANSWER = 20.0
SECONDS_TO_DRAIN = 60.0


def web_folder(folder: Path) -> Path:
    """Returns the folder of the web service's socket for the gateway. Others cannot reach it: its parents are their owner's."""
    made = folder / "web"
    made.mkdir(parents=True, exist_ok=True)
    made.chmod(0o755)
    return made


@dataclass(frozen=True)
class Listeners:
    """Public listeners of the gateway: host and ports of this machine, limits, and the bytes of the certificate, if any."""

    host: str
    ports: Ports
    limits: Limits
    certificate: bytes | None = None


class Gateway:
    """HAProxy of one state directory."""

    def __init__(
        self,
        docker: DockerEngine,
        network: Network,
        template: Path,
        folder: Path,
        listeners: Listeners,
        internal: InternalListeners,
        behind: Behind,
    ):
        self.docker = docker
        self.network = network
        self.template = template
        self.folder = folder
        self.listeners = listeners
        self.keys = Keys(folder)
        self.name = f"face-assets-{docker.home}-gateway"
        self.internal = internal
        self.behind = behind
        self.uses = Uses(folder)

    def container(self) -> Any | None:
        """Returns the running container, or None."""
        found = self.docker.find(self.name)
        return found if found is not None and found.status == "running" else None

    def is_ready(self) -> bool:
        """Returns True where the gateway and a server behind it respond."""
        return self.internal.is_ready()

    def ensure(self, image: str, servers: list[BackendServer]) -> None:
        """Starts the gateway with the current settings: replaced for other ports, reloaded for other rules. Raises UserError."""
        self.keys.own()
        container, files = self.container(), self._files(servers)
        shape = self._shape(servers)
        ports = self.listeners.ports
        volumes = {self.name: FILES}
        if self.behind.web.startswith("unix@"):
            volumes[str(web_folder(self.folder))] = WEB_FOLDER
        spec = Spec(
            name=self.name,
            image=image,
            labels={"face-assets.role": ROLE, IMAGE: image, LISTENERS_LABEL: f"{self.listeners.host} {ports}", WEB_LABEL: self.behind.web},
            address=self.internal.address,
            memory=MEMORY,
            cpus=2.0,
            ports={8000: (self.listeners.host, ports.http), 8001: (self.listeners.host, ports.grpc), 8002: ("127.0.0.1", ports.metrics)},
            volumes=volumes,
            tmpfs=("/tmp", "/run/haproxy"),
            restart="unless-stopped",
            files=files,
        )
        if container is not None:
            self.remember_uses()
        if container is None or any(container.labels.get(name) != value for name, value in spec.labels.items()):
            if container is not None:
                self._require_free(container)
            with docker_errors("make a volume"):
                self.docker.client.volumes.create(self.name, labels={"face-assets.home": self.docker.home})
            container = self.docker.start(spec, self.network)
            self._wait(container)
        else:
            self.docker.put(container, files)
            if self._applied(container) != shape:
                self.docker.run_in(container, ["sh", "-c", "kill -USR2 1"])
                time.sleep(0.5)
                self._wait(container)
                self._require_config(container)
        write_json(self.folder / "gateway.json", {"container": container.id, "shape": shape, "address": self.internal.address})
        self.apply_keys()

    def _require_free(self, container: Any) -> None:
        """Raises UserError for a port in use by another process, while the old gateway still serves its own ports."""
        own = {int(one["HostPort"]) for ends in container.attrs["HostConfig"]["PortBindings"].values() for one in ends}
        host, ports = self.listeners.host, self.listeners.ports
        for name, address, port in (("HTTP", host, ports.http), ("GRPC", host, ports.grpc), ("METRICS", "127.0.0.1", ports.metrics)):
            if port not in own and is_taken(address, port):
                require_free(address, port, f"the gateway's {name}", f"FACE_ASSETS_{name}_PORT")

    def write_config(self, servers: list[BackendServer]) -> None:
        """Writes the configuration for HAProxy's next start, with the servers that are live now."""
        container = self._require()
        self.docker.put(container, {"haproxy.cfg": self._files(servers)["haproxy.cfg"]})

    def apply_keys(self) -> bool:
        """Applies the current keys; returns True where they hold at once, False where with the gateway's next start.

        Raises UserError where a running gateway may still have other keys.
        """
        with self.keys.lock():
            container = self.docker.find(self.name)
            if container is None:  # its start applies the keys
                return False
            self.docker.put(container, self._maps())
            with docker_errors("look at the gateway"):
                container.reload()  # after the file was written: a later start reads it
            if container.status in STOPPED:
                return False
            self._wait(container)
            self._update_keys()
            return True

    def _update_keys(self) -> None:
        keys = self.keys.all()
        for name, wanted in ((RIGHTS_MAP, {key.digest: key.record() for key in keys}), (NAMES_MAP, {key.digest: key.name for key in keys})):
            lines = self.query([f"show map {name}"]).splitlines()
            if any(line.startswith("Unknown map") for line in lines):
                continue  # a gateway of an earlier version, which knows no rights until it is reloaded
            known = {words[1]: words[2] for words in map(str.split, lines) if len(words) == 3}
            commands = [f"del map {name} {digest}" for digest in known if digest not in wanted]
            commands += [f"set map {name} {digest} {text}" for digest, text in wanted.items() if known.get(digest, text) != text]
            commands += [f"add map {name} {digest} {text}" for digest, text in wanted.items() if digest not in known]
            if commands:
                self.execute(commands)

    def remember_uses(self) -> dict[str, int]:
        """Returns the last use of each key, by name in seconds since 1970, and stores it: HAProxy forgets it at its end or reload."""
        with suppress(UserError):
            return self.uses.add(haproxy.parse_uses(self.query(["show table rates"])))
        return self.uses.all()

    def execute(self, commands: list[str]) -> None:
        """Runs commands that print nothing on success. Raises UserError with their output otherwise."""
        output = " ".join(self.query(commands).split())
        if output:
            raise UserError(f"HAProxy rejected a command: {output}")

    def query(self, commands: list[str]) -> str:
        """Returns the output of commands of the runtime API (management guide, 9.3). Raises UserError where no gateway runs."""
        script = 'printf "%s\\n" "$1" | socat -t 10 - UNIX-CONNECT:' + SOCKET
        return self.docker.run_in(self._require(), ["sh", "-c", script, "sh", "; ".join(commands)])

    def counts(self) -> dict[tuple[str, str], Counts]:
        """Returns the requests by proxy and server."""
        return haproxy.parse_counts(self.query(["show stat"]))

    def rejected_keys(self) -> int:
        """Returns the number of requests without a valid key since HAProxy was started or reloaded."""
        return self.counts()["no_key", "BACKEND"].requests

    def wait_for_drain(self, servers: list[str]) -> None:
        """Waits until these servers have no request under way."""
        ends = time.monotonic() + SECONDS_TO_DRAIN
        while time.monotonic() < ends:
            counts = self.counts()
            if not any(
                counts[protocol, server].under_way for protocol in haproxy.PROTOCOLS for server in servers if (protocol, server) in counts
            ):
                return
            time.sleep(0.1)

    def _files(self, servers: list[BackendServer]) -> dict[str, bytes]:
        tls = self.listeners.certificate is not None
        files = {"haproxy.cfg": haproxy.render(self.template, servers, self.listeners.limits, tls, self.behind).encode(), **self._maps()}
        return files | ({"tls.pem": self.listeners.certificate} if self.listeners.certificate is not None else {})

    def _maps(self) -> dict[str, bytes]:
        return {Path(name).name: text.encode() for name, text in ((NAMES_MAP, self.keys.names()), (RIGHTS_MAP, self.keys.records()))}

    def _shape(self, servers: list[BackendServer]) -> str:
        """Returns a fingerprint of the configuration that only a reload changes: without the live servers and the keys."""
        empty = [BackendServer(server.name, server.address, False) for server in servers]
        certificate = (self.listeners.certificate or b"").hex()
        return fingerprint(haproxy.render(self.template, empty, self.listeners.limits, bool(certificate), self.behind), certificate)

    def _applied(self, container: Any) -> str | None:
        file = self.folder / "gateway.json"
        applied = read_json(file) if file.is_file() else {}
        return applied.get("shape") if applied.get("container") == container.id else None

    def _require(self) -> Any:
        container = self.container()
        if container is None:
            raise UserError("The gateway does not run: `face-assets up` starts it.")
        return container

    def _wait(self, container: Any) -> None:
        ends = time.monotonic() + SECONDS_TO_ANSWER
        failure = ""
        while time.monotonic() < ends:
            container.reload()
            if container.status != "running":
                break
            try:
                if self.query(["show version"]).strip():  # empty from a worker that is ending
                    return
            except UserError as error:
                failure = str(error)
            time.sleep(0.1)
        with docker_errors("read HAProxy's log"):
            log = " ".join(container.logs(tail=6).decode(errors="replace").split())
        raise UserError(f"The gateway did not start: {log or failure}")

    def _require_config(self, container: Any) -> None:
        """Raises UserError for an invalid configuration, with which a reload would leave the old worker and rules in place."""
        self.docker.run_in(container, ["haproxy", "-c", "-q", "-f", f"{FILES}/haproxy.cfg"])
