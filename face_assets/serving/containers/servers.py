"""Triton servers in containers: `replicas` of each slot at fixed addresses, started, awaited, observed, removed."""

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from face_assets.core.errors import UserError
from face_assets.serving.client import RecognizerClient
from face_assets.serving.containers.docker_engine import IMAGE, USER, DockerEngine, Network, Spec, docker_errors
from face_assets.serving.containers.haproxy import BackendServer
from face_assets.serving.containers.internal_listeners import InternalListeners
from face_assets.serving.model_repository import ModelVersion
from face_assets.serving.runtime.embedding_right import TOKEN as EMBEDDINGS_TOKEN
from face_assets.serving.triton_server import TOKEN, TRAFFIC

SLOTS = ("blue", "green")
SLOT_LABEL = "face-assets.colour"  # as on the containers of earlier versions
FIRST_ADDRESS = {"blue": 11, "green": 61}  # in the network: of up to 50 servers each
MOST = 50
SECONDS_TO_LOAD = 120.0
SECONDS_TO_STOP = 30
LAST_LINES = 4
STARTS = 3  # Triton 2.51 sometimes crashes while it starts, and succeeds the next time
ABORTED, KILLED, SEGMENTATION_FAULT = 134, 137, 139
SECONDS_TO_REPORT = 10.0  # why it was killed
STUB_DIED = "is not healthy"  # what Triton logs of a stub process that has ended
ROLE = "server"
GATEWAY = "FACE_ASSETS_GATEWAY"  # the one address that a server accepts connections from
INSIDE = "/var/lib/face-assets/traffic"
SHARED_MEMORY = 512  # MiB, for photos on their way from Triton to its models


@dataclass(frozen=True)
class Size:
    """Number of servers, and the memory (MiB), processors and GPUs (`all`, or numbers) of each."""

    replicas: int
    memory: int
    cpus: float
    gpus: str | None = None


class Servers:
    """The servers of one state directory."""

    def __init__(self, docker: DockerEngine, network: Network, size: Size, traffic: Path, internal: InternalListeners, embeddings: str):
        """Remembers its parts. internal: access to the servers; traffic: folder of the histograms that the servers write;
        embeddings: token of requests that may receive embeddings."""
        self.docker = docker
        self.network = network
        self.size = size
        self.traffic = traffic
        self.internal = internal
        self.embeddings = embeddings

    def backend_servers(self, live: str | None) -> list[BackendServer]:
        """Returns the servers of both slots as the gateway knows them; live: the slot that is live."""
        return [
            BackendServer(self.server_name(slot, number), self.address(slot, number), slot == live)
            for slot in SLOTS
            for number in range(self.size.replicas)
        ]

    @staticmethod
    def server_name(slot: str, number: int) -> str:
        """Returns the name of a server."""
        return f"{slot}{number}"

    def server_names(self, slot: str) -> list[str]:
        """Returns the names of a slot's servers."""
        return [self.server_name(slot, number) for number in range(self.size.replicas)]

    def address(self, slot: str, number: int) -> str:
        """Returns the address of a server."""
        return self.network.address(FIRST_ADDRESS[slot] + number)

    def addresses(self, slot: str) -> list[str]:
        """Returns the addresses of a slot's servers."""
        return [self.address(slot, number) for number in range(self.size.replicas)]

    def client(self, slot: str, number: int) -> RecognizerClient:
        """Returns a client of one server, whatever its share of the traffic."""
        return self.internal.client(self.server_name(slot, number), internal=True)

    def start(self, slot: str, image: str, version: ModelVersion, labels: Mapping[str, str]) -> None:
        """Starts the slot's servers that do not run with this release, and waits until all respond. Raises UserError with the log."""
        own_labels = {**labels, "face-assets.role": ROLE, SLOT_LABEL: slot, "face-assets.release": version.release}
        own_labels |= {"face-assets.number": str(version.number), "face-assets.digest": version.digest, IMAGE: image}
        user = self._own_traffic()
        specs = [
            Spec(
                name=self._name(slot, number),
                image=image,
                labels=own_labels,
                address=self.address(slot, number),
                memory=self.size.memory,
                cpus=self.size.cpus,
                shared_memory=SHARED_MEMORY,
                gpus=self.size.gpus,
                environment={
                    "FACE_ASSETS_CORES": str(max(1, int(self.size.cpus))),
                    TRAFFIC: INSIDE,
                    TOKEN: self.internal.token,
                    EMBEDDINGS_TOKEN: self.embeddings,
                    GATEWAY: self.internal.address,
                },
                volumes={str(self.traffic): INSIDE},
                user=user,
            )
            for number in range(self.size.replicas)
        ]
        for spec in specs:
            if not self._runs(spec, own_labels):
                self.docker.start(spec, self.network)
        for spec in specs:
            left = STARTS
            while not self._wait(spec):
                left -= 1
                if not left or not self._crashed(spec.name):
                    raise UserError(self._why_it_ended(spec.name))
                self.docker.start(spec, self.network)

    def have_image(self, slot: str, image: str) -> bool:
        """Returns True where all servers of a slot were started from the image."""
        return all(container.labels.get(IMAGE) == image for container in self._of(slot))

    def keep(self, slot: str) -> None:
        """Makes the engine restart the slot's servers when they end, and after a restart of the machine."""
        for container in self._of(slot):
            with docker_errors("set a restart policy"):
                container.update(restart_policy={"Name": "unless-stopped"})

    def remove(self, slot: str, seconds: int = 0) -> None:
        """Ends a slot's servers; each has `seconds` to complete its requests."""
        for container in self._of(slot):
            self.docker.remove(container.name, seconds)

    def remove_others(self, slot: str | None) -> None:
        """Removes all servers except those of `slot`, in their present number."""
        wanted = {self._name(slot, number) for number in range(self.size.replicas)} if slot else set()
        for container in self.docker.containers(ROLE):
            if container.name not in wanted:
                self.docker.remove(container.name, SECONDS_TO_STOP if slot else 0)

    def are_running(self, slot: str) -> bool:
        """Returns True where all servers of a slot run."""
        return not self._ended(slot)

    def trouble(self, slot: str) -> str | None:
        """Returns why one of a slot's servers does not run; None where all do."""
        ended = self._ended(slot)
        return self._why_it_ended(ended[0]) if ended else None

    def _ended(self, slot: str) -> list[str]:
        """Returns the names of a slot's servers that do not run."""
        running = {container.name for container in self._of(slot) if container.status == "running"}
        return [name for number in range(self.size.replicas) if (name := self._name(slot, number)) not in running]

    def _own_traffic(self) -> int:
        """Returns the servers' user, who may write the histograms: the caller, or the image's own user in place of root."""
        self.traffic.mkdir(parents=True, exist_ok=True)
        if os.getuid():
            return os.getuid()
        own_tree(self.traffic, USER)  # includes files of the embedded target
        return USER

    def _server_name_of(self, spec: Spec) -> str:
        return spec.name.rpartition("-")[2]

    def _name(self, slot: str, number: int) -> str:
        return f"face-assets-{self.docker.home}-{self.server_name(slot, number)}"

    def _of(self, slot: str) -> list[Any]:
        return [container for container in self.docker.containers(ROLE) if container.labels.get(SLOT_LABEL) == slot]

    def _runs(self, spec: Spec, own_labels: Mapping[str, str]) -> bool:
        found = self.docker.find(spec.name)
        if found is None or found.status not in ("running", "restarting"):
            return False
        if any(found.labels.get(name) != value for name, value in own_labels.items() if name.startswith("face-assets.") and name != IMAGE):
            return False
        host = found.attrs["HostConfig"]
        made_of = (found.labels.get(IMAGE), host["Memory"], host["NanoCpus"])
        # a server that responds stays, although limits or image differ: with the new ones it may not start
        return made_of == (spec.image, spec.memory * 2**20, int(spec.cpus * 1e9)) or self.internal.is_ready(self._server_name_of(spec))

    def _wait(self, spec: Spec) -> bool:
        """Waits for the server; returns True where it responds, False where it ended. Raises UserError after SECONDS_TO_LOAD."""
        ends = time.monotonic() + SECONDS_TO_LOAD
        restarts = None
        while time.monotonic() < ends:
            if self.internal.is_ready(self._server_name_of(spec)):
                return True
            found = self.docker.find(spec.name)
            if found is None or found.status in ("exited", "dead"):
                return False
            restarts = found.attrs["RestartCount"] if restarts is None else restarts
            if found.attrs["RestartCount"] >= restarts + STARTS:  # the engine restarts it, and it ends again
                return False
            time.sleep(0.1)
        log = self._log(found) if found else "nothing"
        raise UserError(f"{spec.name} was not ready within {SECONDS_TO_LOAD:g} s; its log ends: {log}")

    def _crashed(self, name: str) -> bool:
        found = self.docker.find(name)
        return found is not None and found.attrs["State"].get("ExitCode") in (ABORTED, SEGMENTATION_FAULT)

    def _why_it_ended(self, name: str) -> str:
        found, ends = self.docker.find(name), time.monotonic() + SECONDS_TO_REPORT
        while found and _was_killed(found) and time.monotonic() < ends:
            time.sleep(0.1)
            later = self.docker.find(name)
            if later is None or later.status == "running":
                break  # restarted: no more will be known of its end
            found = later
        if found is None:
            return f"{name} is gone."
        state, limit = found.attrs["State"], f"out of memory at {self.size.memory} MiB (FACE_ASSETS_DOCKER_MEMORY_MB)"
        if state.get("OOMKilled"):
            return f"{name} was {limit}."
        log = self._log(found)
        if STUB_DIED in log:  # killed by the kernel without Triton, which then ends: the engine may not see it
            return f"{name} lost a model's process, most likely {limit}; its log ends: {log}"
        return f"{name} ended with status {state.get('ExitCode')}; its log ends: {log}"

    @staticmethod
    def _log(container: Any) -> str:
        """Returns the last lines of a container's log, those with errors where there are any."""
        with docker_errors(f"read the log of {container.name}"):
            log = container.logs(tail=40).decode(errors="replace").splitlines()
        errors = [line for line in log if " E " in line or "error" in line.lower()] or log
        return " ".join(errors[-LAST_LINES:]) or "nothing"


def _was_killed(container: Any) -> bool:
    """Returns True for a kill without a known cause: the engine may learn of the end before it learns that memory ran out."""
    state = container.attrs["State"]
    return state.get("ExitCode") == KILLED and not state.get("OOMKilled")


def own_tree(folder: Path, user: int) -> None:
    """Changes the owner of a folder and its content. Links are not followed, for a container may have created them."""
    for _, folders, files, descriptor in os.fwalk(folder, follow_symlinks=False):
        os.fchown(descriptor, user, user)
        for name in (*folders, *files):
            with suppress(FileNotFoundError):
                os.chown(name, user, user, dir_fd=descriptor, follow_symlinks=False)
