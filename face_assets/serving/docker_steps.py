"""Step triton_image, and the docker target of the settings."""

from pathlib import Path

from face_assets.core.credentials import CREDENTIALS
from face_assets.core.errors import UserError
from face_assets.core.fingerprint import fingerprint
from face_assets.core.project_files import DEPLOY
from face_assets.registry.releases import Release
from face_assets.registry.workspace import Workspace
from face_assets.serving.containers.docker_engine import DockerEngine
from face_assets.serving.containers.gateway import Listeners
from face_assets.serving.containers.haproxy import Limits
from face_assets.serving.containers.images import NVIDIA, Built, Images, Recipe
from face_assets.serving.containers.keys import Keys
from face_assets.serving.containers.servers import Size
from face_assets.serving.containers.target import ContainerTarget
from face_assets.serving.containers.tls import read_certificate
from face_assets.serving.model_repository import ModelVersion
from face_assets.serving.triton_server import Ports

TITLE = "Face Assets recognizer"


def home_name(workspace: Workspace) -> str:
    """Returns the name of this state directory on the Docker engine."""
    return fingerprint(str(workspace.settings.home))[:8]


def images(workspace: Workspace) -> Images:
    """Returns the images of this state directory."""
    settings = workspace.settings
    server = settings.docker_server if settings.triton_backend == "python" else settings.docker_server or NVIDIA
    recipe = Recipe(DEPLOY, settings.docker_base, server, settings.docker_name, settings.triton_backend)
    return Images(DockerEngine(home_name(workspace)), recipe, workspace.home.serving / "models", workspace.home.logs)


def build_image(workspace: Workspace, release: Release, version: ModelVersion) -> Built:
    """Builds the image of a release. Raises UserError; an existing image then stays."""
    return images(workspace).release(version, labels_of(workspace, release))


def push_image(workspace: Workspace, name: str) -> str | None:
    """Pushes an image; returns its digest in the registry of the settings, None without one. Raises UserError."""
    registry = workspace.settings.docker_registry
    return images(workspace).push(name, registry) if registry else None


def labels_of(workspace: Workspace, release: Release) -> dict[str, str]:
    """Returns OCI labels (opencontainers/image-spec, annotations.md) and our own, which identify an image."""
    pointer = workspace.repository.pointer(release.trained_commit, "photos")
    labels = {
        "org.opencontainers.image.title": TITLE,
        "org.opencontainers.image.version": release.version,
        "org.opencontainers.image.revision": release.trained_commit,
        "org.opencontainers.image.source": CREDENTIALS.sub("", workspace.settings.repo or ""),
        "face-assets.release": release.version,
        "face-assets.release-commit": release.commit,
        "face-assets.dataset-version": pointer.md5 if pointer else "",
    }
    figures = {f"face-assets.figure.{name}": f"{value:g}" for name, value in release.metrics.items() if isinstance(value, (int, float))}
    return labels | figures


def container_target(workspace: Workspace) -> ContainerTarget:
    """Returns the docker target of this state directory, with the current settings."""
    settings = workspace.settings
    built = images(workspace)

    def build(version: ModelVersion) -> str:
        name = built.name_of(version)
        if built.docker.image(name) is None:
            release = workspace.releases.get(version.release)
            if release.commit != version.release_commit:
                raise UserError(f"The image {name} is gone, and {version.release} of another data repository: run `face-assets run`.")
            build_image(workspace, release, version)
        return name

    listeners = Listeners(
        settings.host,
        Ports(settings.http_port, settings.grpc_port, settings.metrics_port),
        Limits(settings.gateway_rate, settings.max_request_mb),
        read_certificate(settings.gateway_certificate) if built.docker.is_here() else None,
    )
    size = Size(settings.docker_replicas, settings.docker_memory_mb, settings.docker_cpus or float(settings.cores), settings.docker_gpus)
    return ContainerTarget(folder(workspace), built.docker, built, build, size, listeners)


def keys(workspace: Workspace) -> Keys:
    """Returns the API keys of this state directory's gateway."""
    made = folder(workspace)
    made.mkdir(parents=True, exist_ok=True)
    return Keys(made)


def containers_started(workspace: Workspace) -> bool:
    """Returns True where the docker target was started and not stopped since, whatever the current settings."""
    return (folder(workspace) / "started.json").is_file()


def folder(workspace: Workspace) -> Path:
    """Returns the folder of the docker target's state."""
    return workspace.home.serving / "containers"
