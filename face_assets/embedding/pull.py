"""The release towards whose embeddings a training pulls, so that templates of that release still compare with the new embeddings.

It is production when the inputs are trained on for the first time, and stays that: a release records the inputs of its training and the
release that it was pulled towards. The same inputs (a commit run again after its own release went into production, a commit of the gallery
alone, a revert) therefore give the same embedder.
"""

from collections.abc import Sequence
from pathlib import Path

from face_assets.core.files import read_json
from face_assets.core.params import SCRATCH, Params
from face_assets.registry.releases import Release
from face_assets.registry.workspace import Log, Workspace

EMBEDDER = "embedder.pt"


def pulled_towards(workspace: Workspace, params: Params, inputs: str, weights: str, log: Log) -> Release | None:
    """The release towards whose embeddings a training with these inputs pulls; None where it trains freely.

    inputs: digest of all that decides a free training; weights: the resolved starting weights. Freely train: `compatible_with: none`,
    no epochs, a network without a frozen block, and one whose frozen blocks, input or length of the embedding are not production's.
    """
    train = params.train
    if train.compatible_with == "none" or not train.epochs or train.unfreeze == "all" or weights == SCRATCH:
        return None
    releases = workspace.releases.with_deprecated()
    recorded = next((release.lineage.training for release in reversed(releases) if release.lineage.training.get("inputs") == inputs), None)
    if recorded is not None:
        return _of_embeddings(recorded.get("towards"), releases)
    assignment = workspace.stages.production()
    if assignment is None:
        return None
    production = assignment.release
    bundle = workspace.releases.bundle(production)
    if not production.lineage.training and read_json(bundle / "provenance.json")["artifacts"]["embedder"] == inputs:
        return None  # an earlier version trained it freely on these very inputs
    if not _begins_alike(bundle, params, weights):
        log(f"training freely: {production.version} in production has another input, frozen part or length of the embedding")
        return None
    return production


def _of_embeddings(digest: str | None, releases: Sequence[Release]) -> Release | None:
    return next((release for release in reversed(releases) if digest and release.digests.embeddings == digest), None)


def _begins_alike(bundle: Path, params: Params, weights: str) -> bool:
    """True if the bundle's embedder has the same input, frozen blocks and length of the embedding as the one to be trained."""
    from face_assets.embedding.features import blocks_fingerprint
    from face_assets.embedding.network import Trunk, split
    from face_assets.embedding.weights import load_embedder

    engine = read_json(bundle / "engine.json")
    if (engine["whitening"], engine["image_size"]) != (params.embedder.whitening, params.detector.image_size):
        return False
    models = [load_embedder(one, params.embedder.embedding_size, params.train.seed) for one in (weights, bundle / EMBEDDER)]
    sizes = {model.get_parameter("last_linear.weight").shape[0] for model in models}
    return len(sizes) == 1 and len({blocks_fingerprint(split(Trunk(model), params.train.unfreeze)[0]) for model in models}) == 1
