"""Decisions of people about cases, and what each does to the data."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from face_assets.core.errors import RefusedError
from face_assets.core.identifiers import quoted
from face_assets.dataset.photo_folders import person_key
from face_assets.gallery.people import ConflictError, NotEnrolledError, People, Photo, valid_name

Verdict = Literal["right", "wrong", "belongs", "same"]
WORDS: dict[str, str] = {"right": "right", "wrong": "left out", "belongs": "belongs to", "same": "same person as"}


@dataclass(frozen=True)
class Decision:
    """A decision about a case. to: the person of `belongs` and `same`; md5: the photo's, "" without one; identity: the label.

    subject: `photo`, `people` or `answer`; by: the reviewer; at: when, in UTC; token: names this decision, and no later one of the case.
    """

    case: str
    verdict: Verdict
    to: str
    subject: str
    md5: str
    identity: str
    by: str
    at: str
    token: str

    @property
    def words(self) -> str:
        """The decision as people say it."""
        return f"{WORDS[self.verdict]} {self.to}".strip()


@dataclass(frozen=True)
class Effect:
    """A decision carried out: a line of the commit's message, "" where no data changed, and the people whose change it acknowledges."""

    line: str = ""
    acknowledged: tuple[str, ...] = ()


def require_possible(decision: Decision, has_photo: bool, known: Iterable[Mapping[str, object]]) -> str:
    """The name that the decision is about, as it is written. has_photo: of an answer; known: people by key, of each tracked folder.

    Raises RefusedError or NotEnrolledError for a decision that the case does not allow.
    """
    if decision.verdict in ("right", "wrong"):
        if decision.verdict == "wrong" and decision.subject == "people":
            raise RefusedError("Two names are right, or one person: a photo of theirs is left out on its own case.")
        return ""
    name = valid_name(decision.to)
    if person_key(name) == person_key(decision.identity):
        raise ConflictError(f"It is filed under {decision.identity}: name another person, or call it right.")
    if decision.verdict == "belongs" and decision.subject == "people":
        raise RefusedError("Two names are right, or one person.")
    if decision.verdict == "belongs" and decision.subject == "answer" and not has_photo:
        raise RefusedError("The photo of this answer was not kept on this machine, so it cannot be filed under a name.")
    if decision.verdict == "same" and not any(person_key(name) in people for people in known):
        raise NotEnrolledError(f"There are no photos of {quoted(name)}: a person is given another name on the page People.")
    return name


def apply(decision: Decision, folders: Mapping[str, People], enrolled: str, photo: bytes | None = None) -> Effect:
    """Carries a decision out on the people of each tracked folder. enrolled: the folder whose people are enrolled; photo: of an answer.

    Raises RefusedError or NotEnrolledError, then with nothing changed.
    """
    if decision.verdict == "right" or (decision.verdict == "wrong" and decision.subject == "answer"):
        return Effect()
    key = person_key(decision.identity)
    name = require_possible(decision, photo is not None, [people.names for people in folders.values()])
    if decision.verdict == "same":
        return _merge(decision, folders, key, name)
    if decision.subject == "answer":
        assert photo is not None  # require_possible has seen to it
        return _file(folders[enrolled], name, photo)
    standing = [folder for folder in folders.values() if decision.md5 in folder.photos.get(key, {}).values()]
    if not standing:
        raise NotEnrolledError(f"Photo {decision.md5[:8]} is under {decision.identity} no more.")
    if decision.verdict == "wrong" and any(len(folder.names) == 1 and _only(folder, key, decision.md5) for folder in standing):
        raise ConflictError(f"Photo {decision.md5[:8]} is the last one that there is.")
    vanishes = any(_only(folder, key, decision.md5) for folder in standing)
    for folder in standing:
        paths = folder.take_photo(key, decision.md5)
        if name:
            folder.put_photo(name, paths[0], decision.md5)
    if not name:
        return Effect(f"Leave out photo {decision.md5[:8]} of {decision.identity}", (decision.identity,) if vanishes else ())
    line = f"Move photo {decision.md5[:8]} from {decision.identity} to {name}"
    return Effect(line, (name, decision.identity) if vanishes else (name,))


def _merge(decision: Decision, folders: Mapping[str, People], key: str, name: str) -> Effect:
    """Files the photos of one name under the other."""
    having = [folder for folder in folders.values() if key in folder.names]
    if not having:
        raise NotEnrolledError(f"There are no photos of {quoted(decision.identity)} any more.")
    for folder in having:
        folder.move(key, folder.names.get(person_key(name), name))
    return Effect(f"Merge {decision.identity} into {name}", (decision.identity, name))


def _file(people: People, name: str, content: bytes) -> Effect:
    """Adds the photo of an answer to the enrolled people."""
    photo = Photo(hashlib.md5(content, usedforsecurity=False).hexdigest(), content, "the photo")
    if not photo.ending:
        raise RefusedError("The photo of this answer is of no kind that can be read.")
    if owner := people.owner_of(photo.md5):
        raise ConflictError(f"The photo is enrolled already, as {owner}.")
    people.add(people.names.get(person_key(name), name), [photo])
    return Effect(f"Add a photo of {name}, who was not found on it", (name,))


def _only(folder: People, key: str, md5: str) -> bool:
    """True where a person has no other photo."""
    return set(folder.photos[key].values()) == {md5}
