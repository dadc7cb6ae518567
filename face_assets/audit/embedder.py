"""The embedder that judges labels: the starting weights, which have not seen them, else that of the release in production."""

from dataclasses import asdict, dataclass

from face_assets.core.files import read_json
from face_assets.core.fingerprint import fingerprint
from face_assets.core.params import SCRATCH, Params
from face_assets.embedding.vectors import Embedding
from face_assets.embedding.weight_sources import resolve_weights
from face_assets.embedding.weights import weights_fingerprint
from face_assets.registry.workspace import Workspace

STARTING = "starting weights"


@dataclass(frozen=True)
class AuditEmbedder:
    """An embedder by which labels are judged. name: for reports; fingerprint: of all that decides its embeddings of a crop."""

    name: str
    embedding: Embedding
    fingerprint: str


def audit_embedder(workspace: Workspace, commit: str) -> AuditEmbedder | None:
    """The embedder of the commit's audit; None for weights from scratch while nothing is in production."""
    return starting_embedder(workspace, commit) or _production(workspace, workspace.params(commit))


def starting_embedder(workspace: Workspace, commit: str) -> AuditEmbedder | None:
    """The commit's starting weights as an embedder; None for weights from scratch."""
    weights = resolve_weights(workspace, commit)
    return None if weights == SCRATCH else _of(STARTING, Embedding.of(workspace.params(commit), weights))


def _production(workspace: Workspace, params: Params) -> AuditEmbedder | None:
    assignment = workspace.stages.production()
    if assignment is None:
        return None
    bundle = workspace.releases.bundle(assignment.release)
    embedding = Embedding.of_bundle(bundle, params.detector)
    if embedding.pictures and read_json(bundle / "engine.json")["image_size"] != params.detector.image_size:
        return None  # a network in ONNX takes crops of its own size alone
    return _of(f"embedder of {assignment.release.version}, in production", embedding)


def _of(name: str, embedding: Embedding) -> AuditEmbedder:
    pictures = [asdict(embedding.pictures)] if embedding.pictures else []
    return AuditEmbedder(name, embedding, fingerprint(weights_fingerprint(embedding.weights), embedding.normalization, *pictures))
