"""The release towards whose embeddings a training pulls, so that templates of that release still compare with the new embeddings.

It is production when the inputs are trained on for the first time, and stays that: a release records the inputs of its training and the
release that it was pulled towards. The same inputs (a commit run again after its own release went into production, a commit of the gallery
alone, a revert) therefore give the same embedder. A training that was free by `compatible_with: none` decides nothing for one that is not.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from face_assets.core.files import read_json
from face_assets.core.params import SCRATCH, Params
from face_assets.registry.erased import releases_of_erased
from face_assets.registry.releases import Release
from face_assets.registry.workspace import Log, Workspace

EMBEDDER = "embedder.pt"


def pulled_towards(workspace: Workspace, params: Params, inputs: str, weights: str, log: Log) -> Release | None:
    """The release towards whose embeddings a training with these inputs pulls; None where it trains freely.

    inputs: digest of all that decides a free training; weights: the resolved starting weights. Freely train: `compatible_with: none`,
    no epochs, a network without a frozen block, one whose frozen blocks, input or length of the embedding are not production's, and one
    whose production learned from a person who is erased.
    """
    train = params.train
    if train.compatible_with == "none" or not train.epochs or train.unfreeze == "all" or weights == SCRATCH:
        return None
    erased = releases_of_erased(workspace.home.root)
    releases = workspace.releases.with_deprecated()
    decided = deciding_release(releases, inputs)
    if decided is not None:
        towards = _of_embeddings(decided.lineage.training.get("towards"), releases)
        return None if towards and towards.commit in erased else towards
    assignment = workspace.stages.production()
    if assignment is None:
        return None
    if (known := erased.get(assignment.release.commit)) and known.learned:
        log(f"training freely: the embedder of {known.version} in production learned from a person who is erased ({known.pseudonym})")
        return None
    production = assignment.release
    bundle = workspace.releases.bundle(production)
    if _training_inputs(production, bundle) == inputs:
        return None  # it was trained freely on these very inputs, by choice or by an earlier version
    if not _begins_alike(bundle, params, weights):
        log(f"training freely: {production.version} in production has another input, frozen part or length of the embedding")
        return None
    return production


def deciding_release(releases: Sequence[Release], inputs: str) -> Release | None:
    """The newest of the releases, in order, that was trained on these inputs and was to compare with production; None without one."""
    trained = (release for release in reversed(releases) if release.lineage.training.get("inputs") == inputs)
    return next((release for release in trained if release.lineage.training.get("compatible_with", "production") == "production"), None)


def _training_inputs(release: Release, bundle: Path) -> Any:
    recorded = release.lineage.training.get("inputs")
    return recorded or read_json(bundle / "provenance.json")["artifacts"]["embedder"]  # by which earlier versions named it


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
