"""GTO's tags in the data repository, and the state that GTO reads from them: registered versions and their stages.

The rules are those of GTO 1.10 (gto/tag.py and gto/base.py), in one pass over all tags; the tests compare with GTO itself, which needs
seconds for a thousand of them, and fails at one that it did not make. Tags count by their time, whatever number they have, and
lightweight ones do not count. In one second a removal wins over what it removes.
"""

import re
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

from face_assets.registry.data_repository import DataRepository
from face_assets.registry.git import git
from face_assets.registry.signatures import Signing

NAME = "face-recognizer"
SEMVER = r"(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?"
STAGE = r"[a-zA-Z0-9](?:[a-zA-Z0-9-/_]*[a-zA-Z0-9])?"
TAG = re.compile(
    rf"{NAME}(?:(?:@(?P<version>v{SEMVER})|#(?P<stage>{STAGE}))(?P<removed>!?)|@(?P<deprecated>deprecated))(?:#(?P<number>[0-9]+))?"
)
OBJECT = re.compile(
    rb"object (?P<commit>[0-9a-f]{40})\ntype commit\ntag [^\n]*\n"
    rb"tagger (?P<author>[^<\n]*?) ?<(?P<email>[^>\n]*)>[^\n]* (?P<when>[0-9]{1,12}) (?P<zone>[+-][0-9]{4})\n(?P<more>.*)",
    re.DOTALL,
)
MOST_BYTES = 20_000  # of a tag, with its signature


@dataclass(frozen=True)
class GtoTag:
    """An annotated tag of the recognizer. version or stage: its subject, neither where it deprecates the whole; removed: a tag with `!`;
    number: its counter, 0 for none; when: in seconds since the epoch."""

    name: str
    commit: str
    when: int
    author: str = ""
    email: str = ""
    time: str = ""
    message: str = ""
    version: str | None = None
    stage: str | None = None
    removed: bool = False
    number: int = 0


@dataclass
class _Times:
    """Times of the last addition and the last removal."""

    added: int = -1
    removed: int = -1

    @property
    def is_active(self) -> bool:
        return self.added > self.removed


@dataclass
class Registry:
    """The state that GTO shows after the tags added so far."""

    versions: dict[tuple[str, str], _Times] = field(default_factory=dict)
    """Times by version and commit."""
    places: dict[str, tuple[_Times, int]] = field(default_factory=dict)
    """Times of the version by commit, and the version's rank in order of registration."""
    stages: dict[str, dict[str, _Times]] = field(default_factory=dict)
    """Times by stage and commit."""
    assignments: dict[tuple[str, str], GtoTag] = field(default_factory=dict)
    """The last assignment, by stage and commit."""
    last_event: int = -1
    last_deprecation: int = -1

    @staticmethod
    def of(tags: Iterable[GtoTag]) -> "Registry":
        """The state after all tags, which are in GTO's order."""
        registry = Registry()
        for tag in tags:
            registry.add(tag)
        return registry

    def add(self, tag: GtoTag) -> None:
        """Applies a tag; tags of one subject come in the order of their time."""
        if tag.version is None and tag.stage is None:
            self.last_deprecation = tag.when
            return
        self.last_event = max(self.last_event, tag.when)
        if tag.version is not None:
            times = self.versions.setdefault((tag.version, tag.commit), _Times())
            self.places.setdefault(tag.commit, (times, len(self.places)))
        else:
            times = self.stages.setdefault(str(tag.stage), {}).setdefault(tag.commit, _Times())
            if not tag.removed:
                self.assignments[str(tag.stage), tag.commit] = tag
        if tag.removed:
            times.removed = tag.when
        else:
            times.added = tag.when

    @property
    def is_deprecated(self) -> bool:
        """True where the recognizer as a whole is deprecated, and nothing was registered or assigned since."""
        return self.last_deprecation > self.last_event

    def registered(self) -> set[tuple[str, str]]:
        """Version and commit of each registered version that is neither deregistered nor deprecated."""
        return set() if self.is_deprecated else {key for key, times in self.versions.items() if times.is_active}

    def assigned(self, stage: str, commits: Container[str] | None = None) -> GtoTag | None:
        """The assignment in force, among those of `commits` where given: the newest that is not removed, nor its version deregistered."""
        if self.is_deprecated:
            return None
        found = []
        for later, (commit, times) in enumerate(self.stages.get(stage, {}).items(), len(self.places)):
            version, place = self.places.get(commit, (None, later))
            if commits is not None and commit not in commits:
                continue
            if version is None:  # no version: GTO takes the commit for one, and never removes it
                in_stage, registered = times.added >= 0, times.added
            else:
                in_stage, registered = version.is_active and times.is_active, version.added
            if in_stage:  # within one second, the version registered first
                found.append((times.added, -registered, -place, commit))
        return self.assignments[stage, max(found)[-1]] if found else None


def read_tags(repository: DataRepository) -> list[GtoTag]:
    """The tags of GTO for the recognizer that count as of the last refresh, in GTO's order: by time, then by name.

    Where signers are named, others than their tags do not count.
    """
    signing = repository.signing
    return [tag for tag, content in _read(repository) if signing.refusal(tag.name, content) is None]


def refused_tags(repository: DataRepository) -> list[tuple[GtoTag, str]]:
    """The tags that do not count for want of a signature, oldest first, with the reason."""
    if repository.signing.signers is None:
        return []
    reasons = ((tag, repository.signing.refusal(tag.name, content)) for tag, content in _read(repository))
    return [(tag, reason) for tag, reason in reasons if reason]


def _read(repository: DataRepository) -> list[tuple[GtoTag, bytes]]:
    """All tags with their bytes."""
    rows = repository.git("for-each-ref", "--format=%(objecttype) %(objectname) %(refname)", f"refs/tags/{NAME}[@#]*").decode(
        errors="replace"
    )
    refs = [tuple(words[1:]) for row in rows.split("\n") if (words := row.split(" ", 2))[0] == "tag"]
    contents = repository.read_many([name for name, _ in refs], MOST_BYTES, "tag")  # by object, so that known ones stay in memory
    tags = (
        (_parse(ref.removeprefix("refs/tags/"), content or b""), content or b"") for (_, ref), content in zip(refs, contents, strict=True)
    )
    return sorted(((tag, content) for tag, content in tags if tag), key=lambda one: (one[0].when, one[0].name))


def _parse(name: str, content: bytes) -> GtoTag | None:
    """The tag of a git object; None for one that GTO does not make, and for a time past the year 9999, at which git's own listing fails."""
    parsed, found = TAG.fullmatch(name), OBJECT.fullmatch(content)
    if not parsed or not found:
        return None
    texts = {key: value.decode(errors="replace") for key, value in found.groupdict().items()}
    try:
        time = datetime.fromtimestamp(int(texts["when"]), _zone(texts["zone"])).isoformat()
    except (ValueError, OverflowError, OSError):
        return None
    return GtoTag(
        name,
        texts["commit"],
        int(texts["when"]),
        texts["author"].strip(),
        texts["email"].strip(),
        time,
        texts["more"].partition("\n")[2].strip(),
        parsed["version"],
        parsed["stage"],
        parsed["removed"] == "!",
        int(parsed["number"] or 0),
    )


def _zone(text: str) -> timezone:
    """The time zone of an offset +hhmm; UTC for one that does not exist."""
    offset = timedelta(hours=int(text[1:3]), minutes=int(text[3:]))
    return timezone(-offset if text[0] == "-" else offset) if offset < timedelta(days=1) else UTC


def write_tag(
    folder: Path,
    name: str,
    commit: str,
    message: str,
    author: str,
    email: str,
    when: int,
    signing: Signing = Signing(),
    personal: bool = False,
) -> str:
    """Writes an annotated tag like GTO's into our repository, without a ref; returns its object id.

    It is signed where a key is known; personal: in a person's name, with the person's key. Raises UserError.
    """
    content = f"object {commit}\ntype commit\ntag {name}\ntagger {author} <{email}> {when} +0000\n\n{message}\n"
    return git("mktag", cwd=folder, content=signing.sign(folder, name, content.encode(), personal)).decode().strip()
