"""Serving target: the interface of a server with one live release, checked before it gets traffic."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from face_assets.core.errors import RefusedError
from face_assets.core.params import Serving
from face_assets.serving.client import RecognizerClient
from face_assets.serving.deployment_check import DeploymentReport, GoldenRequest
from face_assets.serving.model_repository import ModelVersion
from face_assets.serving.triton_server import Ports

REQUESTS_AFTER_PROMOTION = 3


class DeploymentRefusedError(RefusedError):
    """Error: the candidate failed its deployment check; the live release stays. report: None where the candidate did not load."""

    def __init__(self, reason: str, report: DeploymentReport | None):
        super().__init__(reason)
        self.report = report


@dataclass(frozen=True)
class Status:
    """Status of the server."""

    running: bool
    ready: bool
    live: ModelVersion | None
    previous: ModelVersion | None
    pid: int | None
    ports: Ports | None


class Target(Protocol):
    """The embedded server, or containers behind a gateway. Without state: each call reads that of the server."""

    def status(self) -> Status:
        """Returns the status of the server. Raises UserError where it is unknown."""

    def was_started(self) -> bool:
        """Returns True where it was started and not stopped since, so that it must respond."""

    def is_deploying(self) -> bool:
        """Returns True while a deployment or a start is under way; the server may be incomplete meanwhile."""

    def start(self) -> None:
        """Starts the server with the live release, and repairs the rest of a killed deployment. Raises UserError."""

    def stop(self) -> bool:
        """Stops the server; returns True where it ran."""

    def is_current(self) -> bool:
        """Returns True where a restart would change nothing; otherwise a deployment of the same version updates it. Raises UserError."""

    def forget(self) -> None:
        """Removes the record of the live release: another target serves now."""

    def deploy(self, candidate: ModelVersion, golden: Sequence[GoldenRequest], budget: Serving) -> DeploymentReport:
        """Makes the candidate live, checked before and after, also where the live release cannot be loaded.

        Raises DeploymentRefusedError; the live release is then unchanged.
        """

    def check_live(self, golden: Sequence[GoldenRequest], budget: Serving) -> DeploymentReport:
        """Checks the live release. Raises UserError where nothing is live."""

    def sweep(self, keep: int) -> None:
        """Deletes all releases except the newest `keep`, the live and the previous one."""

    def client(self, seconds: float = 60.0, internal: bool = False) -> RecognizerClient:
        """Returns a client; requests of an `internal` one are no traffic. Raises UserError where no server was started."""
