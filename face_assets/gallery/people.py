"""The people of a gallery's listing and their photos."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

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
