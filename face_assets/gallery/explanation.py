"""Explanation of a match: the photos that carry the score with a person's template, and the lineage of the release down to them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from face_assets.biometrics.quality import QualityScale, qualities
from face_assets.core.errors import UserError
from face_assets.core.files import read_json
from face_assets.detection.detectors import crop_store, served_detector
from face_assets.detection.steps import Face
from face_assets.embedding.engine import Engine
from face_assets.embedding.features import load_crops
from face_assets.gallery.enrolled_photos import read_enrolled
from face_assets.gallery.enrolment import templates_of
from face_assets.gallery.search import Gallery
from face_assets.registry.releases import Release
from face_assets.registry.workspace import Workspace

SAME = 0.999
"""Least cosine of the template in the release with the one that the stored crops make."""
PROVENANCE = "provenance.json"
NO_LINEAGE = "The release is of an earlier version, which has no lineage in its bundle."


@dataclass(frozen=True)
class PhotoShare:
    """A photo that a person is enrolled from. cosine: of the face asked about with the photo's face; share: the part of the score that the
    photo carries, so that those of a person add up to the score; quality: 0 to 100, None without a scale; crop: key in the crop store."""

    path: str
    md5: str
    crop: str
    cosine: float
    share: float
    quality: float | None
    probability: float | None


@dataclass(frozen=True)
class ExplainedPerson:
    """A person by score. photos: the one that carries most first; None where they cannot be compared, for the reason in `note`."""

    name: str
    score: float
    photos: list[PhotoShare] | None
    note: str


@dataclass(frozen=True)
class Origin:
    """The lineage of a release's gallery. source: the tracked folder whose people are enrolled; artifacts: fingerprints by step."""

    release: str
    tag: str
    release_commit: str
    commit: str
    dataset_version: str | None
    source: str | None
    artifacts: dict[str, str]


class Explainer:
    """The gallery of a release with the photos behind it. Not thread-safe. Raises UserError where the release is not to be had."""

    def __init__(self, workspace: Workspace, version: str):
        self.workspace = workspace
        self.release: Release = workspace.releases.of_version(version)
        self.bundle: Path = workspace.releases.bundle(self.release)
        self.gallery = Gallery.load(self.bundle)
        self._recognizer = read_json(self.bundle / "recognizer.json")
        self._provenance: dict[str, Any] = read_json(self.bundle / PROVENANCE) if (self.bundle / PROVENANCE).is_file() else {}
        self._engine: Engine | None = None
        self._enrolled: dict[str, list[Face]] | None = None

    @property
    def threshold(self) -> float:
        """The score from which the nearest person is accepted."""
        return float(self._recognizer["identification_threshold"])

    def origin(self) -> Origin:
        """The lineage of the release's gallery."""
        artifacts = dict(self._provenance.get("artifacts", {}))
        gallery = self.workspace.home.artifacts.find("face_gallery", artifacts.get("gallery", "")) if artifacts.get("gallery") else None
        return Origin(
            self.release.version,
            self.release.tag,
            self.release.commit,
            self.release.trained_commit,
            self._provenance.get("dataset_version"),
            gallery.summary["source"] if gallery else None,
            artifacts,
        )

    def nearest(self, embedding: npt.NDArray[np.float32], count: int) -> list[ExplainedPerson]:
        """The `count` nearest people with the photos that carry their scores. embedding: float32 (d,) of unit length, by this release."""
        scores = self.gallery.templates @ embedding
        places = np.argsort(-scores, kind="stable")[:count]
        return [self._person(int(place), float(scores[place]), embedding) for place in places]

    def _person(self, place: int, score: float, embedding: npt.NDArray[np.float32]) -> ExplainedPerson:
        name = self.gallery.names[place]
        try:
            return ExplainedPerson(name, score, self._shares(name, place, embedding), "")
        except UserError as error:
            return ExplainedPerson(name, score, None, str(error))

    def _shares(self, name: str, place: int, embedding: npt.NDArray[np.float32]) -> list[PhotoShare]:
        """The photos of a person. A template is the sum of its photos' embeddings by the sum's length, so the score is a sum, too.

        Raises UserError where the photos' crops are not on this machine, or make another template.
        """
        faces = self._faces().get(name, [])
        store = crop_store(self.workspace, served_detector(self.bundle))
        keys = [face.crop_key for face in faces]
        if not keys or store.missing(keys):
            raise UserError(f"The crops that {name} is enrolled from are not on this machine: {self._cure()}.")
        rows = self._rows(load_crops(store, keys))
        vectors, facts = np.ascontiguousarray(rows[:, :-1]), store.facts(keys)
        template = templates_of(vectors, [name] * len(vectors))
        if float(template.templates[0] @ self.gallery.templates[place]) < SAME:
            raise UserError(f"The crops on this machine do not make {name}'s template of {self.release.version}: {self._cure()}.")
        cosines = vectors @ embedding
        shares = cosines / float(np.linalg.norm(template.sums[0]))
        known = qualities(QualityScale.from_json(self._recognizer.get("quality")), rows[:, -1])
        found = [
            PhotoShare(
                face.path,
                face.md5,
                face.crop_key,
                float(cosine),
                float(share),
                None if math.isnan(quality) else float(quality),
                facts[face.crop_key].get("probability"),
            )
            for face, cosine, share, quality in zip(faces, cosines, shares, known, strict=True)
        ]
        return sorted(found, key=lambda photo: (-photo.share, photo.path))

    def _rows(self, crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        if self._engine is None:
            precision = read_json(self.bundle / "engine.json")["precision"]
            self._engine = Engine(self.bundle / "embedder.xml", precision, threads=1)
        return self._engine.rows(crops)

    def _faces(self) -> dict[str, list[Face]]:
        """The enrolled photos by person. Raises UserError where this machine does not have the gallery's artifact."""
        if self._enrolled is None:
            fingerprint = self._provenance.get("artifacts", {}).get("gallery")
            if fingerprint is None:
                raise UserError(NO_LINEAGE)
            gallery = self.workspace.home.artifacts.find("face_gallery", fingerprint)
            if gallery is None:
                raise UserError(f"The gallery of {self.release.version} was made on another machine, or pruned: {self._cure()}.")
            self._enrolled = _by_person(read_enrolled(gallery))
        return self._enrolled

    def _cure(self) -> str:
        return f"`face-assets run --commit {self.release.trained_commit[:12]}` makes them"


def _by_person(faces: Sequence[Face]) -> dict[str, list[Face]]:
    found: dict[str, list[Face]] = {}
    for face in faces:
        found.setdefault(face.identity, []).append(face)
    return found
