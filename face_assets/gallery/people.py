"""The people of a gallery's listing, and changes of them: photos added and removed, people renamed, merged and removed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import ClassVar, Protocol

from face_assets.core.errors import RefusedError, UserError
from face_assets.core.identifiers import quoted
from face_assets.core.params import Split
from face_assets.dataset.file_kinds import reader_of
from face_assets.dataset.manifest import make_manifest
from face_assets.dataset.photo_folders import identity_of, left_out_as, person_key
from face_assets.registry.listing import TrackedFile

ENDINGS = {"JPEG": ".jpg", "TIFF": ".tif", "HEIF": ".heic", "JPEG2000": ".jp2"}
"""Ending of a photo's name by its reader, where it is not the reader's own name."""

NOT_EMPTY = "a gallery of nobody cannot go live."


class NotEnrolledError(UserError):
    """Nobody of that name is enrolled, or a photo is not among a person's."""


class ConflictError(RefusedError):
    """A change contradicts the present people: a name is taken, or a photo enrolled already."""


@dataclass(frozen=True)
class Photo:
    """A photo to enrol: its md5, its bytes, and its name in messages."""

    md5: str
    content: bytes
    label: str

    @property
    def ending(self) -> str:
        """The ending of its file's name; empty for bytes of an unknown kind."""
        kind = reader_of(self.content)
        return ENDINGS.get(kind, f".{kind.lower()}") if kind else ""


@dataclass(frozen=True)
class Effect:
    """A change as the commit's message has it, and the people whose change it acknowledges."""

    line: str
    acknowledged: tuple[str, ...] = ()


def valid_name(text: str) -> str:
    """A person's name as the gallery keeps it: NFC, single spaces. Raises RefusedError for a name that no folder of a person can have."""
    try:
        name = identity_of(text)
    except (UserError, UnicodeError) as error:
        raise RefusedError(f"{quoted(text)} is no name of a person: no control characters, not blank, at most 255 bytes.") from error
    if "/" in name or left_out_as([name], is_folder=True):
        raise RefusedError(f"{quoted(name)} is no name of a person: no slash, no dot at its beginning, and no name of a system's folder.")
    return name


@dataclass
class People:
    """The people of a listing. files: path → md5, of all files; names: key of a person → name; photos: key → path → md5."""

    files: dict[str, str]
    names: dict[str, str] = field(default_factory=dict)
    photos: dict[str, dict[str, str]] = field(default_factory=dict)

    @staticmethod
    def of(files: Iterable[TrackedFile]) -> "People":
        """The people of a tracked folder's files."""
        people = People({file.path: file.md5 for file in files})
        for photo in make_manifest(people.files.items(), Split()).photos:
            key = person_key(photo.identity)
            people.names[key] = photo.identity
            people.photos.setdefault(key, {})[photo.path] = photo.md5
        return people

    def only_photos(self) -> "People":
        """The same people without the other files of the folder."""
        files = {path: md5 for photos in self.photos.values() for path, md5 in photos.items()}
        return People(files, dict(self.names), {key: dict(photos) for key, photos in self.photos.items()})

    def listing(self) -> list[TrackedFile]:
        """The files by path."""
        return [TrackedFile(path, md5) for path, md5 in sorted(self.files.items())]

    def key_of(self, name: str) -> str:
        """The key of an enrolled person. Raises NotEnrolledError."""
        key = person_key(valid_name(name))
        if key not in self.names:
            raise NotEnrolledError(f"{quoted(name)} is not enrolled.")
        return key

    def owner_of(self, md5: str) -> str | None:
        """The name under which a photo is enrolled."""
        return next((self.names[key] for key, photos in self.photos.items() if md5 in photos.values()), None)

    def add(self, name: str, photos: Sequence[Photo]) -> None:
        """Adds photos under a name, of somebody new or enrolled."""
        key = person_key(name)
        folder = next(iter(self.photos[key])).partition("/")[0] if key in self.photos else name
        self.names.setdefault(key, name)
        for photo in photos:
            self._put(key, f"{folder}/{photo.md5}{photo.ending}", photo.md5)

    def move(self, key: str, name: str) -> None:
        """Files everything of a person under another name, whose own photos stay."""
        target, files, photos = person_key(name), dict(self.files), self.remove(key)
        folder = next(iter(self.photos[target])).partition("/")[0] if target in self.photos else name
        self.names.setdefault(target, name)
        there = set(self.photos.get(target, {}).values())
        for path in sorted(files.keys() - self.files.keys()):
            to = f"{folder}/{path.partition('/')[2]}"
            if path not in photos:
                self.files.setdefault(to, files[path])
            elif files[path] not in there:
                self._put(target, to, files[path])

    def remove(self, key: str) -> dict[str, str]:
        """Removes a person with all files of the person's folders; returns the photos, path → md5."""
        photos = self.photos.pop(key)
        del self.names[key]
        folders = tuple({f"{path.partition('/')[0]}/" for path in photos})
        for path in [path for path in self.files if path.startswith(folders)]:
            del self.files[path]
        return photos

    def take_photo(self, key: str, md5: str) -> list[str]:
        """Removes a photo of a person, and the person with the last one; returns its paths."""
        photos = self.photos[key]
        paths = sorted(path for path, one in photos.items() if one == md5)
        if len(paths) == len(photos):
            self.remove(key)
            return paths
        for path in paths:
            del photos[path]
            del self.files[path]
        return paths

    def put_photo(self, name: str, path: str, md5: str) -> None:
        """Files a photo under a name, with the file's name of its former path, unless the person has it already."""
        key = person_key(name)
        folder = next(iter(self.photos[key])).partition("/")[0] if key in self.photos else name
        self.names.setdefault(key, name)
        if md5 not in self.photos.get(key, {}).values():
            self._put(key, f"{folder}/{PurePosixPath(path).name}", md5)

    def _put(self, key: str, path: str, md5: str) -> None:
        """Adds a photo; under another file's name it gets its md5 before the ending."""
        if self.files.get(path, md5) != md5:
            taken = PurePosixPath(path)
            path = str(taken.with_name(f"{taken.stem[:80]}-{md5}{taken.suffix}"))
        self.files[path] = md5
        self.photos.setdefault(key, {})[path] = md5


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
