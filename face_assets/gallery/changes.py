"""Changes between two enrolments, by the photos under each name: new, changed, vanished and renamed people."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from face_assets.dataset.photo_folders import person_key


@dataclass(frozen=True)
class Enrolment:
    """The photos of each person. names: key of a person → the name as it is written; photos: key → md5s."""

    names: Mapping[str, str]
    photos: Mapping[str, frozenset[str]]

    @staticmethod
    def of(photos: Iterable[tuple[str, str]]) -> "Enrolment":
        """The enrolment of (name, md5)."""
        names: dict[str, str] = {}
        found: dict[str, set[str]] = {}
        for name, md5 in photos:
            key = person_key(name)
            names.setdefault(key, name)
            found.setdefault(key, set()).add(md5)
        return Enrolment(names, {key: frozenset(md5s) for key, md5s in found.items()})


@dataclass(frozen=True)
class Changes:
    """Keys of people. new: only in the second enrolment; changed: in both, with other photos; vanished: only in the first.

    renamed: a new person → the vanished person whose photos are filed under the new name.
    """

    new: frozenset[str]
    changed: frozenset[str]
    vanished: frozenset[str]
    renamed: Mapping[str, str]

    @property
    def touched(self) -> frozenset[str]:
        """The new and the changed people."""
        return self.new | self.changed


def changes_between(before: Enrolment, after: Enrolment) -> Changes:
    """The changes from one enrolment to the other."""
    new = after.photos.keys() - before.photos.keys()
    vanished = before.photos.keys() - after.photos.keys()
    changed = {key for key in after.photos.keys() & before.photos.keys() if after.photos[key] != before.photos[key]}
    owner = {md5: key for key in sorted(vanished) for md5 in before.photos[key]}
    renamed = {key: owner[min(shared)] for key in new if (shared := after.photos[key] & owner.keys())}
    return Changes(frozenset(new), frozenset(changed), frozenset(vanished), renamed)
