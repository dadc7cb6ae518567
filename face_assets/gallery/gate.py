"""The rules of the gallery's gate: each returns people in doubt, with a sentence that names scores, limits and photos."""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from face_assets.biometrics.blocks import blocks
from face_assets.core.params import Gallery as Limits
from face_assets.dataset.photo_folders import person_key
from face_assets.gallery.changes import Changes
from face_assets.gallery.enrolment import NOBODY

Floats = npt.NDArray[np.float32]
FACES, PHOTOS, NAMES, QUALITY, PEOPLE = "names_keep_faces", "photos_agree", "one_name_a_face", "photos_good", "people_stay"
CHECKS = {
    FACES: "a name keeps the face that production has under it",
    PHOTOS: "a new photo agrees with its person",
    NAMES: "no face is enrolled under two names",
    QUALITY: "new photos are good enough to enrol from",
    PEOPLE: "few enough people are no longer enrolled",
}
"""The checks of a gallery, with what they ask for."""


@dataclass(frozen=True)
class Finding:
    """A doubt about people. check: one of CHECKS; people: names that a commit must acknowledge; enrolled: production has the name."""

    check: str
    people: tuple[str, ...]
    sentence: str
    enrolled: bool = False


@dataclass(frozen=True)
class Levels:
    """Scores of an embedder. match: threshold of two photos of one person; found: threshold of identification; unlike: a score that 1 %
    of non-mated comparisons reach, at most `match`, or None where it is unknown."""

    match: float
    found: float
    unlike: float | None = None


@dataclass(frozen=True)
class Templates:
    """Templates of people by one embedder. names: (n,); vectors: float32 (n, d) of unit length; holder: the release that has them, as
    sentences name it."""

    names: Sequence[str]
    vectors: Floats
    levels: Levels
    holder: str = "production"

    def rows(self) -> dict[str, int]:
        """Key of a person → row."""
        return {person_key(name): row for row, name in enumerate(self.names)}


@dataclass(frozen=True)
class Photo:
    """An enrolled photo. path: below the gallery's folder; name: of the person; new: production does not have it under this name."""

    path: str
    name: str
    new: bool


@dataclass(frozen=True)
class Quality:
    """Quality of a photo: probability of the detection, shorter side of the face in pixels, sharpness of the crop, and the quality of the
    face by the embedder, 0 to 100, NaN where it is unknown."""

    probability: float
    side: float
    sharpness: float
    quality: float = math.nan


def kept_faces(before: Templates, after: Templates, changes: Changes, enrolled: Mapping[str, str]) -> Iterator[Finding]:
    """Changed people whose template does not agree with that of `before` under the same name, or has nothing to be compared by, and new
    people who are vanished ones.

    before, after: templates by one embedder, that of the release of `before`; `after` has the touched people in whose photos this release
    finds the enrolled face. enrolled: key → name of the touched people who are enrolled now.
    """
    rows, known = after.rows(), before.rows()
    changed = sorted(changes.changed & rows.keys() & known.keys())
    places = [known[key] for key in changed]
    for key, (own, best, other) in zip(changed, _scores(before, after.vectors[[rows[key] for key in changed]], places), strict=True):
        name = after.names[rows[key]]
        if own < before.levels.match or best > own:
            nearer = f" and at {best:.2f} with that of {before.names[other]}" if best > own else ""
            text = f"{name}: the photos agree at {own:.2f} with the face that {before.holder} has under this name{nearer}"
            yield Finding(FACES, (name,), f"{text}; {before.levels.match:.2f} is asked", enrolled=True)
    for key in sorted((changes.changed & enrolled.keys() & known.keys()) - rows.keys()):
        text = f"{enrolled[key]}: the detector of {before.holder} finds the enrolled face in none of the photos, so it cannot be compared"
        yield Finding(FACES, (enrolled[key],), text, enrolled=True)
    gone = [row for key, row in sorted(known.items()) if key in changes.vanished]
    for key in sorted(changes.new & enrolled.keys()):
        name, old = enrolled[key], changes.renamed.get(key)
        if old in known:
            text = f"{name} has photos of {before.names[known[old]]}, who is no longer enrolled: a rename"
            yield Finding(FACES, (before.names[known[old]], name), text, enrolled=True)
        elif gone and key in rows:
            scores = before.vectors[gone] @ after.vectors[rows[key]]
            best, former = float(scores.max()), before.names[gone[int(scores.argmax())]]
            if best >= before.levels.found:
                text = f"{name} agrees at {best:.2f} with {former}, who is no longer enrolled; one person from {before.levels.found:.2f} on"
                yield Finding(FACES, (former, name), text, enrolled=True)


def photos_of_changed(before: Templates, photos: Sequence[Photo], vectors: Floats, changes: Changes) -> Iterator[Finding]:
    """New photos of changed people that do not agree with the template of `before`. vectors: float32 (n, d) by its embedder."""
    known = before.rows()
    keys = [person_key(photo.name) for photo in photos]
    places = [place for place, photo in enumerate(photos) if photo.new and keys[place] in changes.changed and keys[place] in known]
    rows = [known[keys[place]] for place in places]
    for place, scores in zip(places, _scores(before, vectors[places], rows), strict=True):
        yield from _disagreement(photos[place], *scores, before, enrolled=True)


def unseen_photos(photos: Iterable[Photo], changes: Changes) -> Iterator[Finding]:
    """New photos of changed people, among `photos` in which production's detector does not find the enrolled face."""
    for photo in photos:
        if photo.new and person_key(photo.name) in changes.changed:
            text = f"{photo.path}: production's detector finds another face in it or none, so it cannot be compared with {photo.name}"
            yield Finding(PHOTOS, (photo.name,), text, enrolled=True)


def photos_of_new(after: Templates, photos: Sequence[Photo], vectors: Floats, changes: Changes) -> Iterator[Finding]:
    """Photos of new people that do not agree with the person's other photos (leave-one-out). vectors: float32 (n, d) as `after`."""
    rows = after.rows()
    keys = [person_key(photo.name) for photo in photos]
    places = [place for place, key in enumerate(keys) if key in changes.new and key in rows]
    if not places:
        return
    own = np.array([rows[keys[place]] for place in places])
    sums, counts = np.zeros_like(after.vectors), np.bincount(own, minlength=len(after.names))
    np.add.at(sums, own, vectors[places])
    for place, row, (_, best, other) in zip(places, own, _scores(after, vectors[places], own), strict=True):
        if counts[row] > 1:
            rest = sums[row] - vectors[place]
            score = float(rest @ vectors[place]) / max(float(np.linalg.norm(rest)), 1e-12)
            yield from _disagreement(photos[place], score, best, other, after, enrolled=False)


def _disagreement(photo: Photo, own: float, best: float, other: int, templates: Templates, enrolled: bool) -> Iterator[Finding]:
    """A finding where a photo agrees with its person as strangers do, or less than two photos of one person and less than with another."""
    levels, nearer = templates.levels, best > own
    if (levels.unlike is not None and own < levels.unlike) or (own < levels.match and nearer):
        also = f" and at {best:.2f} with {templates.names[other]}" if nearer else ""
        who = f"{photo.name} of {templates.holder}" if templates.holder != "production" else photo.name
        text = f"{photo.path} agrees at {own:.2f} with {who}{also}: the wrong person, or the wrong face of the photo"
        yield Finding(PHOTOS, (photo.name,), text, enrolled)


def one_name_a_face(after: Templates, changes: Changes) -> Iterator[Finding]:
    """New people with the face of another enrolled person. People of production may be lookalikes, and are not judged again."""
    rows = after.rows()
    keys = {row: key for key, row in rows.items()}
    for row, other in _pairs(after, np.array(sorted(rows[key] for key in changes.new & rows.keys()), np.int64)):
        people = tuple(after.names[one] for one in (row, other) if keys[one] in changes.new)
        score = float(after.vectors[row] @ after.vectors[other])
        text = f"{after.names[row]} and {after.names[other]} agree at {score:.2f}; one person from {after.levels.found:.2f} on"
        yield Finding(NAMES, people, text)


def good_photos(photos: Sequence[Photo], qualities: Sequence[Quality], without: Iterable[str], limits: Limits) -> Iterator[Finding]:
    """New photos below the limits of quality, and people without a usable photo."""
    for photo, quality in zip(photos, qualities, strict=True):
        measured = (
            ("detection probability", quality.probability, "min_probability", limits.min_probability),
            ("pixels of face", quality.side, "min_face", limits.min_face),
            ("sharpness", quality.sharpness, "min_sharpness", limits.min_sharpness),
            ("quality", quality.quality, "min_quality", limits.min_quality),
        )
        poor = [f"{what} {found:.3g}, gallery.{key} asks for {floor:g}" for what, found, key, floor in measured if found < floor]
        if photo.new and poor:
            yield Finding(QUALITY, (photo.name,), f"{photo.path}: {'; '.join(poor)}")
    for name in without:
        yield Finding(QUALITY, (name,), f"{name} has no photo with a usable face, filed under this name alone")


def vanished_people(names: Mapping[str, str], changes: Changes, present: Collection[str]) -> Iterator[Finding]:
    """People of production who are no longer enrolled, under another name either. names: key → name in production; present: keys of those
    enrolled now."""
    renamed = {old for new, old in changes.renamed.items() if new in present}
    for key in sorted(names.keys() - set(present) - renamed):
        why = "is not there any more" if key in changes.vanished else "has no usable photo any more"
        yield Finding(PEOPLE, (names[key],), f"{names[key]} {why}", enrolled=True)


def _scores(templates: Templates, vectors: Floats, rows: Sequence[int] | npt.NDArray[np.int64]) -> Iterator[tuple[float, float, int]]:
    """Yields, for each of float32 (n, d), its cosine with its person's template, the best one with another's, and that person's row."""
    for part in blocks(len(rows), len(templates.names)):
        scores = vectors[part] @ templates.vectors.T
        own = scores[np.arange(len(scores)), rows[part]]
        scores[np.arange(len(scores)), rows[part]] = NOBODY
        others = scores.argmax(axis=1)
        yield from zip(own.tolist(), scores[np.arange(len(scores)), others].tolist(), others.tolist(), strict=True)


def _pairs(templates: Templates, rows: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
    """The pairs of people, one of them among `rows`, whose templates agree from `levels.found` on: (lower row, higher row), sorted."""
    found: set[tuple[int, int]] = set()
    for part in blocks(len(rows), len(templates.names)):
        mine = rows[part]
        places, others = np.nonzero(templates.vectors[mine] @ templates.vectors.T >= templates.levels.found)
        found.update((min(one, two), max(one, two)) for one, two in zip(mine[places].tolist(), others.tolist(), strict=True) if one != two)
    return sorted(found)
