"""Settings of the platform on this machine: FACE_ASSETS_* variables over the home's settings.json over defaults."""

import os
import sys
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from face_assets.errors import UserError
from face_assets.files import file_lock, read_json, write_json

PREFIX = "FACE_ASSETS_"
SETTINGS_FILE = "settings.json"


def default_home() -> Path:
    """FACE_ASSETS_HOME, or ~/.face-assets."""
    return Path(os.environ.get(PREFIX + "HOME") or Path.home() / ".face-assets").expanduser().absolute()


def usable_cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))


class Settings(BaseSettings):
    """Where things are and what they may use; parameters of the pipeline stand in the data repository's params.yaml."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    home: Path = Field(default_factory=default_home, description="folder of all state; safe to delete")
    repo: str | None = Field(None, description="the data repository: a path or git URL; remembered from the last run")
    cores: int = Field(default_factory=usable_cores, ge=1, description="processors to use")
    host: str = Field("127.0.0.1", description="address that servers bind to")
    http_port: int = Field(8000, ge=1, le=65535, description="Triton's HTTP")
    grpc_port: int = Field(8001, ge=1, le=65535, description="Triton's gRPC")
    metrics_port: int = Field(8002, ge=1, le=65535, description="Triton's Prometheus metrics")
    ui_port: int = Field(3000, ge=1, le=65535, description="Dagster's web interface")
    serving_env: Path = Field(default=Path(sys.prefix) / "serving", description="environment of the Triton server")
    keep_releases: int = Field(3, ge=2, description="releases that stay loadable on the server's disk")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over what the home remembers."""
        return env_settings, init_settings


def load_settings() -> Settings:
    """The settings in force. Raises UserError that names each wrong key."""
    home = default_home()
    file = home / SETTINGS_FILE
    try:
        remembered: dict[str, Any] = read_json(file) if file.exists() else {}
        return Settings(**{**remembered, "home": home})
    except ValueError as error:
        if not isinstance(error, ValidationError):
            raise UserError(f"{file} is not JSON: {error}. Mend or delete it.") from error
        sentences = [f"`{item['loc'][0]}`: {item['msg']}, found {item['input']!r}" for item in error.errors()]
        raise UserError(f"settings ({PREFIX}… variables and {file}): " + "; ".join(sentences)) from error


def remember(**values: Any) -> None:
    """Keeps settings in the home for commands, the UI and the daemon to come."""
    home = default_home()
    file = home / SETTINGS_FILE
    with file_lock(home / ".settings.lock"):
        remembered = read_json(file) if file.exists() else {}
        if {**remembered, **values} != remembered:
            write_json(file, {**remembered, **values})
