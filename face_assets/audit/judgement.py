"""The audit of a list of faces from their embeddings."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from face_assets.audit.findings import KINDS, Finding, one_person, two_people, unlike, wrong_person
from face_assets.audit.scores import Flags, Floats, Ints, Scale, other_scores, own_scores, scale_of, templates
from face_assets.audit.two_names import Pair, same_people
from face_assets.audit.two_people import divided
from face_assets.detection.steps import Face, labels_of

LEAST_SEPARATION = 3.0
AGREES = 0.7
"""Of the scale: the score from which on a photo shows the person whom it is compared with."""
ROUNDS = 3


@dataclass(frozen=True)
class Audit:
    """Findings about a list of faces.

    judged: photos that have another one of their person to be compared with; people: all; unable: why labels cannot be judged, "" where
    they can; separation: that of scores.Scale.
    """

    findings: list[Finding] = field(default_factory=list)
    judged: int = 0
    people: int = 0
    unable: str = ""
    separation: float | None = None


@dataclass(frozen=True)
class Scores:
    """Scores of the photos.

    own, other: float32 (n,), with the other photos of the same person, and with the nearest other person; nearest: int64 (n,), that person;
    wrong: bool (n,), the photos that show it; by_name: float32 (n,), with the largest group of photos under the name.
    """

    own: Floats
    other: Floats
    nearest: Ints
    wrong: Flags
    by_name: Floats


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
    people = np.array(labels_of(faces))
    every = np.ones(len(people), np.bool_)
    known = templates(embeddings, people, every)
    own = own_scores(embeddings, people, every, known)
    scale = scale_of(embeddings, people, own, known)
    assert scale is not None  # too_few has seen to it
    judged = int(np.isfinite(own).sum())
    if scale.separation < LEAST_SEPARATION:
        sentence = (
            f"by the {embedder} a photo's median score with its own person is {scale.within:.2f} and with another {scale.between:.2f}, "
            f"which is {scale.separation:.1f} spreads of these scores apart, and it takes {LEAST_SEPARATION:g}: the embedder does not "
            "distinguish these people, or most labels are wrong"
        )
        return Audit([], judged, len(known.counts), sentence, scale.separation)
    split, groups = divided(embeddings, people, scale)
    scores, pairs = _rounds(embeddings, split, groups, scale)
    findings = _findings(faces, people, split, groups, scores, pairs, scale)
    return Audit(findings, judged, int(people.max()) + 1, "", scale.separation)


def _rounds(embeddings: Floats, split: Ints, groups: dict[int, int], scale: Scale) -> tuple[Scores, list[Pair]]:
    """Scores and pairs of the same person. Each round leaves the photos out of the templates that were found wrong in the round before, so
    that wrong photos neither hide each other nor make right ones look wrong."""
    wrong = np.zeros(len(split), np.bool_)
    for _ in range(ROUNDS):
        known = templates(embeddings, split, ~wrong)
        own = own_scores(embeddings, split, ~wrong, known)
        other, nearest = other_scores(embeddings, split, known)
        before, wrong = wrong, (own < scale.at(AGREES)) & (own < other) & (other >= scale.at(AGREES))
        moved = _moved_whole(split, nearest, wrong)
        wrong &= ~np.isin(split, list(moved))
        if (before == wrong).all():
            break
    known = templates(embeddings, split, ~wrong)
    pairs = same_people(known, scale)
    listed = {frozenset((pair.one, pair.other)) for pair in pairs}
    added = {frozenset(pair) for pair in moved.items()} - listed
    pairs += [Pair(one, two, float(known.vectors[one] @ known.vectors[two])) for one, two in sorted(map(sorted, added))]
    in_group = np.isin(split, list(groups))
    main = np.array([groups.get(label, label) for label in range(len(known.counts))])[split]
    by_name = np.where(in_group, (known.vectors[main] * embeddings).sum(axis=1), own)
    return Scores(own, other, nearest, wrong, np.asarray(by_name, np.float32)), pairs


def _moved_whole(split: Ints, nearest: Ints, wrong: Flags) -> dict[int, int]:
    """The people all of whose photos are wrong and show one other person, and that person: a question of names and not of photos."""
    photos, wrongs = np.bincount(split), np.bincount(split, weights=wrong)
    moved = {}
    for label in np.flatnonzero((wrongs > 0) & (wrongs == photos)):
        shown = set(nearest[split == label].tolist())
        if len(shown) == 1:
            moved[int(label)] = shown.pop()
    return moved


def _findings(
    faces: Sequence[Face], people: Ints, split: Ints, groups: dict[int, int], scores: Scores, pairs: Sequence[Pair], scale: Scale
) -> list[Finding]:
    """The findings, those about photos by the margin of their scores.

    A group that looks like another name's photos is filed under the wrong person; a group that looks like nobody else is a second person
    under its name, and so is a photo that is nearest to such a group of its own name.
    """
    names = {int(label): face.identity for label, face in zip(people, faces, strict=True)}
    fits = {group: pair for pair in reversed(pairs) for group in (pair.one, pair.other) if group in groups}
    photos = []
    for row in np.flatnonzero(scores.wrong | np.isin(split, list(groups)) | (scores.own < scores.other)).tolist():
        label, own, other, name = int(split[row]), scores.by_name[row], scores.other[row], names[int(people[row])]
        pair = fits.get(label)
        if scores.wrong[row]:
            nearest = int(scores.nearest[row])
            who = names[groups.get(nearest, nearest)]
            photos.append(wrong_person(faces[row], who, own, other) if who != name else two_people(faces[row], own, other))
        elif label in groups:
            linked = -1 if pair is None else pair.one + pair.other - label
            if linked in names and names[linked] != name:
                photos.append(wrong_person(faces[row], names[linked], own, pair.score if pair else other))
            elif linked not in names:
                photos.append(two_people(faces[row], own, scores.own[row]))
        elif own < scale.at(AGREES):
            photos.append(unlike(faces[row], own, other))
    photos.sort(key=lambda one: (KINDS.index(one.kind), (one.own or 0.0) - (one.other or 0.0)))
    return [*photos, *one_person(faces, people, scores.own, [pair for pair in pairs if pair.one in names and pair.other in names])]
