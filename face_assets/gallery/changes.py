"""Changes between two enrolments, by the photos under each name: new, changed, vanished and renamed people."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from face_assets.dataset.photo_folders import person_key


@dataclass(frozen=True)
class Enrolment:
    """The photos of each person. names: key of a person → the name as it is written; photos: key → md5s, of files that stand under this
    name alone, since nobody is enrolled from others."""

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
        claims = Counter(md5 for md5s in found.values() for md5 in md5s)
        return Enrolment(names, {key: frozenset(md5 for md5 in md5s if claims[md5] == 1) for key, md5s in found.items()})


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


def with_counts(
    changes: Changes, before: Mapping[str, int], after: Mapping[str, int], kept: Mapping[str, int]
) -> tuple[Changes, frozenset[str]]:
    """The changes with those of the photos that are usable, which a parameter changes while the files stay; and the people of whom photos
    are enrolled now that were filed and not enrolled before.

    before, after: key → number of enrolled photos; kept: of those enrolled now, the ones that were filed under the name before.
    """
    changed = {key for key, count in after.items() if before.get(key, count) != count}
    again = frozenset(key for key, count in kept.items() if count > before.get(key, count))
    return replace(changes, changed=changes.changed | changed | again), again
