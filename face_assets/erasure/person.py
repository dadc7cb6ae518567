"""The person to erase: the names and photos in every revision of the data repository and in what this machine recorded of them."""

import csv
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache

import yaml

from face_assets.core.errors import UserError
from face_assets.dataset.photo_folders import identity_of, person_key
from face_assets.erasure.traces import Traces, forms
from face_assets.gallery.people import valid_name
from face_assets.registry.data_repository import DataRepository
from face_assets.registry.dvc_objects import fetch_objects
from face_assets.registry.listing import TrackedFile, read_listing
from face_assets.registry.pointer import MD5
from face_assets.registry.release_commits import RELEASE
from face_assets.registry.workspace import Workspace

MOST_OF_A_POINTER = 1_000_000
MOST_OF_AN_OBJECT = 20_000_000
OBJECTS_AT_ONCE = 500
RECORDS = ("manifest.csv", "faces.csv", "enrolled.csv")
"""Files of artifacts with the columns identity and md5."""


@dataclass
class History:
    """The tracked folders of all revisions. pointers: commit → name of a folder → md5 of its listing; listings: md5 → files; lost:
    listings that are in no cache and no remote."""

    pointers: dict[str, dict[str, str]] = field(default_factory=dict)
    listings: dict[str, list[TrackedFile]] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Person:
    """A person and where the history has him or her.

    heads: branch → folders at its head; commits: all that list the person; listings: their md5; shared_with: names of others under
    whom one of the photos is filed, too; lost: number of listings that could not be read.
    """

    traces: Traces
    heads: Mapping[str, tuple[str, ...]]
    commits: frozenset[str]
    listings: frozenset[str]
    shared_with: tuple[str, ...]
    lost: int


def read_history(repository: DataRepository) -> History:
    """The tracked folders of every commit that a branch or tag reaches; their listings are fetched where no cache has them."""
    commits = repository.git("rev-list", "--branches", "--tags").decode().split()
    named = repository.git("rev-list", "--objects", "--branches", "--tags").decode(errors="replace").split("\n")
    paths = {line.partition(" ")[2] for line in named if line.endswith(".dvc")}
    history = History({commit: {} for commit in commits})
    for path in sorted(paths - {f"{RELEASE}.dvc"}):
        contents = repository.read_many([f"{commit}:{path}" for commit in commits], MOST_OF_A_POINTER)
        for commit, content in zip(commits, contents, strict=True):
            if content is not None and (md5 := listing_of_pointer(content)):
                history.pointers[commit][path.removesuffix(".dvc")] = md5
    wanted = {md5 for folders in history.pointers.values() for md5 in folders.values()}
    history.lost = fetch_objects(repository, config_commits(repository), wanted)
    for md5, file in repository.cached(wanted).items():
        try:
            history.listings[md5] = read_listing(file, md5)
        except UserError:
            history.lost.add(md5)
    return history


def config_commits(repository: DataRepository) -> list[str]:
    """The commits whose configurations name the DVC remotes: the heads of the branches, and those of tags."""
    tagged = repository.git("for-each-ref", "--format=%(*objectname)%(objectname)", "refs/tags").decode().split()
    return list(dict.fromkeys([*repository.mirrored_heads().values(), *(line[:40] for line in tagged)]))


@lru_cache(maxsize=16_384)
def listing_of_pointer(content: bytes) -> str | None:
    """The md5 of the folder that a pointer tracks; None for a file, and for what is no pointer."""
    with suppress(yaml.YAMLError, KeyError, IndexError, TypeError, AttributeError):
        md5 = yaml.safe_load(content)["outs"][0]["md5"]
        return str(md5) if isinstance(md5, str) and MD5.fullmatch(md5) and md5.endswith(".dir") else None
    return None


def find_person(workspace: Workspace, name: str, in_history: bool = False) -> Person:
    """The person of that name in the refreshed data repository and on this machine. Raises UserError for one of whom nothing is found.

    in_history: one of whom only the name is left, in messages and files of git, is found, too.
    """
    repository, key = workspace.repository, person_key(valid_name(name))
    history = read_history(repository)
    owners: dict[str, set[str]] = defaultdict(set)  # md5 → keys of the people whose photo it is anywhere
    spelled: dict[str, set[str]] = defaultdict(set)  # key → folders' names
    photos: dict[str, set[str]] = defaultdict(set)
    for owner, folder, md5 in (*_listed(history.listings.values()), *_recorded(workspace)):
        owners[md5].add(owner)
        photos[owner].add(md5)
        spelled[owner].update((folder, identity_of(folder)))
    heads = repository.mirrored_heads()
    now = {
        owner
        for commit in heads.values()
        for md5 in history.pointers.get(commit, {}).values()
        for owner, _, _ in _listed([history.listings.get(md5, [])])
    }
    keys = {key}
    while True:  # a rename leaves the photos under the earlier name
        md5s = {md5 for one in keys for md5 in photos.get(one, ())}
        more = {owner for md5 in md5s for owner in owners[md5] if owner not in now} - keys
        if not more:
            break
        keys |= more
    others = frozenset(one for owner, names in spelled.items() if owner not in keys for one in names)
    if not md5s and (alike := sorted(one for one in others if forms(one) & forms(name))):
        raise UserError(f"Nothing of {name!r} is there, but of {alike[0]!r}: `face-assets forget` takes that name.")
    if not md5s and in_history and traces_in_history(repository, traces := Traces(frozenset({valid_name(name)}), frozenset(), others)):
        return Person(traces, {}, frozenset(), frozenset(), (), len(history.lost))
    if not md5s:
        lost = f" {len(history.lost)} listings of old revisions are in no cache and no remote." if history.lost else ""
        raise UserError(f"Nothing of {name!r} is in any revision of {repository.shown}, nor on this machine.{lost}")
    current = {owner for md5 in md5s for owner in owners[md5] if owner in now}
    if key not in now and any(md5s <= photos[owner] for owner in current):
        raise UserError(f"{name!r} is called {min(spelled[min(current)])!r} by now: `face-assets forget` takes that name.")
    shared = tuple(sorted({min(spelled[owner]) for md5 in md5s for owner in owners[md5]} - {n for k in keys for n in spelled[k]}))
    names = frozenset(one for k in keys for one in spelled[k]) or frozenset({valid_name(name)})
    traces = Traces(names, frozenset(md5s), others)
    listings = {md5 for md5, files in history.listings.items() if any(is_of(traces, file) for file in files)}
    commits = {commit for commit, folders in history.pointers.items() if listings & set(folders.values())}
    at_heads = {
        branch: tuple(sorted(name for name, md5 in history.pointers.get(commit, {}).items() if md5 in listings))
        for branch, commit in heads.items()
    }
    return Person(traces, at_heads, frozenset(commits), frozenset(listings), shared, len(history.lost))


def is_of(traces: Traces, file: TrackedFile) -> bool:
    """True for a file of the person: in a folder of that name, or the bytes of one of the photos."""
    return file.md5 in traces.md5s or ((owner := _owner(file.path)) is not None and owner in traces.keys)


def _owner(path: str) -> str | None:
    folder, slash, _ = path.partition("/")
    with suppress(UserError):
        return person_key(identity_of(folder)) if slash else None
    return None


def _listed(listings: Iterable[Iterable[TrackedFile]]) -> Iterator[tuple[str, str, str]]:
    """Yields key, folder and md5 of the files in folders of people."""
    for files in listings:
        for file in files:
            if owner := _owner(file.path):
                yield owner, file.path.partition("/")[0], file.md5


def _recorded(workspace: Workspace) -> Iterator[tuple[str, str, str]]:
    """Yields the same of what this machine recorded, for revisions whose listing is gone."""
    for record in RECORDS:
        for file in workspace.home.artifacts.root.glob(f"*/*/{record}"):
            with open(file, encoding="utf-8", newline="") as rows, suppress(KeyError, UserError):
                for row in csv.DictReader(rows):
                    yield person_key(row["identity"]), row["identity"], row["md5"]


def traces_in_history(repository: DataRepository, traces: Traces) -> dict[str, int]:
    """The number of git's objects with traces, or with the bytes of a photo, by kind, of those that a branch or tag reaches."""
    listed = repository.git("rev-list", "--objects", "--branches", "--tags").decode(errors="replace").split("\n")[:-1]
    tags = repository.git("for-each-ref", "--format=%(objectname)", "refs/tags").decode().split()
    names = list(dict.fromkeys([*(line[:40] for line in listed), *tags]))
    counts: dict[str, int] = {}
    for kind in ("commit", "tag", "tree", "blob"):
        for start in range(0, len(names), OBJECTS_AT_ONCE):
            contents = repository.read_many(names[start : start + OBJECTS_AT_ONCE], MOST_OF_AN_OBJECT, kind)
            if count := sum(bool(content and (traces.count(content) or _is_photo(content, traces))) for content in contents):
                counts[kind] = counts.get(kind, 0) + count
    return counts


def _is_photo(content: bytes, traces: Traces) -> bool:
    return hashlib.md5(content, usedforsecurity=False).hexdigest() in traces.md5s
