"""The audit of a list of faces from their embeddings."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from face_assets.audit.findings import Finding, wrong_people
from face_assets.audit.scores import Floats, overlap, photo_scores
from face_assets.detection.steps import Face, labels_of

MOST_OVERLAP = 0.005


@dataclass(frozen=True)
class Audit:
    """Findings about a list of faces.

    judged: photos that have another one of their person to be compared with; unable: why labels cannot be judged, "" where they can;
    overlap: that of scores.overlap.
    """

    findings: list[Finding] = field(default_factory=list)
    judged: int = 0
    unable: str = ""
    overlap: float | None = None


def too_few(faces: Sequence[Face]) -> str:
    """The reason why so few faces cannot be judged; "" where they can."""
    people = len({face.identity for face in faces})
    if people < 2 or people == len(faces):
        return f"there are {len(faces):,} photos of {people:,} people, and it takes two people, and two photos of one of them"
    return ""


def judge_labels(faces: Sequence[Face], embeddings: Floats, embedder: str) -> Audit:
    """The audit of faces by their embeddings, float32 (n, d) of unit length. embedder: what made them, for the reason."""
    unable = too_few(faces)
    if unable:
        return Audit(unable=unable)
    people, names = np.array(labels_of(faces)), sorted({face.identity for face in faces})
    scores = photo_scores(embeddings, people)
    shared, judged = overlap(embeddings, people, scores.own), int(np.isfinite(scores.own).sum())
    if shared is not None and shared > MOST_OVERLAP:
        sentence = (
            f"{shared:.1%} of the scores between people reach the median of those within a person: by the {embedder} these people "
            "do not differ enough to judge labels, or most labels are wrong"
        )
        return Audit([], judged, sentence, shared)
    return Audit(wrong_people(scores, people, names, [face.path for face in faces]), judged, "", shared)
