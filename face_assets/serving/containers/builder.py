"""Builds with BuildKit: client, secret, log, and contexts whose file times follow from the content."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from face_assets.core import subprocesses
from face_assets.core.errors import UserError
from face_assets.core.fingerprint import file_digest
from face_assets.serving.containers.docker_engine import DockerUnreachableError

CA_VARIABLES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
LAST_LINES = 4
SECONDS_TO_ANSWER = 30.0
SECONDS_OF_SILENCE = 1800.0  # of a build, which logs each step, and its progress while it pulls or installs
EPOCH = 1_600_000_000
SPAN = 100_000_000  # seconds over which times are spread
GONE = re.compile(r"cannot connect to the docker daemon|connection refused|error during connect|unexpected EOF|transport is closing", re.I)


@cache
def client() -> str:
    """Returns the path of a docker client with BuildKit, as a plugin or built in. Raises UserError where there is none."""
    looked = []
    for folder in dict.fromkeys(os.get_exec_path()):
        program = Path(folder) / "docker"
        if not os.access(program, os.X_OK):
            continue
        looked.append(str(program))
        if _run([str(program), "buildx", "version"]).returncode == 0:
            return str(program)
        version = _run([str(program), "--version"]).stdout
        major = re.search(r"version (\d+)\.", version)
        if major and 18 < int(major[1]) < 23:
            return str(program)
    if looked:
        raise UserError(f"No BuildKit in {', '.join(looked)}: install docker's buildx plugin (docker-buildx), or Debian's docker.io.")
    raise UserError("The docker command is missing, which builds images: install Docker (Debian's docker.io suffices).")


def _run(command: list[str]) -> "subprocess.CompletedProcess[str]":
    return subprocesses.run(command, SECONDS_TO_ANSWER)


def build(
    dockerfile: Path,
    context: Path,
    tag: str,
    target: str | None,
    arguments: Mapping[str, str],
    labels: Mapping[str, str],
    write: Callable[[str], None],
) -> None:
    """Builds and tags an image; `write` is called with each line of the output. Raises UserError; the tag is then unchanged."""
    command = [client(), "build", "--progress=plain", "--file", str(dockerfile), "--tag", tag]
    command += ["--target", target] if target else []
    for name, value in arguments.items():
        command += ["--build-arg", f"{name}={value}"]
    for name, value in labels.items():
        command += ["--label", f"{name}={value}"]
    bundle = next((os.environ[name] for name in CA_VARIABLES if Path(os.environ.get(name) or "-").is_file()), None)
    command += ["--secret", f"id=ca,src={bundle}"] if bundle else []
    environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
    lines: list[str] = []

    def keep(line: str) -> None:
        lines.append(line)
        write(line)

    if subprocesses.follow([*command, str(context)], SECONDS_OF_SILENCE, keep, environment):
        raise _build_error(tag, lines)


def _build_error(tag: str, lines: list[str]) -> UserError:
    last = " ".join(line for line in lines[-LAST_LINES:] if line) or "no output"
    whole = "\n".join(lines)
    if "no space left" in whole.lower():
        return UserError(f"The disk is full, so {tag} could not be built: free some space (`docker system df`) and run again.")
    if GONE.search(last):
        return DockerUnreachableError(f"The Docker engine became unreachable while {tag} was built ({last}): start it and run again.")
    missing = re.search(r"(\S+): (?:not found|pull access denied|failed to resolve|failed to do request)", whole)
    if missing and ("load metadata" in whole or "resolve" in whole):
        return UserError(
            f"An image that {tag} is built from is not available ({last}): see FACE_ASSETS_DOCKER_BASE and deploy/base-image.sh."
        )
    return UserError(f"{tag} could not be built: {last}")


def fill(context: Path, files: Mapping[str, Path]) -> None:
    """Copies files and whole folders into a build context, readable by everybody, and sets each time by the content.

    BuildKit regards files of the same size and time as equal, and a layer contains the times, so they are derived from the bytes.
    """
    for name, source in files.items():
        target = context / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True, copy_function=shutil.copyfile, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, target)
    for path in sorted(context.rglob("*"), reverse=True):
        path.chmod(0o755 if path.is_dir() else 0o644)
        moment = EPOCH if path.is_dir() else EPOCH + int(file_digest(path), 16) % SPAN
        os.utime(path, (moment, moment))
    os.utime(context, (EPOCH, EPOCH))
