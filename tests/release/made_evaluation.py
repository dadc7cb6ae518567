"""An evaluation that a test makes up, stored as if the platform had made it."""

from face_assets.core.files import write_json
from face_assets.evaluation.hardest_pairs import Pair, write_pairs
from face_assets.registry.workspace import Workspace
from face_assets.storage.artifacts import Artifact


def evaluate(workspace: Workspace, commit: str, photos: list[str], scores: dict[tuple[str, str], float]) -> None:
    """Stores an evaluation of a commit as if the platform had made it."""
    folder = workspace.home.artifacts.root / "embedder_evaluation" / commit[:16]
    folder.mkdir(parents=True)
    figures = {"auc": 0.99, "accuracy": 0.98, "accuracy_std": 0.01, "eer": 0.02, "tar": [], "genuine": 9, "impostor": 90, "people": 3}
    write_json(folder / "evaluation.json", {"trained": figures})
    write_pairs(folder / "pairs.csv", [Pair("genuine", *pair, score) for pair, score in scores.items()])
    (folder / "test_photos.txt").write_text("".join(f"{photo}\n" for photo in photos))
    artifact = Artifact("embedder_evaluation", commit[:16], folder, {"verification_threshold": 0.5})
    write_json(workspace.home.artifact_references / "embedder_evaluation" / f"{commit}.json", artifact.to_json(workspace.home.root))
