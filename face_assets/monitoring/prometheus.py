"""A local Prometheus: configuration, process, queries."""

import json
import shutil
import urllib.error
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from face_assets.core.direct_connections import open_url, responds
from face_assets.core.errors import UserError
from face_assets.core.files import write_text
from face_assets.core.project_files import DEPLOY

KEPT_DAYS, KEPT_SIZE = 90, "2GB"
SECONDS_TO_ANSWER = 5.0


def program() -> str:
    """Returns the path of `prometheus`. Raises UserError where it is not installed."""
    found = shutil.which("prometheus")
    if found is None:
        raise UserError(
            "No `prometheus` is on the PATH: install it (Debian: `apt-get install prometheus`), or point one that you run at the exporter, "
            "with deploy/prometheus.yml and deploy/alerts.yml."
        )
    return found


def configuration(targets: Mapping[str, str], template: Path = DEPLOY / "prometheus.yml") -> str:
    """Returns deploy/prometheus.yml with the address HOST:PORT of each job, and absolute paths of rules."""
    values: dict[str, Any] = yaml.safe_load(template.read_text(encoding="utf-8"))
    values["rule_files"] = [str(template.parent / file) for file in values["rule_files"]]
    for job in values["scrape_configs"]:
        job["static_configs"] = [{"targets": [targets[job["job_name"]]]}]
    return yaml.safe_dump(values, sort_keys=False)


def prepare(folder: Path, targets: Mapping[str, str]) -> bool:
    """Writes folder/prometheus.yml; returns True where it changed, so that a running Prometheus must restart."""
    file, wanted = folder / "prometheus.yml", configuration(targets)
    if file.is_file() and file.read_text(encoding="utf-8") == wanted:
        return False
    write_text(file, wanted)
    return True


def command(folder: Path, host: str, port: int) -> list[str]:
    """Returns the command of Prometheus on a prepared folder. Raises UserError where it is not installed."""
    return [
        program(),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--storage.tsdb.retention.time={KEPT_DAYS}d",
        f"--storage.tsdb.retention.size={KEPT_SIZE}",
        f"--web.listen-address={host}:{port}",
        "--log.level=warn",
    ]


def is_ready(address: str) -> bool:
    """Returns True where the Prometheus at http://HOST:PORT is ready for queries."""
    return responds(f"{address}/-/ready", SECONDS_TO_ANSWER)


def query(address: str, endpoint: str, **parameters: str) -> Any:
    """Returns the data of an endpoint of Prometheus' HTTP API, such as `query` with query=…. Raises UserError."""
    url = f"{address}/api/v1/{endpoint}?{urllib.parse.urlencode(parameters)}"
    try:
        with open_url(url, timeout=SECONDS_TO_ANSWER) as answer:
            return json.load(answer)["data"]
    except urllib.error.HTTPError as error:
        raise UserError(f"Prometheus rejected {parameters or endpoint}: {error.read().decode(errors='replace')}") from error
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise UserError(f"Prometheus at {address} does not respond: {error}") from error
