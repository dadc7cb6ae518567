"""Settings of the platform on this machine: FACE_ASSETS_* variables over the state directory's settings.json over defaults."""

import logging
import os
import sys
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from face_assets.core.credentials import without_credentials
from face_assets.core.errors import UserError
from face_assets.core.files import file_lock, read_json, write_json
from face_assets.core.setting_types import (
    AbsolutePath,
    MailAddresses,
    MessageBody,
    OptionalPath,
    Origins,
    PagesAddress,
    Patterns,
    Store,
    WebAddress,
    is_loopback,
    secret_address,
)
from face_assets.core.yaml_io import expanded

PREFIX = "FACE_ASSETS_"
SETTINGS_FILE = "settings.json"
MACHINE = r"[A-Za-z0-9]+([_-][A-Za-z0-9]+)*"
IMAGE_NAME = r"^[a-z0-9]+([._/-][a-z0-9]+)*$"
LOOPBACK = "127.0.0.1"
RENAMED = {"gateway_max_mb": "max_request_mb"}  # former name → name; the former is read for one more version
SECRETS = ("notify_webhook", "notify_webhook_body", "notify_slack", "notify_smtp")


def default_home() -> Path:
    """The absolute path of the state directory: FACE_ASSETS_HOME, or ~/.face-assets. Raises UserError where there is neither."""
    named = os.environ.get(PREFIX + "HOME")
    try:
        return expanded(named or Path.home() / ".face-assets").absolute()
    except RuntimeError as error:
        raise UserError(
            f"The user {os.getuid()} has no home on this machine: set {PREFIX}HOME to a folder for the platform's state, or HOME."
        ) from error


def usable_cores() -> int:
    """Number of processors that this process may use."""
    return len(os.sched_getaffinity(0))


class Settings(BaseSettings):
    """Paths, addresses and limits of this machine; parameters of the pipeline are in the data repository's params.yaml."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,  # set to nothing is not set
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    home: Path = Field(default_factory=default_home, description="the state directory; history, traffic and keys are lost with it")
    dagster_home: OptionalPath = Field(
        None, description="DAGSTER_HOME with a dagster.yaml of its own, as in containers; without it `dagster/` in the state directory"
    )
    store: Store = Field(
        None,
        description="s3://bucket/prefix, or a folder, where machines share what they made, so that each thing is made once; unset: none",
    )
    repo: str | None = Field(None, description="the data repository: a path or git URL; `use`, `run --repo` and `up --repo` store it")
    production_branches: Patterns = Field(("main", "master"), description="branches whose commits go live, by shell patterns")
    experiment_branches: Patterns = Field(("*",), description="branches whose commits stop after the evaluation; production's win")
    production_approval: Literal["none", "required"] = Field(
        "none", description="`required`: a second person approves each release before this machine takes it for production"
    )
    after_consent: Literal["erase", "unenrol"] = Field(
        "erase", description="what is done about people whose time in people.csv has passed; `unenrol` takes them out of the gallery alone"
    )
    model_folders: Patterns = Field(
        (),
        description="folders below which alone a commit may name networks by absolute path; empty: any readable file",
    )
    allowed_signers: OptionalPath = Field(
        None, description="ssh-keygen's list of allowed signers: then a release or stage tag counts only with a signature of one of them"
    )
    signing_key: OptionalPath = Field(None, description="SSH key by which the platform signs its tags; with an ssh-agent the public one")
    cores: int = Field(default_factory=usable_cores, ge=1, description="processors to use")
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|(cuda|tensorrt)(:[0-9]{1,2})?)$",
        description="where networks run in bulk: `cpu`, `cuda`, `cuda:1`, `tensorrt`, or `auto`, a GPU that can be used, else the CPU",
    )
    train_processes: int = Field(
        1, ge=1, le=64, description="processes that train together, each on a GPU of its own or on its share of the cores"
    )
    ray: str | None = Field(
        None,
        pattern=r"^(auto|local|(ray://)?[^\s:/@]+:[0-9]{1,5})$",
        description="Ray cluster that a run's work is spread over: `auto` on a node of it, `ray://HOST:10001` from elsewhere, or `local`",
    )
    host: str = Field("127.0.0.1", description="address that the gateway of the docker target binds to; the embedded server has loopback")
    ui_host: str = Field(
        "127.0.0.1", description="address of UI, Prometheus and exporter, which have no password outside Compose: the UI launches runs"
    )
    http_port: int = Field(8000, ge=1, le=65535, description="Triton's HTTP")
    grpc_port: int = Field(8001, ge=1, le=65535, description="Triton's gRPC")
    metrics_port: int = Field(8002, ge=1, le=65535, description="Triton's Prometheus metrics")
    exporter_port: int = Field(8003, ge=1, le=65535, description="the platform's own Prometheus metrics")
    prometheus_port: int = Field(9090, ge=1, le=65535, description="the local Prometheus of `face-assets up --monitoring`")
    ui_port: int = Field(3000, ge=1, le=65535, description="Dagster's web interface")
    web_port: int = Field(
        8004, ge=1, le=65535, description="the web service: its API and pages, on loopback; in Compose the port of its sign-in"
    )
    web_url: PagesAddress = Field(
        None,
        description="address by which browsers reach the web service, such as https://faces.example.org, for links from Dagster's UI; "
        "without it its port on loopback",
    )
    web_origins: Origins = Field((), description="origins, such as https://app.example.org, whose pages may call the web service (CORS)")
    web_embeddings: bool = Field(
        False, description="whether the web service returns embeddings on loopback; behind the gateway the right of the key decides"
    )
    serving_env: AbsolutePath = Field(default=Path(sys.prefix) / "serving", description="environment of the Triton server")
    target: Literal["embedded", "docker"] = Field(
        "embedded", validate_default=True, description="a process of this machine, or containers behind a gateway"
    )
    docker_base: str = Field(
        "debian:bookworm-slim", description="base image of the servers and the gateway; deploy/base-image.sh makes it offline"
    )
    docker_server: str | None = Field(None, description="`nvidia` where nvcr.io can be reached: a Triton without known faults; or an image")
    docker_name: str = Field("face-assets/recognizer", pattern=IMAGE_NAME, description="name of the releases' images")
    docker_gpus: str | None = Field(
        None,
        pattern=r"^(all|[0-9]{1,2}(,[0-9]{1,2})*)$",
        description="GPUs of each server's container: `all`, or their numbers, such as 0,1; the engine needs NVIDIA's container toolkit",
    )
    triton_backend: Literal["python", "openvino", "onnxruntime", "tensorrt"] = Field(
        "python",
        validate_default=True,
        description="who runs the networks: our Python models, or a backend of Triton, which NVIDIA's image has and brings",
    )
    docker_registry: str | None = Field(None, description="registry that each release's image is pushed to, such as localhost:5000")
    docker_replicas: int = Field(1, ge=1, le=50, description="number of servers")
    docker_memory_mb: int = Field(2048, ge=64, description="memory of a server, in MiB")
    docker_cpus: float | None = Field(None, gt=0, description="processors of a server; `cores` without it")
    gateway_certificate: OptionalPath = Field(None, description="PEM file of certificate, chain and key: then the gateway speaks TLS")
    gateway_rate: int = Field(0, ge=0, description="requests a second of an API key without a limit of its own, over 10 s; 0 for no limit")
    max_request_mb: float = Field(20.0, gt=0, le=1000, description="largest request, in MB, of either target")
    machine: str | None = Field(
        None,
        pattern=f"^{MACHINE}$",
        max_length=40,
        description="name of this machine for colleagues, who see what it serves; not a person's",
    )
    rollback_by: str | None = Field(
        None, description="the one machine whose failed deployment check rolls production back; without it, people alone roll back"
    )
    record: Literal["off", "on", "required"] = Field(
        "off", description="record of use: a chained line for each answer; `required` rejects a request that cannot be recorded"
    )
    record_photos_to: str | None = Field(
        None, description="public key of age (age1…): the record keeps the photos of matches encrypted to it; without it none is kept"
    )
    record_photo_days: int = Field(30, ge=1, description="days that an encrypted photo of a match is kept")
    keep_releases: int = Field(3, ge=2, description="releases that stay loadable on the server's disk")
    notify_webhook: WebAddress | None = Field(None, description="URL to which problems and their ends are POSTed as JSON")
    notify_webhook_body: MessageBody | None = Field(
        None, repr=False, description='the JSON posted there, with placeholders in its texts, such as {"text": "{title}: {reason}"}'
    )
    notify_slack: WebAddress | None = Field(None, description="URL of a Slack incoming webhook for the same messages")
    notify_from: MailAddresses | None = Field(None, description="address that mail about problems comes from")
    notify_to: MailAddresses | None = Field(None, description="addresses of recipients of that mail, separated by commas")
    notify_smtp: SecretStr | None = Field(None, description="mail server: smtp:// or smtps://, then [user:password@]host[:port]")

    @field_validator("target")
    @classmethod
    def _has_a_key_where_it_is_open(cls, value: str, others: ValidationInfo) -> str:
        host = others.data.get("host", "")
        if value == "embedded" and not is_loopback(host):
            raise ValueError(
                f"the embedded server checks no key, so it binds to loopback alone, and `host` is {host!r}: "
                "set FACE_ASSETS_TARGET=docker, whose gateway requires one, or unset FACE_ASSETS_HOST"
            )
        return value

    @field_validator("triton_backend")
    @classmethod
    def _is_a_backend_of_the_target(cls, value: str, others: ValidationInfo) -> str:
        gpus = others.data.get("docker_gpus")
        if value != "python" and others.data.get("target") != "docker":
            raise ValueError(
                "the embedded server has the Python backend alone: set FACE_ASSETS_TARGET=docker, or FACE_ASSETS_TRITON_BACKEND=python"
            )
        if value == "tensorrt" and gpus is None:
            raise ValueError("TensorRT computes on a GPU: name it by FACE_ASSETS_DOCKER_GPUS")
        if value in ("python", "openvino") and gpus is not None:
            raise ValueError(
                f"{value} computes on the CPU, and FACE_ASSETS_DOCKER_GPUS is {gpus}: set onnxruntime or tensorrt, or unset it"
            )
        return value

    @field_validator("record")
    @classmethod
    def _is_kept_by_the_target(cls, value: str, others: ValidationInfo) -> str:
        if value != "off" and others.data.get("target") == "docker":
            raise ValueError("the docker target keeps no record of use yet: set FACE_ASSETS_TARGET=embedded, or FACE_ASSETS_RECORD=off")
        return value

    @field_validator("record_photos_to")
    @classmethod
    def _is_public_key(cls, value: str | None, others: ValidationInfo) -> str | None:
        if value:
            from pyrage import RecipientError, x25519

            if others.data.get("record") == "off":
                raise ValueError("photos are kept in the record of use, which is off: set FACE_ASSETS_RECORD=on, or required")
            try:
                x25519.Recipient.from_str(value)
            except RecipientError as error:
                raise ValueError(
                    "must be a public key of age, age1…, as `age-keygen` prints it; its private key stays elsewhere"
                ) from error
        return value or None

    @field_validator("notify_smtp")
    @classmethod
    def _is_mail_server(cls, value: SecretStr | None, others: ValidationInfo) -> SecretStr | None:
        if value and not (others.data.get("notify_from") and others.data.get("notify_to")):
            raise ValueError("mail needs `notify_from` and `notify_to` too")
        return secret_address(value, ("smtp", "smtps")) if value else value

    @property
    def metrics_address(self) -> str:
        """Address of Triton's metrics on this machine; the gateway publishes them on loopback alone."""
        return f"{'127.0.0.1' if self.target == 'docker' else self.host}:{self.metrics_port}"

    @property
    def web_address(self) -> str:
        """Address of the web service; it requires no key, so it has loopback alone."""
        return f"http://{LOOPBACK}:{self.web_port}"

    @property
    def pages_address(self) -> str:
        """Address of the web service for people's browsers."""
        return self.web_url or self.web_address

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Ranks the environment above settings.json."""
        return env_settings, init_settings


def _found(key: str, value: Any) -> str:
    return "" if key in SECRETS else f", found {without_credentials(repr(value))}"


@cache
def _warn_once(sentence: str) -> None:
    """Logs a warning once in a process: sensors load the settings again and again."""
    logging.getLogger(__name__).warning(sentence)


def _current_names(remembered: dict[str, Any]) -> dict[str, Any]:
    """Returns the remembered settings by their current names, with variables of former names over them."""
    values = {RENAMED[key]: value for key, value in remembered.items() if key in RENAMED}
    values |= {key: value for key, value in remembered.items() if key not in RENAMED}
    for former, name in RENAMED.items():
        variable = PREFIX + former.upper()
        if os.environ.get(variable):
            values[name] = os.environ[variable]
            _warn_once(f"{variable} is now called {PREFIX}{name.upper()}; the former name is read for one more version")
        elif former in remembered:
            _warn_once(f"settings.json: `{former}` is now called `{name}`; the former name is read for one more version")
    return values


def load_settings() -> Settings:
    """The settings in force. Raises UserError that names each wrong key."""
    home = default_home()
    named = os.environ.get(PREFIX + "HOME", "")
    if named.startswith("~") and not expanded(named).is_absolute():
        raise UserError(f"{PREFIX}HOME: {named} is below the home of a user whom this machine does not know.")
    file = home / SETTINGS_FILE
    try:
        remembered: dict[str, Any] = read_json(file) if file.exists() else {}
        # the home of the environment is neither expanded nor absolute
        return Settings(**_current_names(remembered)).model_copy(update={"home": home})
    except ValueError as error:
        if not isinstance(error, ValidationError):
            raise UserError(f"{file} is not JSON: {error}. Fix or delete it.") from error
        sentences = [
            f"`{item['loc'][0]}`: {item['msg'].removeprefix('Value error, ')}{_found(str(item['loc'][0]), item['input'])}"
            for item in error.errors()
        ]
        raise UserError(f"settings ({PREFIX}… variables and {file}): " + "; ".join(sentences)) from error


def remember(**values: Any) -> None:
    """Stores settings in the state directory for later commands, the UI and the daemon."""
    home = default_home()
    file = home / SETTINGS_FILE
    with file_lock(home / ".settings.lock"):
        remembered = read_json(file) if file.exists() else {}
        if {**remembered, **values} != remembered:
            write_json(file, {**remembered, **values})
