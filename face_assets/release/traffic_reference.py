"""The reference of a release for monitoring: made from its test photos, and read from its bundle."""

import csv

import numpy as np

from face_assets.biometrics.quality import QualityScale, qualities
from face_assets.core.batches import batched
from face_assets.core.errors import UserError
from face_assets.core.params import Params
from face_assets.detection.detectors import crop_store
from face_assets.embedding.vectors import engine_faces
from face_assets.evaluation.feature_histograms import bins_of, measure, without_face
from face_assets.evaluation.reference import FEWEST_PEOPLE, FEWEST_PHOTOS, FILE, Reference, load_reference, make_reference
from face_assets.gallery.search import Gallery
from face_assets.registry.workspace import Log, Workspace
from face_assets.storage.artifacts import Artifact

CROPS_AT_ONCE = 64


def release_reference(
    workspace: Workspace, params: Params, aligned: Artifact, exported: Artifact, gallery: Artifact, scale: QualityScale | None, log: Log
) -> Reference | None:
    """The reference of the photos of the test split, also those without a face. If they are too few: None and a log line.

    scale: of the exported engine's qualities.
    """
    rows = _test_rows(aligned)
    faces = [row for row in rows if row["status"] == "face"]
    bins = np.tile(without_face(), (len(rows), 1))
    if faces:
        bins[[row["status"] == "face" for row in rows]] = _face_bins(workspace, params, exported, gallery, faces, scale, log)
    people = np.array([row["identity"] for row in rows])
    reference = make_reference(bins, people)
    if reference is None:
        log(f"no reference for monitoring: it needs {FEWEST_PEOPLE} people and {FEWEST_PHOTOS} photos in the test split")
    return reference


def _test_rows(aligned: Artifact) -> list[dict[str, str]]:
    with open(aligned.directory / "faces.csv", encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row["split"] == "test" and row["status"] in ("face", "no_face")]


def _face_bins(
    workspace: Workspace,
    params: Params,
    exported: Artifact,
    gallery: Artifact,
    faces: list[dict[str, str]],
    scale: QualityScale | None,
    log: Log,
) -> np.ndarray:
    """Bins int64 (n, features) of these photos, as the server counts them: of the detector's first choice of each photo's faces."""
    md5s = [row["md5"] for row in faces]
    embedded = engine_faces(workspace, exported.directory, params.detector, md5s, log)
    embeddings, quality = embedded.embeddings, qualities(scale, embedded.raw)
    enrolled = Gallery.load(gallery.directory)
    similarities = _as_strangers(enrolled, embeddings, [row["identity"] for row in faces])
    store, size = crop_store(workspace, params.detector), params.detector.image_size
    bins = np.empty((len(faces), len(without_face())), np.int64)
    for part in batched(range(len(faces)), CROPS_AT_ONCE):
        found = {entry.key: entry for entry in store.entries(md5s[one] for one in part)}
        entries = [found[md5s[one]] for one in part]
        values = measure(
            np.array([entry.facts["faces"] for entry in entries]),
            np.stack([np.frombuffer(entry.blob or b"", np.uint8).reshape(size, size, 3) for entry in entries]),
            np.array([entry.facts["box"] for entry in entries], np.float32),
            np.array([entry.facts["probability"] for entry in entries]),
            embeddings[list(part)],
            similarities[list(part)],
            quality[list(part)],
        )
        bins[list(part)] = bins_of(values)
    return bins


def _as_strangers(enrolled: Gallery, embeddings: np.ndarray, identities: list[str]) -> np.ndarray:
    """Cosines float32 (n,) with the nearest other person; NaN if nobody else is enrolled."""
    rows = {name: row for row, name in enumerate(enrolled.names)}
    best = np.full(len(embeddings), np.nan, np.float32)
    for one, (vector, identity) in enumerate(zip(embeddings, identities, strict=True)):
        scores = enrolled.templates @ vector
        if identity in rows:
            scores[rows[identity]] = -np.inf
        if len(scores) and np.isfinite(scores.max()):
            best[one] = scores.max()
    return best


def find_reference(workspace: Workspace, version: str) -> tuple[Reference | None, str]:
    """The reference of a release and "", or None and the reason in a sentence."""
    try:
        bundle = workspace.releases.bundle(workspace.releases.get(version))
        reference = load_reference(bundle / FILE)
    except UserError as error:
        return None, str(error)
    if reference is None:
        return None, f"{version} has no {FILE}: it was made before there were any, or from fewer than {FEWEST_PEOPLE} test people"
    return reference, ""
