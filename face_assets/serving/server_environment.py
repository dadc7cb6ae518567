"""Serving environment: a virtual environment with the Triton Inference Server, separate from the pipeline's own."""

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from face_assets.core import subprocesses
from face_assets.core.errors import UserError
from face_assets.core.files import SHARED, file_lock, write_text
from face_assets.core.fingerprint import file_digest, fingerprint
from face_assets.core.project_files import SERVING_REQUIREMENTS
from face_assets.core.rights import outside

READY = ".ready"
SECONDS_TO_INSTALL = 3600.0  # half a GB, over a line of 2 Mbit/s
PARTS = ("bin", "backends", "caches")


@dataclass(frozen=True)
class ServingEnvironment:
    """Paths and variables of a serving environment."""

    directory: Path

    @property
    def server(self) -> Path:
        """Path of the program."""
        return self.directory / "triton" / "bin" / "tritonserver"

    @property
    def stamp(self) -> str:
        """Fingerprint of its inputs; empty where it is incomplete."""
        file = self.directory / READY
        return file.read_text(encoding="utf-8") if file.is_file() else ""

    @property
    def backends(self) -> Path:
        """Path of Triton's backends, with the stub of this environment's Python."""
        return self.directory / "triton" / "backends"

    @property
    def site_packages(self) -> Path:
        """Path of pip's packages."""
        return self.directory / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"

    def variables(self, cores: int) -> dict[str, str]:
        """Returns the server's variables: the backend's Python is first on PATH; numpy's threads leave the cores to the engines."""
        kept = {
            name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME", "PYTHONSAFEPATH", "VIRTUAL_ENV")
        }
        return {
            **kept,
            "PATH": f"{self.directory / 'bin'}:{kept.get('PATH', '')}",
            "LD_LIBRARY_PATH": str(self.site_packages / "nvidia_pytriton.libs"),
            "OPENBLAS_NUM_THREADS": "1",
            "OMP_NUM_THREADS": "1",
            "FACE_ASSETS_CORES": str(cores),
        }


def is_ready(directory: Path, requirements: Path) -> bool:
    """Returns True where `ensure_environment` has nothing to do."""
    return ServingEnvironment(directory).stamp == _wanted(directory, requirements)


def _wanted(directory: Path, requirements: Path) -> str:
    return fingerprint(file_digest(requirements), sys.version_info[:2], str(directory))


@outside()
def ensure_environment(directory: Path, requirements: Path, log: Callable[[str], None]) -> ServingEnvironment:
    """Returns the environment in `directory`, made at first use and when the requirements change. Raises UserError when pip fails.

    It is made in another folder and renamed, so that a failure leaves the environment of a running server.
    """
    environment, wanted = ServingEnvironment(directory), _wanted(directory, requirements)
    if environment.stamp == wanted:
        return environment
    with file_lock(directory.with_name(f".{directory.name}.lock")):
        if environment.stamp != wanted:
            log(f"installing the Triton Inference Server into {directory}")
            aside, old = (directory.with_name(f".{directory.name}.{name}") for name in ("new", "old"))
            _make(ServingEnvironment(aside), requirements)
            write_text(aside / READY, wanted, SHARED)
            shutil.rmtree(old, ignore_errors=True)
            if directory.exists():
                directory.rename(old)
            aside.rename(directory)
            shutil.rmtree(old, ignore_errors=True)
    return environment


def _make(environment: ServingEnvironment, requirements: Path) -> None:
    shutil.rmtree(environment.directory, ignore_errors=True)
    _run(subprocesses.python("-m", "venv", str(environment.directory)))
    pip = [str(environment.directory / "bin" / "python"), "-P", "-m", "pip"]
    _run([*pip, "install", "--quiet", "--disable-pip-version-check", "-r", str(requirements)])
    _lay_out(environment)


def _run(command: list[str]) -> None:
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocesses.run(command, SECONDS_TO_INSTALL, clean)
    if done.returncode:
        words = " ".join((done.stderr.strip().splitlines() or ["no message"])[-3:])
        raise UserError(f"The serving environment could not be made: {words}")


def _lay_out(environment: ServingEnvironment) -> None:
    """Copies the wheel's server to its own folder, with the stub of this Python in the Python backend, as the server requires."""
    wheel = environment.site_packages / "pytriton" / "tritonserver"
    for part in PARTS:
        shutil.copytree(wheel / part, environment.directory / "triton" / part)
    stub = wheel / "python_backend_stubs" / f"{sys.version_info.major}.{sys.version_info.minor}" / "triton_python_backend_stub"
    if not stub.is_file():
        raise UserError(
            f"nvidia-pytriton has no Python backend for Python {sys.version_info.major}.{sys.version_info.minor}: use 3.11 or 3.12."
        )
    target = environment.backends / "python" / stub.name
    shutil.copyfile(stub, target)
    for program in (target, environment.server):
        program.chmod(0o755)


if __name__ == "__main__":
    ensure_environment(
        Path(sys.argv[1]) if len(sys.argv) > 1 else Path(sys.prefix) / "serving",
        SERVING_REQUIREMENTS,
        print,
    )
