"""Client of the Docker engine, whose errors become UserErrors."""

import io
import ipaddress
import os
import struct
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from face_assets.core.errors import UnreachableError, UserError, causes

HOME_LABEL = "face-assets.home"
IMAGE = "face-assets.image"  # label of a container: the image that it was started from
SECONDS = 60
SOCKET = Path("/var/run/docker.sock")
STACK = "FACE_ASSETS_STACK"  # set in the platform's containers alone
LOG = {"type": "json-file", "config": {"max-size": "10m", "max-file": "3"}}
USER = 10001  # of the images


class DockerUnreachableError(UnreachableError):
    """Error: no Docker engine responds."""


@contextmanager
def docker_errors(doing: str) -> Iterator[None]:
    """Converts errors of the engine, or of the connection to it, into UserError. doing: the operation, such as "start a server"."""
    import requests
    from docker.errors import APIError, DockerException

    try:
        yield
    except APIError as error:
        message = str(error.explanation or error).strip()
        if "no space left" in message.lower():
            raise UserError(
                f"The disk of the Docker engine is full ({message}): free some space (`docker system df`) and run again."
            ) from error
        if "port is already allocated" in message or "address already in use" in message:
            raise UserError(
                f"A port cannot be used: {message}. Stop what uses it, or set FACE_ASSETS_HTTP_PORT, _GRPC_PORT or _METRICS_PORT."
            ) from error
        raise UserError(f"The Docker engine failed to {doing}: {message}") from error
    except (DockerException, requests.exceptions.RequestException, ConnectionError) as error:
        raise DockerUnreachableError(
            f"No Docker engine responds to {doing} ({_last(error)}): start it (`systemctl start docker`) or set DOCKER_HOST, and run again."
        ) from error


def _last(error: BaseException) -> str:
    *_, first = causes(error)
    return str(first) or type(first).__name__


@dataclass(frozen=True)
class Spec:
    """Specification of a container. memory: MiB; gpus: `all`, or numbers; ports: of the container → (host, port); volumes: name or folder →
    path."""

    name: str
    image: str
    labels: Mapping[str, str]
    address: str
    memory: int
    cpus: float
    shared_memory: int = 64
    gpus: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[int, tuple[str, int]] = field(default_factory=dict)
    volumes: Mapping[str, str] = field(default_factory=dict)
    tmpfs: Sequence[str] = ("/tmp",)
    restart: str = "no"
    user: int = USER
    files: Mapping[str, bytes] = field(default_factory=dict)  # for its one volume


@dataclass(frozen=True)
class Network:
    """Bridge network of the platform, which assigns the lower half of the subnet's addresses; the engine assigns the upper half."""

    name: str
    subnet: ipaddress.IPv4Network

    def address(self, place: int) -> str:
        """Returns the fixed address number `place`, which a restarted or replaced container keeps."""
        return str(self.subnet[place])


class DockerEngine:
    """One engine, and the containers of one state directory on it, which have the label HOME_LABEL."""

    def __init__(self, home: str):
        self.home = home

    @staticmethod
    def is_here() -> bool:
        """Returns True where this process has access to an engine, which the platform's exporter in a container has not."""
        return not os.environ.get(STACK) or bool(os.environ.get("DOCKER_HOST")) or SOCKET.exists()

    @cached_property
    def client(self) -> Any:
        """Client of docker-py, configured by DOCKER_HOST etc. Raises DockerUnreachableError."""
        import docker

        with docker_errors("read its version"):
            client = docker.from_env(timeout=SECONDS)
            client.ping()
            return client

    def containers(self, role: str | None = None) -> list[Any]:
        """Returns the containers of this state directory, running or not, sorted by name."""
        labels = [f"{HOME_LABEL}={self.home}"] + ([f"face-assets.role={role}"] if role else [])
        with docker_errors("list containers"):
            found = self.client.containers.list(all=True, filters={"label": labels}, ignore_removed=True)
            return sorted(found, key=lambda one: str(one.name))

    def find(self, name: str) -> Any | None:
        """Returns the container with a name of this platform. Raises UserError where it belongs to somebody else."""
        from docker.errors import NotFound

        with docker_errors(f"look at {name}"):
            try:
                found = self.client.containers.get(name)
            except NotFound:
                return None
            if found.labels.get(HOME_LABEL) != self.home:
                raise UserError(f"A container of another origin is named {name}: `docker rm -f {name}`, if nobody needs it, and run again.")
            return found

    def start(self, spec: Spec, network: Network) -> Any:
        """Starts a container, replacing one of the same name; removes it where it does not start. Raises UserError."""
        self.remove(spec.name)
        client = self.client
        with docker_errors(f"start {spec.name}"):
            end = client.api.create_endpoint_config(ipv4_address=spec.address, aliases=[spec.labels["face-assets.role"]])  # for Prometheus
            place = client.api.create_networking_config({network.name: end})
            host = client.api.create_host_config(
                binds={name: {"bind": path, "mode": "rw"} for name, path in spec.volumes.items()},
                port_bindings=dict(spec.ports),
                mem_limit=f"{spec.memory}m",
                memswap_limit=f"{spec.memory}m",
                nano_cpus=int(spec.cpus * 1e9),
                shm_size=f"{spec.shared_memory}m",
                pids_limit=2048,
                read_only=True,
                tmpfs=dict.fromkeys(spec.tmpfs, f"exec,uid={spec.user},gid={spec.user},mode=0700"),
                cap_drop=["ALL"],
                security_opt=["no-new-privileges"],
                restart_policy={"Name": spec.restart},
                log_config=LOG,
                device_requests=_gpus(spec.gpus),
                network_mode=network.name,
            )
            made = client.api.create_container(
                spec.image,
                name=spec.name,
                user=f"{spec.user}:{spec.user}",
                labels=dict(spec.labels) | {HOME_LABEL: self.home},
                environment=dict(spec.environment),
                ports=list(spec.ports),
                host_config=host,
                networking_config=place,
            )
            try:
                if spec.files:
                    self.put(client.containers.get(made["Id"]), spec.files, next(iter(spec.volumes.values())))
                client.api.start(made["Id"])
            except BaseException:
                client.api.remove_container(made["Id"], force=True)
                raise
            return client.containers.get(made["Id"])

    def put(self, container: Any, files: Mapping[str, bytes], folder: str = "/etc/face-assets") -> None:
        """Writes files, readable by its user alone, to a container's volume, replacing those of the same name."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for name, content in files.items():
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode, entry.uid, entry.gid, entry.mtime = len(content), 0o600, USER, USER, int(time.time())
                archive.addfile(entry, io.BytesIO(content))
        with docker_errors(f"write files for {container.name}"):
            container.put_archive(folder, packed.getvalue())

    def remove(self, name: str, seconds: int = 0) -> bool:
        """Stops a container of this platform within `seconds` and removes it; returns True where there was one."""
        from docker.errors import NotFound

        found = self.find(name)
        if found is None:
            return False
        with docker_errors(f"remove {name}"):
            try:
                if seconds:
                    found.stop(timeout=seconds)
                found.remove(force=True)
            except NotFound:  # it is being removed
                return False
        return True

    def image(self, name: str) -> Any | None:
        """Returns an image by its name; None where the engine does not have it."""
        from docker.errors import ImageNotFound

        with docker_errors(f"look at the image {name}"):
            try:
                return self.client.images.get(name)
            except ImageNotFound:
                return None

    def network(self, name: str) -> Network:
        """Returns the network; creates it at first use with an explicit subnet, which fixed addresses require."""
        from docker.errors import NotFound

        with docker_errors(f"make the network {name}"):
            try:
                return Network(name, _subnet(self.client.networks.get(name)))
            except NotFound:
                pass
            free = self.client.networks.create(f"{name}-probe", labels={HOME_LABEL: self.home})  # the engine knows which subnet is free
            subnet = _subnet(free)
            free.remove()
            halves = list(subnet.subnets(1))
            pool = {"Subnet": str(subnet), "IPRange": str(halves[1])}
            made = self.client.networks.create(name, labels={HOME_LABEL: self.home}, ipam={"Driver": "default", "Config": [pool]})
            return Network(name, _subnet(made))

    def remove_network(self, name: str) -> None:
        """Removes the network, and the volume of its gateway, where they exist and are unused."""
        from docker.errors import APIError, NotFound

        with docker_errors(f"remove the network {name}"):
            with suppress(NotFound):
                self.client.volumes.get(f"{name}-gateway").remove()
            try:
                self.client.networks.get(name).remove()
            except NotFound:
                pass
            except APIError as error:
                if "active endpoints" not in str(error.explanation):
                    raise

    def run_in(self, container: Any, command: Sequence[str]) -> str:
        """Runs a command in a running container; returns its output, errors included. Raises UserError where it fails."""
        with docker_errors(f"run a command in {container.name}"):
            api = self.client.api
            made = api.exec_create(container.id, list(command))["Id"]
            # docker-py's exec_start loses output that arrives together with the head of the response, as happens under load
            # (github.com/docker/docker-py/issues/1732)
            response = api.post(
                f"{api.base_url}/v{api.api_version}/exec/{made}/start", json={"Detach": False, "Tty": False}, timeout=SECONDS
            )
            _require_success(response)
            output, status = _output(response.content), api.exec_inspect(made)["ExitCode"]
        text = output.decode(errors="replace")
        if status:
            raise UserError(f"the command in {container.name} failed: {text.strip() or f'status {status}'}")
        return text


def _gpus(named: str | None) -> list[Any]:
    """Returns the engine's request for GPUs (`docker run --gpus`): all of them, or those with these numbers."""
    from docker.types import DeviceRequest

    if named is None:
        return []
    which = {"count": -1} if named == "all" else {"device_ids": named.split(",")}
    return [DeviceRequest(driver="nvidia", capabilities=[["gpu"]], **which)]


def _require_success(response: Any) -> None:
    import requests
    from docker.errors import create_api_error_from_http_exception

    try:
        response.raise_for_status()
    except requests.exceptions.HTTPError as error:
        create_api_error_from_http_exception(error)


def _output(frames: bytes) -> bytes:
    """Returns the bytes of a command's output. Each frame has a head of 8 bytes: stream, length (Engine API, ContainerAttach)."""
    output, place = bytearray(), 0
    while place < len(frames):
        (length,) = struct.unpack_from(">4xL", frames, place)
        output += frames[place + 8 : place + 8 + length]
        place += 8 + length
    return bytes(output)


def _subnet(network: Any) -> ipaddress.IPv4Network:
    network.reload()
    return ipaddress.IPv4Network(network.attrs["IPAM"]["Config"][0]["Subnet"])
