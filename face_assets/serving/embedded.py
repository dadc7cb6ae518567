"""Embedded target: one local Triton server, in which a candidate is loaded, checked, then promoted."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from face_assets.core.errors import UnreachableError, UserError
from face_assets.core.files import file_lock, is_locked, read_json, write_json
from face_assets.core.params import Serving
from face_assets.serving import model_repository as models
from face_assets.serving.client import RecognizerClient
from face_assets.serving.deployment_check import DeploymentReport, GoldenRequest, check_deployment
from face_assets.serving.hang_detection import reason_to_keep
from face_assets.serving.internal_token import internal_token
from face_assets.serving.model_control import ModelControl
from face_assets.serving.model_repository import CANDIDATE, MODELS, PARTS, RECOGNIZER, ModelVersion
from face_assets.serving.runtime.limits import MAX_BYTES
from face_assets.serving.server_environment import ServingEnvironment
from face_assets.serving.target import REQUESTS_AFTER_PROMOTION, DeploymentRefusedError, Status
from face_assets.serving.triton_server import NO_RECORD, Address, Ports, Recording, TritonServer, answers, stamp

LOCK = ".deployment.lock"
SECONDS_TO_ANSWER = 10.0


def read_status(root: Path) -> Status:
    """Returns the status of a folder's server, also in a process that did not start it."""
    server = TritonServer(root)
    live, previous = _state(root)
    process, address = server.process(), server.address()
    if process is None or address is None:
        return Status(False, False, live, previous, None, None)
    ready = False
    if answers(address) and live:
        ready = ModelControl(address).is_loaded(RECOGNIZER, live.number)
    return Status(True, ready, live, previous, process.pid, address.ports)


def was_started(root: Path) -> bool:
    """Returns True where a folder's server was started and not stopped since, so that it must respond."""
    return TritonServer(root).record.is_file()


def is_deploying(root: Path) -> bool:
    """Returns True while a deployment or a start is under way; the server may be incomplete meanwhile."""
    return is_locked(root / LOCK)


def folders_in_use(root: Path) -> set[Path]:
    """Returns the version folders that a folder's server has the live release from; they may be of an earlier release."""
    live, _ = _state(root)
    return models.loaded_folders(root / "models", live) if live else set()


def stop_server(root: Path) -> bool:
    """Stops the server of a folder; returns True where one ran."""
    return TritonServer(root).stop()


def _state(root: Path) -> tuple[ModelVersion | None, ModelVersion | None]:
    file = root / "state.json"
    if not file.is_file():
        return None, None
    stored = read_json(file)
    live, previous = (ModelVersion(**stored[name]) if stored[name] else None for name in ("live", "previous"))
    return live, previous


class EmbeddedTarget:
    """The server of a folder. state.json names the live release; it is written after a promotion was checked."""

    def __init__(
        self,
        root: Path,
        environment: ServingEnvironment,
        ports: Ports,
        cores: int,
        host: str = "127.0.0.1",
        max_bytes: int = MAX_BYTES,
        record: Recording = NO_RECORD,
    ):
        self.root = root
        self.models = root / "models"
        self.environment = environment
        self.ports = ports
        self.cores = cores
        self.host = host
        self.max_bytes = max_bytes
        self.record = record
        self.server = TritonServer(root)

    def status(self) -> Status:
        """Returns the status of the server."""
        return read_status(self.root)

    def was_started(self) -> bool:
        """Returns True where the server was started and not stopped since."""
        return was_started(self.root)

    def is_deploying(self) -> bool:
        """Returns True while a deployment or a start is under way."""
        return is_deploying(self.root)

    def client(self, seconds: float = 60.0, internal: bool = False) -> RecognizerClient:
        """Returns a client of the server's port, whether it is up or not."""
        return RecognizerClient(
            f"{self.host}:{self.ports.grpc}", seconds=seconds, internal_token=internal_token(self.root) if internal else None
        )

    def start(self) -> None:
        """Starts the server with the live release, and repairs the rest of a killed deployment. Raises UserError."""
        with file_lock(self.root / LOCK):
            self._restore(self._start())

    def stop(self) -> bool:
        """Stops the server; returns True where it ran."""
        return stop_server(self.root)

    def deploy(self, candidate: ModelVersion, golden: Sequence[GoldenRequest], budget: Serving) -> DeploymentReport:
        """Makes the candidate live, checked before and after. Raises DeploymentRefusedError; the live release is then unchanged."""
        with file_lock(self.root / LOCK):
            control = self._start()
            live = self._restore_if_possible(control)
            if live and live.release != candidate.release:  # a new copy of the live release takes the place of all of it
                candidate = models.with_parts_of(self.models, candidate, live)
            try:
                report = self._check_candidate(control, live, candidate, golden, budget)
                self._promote(control, live, candidate, golden, budget)
                self._write_state(candidate)
            finally:
                self._unload_candidates(control, wait=False)
            self._settle(control, candidate)
            return report

    def check_live(self, golden: Sequence[GoldenRequest], budget: Serving) -> DeploymentReport:
        """Checks the live release. Raises UserError where nothing is live."""
        live, _ = _state(self.root)
        if live is None:
            raise UserError("Nothing is live on this server.")
        return check_deployment(self._client(RECOGNIZER), live.release, golden, budget)

    def is_current(self) -> bool:
        """Returns True always: other settings restart the server."""
        return True

    def sweep(self, keep: int) -> None:
        """Deletes all version folders except the newest `keep`, the live and the previous one, without a deployment meanwhile."""
        with file_lock(self.root / LOCK):
            live, previous = _state(self.root)
            newest = [version.number for version in models.versions(self.models)][-keep:] if keep else []
            models.sweep(self.models, {*newest, *(version.number for version in (live, previous) if version)}, folders_in_use(self.root))

    def _write_state(self, candidate: ModelVersion) -> None:
        """Records the candidate as live, and the former live release as the previous one, also when the same is deployed again."""
        live, previous = _state(self.root)
        if live and live.number != candidate.number:
            previous = live
        write_json(self.root / "state.json", {"live": asdict(candidate), "previous": asdict(previous) if previous else None})

    def _client(self, model: str) -> RecognizerClient:
        address = self.server.address()
        assert address is not None
        return RecognizerClient(f"{address.host}:{address.ports.grpc}", model, internal_token=internal_token(self.root))

    def forget(self) -> None:
        """Removes the record of the live release: another target serves now."""
        (self.root / "state.json").unlink(missing_ok=True)

    def _start(self) -> ModelControl:
        """Starts the server where it does not run with the current settings, and unloads candidates; returns its model control."""
        address = self.server.address()
        if address is None or not self._fits(address) or self._hangs(address):
            self.server.require_free(self.host, self.ports)
            self.server.stop()
            models.remove_candidates(self.models)
            address = self.server.start(self.environment, self.host, self.ports, self.cores, self.max_bytes, self.record)
        self.server.keep_plain(self.environment)
        control = ModelControl(address)
        self._unload_candidates(control)
        return control

    def _fits(self, address: Address) -> bool:
        return (address.host, address.ports, address.environment) == (
            self.host,
            self.ports,
            stamp(self.environment, self.max_bytes, self.record),
        )

    def _hangs(self, address: Address) -> bool:
        """Returns True where the server is gone or hangs. Raises UnreachableError where it responds by other ports or to others."""
        ends = time.monotonic() + SECONDS_TO_ANSWER  # a busy one may respond late
        while not answers(address):
            process = self.server.process()
            if process is None:
                return True
            if time.monotonic() > ends:
                reason = reason_to_keep(process.pid, address)
                if reason:
                    raise UnreachableError(
                        f"The server (process {process.pid}) does not respond at HTTP {address.host}:{address.ports.http}, yet {reason}: "
                        "it is not ended therefore. `face-assets down` ends it."
                    )
                return True
            time.sleep(0.1)
        return False

    def _restore_if_possible(self, control: ModelControl) -> ModelVersion | None:
        """Restores and returns the live release; None where there is none or it cannot be loaded, which must not block another."""
        try:
            return self._restore(control)
        except UserError:
            address = self.server.address()
            if address is None or not answers(address):
                raise
            return None

    def _restore(self, control: ModelControl) -> ModelVersion | None:
        """Loads the live release after a killed deployment, without failing a request to the release that is loaded now."""
        live, _ = _state(self.root)
        if live is None or all(control.loaded(model) == [live.number_of(model)] for model in MODELS):
            return live
        self._load_parts(control, live)
        control.load(self._configured(live))
        self._settle(control, live)
        return live

    def _load_parts(self, control: ModelControl, version: ModelVersion) -> None:
        """Loads detector and embedder of a version beside those that are loaded."""
        names = []
        for model in PARTS.values():
            loaded, wanted = control.loaded(model), version.number_of(model)
            if wanted not in loaded:
                names.append(models.configure(self.models, model, [*loaded, wanted]))
        control.load(*names)

    def _configured(self, version: ModelVersion) -> str:
        """Configures the recognizer to be of a version alone; returns its name."""
        parts = {part: (model, version.number_of(model)) for part, model in PARTS.items()}
        return models.configure(self.models, RECOGNIZER, [version.number], parts=parts)

    def _check_candidate(
        self, control: ModelControl, live: ModelVersion | None, candidate: ModelVersion, golden: Sequence[GoldenRequest], budget: Serving
    ) -> DeploymentReport:
        """Loads the candidate beside the live release, but for the parts that are the live release's own, and checks it."""
        shared = {part: model for part, model in PARTS.items() if live and candidate.number_of(model) == live.number_of(model)}
        own = [model for part, model in PARTS.items() if part not in shared]
        parts = {part: (model, candidate.number_of(model)) for part, model in shared.items()}
        try:
            names = [models.configure(self.models, model, [candidate.number], candidate=True) for model in own]
            control.load(*names, models.configure(self.models, RECOGNIZER, [candidate.number], candidate=True, parts=parts))
        except UserError as error:
            raise DeploymentRefusedError(f"it does not load: {error}", None) from error
        report = check_deployment(self._client(CANDIDATE + RECOGNIZER), candidate.release, golden, budget)
        if not report.passed:
            raise DeploymentRefusedError(report.failures, report)
        return report

    def _promote(
        self,
        control: ModelControl,
        live: ModelVersion | None,
        candidate: ModelVersion,
        golden: Sequence[GoldenRequest],
        budget: Serving,
    ) -> None:
        """Loads detector and embedder of both releases first, then the recognizer, which always calls those of its own version."""
        try:
            self._load_parts(control, candidate)
            control.load(self._configured(candidate))
            report = check_deployment(self._client(RECOGNIZER), candidate.release, golden[:REQUESTS_AFTER_PROMOTION], budget)
            if not report.passed:
                raise DeploymentRefusedError(f"after the promotion: {report.failures}", report)
        except UserError as error:
            self._take_back(control, live)
            if isinstance(error, DeploymentRefusedError):
                raise
            raise DeploymentRefusedError(f"the promotion failed: {error}", None) from error

    def _take_back(self, control: ModelControl, live: ModelVersion | None) -> None:
        if live is None:
            for model in reversed(MODELS):
                control.unload(model)
            return
        control.load(self._configured(live))
        self._settle(control, live)

    def _settle(self, control: ModelControl, version: ModelVersion) -> None:
        """Unloads detectors and embedders of other releases once they have no request under way."""
        control.wait_for_drain(RECOGNIZER, version.number)
        left = [model for model in PARTS.values() if control.loaded(model) != [version.number_of(model)]]
        control.load(*(models.configure(self.models, model, [version.number_of(model)]) for model in left))

    def _unload_candidates(self, control: ModelControl, wait: bool = True) -> None:
        for model in reversed(MODELS):
            control.unload(CANDIDATE + model, wait)
        models.remove_candidates(self.models)
