"""Releases: immutable bundles, registered once for the same inputs, found by version, and fetched."""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from face_assets.core import identifiers
from face_assets.core.errors import RefusedError, UserError
from face_assets.core.files import file_lock, link_or_copy, new_directory
from face_assets.registry.data_repository import DataRepository
from face_assets.registry.erased import releases_out_of_use
from face_assets.registry.gto_tags import NAME, GtoTag, Registry, read_tags, write_tag
from face_assets.registry.person import PLATFORM, Person
from face_assets.registry.release_commits import RELEASE, push_release, push_tag
from face_assets.registry.signatures import bundle_digest, record_digest, signed_digests
from face_assets.storage.linked_files import FOLDER, LinkedFiles

TRIES = 5
MOST_OF_FACTS = 1_000_000  # bytes of a release.json


@dataclass(frozen=True)
class Digests:
    """Digests that decide a version: of all that determines an embedding, of gallery and thresholds, of the whole bundle."""

    embeddings: str
    recognition: str
    packaging: str

    def to_json(self) -> dict[str, str]:
        """JSON-able values, under the names that release.json has had from the first version."""
        return {"space": self.embeddings, "recognition": self.recognition, "packaging": self.packaging}

    @staticmethod
    def from_json(values: Mapping[str, str]) -> "Digests":
        """The digests that `to_json` wrote. Raises KeyError and TypeError."""
        return Digests(values["space"], values["recognition"], values["packaging"])


@dataclass(frozen=True)
class Lineage:
    """Measured kinship of a release to earlier ones.

    against: version of the release with which it was compared, the one in production, None without one; compatible_with: versions with
    whose templates its embeddings compare; reason: the figures, or why they could not be measured; measured: version → figures; training:
    digest of its inputs (`inputs`), and of the embeddings towards which it pulled (`towards`, None where it trained freely), and the
    parameter `compatible_with`.
    """

    against: str | None = None
    compatible_with: tuple[str, ...] = ()
    reason: str = ""
    measured: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """JSON-able values."""
        return {**asdict(self), "compatible_with": list(self.compatible_with)}

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> "Lineage":
        """The lineage that `to_json` wrote. Raises KeyError and TypeError."""
        versions = tuple(identifiers.version(one) for one in values["compatible_with"])
        return Lineage(values["against"], versions, str(values["reason"]), dict(values["measured"]), dict(values["training"]))


@dataclass(frozen=True)
class Release:
    """A registered release; `commit` is the release commit, `trained_commit` its parent; deprecated: true where GTO shows it so; lineage:
    empty for releases of earlier versions; bundle_digest: SHA-256 of the bundle by its signed tag, empty where no signature is required."""

    version: str
    commit: str
    trained_commit: str
    inputs: str
    digests: Digests
    metrics: dict[str, Any]
    deprecated: bool = False
    lineage: Lineage = Lineage()
    bundle_digest: str = ""

    @property
    def tag(self) -> str:
        """Name of its git tag."""
        return f"{NAME}@{self.version}"


class Releases:
    """The releases of a data repository."""

    def __init__(self, repository: DataRepository):
        self.repository = repository
        self.registering = repository.home / ".register.lock"
        self.fetching = repository.home / ".fetch-release.lock"  # shared by fetches, exclusive for removal
        self.linked = LinkedFiles(repository.home / FOLDER)

    def all(self) -> list[Release]:
        """Every registered release that is not deprecated, by version."""
        return [release for release in self.with_deprecated() if not release.deprecated]

    def with_deprecated(self) -> list[Release]:
        """Every release that was ever registered, by version; tags on other commits are left out.

        Where signers are named, a release whose record is not the one that was signed is left out, too.
        """
        tags = read_tags(self.repository)
        registered = Registry.of(tags).registered()
        made = list(dict.fromkeys((tag.version, tag.commit) for tag in tags if tag.version and not tag.removed))
        contents = self.repository.read_many([f"{commit}:release.json" for _, commit in made], MOST_OF_FACTS)
        erased = releases_out_of_use(self.repository.home)
        found = [_parse(*one, content, one not in registered or one[1] in erased) for one, content in zip(made, contents, strict=True)]
        if self.repository.signing.signers:
            found = [_as_signed(release, content, tags) for release, content in zip(found, contents, strict=True)]
        return sorted((release for release in found if release), key=lambda release: numbers(release.version))

    def find(self, inputs: str) -> Release | None:
        """The release made from these inputs, the newest if there are several; a deprecated one, too, since it is not made again."""
        return next((release for release in reversed(self.with_deprecated()) if release.inputs == inputs), None)

    def of_version(self, version: str) -> Release:
        """The release of a version, deprecated or not. Raises UserError."""
        found = next((release for release in self.with_deprecated() if release.version == version), None)
        if found is None:
            raise UserError(f"{version} is not registered in {self.repository.shown} any more: restore its tag.")
        return found

    def get(self, version: str) -> Release:
        """The release of a version. Raises UserError."""
        wanted = identifiers.version(version)
        for release in self.with_deprecated():
            if release.version == wanted and (known := releases_out_of_use(self.repository.home).get(release.commit)):
                raise RefusedError(f"{wanted} knows a person who was erased ({known.pseudonym}), and its bytes are gone: name another.")
            if release.version == wanted and release.deprecated:
                raise RefusedError(f"{wanted} is deprecated in {self.repository.shown} by `gto deprecate`: name another or delete the tag.")
            if release.version == wanted:
                return release
        raise UserError(f"{wanted} is not registered in {self.repository.shown}; `face-assets releases` lists what is.")

    def register(
        self,
        bundle: Path,
        trained_commit: str,
        inputs: str,
        digests: Digests,
        metrics: Mapping[str, Any],
        plots: Mapping[str, Path],
        measure: Callable[[], Lineage] = Lineage,
    ) -> Release:
        """Registers the bundle under the next version, once for the same inputs, in one visible step. Raises UserError.

        `measure` is called on the refreshed repository, for each try."""
        facts = {"trained_commit": trained_commit, "inputs": inputs, "digests": digests.to_json(), "metrics": dict(metrics)}
        self.repository.signing.require_key()
        with file_lock(self.registering):
            for _ in range(TRIES):
                self.repository.refresh()
                found = self.find(inputs)
                if found:
                    return found
                lineage = measure()
                facts["version"] = self._free(next_version(digests, self.with_deprecated(), lineage))  # theirs are taken, too
                facts |= {"compatible_with": list(lineage.compatible_with), "lineage": lineage.to_json()}
                if push_release(self.repository, bundle, facts, plots):
                    self.repository.refresh()
                    made = self.find(inputs)
                    assert made is not None
                    return made
        raise UserError(f"Another machine keeps taking the next version in {self.repository.shown}: run again.")

    def _free(self, version: str) -> str:
        """`version`, or the next PATCH without a tag: people set tags manually, too."""
        taken = set(self.repository.git("for-each-ref", "--format=%(refname:lstrip=2)", f"refs/tags/{NAME}@*").decode().splitlines())
        while f"{NAME}@{version}" in taken:
            major, minor, patch = numbers(version)
            version = f"v{major}.{minor}.{patch + 1}"
        return version

    def deprecate(self, release: Release, message: str, who: Person) -> None:
        """Deprecates a version by a tag of GTO's, by which no machine promotes it or returns to it; its own tag stays."""
        name = f"{release.tag}!"
        tags = read_tags(self.repository)
        if any(tag.name == name for tag in tags):
            return
        when = max(int(time.time()), max(tag.when for tag in tags if tag.commit == release.commit))
        signing = self.repository.signing
        written = write_tag(self.repository.mirror, name, release.commit, message, who.name, who.email, when, signing, who != PLATFORM)
        push_tag(self.repository, self.repository.mirror, name, written)
        self.repository.refresh()

    def folder(self, release: Release) -> Path:
        """The folder of `bundle` for a release; its mtime is the time of the last use."""
        return self.repository.home / "releases" / release.commit

    def bundle(self, release: Release) -> Path:
        """The folder with the release's files on this machine, fetched from the DVC remote where it does not exist.

        Raises RefusedError where signers are named and the files are not those that were signed.
        """
        folder = self.folder(release)
        with file_lock(self.fetching, shared=True):
            try:
                os.utime(folder)
            except FileNotFoundError:
                files = self.repository.files(release.commit, RELEASE)
                located = self._located(release, [file.md5 for file in files])
                with new_directory(folder) as aside:
                    for file in files:
                        target = aside / file.path
                        target.parent.mkdir(parents=True, exist_ok=True)
                        self._put(located[file.md5], target)
                    self._require_signed(release, aside)
            self._require_signed(release, folder)
        return folder

    def _located(self, release: Release, md5s: Sequence[str]) -> dict[str, Path]:
        """The files of a release in a cache. Those of the platform's cache that were damaged, also through a link, are fetched anew."""
        located = self.repository.locate(release.commit, RELEASE, md5s)
        damaged = [path for md5, path in located.items() if self._is_own(path) and _md5(path) != md5]
        for path in damaged:
            path.unlink(missing_ok=True)
        return self.repository.locate(release.commit, RELEASE, md5s) if damaged else located

    def _put(self, cached: Path, target: Path) -> None:
        """Links a file of the platform's cache, which nobody changes in place; copies one of the user's."""
        if self._is_own(cached):
            self.linked.share(cached)
            link_or_copy(cached, target)
        else:
            shutil.copyfile(cached, target)

    def _is_own(self, cached: Path) -> bool:
        return self.repository.has_own_cache and cached.is_relative_to(self.repository.cache)

    def _require_signed(self, release: Release, folder: Path) -> None:
        """Raises RefusedError where signers are named and the files are not those of the release's signed tag."""
        if self.repository.signing.signers and bundle_digest(folder) != release.bundle_digest:
            raise RefusedError(
                f"The files of {release.version} are not those that were signed ({release.tag}), so it is not used: remove "
                f"{self.folder(release)}, and where that does not help, restore release.dvc's files in the DVC remote from a backup."
            )


def _md5(file: Path) -> str:
    with open(file, "rb") as content:
        return hashlib.file_digest(content, partial(hashlib.md5, usedforsecurity=False)).hexdigest()


def _as_signed(release: Release | None, content: bytes | None, tags: Sequence[GtoTag]) -> Release | None:
    """The release with the digest of its bundle by a tag that states that of its record; None without one. tags: those that count."""
    if release is None or content is None:
        return None
    named = (tag for tag in tags if (tag.version, tag.commit, tag.removed) == (release.version, release.commit, False))
    stated = [digests for tag in named if (digests := signed_digests(tag.message))]
    bundle = next((bundle for record, bundle in stated if record == record_digest(content)), None)
    return replace(release, bundle_digest=bundle) if bundle else None


def _parse(version: str, commit: str, content: bytes | None, deprecated: bool) -> Release | None:
    """The release of a tag; None for a tag that a person set on a commit of another kind."""
    if content is None or not identifiers.VERSION.fullmatch(version):
        return None
    try:
        facts = json.loads(content)
        digests = Digests.from_json(facts["digests"])
        trained = identifiers.commit_id(facts["trained_commit"])
        lineage = Lineage.from_json(facts["lineage"]) if "lineage" in facts else Lineage()
        release = Release(facts["version"], commit, trained, str(facts["inputs"]), digests, dict(facts["metrics"]), deprecated, lineage)
    except (ValueError, KeyError, TypeError, RecursionError, UserError):
        return None
    return release if release.version == version else None


def numbers(version: str) -> tuple[int, int, int]:
    """(1, 2, 3) of "v1.2.3"."""
    major, minor, patch = version.removeprefix("v").split(".")
    return int(major), int(minor), int(patch)


def next_version(digests: Digests, registered: Sequence[Release], lineage: Lineage = Lineage()) -> str:
    """The next version after those of the registered releases, by version.

    MAJOR where embeddings were not shown to compare with those of the release in production, or of the last one without any there;
    MINOR for other embeddings that do, for a new gallery and for a threshold; else PATCH.
    """
    if not registered:
        return "v1.0.0"
    before = next((release for release in registered if release.version == lineage.against), registered[-1])
    same = digests.embeddings == before.digests.embeddings
    if not same and before.version not in lineage.compatible_with:
        return f"v{numbers(registered[-1].version)[0] + 1}.0.0"
    major, minor, _ = numbers(before.version)
    versions = [numbers(release.version) for release in registered]
    if not same or digests.recognition != before.digests.recognition:
        return f"v{major}.{max(one[1] for one in versions if one[0] == major) + 1}.0"
    return f"v{major}.{minor}.{max(one[2] for one in versions if one[:2] == (major, minor)) + 1}"
