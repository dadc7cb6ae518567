"""Changes of the people of a gallery: photos added and removed, people renamed, merged and removed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from face_assets.core.identifiers import quoted
from face_assets.dataset.photo_folders import person_key
from face_assets.gallery.people import NOT_EMPTY, ConflictError, Effect, NotEnrolledError, People, Photo, valid_name


class PeopleChange(Protocol):
    """A change of people: all of it, or an error that says why not."""

    @property
    def enrols(self) -> str | None:
        """The name under which photos are enrolled by it; None where it only removes."""

    def apply(self, people: People) -> Effect:
        """Makes the change. Raises NotEnrolledError, ConflictError or RefusedError, then with nothing changed."""


@dataclass(frozen=True)
class AddPhotos:
    """Photos of a person. is_new: the person must not be enrolled yet (True), must be (False), or either (None); meant: doubts about the
    photos are acknowledged."""

    name: str
    photos: tuple[Photo, ...]
    is_new: bool | None = None
    meant: bool = False

    @property
    def enrols(self) -> str:
        """The person."""
        return self.name

    def apply(self, people: People) -> Effect:
        """Adds the photos."""
        name = valid_name(self.name)
        known = people.names.get(person_key(name))
        if known and self.is_new:
            raise ConflictError(f"{known} is enrolled already: add photos to this person, or choose another name.")
        if not known and self.is_new is False:
            raise NotEnrolledError(f"{quoted(name)} is not enrolled.")
        seen: set[str] = set()
        for photo in self.photos:
            owner = people.owner_of(photo.md5)
            if owner or photo.md5 in seen:
                raise ConflictError(f"{photo.label}: the same file is {f'enrolled already, as {owner}' if owner else 'there twice'}.")
            seen.add(photo.md5)
        people.add(known or name, self.photos)
        count = f"{len(self.photos)} photo{'s' if len(self.photos) != 1 else ''}"
        line = f"Add {count} of {known}" if known else f"Enrol {name}: {count}"
        return Effect(line, (known or name,) if self.meant else ())


@dataclass(frozen=True)
class Rename:
    """Another name for a person."""

    name: str
    to: str

    @property
    def enrols(self) -> str:
        """The new name."""
        return self.to

    def apply(self, people: People) -> Effect:
        """Renames the person."""
        key, to = people.key_of(self.name), valid_name(self.to)
        name, other = people.names[key], people.names.get(person_key(to))
        if name == to:
            raise ConflictError(f"The person is called {name} already.")
        if other and other != name:
            raise ConflictError(f"{other} is enrolled already: merge the two where they are one person.")
        people.move(key, to)
        return Effect(f"Rename {name} to {to}", (name, to))


@dataclass(frozen=True)
class Merge:
    """Two enrolled names of one person: the photos of the first go to the second."""

    name: str
    into: str

    @property
    def enrols(self) -> str:
        """The name that stays."""
        return self.into

    def apply(self, people: People) -> Effect:
        """Merges the two."""
        key, target = people.key_of(self.name), people.key_of(self.into)
        name, into = people.names[key], people.names[target]
        if key == target:
            raise ConflictError(f"{name} and {into} are one person already.")
        people.move(key, into)
        return Effect(f"Merge {name} into {into}", (name, into))


@dataclass(frozen=True)
class RemovePerson:
    """A person who is enrolled no longer."""

    name: str
    enrols: ClassVar[None] = None

    def apply(self, people: People) -> Effect:
        """Removes the person."""
        key = people.key_of(self.name)
        if len(people.names) == 1:
            raise ConflictError(f"{people.names[key]} is the only person who is enrolled, and {NOT_EMPTY}")
        name = people.names[key]
        people.remove(key)
        return Effect(f"Remove {name}", (name,))


@dataclass(frozen=True)
class RemovePhoto:
    """A photo that a person is enrolled from no longer. photo: its md5."""

    name: str
    photo: str
    enrols: ClassVar[None] = None

    def apply(self, people: People) -> Effect:
        """Removes the photo."""
        key = people.key_of(self.name)
        name, photos = people.names[key], people.photos[key]
        if self.photo not in photos.values():
            raise NotEnrolledError(f"{quoted(self.photo)} is no photo of {name}.")
        if set(photos.values()) == {self.photo}:
            raise ConflictError(f"It is the only photo of {name}: add another one first, or remove the person.")
        people.take_photo(key, self.photo)
        return Effect(f"Remove a photo of {name}")


@dataclass(frozen=True)
class RemovePhotos:
    """Photos of anybody, from which nobody is enrolled any longer; a person of whom none is left is removed. photos: md5."""

    photos: frozenset[str]
    enrols: ClassVar[None] = None

    def apply(self, people: People) -> Effect:
        """Removes the photos."""
        left = {key: {path: md5 for path, md5 in own.items() if md5 not in self.photos} for key, own in people.photos.items()}
        fewer = [key for key, own in people.photos.items() if len(left[key]) < len(own)]
        if not fewer:
            raise NotEnrolledError("Nobody is enrolled from these photos.")
        if not any(left.values()):
            raise ConflictError(f"They are all photos of everybody who is enrolled, and {NOT_EMPTY}")
        names = [people.names[key] for key in fewer]
        removed = tuple(people.names[key] for key in fewer if not left[key])
        count = sum(len(people.photos[key]) - len(left[key]) for key in fewer)
        for key in fewer:
            if not left[key]:
                people.remove(key)
                continue
            for path in people.photos[key].keys() - left[key].keys():
                del people.files[path]
            people.photos[key] = left[key]
        of = names[0] if len(names) == 1 else f"{len(names)} people"
        return Effect(f"Remove {count} photo{'s' if count != 1 else ''} of {of}", removed)


def message_of(effects: Sequence[Effect], authors: Mapping[int, str], begins: bool) -> str:
    """The message of a commit with these effects. authors: place of an effect → its author, where they are several; begins: the gallery
    was made of the photos' people."""
    lines = [f"{effect.line} ({authors[place]})" if place in authors else effect.line for place, effect in enumerate(effects)]
    parts = lines if len(lines) == 1 else [f"Change the gallery: {len(lines)} changes", "\n".join(f"- {line}" for line in lines)]
    why = ["The gallery begins with everybody in photos.dvc, who were enrolled as long as there was no gallery."] if begins else []
    return "\n\n".join([*parts, *why]) + "\n"
