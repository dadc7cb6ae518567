"""Process of the Triton server: started on loopback with a key for model control, found again, stopped."""

import secrets
import shutil
import time
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from face_assets.core import processes
from face_assets.core.direct_connections import responds
from face_assets.core.errors import UserError
from face_assets.core.files import read_json, write_json
from face_assets.core.fingerprint import fingerprint
from face_assets.core.ports import require_free
from face_assets.core.subprocesses import python
from face_assets.serving.internal_token import internal_token
from face_assets.serving.plain_path import plain_path
from face_assets.serving.runtime import sealed_photos, use_record
from face_assets.serving.server_environment import ServingEnvironment

SECONDS_TO_START = 60.0
LARGEST_LOG = 20_000_000
LAST_LINES = 5
TRAFFIC = "FACE_ASSETS_TRAFFIC"  # folder of the histograms, for the models
TOKEN = "FACE_ASSETS_PROBE_TOKEN"  # the secret of the platform's own requests, for the models
RECORD = "record"
FRONTEND = "face_assets.serving.frontend"
SOCKETS = "sockets"
SHARED_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Ports:
    """The server's ports."""

    http: int
    grpc: int
    metrics: int


@dataclass(frozen=True)
class Address:
    """Address of the server. key: for model control; environment: the stamp of its environment."""

    host: str
    ports: Ports
    key: str
    environment: str = ""


@dataclass(frozen=True)
class Recording:
    """The record of use, as the settings have it. photos_to: a public key of age, None to keep no photo."""

    mode: str = "off"
    photos_to: str | None = None
    photo_days: int = 30

    def variables(self, folder: Path) -> dict[str, str]:
        """Returns the models' variables for a record in a folder."""
        if self.mode == "off":
            return {}
        found = {use_record.FOLDER: str(folder)}
        if self.mode == "required":
            found[use_record.REQUIRED] = "true"
        if self.photos_to:
            library = find_spec("pyrage")
            assert library is not None and library.origin is not None, "it is in requirements.txt"
            found |= {
                sealed_photos.RECIPIENT: self.photos_to,
                sealed_photos.DAYS: str(self.photo_days),
                sealed_photos.LIBRARY: str(Path(library.origin).parent),
            }
        return found


NO_RECORD = Recording()


class TritonServer:
    """One server of a folder: server.json (the process), address.json (ports and key), triton.log, models/."""

    def __init__(self, root: Path):
        self.root = root
        self.record = root / "server.json"
        self.log = root / "triton.log"

    def address(self) -> Address | None:
        """Returns the address of the running server; None when none runs."""
        if processes.recorded(self.record) is None:
            return None
        stored: dict[str, Any] = read_json(self.root / "address.json")
        return Address(**{**stored, "ports": Ports(**stored["ports"])})

    def process(self) -> processes.Process | None:
        """Returns the process of the running server."""
        return processes.recorded(self.record)

    def start(
        self, environment: ServingEnvironment, host: str, ports: Ports, cores: int, max_bytes: int, record: Recording = NO_RECORD
    ) -> Address:
        """Starts the server without a model and waits until it responds. Raises UserError."""
        self.stop()
        self.require_free(host, ports)
        (self.root / "models").mkdir(parents=True, exist_ok=True)
        if self.log.is_file() and self.log.stat().st_size > LARGEST_LOG:
            self.log.replace(self.log.with_suffix(".log.1"))
        sockets = self.root / SOCKETS
        shutil.rmtree(sockets, ignore_errors=True)
        sockets.mkdir(mode=0o700)  # nobody else bypasses the frontend
        address = Address(host, ports, secrets.token_hex(16), stamp(environment, max_bytes, record))
        write_json(self.root / "address.json", asdict(address))
        traffic = str(plain_path(self.root) / "traffic")
        variables = environment.variables(cores) | {TRAFFIC: traffic, TOKEN: internal_token(self.root)}
        variables |= record.variables(plain_path(self.root) / RECORD)
        command = python("-m", FRONTEND, str(max_bytes), *self._command(environment, address))
        processes.start(command, self.log, self.record, variables, self.root)
        self._wait(address)
        return address

    def keep_plain(self, environment: ServingEnvironment) -> None:
        """Ensures that the plain paths exist by which the server was started, from which it loads models."""
        plain_path(self.root)
        plain_path(environment.directory)

    def require_free(self, host: str, ports: Ports) -> None:
        """Raises UserError for a port in use by another process than this server."""
        address = self.address()
        own = asdict(address.ports).values() if address and address.host == host else ()
        for name, port in asdict(ports).items():
            if port not in own:
                require_free(host, port, f"the server's {name.upper()}", f"FACE_ASSETS_{name.upper()}_PORT")

    def stop(self) -> bool:
        """Ends the server, its models' processes and their shared memory, also those of a killed one. Returns True where any ran."""
        ran = processes.stop(self.record)
        for region in SHARED_MEMORY.glob(f"{self._memory_prefix()}*"):
            region.unlink(missing_ok=True)
        return ran

    def _memory_prefix(self) -> str:
        return f"face_assets_{fingerprint(str(self.root))}_"

    def _command(self, environment: ServingEnvironment, address: Address) -> list[str]:
        return [
            str(environment.server),
            f"--model-repository={plain_path(self.root) / 'models'}",
            f"--backend-directory={plain_path(environment.directory) / environment.backends.relative_to(environment.directory)}",
            f"--backend-config=python,shm-region-prefix-name={self._memory_prefix()}",
            "--backend-config=python,stub-timeout-seconds=100",  # 30 without it: too little on a busy machine
            "--model-control-mode=explicit",
            "--disable-auto-complete-config",
            "--exit-on-error=false",
            "--strict-readiness=false",  # otherwise a release that is being unloaded makes the whole server unready
            f"--http-address=unix:{SOCKETS}/http",  # relative to its folder: a socket's path may have 107 bytes
            f"--grpc-address=unix:{SOCKETS}/grpc",
            f"--grpc-port={address.ports.grpc}",  # ends the socket's name
            f"--metrics-address=unix:{SOCKETS}/metrics",
            "--log-format=ISO8601",
        ]

    def _wait(self, address: Address) -> None:
        ends = time.monotonic() + SECONDS_TO_START
        while time.monotonic() < ends:
            if answers(address):
                return
            if self.process() is None:
                break
            time.sleep(0.1)
        self.stop()
        last = " ".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:])
        raise UserError(f"The Triton server did not start; its log {self.log} ends: {last}")


def stamp(environment: ServingEnvironment, max_bytes: int, record: Recording = NO_RECORD) -> str:
    """Returns a fingerprint of the environment and settings; a server that was started with another one is restarted."""
    return fingerprint(environment.stamp, max_bytes, FRONTEND, *([asdict(record)] if record.mode != "off" else []))


def answers(address: Address) -> bool:
    """Returns True where the server reports that it is ready."""
    return responds(f"http://{address.host}:{address.ports.http}/v2/health/ready")
