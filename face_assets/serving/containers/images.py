"""Images of the server, shared by all releases, of each release, and of the gateway, named by a fingerprint of their inputs."""

import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from face_assets.core.errors import UserError
from face_assets.core.files import file_lock
from face_assets.core.fingerprint import file_digest, fingerprint
from face_assets.serving.containers.builder import build, fill
from face_assets.serving.containers.docker_engine import HOME_LABEL, DockerEngine, DockerUnreachableError, docker_errors
from face_assets.serving.model_repository import DETECTOR, EMBEDDER, MODELS, RECOGNIZER, ModelVersion, configuration, networks

NUMBER = 1  # of the version in an image: every image has one release, and the same number gives the same layers
NVIDIA = "nvidia"  # as the setting's value: NVIDIA's own image with the packages of our models, where it can be pulled
PARTS = {"embedder": EMBEDDER, "detector": DETECTOR, "release": RECOGNIZER}
SERVER_FILES = ("serving.Dockerfile", "requirements-serving.txt")
SERVER = "server"  # folder of the scripts that start, protect and watch Triton in its container


@dataclass(frozen=True)
class Recipe:
    """Inputs of images: the folder deploy/, the base image, a replacement for the server's image, and the name of releases' images.

    backend: of Triton, that the releases need; the wheel's server has `python` alone.
    """

    deploy: Path
    base: str
    server: str | None
    name: str
    backend: str = "python"


@dataclass(frozen=True)
class Built:
    """A release's image: name, id, size, the release's share of the size, and the duration of the build."""

    name: str
    id: str
    megabytes: float
    added_megabytes: float
    seconds: float
    made_now: bool
    log: str


class Images:
    """Images of a state directory, built on demand. logs: folder for the output of builds."""

    def __init__(self, docker: DockerEngine, recipe: Recipe, models: Path, logs: Path):
        self.docker = docker
        self.recipe = recipe
        self.models = models
        self.logs = logs

    def gateway(self) -> str:
        """Returns the name of the gateway's image."""
        dockerfile = self.recipe.deploy / "gateway.Dockerfile"
        name = f"face-assets/gateway:{fingerprint(file_digest(dockerfile), self.recipe.base)}"
        if self.docker.image(name) is None:
            self._build("gateway", dockerfile, name, None, {}, {}, {"BASE": self.recipe.base})
        return name

    def server(self) -> str:
        """Returns the name of the server's image, which contains no release."""
        if self.recipe.server and self.recipe.server != NVIDIA:
            return self.recipe.server
        if self.recipe.server == NVIDIA and self._nvidia:
            return self._nvidia
        return self._server_image(self._server_name("triton", self.recipe.base), "server", {"BASE": self.recipe.base})

    @cached_property
    def _nvidia(self) -> str | None:
        """Name of NVIDIA's server with the packages of our models; None where it cannot be pulled, and the wheel's server replaces it."""
        try:
            return self._server_image(self._server_name("triton-nvidia"), NVIDIA, {})
        except DockerUnreachableError:
            raise
        except UserError as error:
            if self.recipe.backend != "python":
                raise UserError(
                    f"FACE_ASSETS_TRITON_BACKEND is {self.recipe.backend}, which NVIDIA's image alone has, and its server cannot be built: "
                    f"{error} Set FACE_ASSETS_TRITON_BACKEND=python, or name an image of yours by FACE_ASSETS_DOCKER_SERVER."
                ) from error
            logging.getLogger(__name__).warning("The wheel's server, which is older, replaces NVIDIA's image: %s", error)
            return None

    def _server_name(self, name: str, *made_from: str) -> str:
        digests = [file_digest(self.recipe.deploy / file) for file in SERVER_FILES]
        return f"face-assets/{name}:{fingerprint(digests, *made_from)}"

    def _server_image(self, name: str, stage: str, arguments: Mapping[str, str]) -> str:
        if self.docker.image(name) is None:
            files = {"requirements.txt": self.recipe.deploy / "requirements-serving.txt"}
            self._build("server", self.recipe.deploy / "serving.Dockerfile", name, stage, files, {}, arguments)
        return name

    def name_of(self, version: ModelVersion) -> str:
        """Returns the name of a release's image in this state directory."""
        files = [file_digest(file) for file in self._server_files()]
        made_from = fingerprint(self.docker.home, version.number, version.digest, files, self.recipe.base, self.recipe.server)
        return f"{self.recipe.name}:{version.release}-{made_from[:8]}"

    def _server_files(self) -> list[Path]:
        deploy = self.recipe.deploy
        return [*(deploy / file for file in SERVER_FILES), *sorted(file for file in (deploy / SERVER).iterdir() if file.is_file())]

    def release(self, version: ModelVersion, labels: Mapping[str, str]) -> Built:
        """Returns the image of a release, built where it does not exist. Raises UserError; then no image has changed."""
        name = self.name_of(version)
        found = self.docker.image(name)
        if found is not None:
            return self._built(name, found, 0.0, False, "")
        started = time.monotonic()
        server = self.server()
        with tempfile.TemporaryDirectory(prefix="face-assets-build-") as folder:
            configs = Path(folder) / "configs"
            files = {SERVER: self.recipe.deploy / SERVER}
            for part, model in PARTS.items():
                written = self.models / model / str(version.number)
                if not written.is_dir():
                    raise UserError(f"{written} is missing: run triton_model_repository again.")
                files[f"{part}/{model}/{NUMBER}"] = written
            native = networks(self.models, version.number)
            for model in native:
                files[f"embedder/{model}/{NUMBER}"] = self.models / model / str(version.number)
            for model in (*MODELS, *native):
                config = configs / model
                config.parent.mkdir(exist_ok=True)
                config.write_text(configuration(self.models, model, version.number, NUMBER), encoding="utf-8")
                files[f"release/{model}/config.pbtxt"] = config
            dockerfile = self.recipe.deploy / "serving.Dockerfile"
            ours = {HOME_LABEL: self.docker.home, "face-assets.number": str(version.number), "face-assets.digest": version.digest}
            log = self._build("release", dockerfile, name, "release", files, {**labels, **ours}, {"SERVER": server})
        made = self.docker.image(name)
        if made is None:
            raise UserError(f"{name} was built, and the engine does not have it: is DOCKER_HOST the same for all?")
        return self._built(name, made, time.monotonic() - started, True, str(log))

    def push(self, name: str, registry: str) -> str:
        """Pushes an image to a registry; returns its digest there. Raises UserError."""
        target, _, tag = name.rpartition(":")
        there = f"{registry.rstrip('/')}/{target}"
        image = self.docker.image(name)
        if image is None:
            raise UserError(f"There is no image {name} to push.")
        with docker_errors(f"push {there}:{tag}"):
            image.tag(there, tag)
            lines: list[dict[str, Any]] = list(self.docker.client.images.push(there, tag, stream=True, decode=True))
        failed = next((line["error"] for line in lines if "error" in line), None)
        if failed:
            raise UserError(f"The registry rejected {there}:{tag} (FACE_ASSETS_DOCKER_REGISTRY): {failed}")
        return next((str(line["aux"]["Digest"]) for line in lines if "Digest" in line.get("aux", {})), "")

    def sweep(self, keep: set[str]) -> None:
        """Removes the release images of this state directory except `keep`, and images that builds have replaced."""
        from docker.errors import APIError

        with docker_errors("remove old images"):
            for image in self.docker.client.images.list(filters={"label": f"{HOME_LABEL}={self.docker.home}"}):
                for tag in image.tags:
                    if not any(tag == name or tag.endswith(f"/{name}") for name in keep):
                        try:
                            self.docker.client.images.remove(tag)
                        except APIError as error:
                            if error.status_code not in (404, 409):  # removed meanwhile, or in use
                                raise

    def erase_releases(self, commits: set[str]) -> int:
        """Removes the images of these releases, given by their commits, with containers that stopped, and all build cache, which has copies
        of their files; returns the number of images. Raises UserError, also for an image in use."""
        removed = 0
        with docker_errors("remove images of releases"):
            for image in self.docker.client.images.list(filters={"label": f"{HOME_LABEL}={self.docker.home}"}, all=True):
                if image.labels.get("face-assets.release-commit") in commits:
                    for container in self.docker.client.containers.list(all=True, filters={"ancestor": image.id, "status": "exited"}):
                        container.remove()
                    self.docker.client.images.remove(image.id, force=len(image.tags) > 1)
                    removed += 1
            self.docker.client.api.prune_builds()
        return removed

    def _built(self, name: str, image: Any, seconds: float, made_now: bool, log: str) -> Built:
        server = self.docker.image(self.server())
        size = image.attrs["Size"]
        added = size - (server.attrs["Size"] if server else 0)
        return Built(name, str(image.id), round(size / 1e6, 1), round(added / 1e6, 1), round(seconds, 1), made_now, log)

    def _build(
        self,
        what: str,
        dockerfile: Path,
        name: str,
        target: str | None,
        files: Mapping[str, Path],
        labels: Mapping[str, str],
        arguments: Mapping[str, str],
    ) -> Path:
        self.logs.mkdir(parents=True, exist_ok=True)
        log = self.logs / f"build-{what}.log"
        with self._context(what) as folder, open(log, "w", encoding="utf-8") as output:
            fill(folder, files)
            write: Callable[[str], Any] = lambda line: print(line, file=output, flush=True)  # noqa: E731
            build(dockerfile, folder, name, target, arguments, labels, write)
        return log

    @contextmanager
    def _context(self, what: str) -> Iterator[Path]:
        """Yields an empty folder for one build at a time; always the same, for BuildKit keeps a copy of each folder that it gets."""
        folder = self.models.parent / "build" / what
        with file_lock(folder.with_name(f".{what}.lock")):
            shutil.rmtree(folder, ignore_errors=True)  # of a build that was killed
            folder.mkdir()
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
