"""What a serving target is: a server of a home that answers with one release, verified before it takes traffic."""

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
    """The candidate did not show what it must; what was live still is. `report` is None where it did not even load."""

    def __init__(self, reason: str, report: DeploymentReport | None):
        super().__init__(reason)
        self.report = report


@dataclass(frozen=True)
class Status:
    """What the server does now."""

    running: bool
    ready: bool
    live: ModelVersion | None
    previous: ModelVersion | None
    pid: int | None
    ports: Ports | None


class Target(Protocol):
    """The embedded server, or containers behind a gateway. Cheap to make; each call finds the server as it is."""

    def status(self) -> Status:
        """What the server does now. Raises UserError where that cannot be known."""

    def was_started(self) -> bool:
        """Whether it was started and not stopped since: then it must be there, and answer."""

    def is_deploying(self) -> bool:
        """Whether a deployment, or a start, is under way: until it ends, the server may not be as it should."""

    def start(self) -> None:
        """Brings the server up with what is live, and mends what a killed deployment left. Raises UserError."""

    def stop(self) -> bool:
        """Stops the server; returns whether it ran."""

    def is_current(self) -> bool:
        """Whether what was started is as it would be started now; a deployment of the same version makes it so. Raises UserError."""

    def forget(self) -> None:
        """Lets go of what was live here, since another target answers by now."""

    def deploy(self, candidate: ModelVersion, golden: Sequence[GoldenRequest], budget: Serving) -> DeploymentReport:
        """Makes the candidate live, verified before and after, also where what is live cannot be brought back.

        Raises DeploymentRefusedError; then what was live has not changed.
        """

    def check_live(self, golden: Sequence[GoldenRequest], budget: Serving) -> DeploymentReport:
        """Asks what is live. Raises UserError where nothing is."""

    def sweep(self, keep: int) -> None:
        """Deletes all releases but the newest `keep`, the live and the previous one."""

    def client(self, seconds: float = 60.0, internal: bool = False) -> RecognizerClient:
        """A client of the server; requests of an `internal` one are no traffic. Raises UserError where no server was started."""
