"""Checks of photos before anybody is enrolled from them: the rules of the gallery's gate, for the photos of one request.

The gate judges the commit once more, whole. These checks come first so that the reason is known before anything is written.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from face_assets.biometrics.quality import QualityScale, qualities
from face_assets.core.errors import RefusedError
from face_assets.core.files import read_json
from face_assets.core.params import Params
from face_assets.dataset.decoding import UnusablePhoto, decode
from face_assets.dataset.photo_folders import person_key
from face_assets.detection.detector import FaceDetector
from face_assets.detection.detectors import detector_config, detector_networks, served_detector
from face_assets.detection.faces import Faces
from face_assets.detection.opened_detector import open_detector
from face_assets.embedding.engine import Engine
from face_assets.evaluation.feature_histograms import appearance
from face_assets.gallery import gate
from face_assets.gallery.changes import Changes
from face_assets.gallery.comparison import levels_of
from face_assets.gallery.enrolment import templates_of
from face_assets.gallery.people import Photo
from face_assets.gallery.search import Gallery
from face_assets.registry.releases import Release
from face_assets.registry.workspace import Workspace

SECOND_FACE = 0.5
"""Sides of a second face and the largest one, as a ratio, from which it is unclear whom the photo shows."""
NOBODY: frozenset[str] = frozenset()


class PhotosRefusedError(RefusedError):
    """Nobody is enrolled from the photos. code: why the first one has no subject (`unusable_photo`, `no_face`, `several_faces`), or
    `refused`."""

    def __init__(self, sentences: Sequence[str], code: str = "refused"):
        super().__init__(*sentences)
        self.code = code


@dataclass(frozen=True)
class NotSeen:
    """The reason for which a photo has no subject, and its code."""

    code: str
    reason: str


@dataclass(frozen=True)
class Seen:
    """The subject's face of a photo. crop: uint8 (s, s, 3), RGB."""

    crop: npt.NDArray[np.uint8]
    quality: gate.Quality


class PhotoChecks:
    """Keeps the networks, which take a second to load. Several threads may use it; they wait for one another."""

    def __init__(self, workspace: Workspace):
        self.workspace = workspace
        self._lock = threading.Lock()
        self._judge: _Judge | None = None

    def require_good(self, commit: str, name: str, photos: Sequence[Photo], meant: bool = False) -> None:
        """Raises PhotosRefusedError with the reasons for which the photos cannot be enrolled as `name`.

        commit: whose parameters hold. meant: the only reasons are that a photo is unreadable, or shows no face or several.
        """
        if not photos:
            raise PhotosRefusedError(["There is no photo: a person is enrolled from one or more."])
        with self._judging(commit) as judge:
            reasons = judge.reasons(name, photos, meant)
        if reasons:
            raise PhotosRefusedError(reasons)

    def qualities(self, commit: str, crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """The qualities of crops uint8 (n, s, s, 3), RGB, by production: float32 (n,), 0 to 100, NaN where it has no scale."""
        with self._judging(commit) as judge:
            return judge.qualities(crops)

    @contextmanager
    def _judging(self, commit: str) -> "Iterator[_Judge]":
        """The judge by a commit's parameters and the present production, for one thread at a time."""
        params, assignment = self.workspace.params(commit), self.workspace.stages.production()
        with self._lock:
            release = assignment.release if assignment else None
            if self._judge is None or not self._judge.serves(params, release):
                self._judge = _Judge(self.workspace, params, release)
            yield self._judge


@dataclass
class _Judge:
    """The networks and templates by which photos are judged: production's, or without it the detector alone."""

    workspace: Workspace
    params: Params
    release: Release | None

    def serves(self, params: Params, release: Release | None) -> bool:
        return (self.params, self.release) == (params, release)

    def reasons(self, name: str, photos: Sequence[Photo], meant: bool) -> list[str]:
        """The reasons by what the photos show. Raises PhotosRefusedError where one has no subject."""
        found = [self._see(photo) for photo in photos]
        seen = [one for one in found if isinstance(one, Seen)]
        unseen = [(photo, one) for photo, one in zip(photos, found, strict=True) if isinstance(one, NotSeen)]
        if unseen:
            raise PhotosRefusedError([f"{photo.label}: {one.reason}" for photo, one in unseen], unseen[0][1].code)
        if meant:
            return []
        listed = [gate.Photo(photo.label, name, new=True) for photo in photos]
        measured = [one.quality for one in seen]
        if self._engine is None or self._bundle is None:
            return [finding.sentence for finding in gate.good_photos(listed, measured, (), self.params.gallery)]
        rows = self._engine.rows(np.stack([one.crop for one in seen]))
        known = qualities(self._scale, rows[:, -1]).tolist()
        measured = [replace(one, quality=quality) for one, quality in zip(measured, known, strict=True)]
        findings = [*gate.good_photos(listed, measured, (), self.params.gallery)]
        findings += self._compared(name, listed, np.ascontiguousarray(rows[:, :-1]))
        return [finding.sentence for finding in findings]

    def qualities(self, crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        if self._engine is None or self._scale is None:
            return np.full(len(crops), np.nan, np.float32)
        return qualities(self._scale, self._engine.rows(crops)[:, -1])

    def _see(self, photo: Photo) -> Seen | NotSeen:
        """The subject's face; or the reason for which there is none."""
        try:
            image = decode(photo.content, self.params.photos.max_megapixels)
        except UnusablePhoto as error:
            return NotSeen("unusable_photo", error.reason)
        faces = self._detector.detect(image)
        if not len(faces.boxes):
            return NotSeen("no_face", "no face found")
        sides = _sides(faces)
        if others := int((sides[1:] >= SECOND_FACE * sides[0]).sum()):
            return NotSeen("several_faces", f"{1 + others} faces found: cut out the one that is meant")
        crop = self._detector.crop(image, faces)
        sharpness = float(appearance(crop[None])[1][0])
        return Seen(crop, gate.Quality(float(faces.probabilities[0]), float(sides[0]), sharpness))

    def _compared(self, name: str, photos: Sequence[gate.Photo], vectors: npt.NDArray[np.float32]) -> Iterator[gate.Finding]:
        """The findings by production's templates. vectors: float32 (n, d), of the photos by production's embedder."""
        before, key = self._templates, person_key(name)
        if key in before.rows():
            yield from gate.photos_of_changed(before, photos, vectors, Changes(NOBODY, frozenset({key}), NOBODY, {}))
            return
        own = templates_of(vectors, [name] * len(photos))
        after = gate.Templates([*before.names, name], np.concatenate([before.vectors, own.templates]), before.levels)
        changes = Changes(frozenset({key}), NOBODY, NOBODY, {})
        yield from gate.photos_of_new(after, photos, vectors, changes)
        yield from gate.one_name_a_face(after, changes)

    @cached_property
    def _bundle(self) -> Path | None:
        return self.workspace.releases.bundle(self.release) if self.release else None

    @cached_property
    def _detector(self) -> FaceDetector:
        made = served_detector(self._bundle) if self._bundle else self.params.detector
        return open_detector(detector_networks(self.workspace, made), detector_config(made))

    @cached_property
    def _engine(self) -> Engine | None:
        if self._bundle is None:
            return None
        precision = read_json(self._bundle / "engine.json")["precision"]
        return Engine(self._bundle / "embedder.xml", precision, threads=1)

    @cached_property
    def _scale(self) -> QualityScale | None:
        return QualityScale.from_json(read_json(self._bundle / "recognizer.json").get("quality")) if self._bundle else None

    @cached_property
    def _templates(self) -> gate.Templates:
        assert self._bundle is not None
        enrolled, recognizer = Gallery.load(self._bundle), read_json(self._bundle / "recognizer.json")
        return gate.Templates(enrolled.names, enrolled.templates, levels_of(self._bundle, recognizer, recognizer))


def _sides(faces: Faces) -> npt.NDArray[np.float32]:
    """The shorter side of each face, float32 (n,), in pixels."""
    boxes = faces.boxes
    return np.asarray(np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]))
