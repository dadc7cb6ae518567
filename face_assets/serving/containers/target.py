"""Docker target: a candidate starts in the free slot, is checked there, gets a share of the traffic, then all of it."""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path

from face_assets.core.errors import UserError
from face_assets.core.files import file_lock, is_locked, read_json, write_json
from face_assets.core.params import Serving
from face_assets.serving import model_repository as models
from face_assets.serving.client import RecognizerClient
from face_assets.serving.containers import haproxy
from face_assets.serving.containers.canary import judge, read_traffic
from face_assets.serving.containers.docker_engine import STACK, DockerEngine, DockerUnreachableError, Network
from face_assets.serving.containers.gateway import WEB_FOLDER, WEB_SOCKET, Gateway, Listeners
from face_assets.serving.containers.haproxy import Behind
from face_assets.serving.containers.images import Images
from face_assets.serving.containers.internal_listeners import InternalListeners
from face_assets.serving.containers.servers import SECONDS_TO_STOP, SLOTS, Servers, Size
from face_assets.serving.deployment_check import Check, DeploymentReport, GoldenRequest, check_deployment
from face_assets.serving.internal_token import embeddings_token, internal_token, proxy_token
from face_assets.serving.model_repository import ModelVersion
from face_assets.serving.target import REQUESTS_AFTER_PROMOTION, DeploymentRefusedError, Status

LOCK = ".deployment.lock"
POLL_SECONDS = 0.5
WEB_IN_COMPOSE = "web:8004"
GATEWAY_ADDRESS = 5  # in the network
Build = Callable[[ModelVersion], str]


class ContainerTarget:
    """The containers of a state directory. folder: state.json (live release and slot), keys.json, and started.json once it was started.

    build: returns the image of a release, built where it does not exist.
    """

    def __init__(self, folder: Path, docker: DockerEngine, images: Images, build: Build, size: Size, listeners: Listeners):
        self.folder = folder
        self.docker = docker
        self.images = images
        self.build = build
        self.size = size
        self.listeners = listeners
        self.started = folder / "started.json"

    @cached_property
    def network(self) -> Network:
        """Network of the platform on the engine."""
        return self.docker.network(self._network_name)

    @cached_property
    def internal(self) -> InternalListeners:
        """Internal access to the servers; without the engine, as in Compose's web service, at the gateway's last address."""
        address = self.network.address(GATEWAY_ADDRESS) if self.docker.is_here() else self._last_address()
        return InternalListeners(address, self.folder, internal_token(self.folder.parent))

    @cached_property
    def servers(self) -> Servers:
        """Servers of both slots."""
        return Servers(
            self.docker, self.network, self.size, self.folder.parent / "traffic", self.internal, embeddings_token(self.folder.parent)
        )

    @cached_property
    def gateway(self) -> Gateway:
        """Gateway before the servers."""
        template = self.images.recipe.deploy / "haproxy.cfg.j2"
        root = self.folder.parent
        web = WEB_IN_COMPOSE if os.environ.get(STACK) else f"unix@{WEB_FOLDER}/{WEB_SOCKET}"
        behind = Behind(web, proxy_token(root), embeddings_token(root))
        return Gateway(self.docker, self.network, template, self.folder, self.listeners, self.internal, behind)

    def status(self) -> Status:
        """Returns the status of the containers. Raises UserError where no engine responds."""
        live, previous, slot = self._state()
        if not self.docker.is_here():
            ready = self._gateway_responds()
            return Status(ready, ready, live, previous, None, self.listeners.ports if ready else None)
        if not self.was_started() or self.gateway.container() is None:
            return Status(False, False, live, previous, None, None)
        ready = slot is not None and self.servers.are_running(slot) and self.gateway.is_ready()
        return Status(True, ready, live, previous, None, self.listeners.ports)

    def was_started(self) -> bool:
        """Returns True where the target was started and not stopped since."""
        return self.started.is_file()

    def is_deploying(self) -> bool:
        """Returns True while a deployment or a start is under way."""
        return is_locked(self.folder / LOCK)

    def client(self, seconds: float = 60.0, internal: bool = False) -> RecognizerClient:
        """Returns a client of the gateway, with the platform's own key. Raises UserError where nothing was started."""
        if not self.was_started():
            raise UserError("No server was started: `face-assets up`.")
        return self.internal.client(seconds=seconds, internal=internal)

    def start(self) -> None:
        """Starts the gateway and the live release, and removes the rest of a killed deployment. Raises UserError."""
        with file_lock(self.folder / LOCK):
            if broken := self._start():
                raise broken

    def stop(self) -> bool:
        """Removes all containers of the state directory; keys and images stay. Returns True where there were any."""
        with file_lock(self.folder / LOCK):
            found = self.docker.containers()
            for container in found:
                self.docker.remove(container.name)
            self.docker.remove_network(self._network_name)
            self.started.unlink(missing_ok=True)
        for name in ("network", "internal", "servers", "gateway"):
            self.__dict__.pop(name, None)
        return bool(found)

    def deploy(self, candidate: ModelVersion, golden: Sequence[GoldenRequest], budget: Serving) -> DeploymentReport:
        """Makes the candidate live, checked before, during and after. Raises DeploymentRefusedError; the live release then stays."""
        with file_lock(self.folder / LOCK):
            image = self.build(candidate)
            broken = self._start()
            _, _, live = self._state()
            slot = next(one for one in SLOTS if one != live)
            try:
                report = self._check_candidate(slot, image, candidate, golden, budget)
                if live and not broken:
                    report = self._watch(slot, live, report, budget)
                self._promote(slot, live, candidate, golden, budget)
                self._write_state(candidate, slot)
            except BaseException:
                with suppress(UserError):  # without an engine the next start does it
                    self._take_back(slot, live)
                raise
            self._settle(slot, live)
            return report

    def check_live(self, golden: Sequence[GoldenRequest], budget: Serving) -> DeploymentReport:
        """Checks the live release through the gateway. Raises UserError where nothing is live."""
        live, _, _ = self._state()
        if live is None:
            raise UserError("Nothing is live on this server.")
        return check_deployment(self.client(internal=True), live.release, golden, budget)

    def is_current(self) -> bool:
        """Returns True where the live servers run the current image of their release."""
        live, _, slot = self._state()
        return live is None or slot is None or self.servers.have_image(slot, self.images.name_of(live))

    def forget(self) -> None:
        """Removes the record of the live release: another target serves now."""
        (self.folder / "state.json").unlink(missing_ok=True)

    def sweep(self, keep: int) -> None:
        """Deletes the version folders and images except those of the newest `keep`, the live and the previous release."""
        with file_lock(self.folder / LOCK):
            live, previous, _ = self._state()
            kept = [version for version in (live, previous) if version]
            kept += models.versions(self.images.models)[-keep:] if keep else []
            models.sweep(self.images.models, {version.number for version in kept})
            self.images.sweep({self.images.name_of(version) for version in kept})

    def _gateway_responds(self) -> bool:
        """Returns True where the gateway responds at its last address; without access to the engine."""
        address = self._last_address() if self.was_started() else ""
        return bool(address) and InternalListeners(address, self.folder, internal_token(self.folder.parent)).is_ready()

    def _last_address(self) -> str:
        file = self.folder / "gateway.json"
        return str(read_json(file).get("address", "")) if file.is_file() else ""

    @property
    def _network_name(self) -> str:
        return f"face-assets-{self.docker.home}"

    def _state(self) -> tuple[ModelVersion | None, ModelVersion | None, str | None]:
        """Returns the live release, the previous one, and the live slot."""
        file = self.folder / "state.json"
        if not file.is_file():
            return None, None, None
        stored = read_json(file)
        live, previous = (ModelVersion(**stored[name]) if stored[name] else None for name in ("live", "previous"))
        return live, previous, stored["colour"] if live else None

    def _write_state(self, candidate: ModelVersion, slot: str) -> None:
        live, previous, _ = self._state()
        if live and live.number != candidate.number:
            previous = live
        stored = {"live": asdict(candidate), "previous": asdict(previous) if previous else None, "colour": slot}
        write_json(self.folder / "state.json", stored)

    def _start(self) -> UserError | None:
        """Starts the live release; returns the error where it fails, which must not block a deployment of another one."""
        live, _, slot = self._state()
        write_json(self.started, {})
        broken = None
        self.gateway.ensure(self.images.gateway(), self.servers.backend_servers(slot))
        if live and slot:
            try:
                self.servers.start(slot, self.build(live), live, {})
            except DockerUnreachableError:
                raise
            except UserError as error:
                broken = error
            self.servers.keep(slot)
        self._admit_only(slot)
        self.servers.remove_others(slot)
        return broken

    def _admit_only(self, slot: str | None) -> None:
        """Sends all traffic to a slot, and frees the other's servers once they have no request under way."""
        if slot:
            self.gateway.execute(haproxy.admit(self.servers.server_names(slot)))
        for other in (one for one in SLOTS if one != slot):
            self.gateway.execute(haproxy.drain(self.servers.server_names(other)))
            self.gateway.wait_for_drain(self.servers.server_names(other))
            self.gateway.execute(haproxy.retire(self.servers.server_names(other)))

    def _check_candidate(
        self, slot: str, image: str, candidate: ModelVersion, golden: Sequence[GoldenRequest], budget: Serving
    ) -> DeploymentReport:
        try:
            self.servers.start(slot, image, candidate, {})
        except DockerUnreachableError:
            raise
        except UserError as error:
            raise DeploymentRefusedError(f"it does not start: {error}", None) from error
        reports = [
            check_deployment(
                self.servers.client(slot, number),
                candidate.release,
                golden[: None if number == 0 else REQUESTS_AFTER_PROMOTION],
                budget,
            )
            for number in range(self.size.replicas)
        ]
        for report in reports:
            if not report.passed:
                raise DeploymentRefusedError(self.servers.trouble(slot) or report.failures, report)
        return reports[0]

    def _watch(self, slot: str, live: str, report: DeploymentReport, budget: Serving) -> DeploymentReport:
        """Runs the canary and returns the report with its checks. Raises DeploymentRefusedError once it fails."""
        servers = self.servers.server_names(slot)
        before = {one: read_traffic(self.servers.addresses(one)) for one in (slot, live)}
        lost_before = self._lost(servers)
        self.gateway.execute(haproxy.admit(servers, haproxy.share_weight(budget.canary_share)))
        ends = time.monotonic() + budget.canary_seconds
        over = False
        checks: list[Check] = []
        while not over:
            over = time.monotonic() >= ends
            trouble = self.servers.trouble(slot)
            meanwhile = {one: read_traffic(self.servers.addresses(one)).since(before[one]) for one in (slot, live)}
            checks = judge(meanwhile[slot], meanwhile[live], self._lost(servers) - lost_before, budget, over)
            checks += [Check("canary", trouble is None, trouble or "its servers ran")]
            so_far = replace(report, checks=[*report.checks, *checks])
            if not so_far.passed:
                raise DeploymentRefusedError(so_far.failures, so_far)
            if not over:
                time.sleep(POLL_SECONDS)
        return replace(report, checks=[*report.checks, *checks])

    def _lost(self, servers: list[str]) -> int:
        counts = self.gateway.counts()
        return sum(counts[protocol, server].lost for protocol in haproxy.PROTOCOLS for server in servers)

    def _promote(self, slot: str, live: str | None, candidate: ModelVersion, golden: Sequence[GoldenRequest], budget: Serving) -> None:
        """Sends all traffic to the candidate and checks it through the gateway; the old servers get no new request meanwhile."""
        try:
            self.gateway.execute(haproxy.admit(self.servers.server_names(slot)))
            if live:
                self.gateway.execute(haproxy.drain(self.servers.server_names(live)))
            report = check_deployment(self.client(internal=True), candidate.release, golden[:REQUESTS_AFTER_PROMOTION], budget)
            if not report.passed:
                raise DeploymentRefusedError(f"after the promotion: {self.servers.trouble(slot) or report.failures}", report)
            self.servers.keep(slot)
        except UserError as error:
            if isinstance(error, (DeploymentRefusedError, DockerUnreachableError)):
                raise
            raise DeploymentRefusedError(f"the promotion failed: {error}", None) from error

    def _take_back(self, slot: str, live: str | None) -> None:
        self._admit_only(live)
        self.servers.remove(slot)

    def _settle(self, slot: str, old: str | None) -> None:
        """Writes the live slot for the gateway's next start, and removes the old servers once they have no request under way."""
        self.gateway.write_config(self.servers.backend_servers(slot))
        self._admit_only(slot)
        if old:
            self.servers.remove(old, SECONDS_TO_STOP)
