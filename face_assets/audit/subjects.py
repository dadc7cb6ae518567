"""The subjects of photos with several faces, chosen by agreement with their person's other photos."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from typing import Any

import numpy as np

from face_assets.audit.consensus import choose_subjects
from face_assets.audit.embedder import AuditEmbedder, starting_embedder
from face_assets.detection.crop_keys import FEWEST_PHOTOS, other_keys
from face_assets.detection.detectors import crop_store
from face_assets.detection.steps import Face
from face_assets.embedding.vectors import Embedding, embed
from face_assets.registry.workspace import Log, Workspace
from face_assets.storage.content_store import ContentStore

Keys = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class ChangedSubject:
    """A photo whose subject is not the detector's first choice, with the cosines of both faces with the person's other photos."""

    path: str
    crop_key: str
    first_choice: float
    chosen: float

    def to_json(self) -> dict[str, Any]:
        """JSON-able values."""
        return asdict(self)


def choosing_embedder(workspace: Workspace, commit: str) -> AuditEmbedder | None:
    """The embedder by which the commit's subjects are chosen: the starting weights, whatever is in production, so that a commit's
    subjects never change. None where the detector alone chooses them: by its parameter, or as weights are from scratch."""
    return starting_embedder(workspace, commit) if workspace.params(commit).detector.choose == "consensus" else None


def agreed_subjects(workspace: Workspace, embedding: Embedding, faces: Sequence[Face], log: Log) -> list[ChangedSubject]:
    """The photos among `faces`, all of them with the detector's first choice, in which another face is the subject; in their order.

    Only people with FEWEST_PHOTOS photos or more have changed subjects. Only crops in the store can be chosen.
    """
    people: defaultdict[str, list[Face]] = defaultdict(list)
    for face in faces:
        people[face.identity].append(face)
    several = [photos for photos in people.values() if len(photos) >= FEWEST_PHOTOS]
    keys = _stored_keys(crop_store(workspace, embedding.detector), (face.md5 for photos in several for face in photos))
    asked = [photos for photos in several if any(len(keys[face.md5]) > 1 for face in photos)]
    wanted = list(dict.fromkeys(chain.from_iterable(keys[face.md5] for photos in asked for face in photos)))
    vectors = embed(workspace, embedding, wanted, log) if wanted else np.empty((0, 0), np.float32)
    rows = {key: row for row, key in enumerate(wanted)}
    changed = [one for photos in asked for one in _changed(photos, keys, vectors, rows)]
    places = {face.path: place for place, face in enumerate(faces)}
    return sorted(changed, key=lambda one: places[one.path])


def with_subjects(faces: Iterable[Face], changed: Iterable[ChangedSubject]) -> list[Face]:
    """The faces with the crops of their changed subjects."""
    keys = {one.path: one.crop_key for one in changed}
    return [replace(face, crop_key=keys.get(face.path, face.crop_key)) for face in faces]


def _stored_keys(store: ContentStore, md5s: Iterable[str]) -> dict[str, list[str]]:
    """The key of each photo's first choice, and those of its other faces that are stored, by md5."""
    wanted = list(md5s)
    others = other_keys(store.facts(wanted))
    absent = set(store.missing(chain.from_iterable(others.values())))
    return {md5: [md5, *(key for key in others.get(md5, ()) if key not in absent)] for md5 in wanted}


def _changed(photos: Sequence[Face], keys: Keys, vectors: np.ndarray, rows: Mapping[str, int]) -> list[ChangedSubject]:
    """The changed subjects of one person."""
    candidates = [key for face in photos for key in keys[face.md5]]
    numbers = np.repeat(np.arange(len(photos)), [len(keys[face.md5]) for face in photos])
    choice = choose_subjects(vectors[[rows[key] for key in candidates]], numbers)
    first = np.searchsorted(numbers, np.arange(len(photos)))
    return [
        ChangedSubject(face.path, candidates[row], round(float(choice.scores[was]), 4), round(float(choice.scores[row]), 4))
        for face, row, was in zip(photos, choice.rows, first, strict=True)
        if row != was
    ]
