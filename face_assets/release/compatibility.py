"""Compatibility of a release with earlier ones, measured on the test set: their templates against its probes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from face_assets.biometrics.compatibility import Compatibility, compare_embeddings
from face_assets.core.errors import UserError
from face_assets.core.files import read_json
from face_assets.core.params import Params
from face_assets.dataset.steps import PHOTOS
from face_assets.detection.detectors import detector_fingerprint, served_detector
from face_assets.detection.steps import Face, align, labels_of, read_faces
from face_assets.embedding.vectors import engine_vectors, served_vectors
from face_assets.registry.releases import Lineage, Release
from face_assets.registry.workspace import Log, Workspace
from face_assets.storage.artifacts import Artifact

MOST_MEASURED = 16
"""Embedders with which a release is compared at most, production's and the newest before it: each needs its bundle on this machine."""


def measure_lineage(
    workspace: Workspace, commit: str, params: Params, audited: Artifact, exported: Artifact, embeddings: str, log: Log
) -> Lineage:
    """The versions with whose templates the exported embedder compares, by comparison on the test photos; embeddings: its digest.

    Compared are the release in production and those with which that one compares, once for each embedder. A release of the same embedder
    needs no comparison.
    """
    releases = workspace.releases.with_deprecated()
    alike = [release for release in releases if release.digests.embeddings == embeddings]
    known = {version for release in alike for version in (release.version, *release.lineage.compatible_with)}
    assignment = workspace.stages.production()
    if assignment is None:
        return Lineage(None, _sorted(known, releases), "no release is in production, so compatibility cannot be measured")
    production = assignment.release
    if production in alike:
        return Lineage(production.version, _sorted(known, releases), f"the embedder is that of {production.version}")
    wanted = {production.version, *production.lineage.compatible_with}
    candidates = [production, *(release for release in reversed(releases) if release.version in wanted and release != production)]
    engines = list(dict.fromkeys(release.digests.embeddings for release in candidates if release not in alike))
    faces, found = read_faces(audited, "test"), dict[str, Compatibility]()
    new = served_vectors(workspace, params, exported, [face.crop_key for face in faces], log)
    for engine in engines[:MOST_MEASURED]:
        release = next(one for one in candidates if one.digests.embeddings == engine)
        try:
            found[release.version] = _compare(workspace, commit, params, release, faces, new, log)
        except UserError as error:
            if release == production:
                raise
            log(f"{release.version} is not compared: {error}")
            continue
        log(f"{release.version}: {found[release.version].reason}")
        if found[release.version].is_compatible:
            known |= {one.version for one in releases if one.digests.embeddings == engine}
    verdict = found[production.version]
    beyond = len(engines) - len(found)
    more = f"; {beyond} earlier embedders were not compared" if beyond > 0 else ""
    measured: dict[str, Any] = {version: one.to_json() for version, one in found.items()}
    return Lineage(production.version, _sorted(known, releases), f"{production.version}: {verdict.reason}{more}", measured)


def _sorted(versions: set[str], releases: Sequence[Release]) -> tuple[str, ...]:
    return tuple(release.version for release in releases if release.version in versions)


def _compare(
    workspace: Workspace, commit: str, params: Params, release: Release, faces: list[Face], new: np.ndarray, log: Log
) -> Compatibility:
    """Compatibility with one release on the test photos in which both find a face, each by its own detector."""
    bundle = workspace.releases.bundle(release)
    recognizer = read_json(bundle / "recognizer.json")
    detector = served_detector(bundle)
    if detector_fingerprint(workspace, detector) == detector_fingerprint(workspace, params.detector):
        rows, keys = list(range(len(faces))), [face.crop_key for face in faces]
    else:
        facts = align(workspace, commit, PHOTOS, (face.md5 for face in faces), detector, recognizer["max_megapixels"], log).facts
        rows = [row for row, face in enumerate(faces) if facts[face.md5]["status"] == "face"]
        keys = [faces[row].md5 for row in rows]
    old = engine_vectors(workspace, bundle, detector, keys, log)
    asked = params.evaluation
    return compare_embeddings(old, new[rows], np.array(labels_of(faces))[rows], asked.far, asked.max_compatibility_loss)
