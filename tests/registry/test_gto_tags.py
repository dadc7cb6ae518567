"""The platform's registry equals GTO's, for any tags in any order."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gto.api
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from face_assets.core.errors import UserError
from face_assets.registry.data_repository import DataRepository
from face_assets.registry.git import git
from face_assets.registry.gto_tags import NAME, Registry, read_tags
from face_assets.registry.releases import Digests, Releases
from face_assets.registry.stages import Assignment, Stages

VERSIONS = ("v1.0.0", "v1.10.0", "v2.0.0-rc.1")  # of the first commits; the last commit has none
STAGES = ("production", "canary")
STARTED = 1_700_000_000
events = st.tuples(
    st.sampled_from(("register", "deregister", "assign", "assign", "unassign", "deprecate")),
    st.integers(0, len(VERSIONS)),
    st.sampled_from(STAGES),
    st.booleans(),
    st.integers(0, 2),
)
Event = tuple[str, int, str, bool, int]


def tagged(folder: Path, happened: list[Event]) -> Path:
    """A repository with the tags that GTO sets at these events: what, of which commit, which stage, without a number, how much later."""
    git("init", "-q", "--bare", "-b", "main", folder)
    who = "Ann <ann@example.org>"
    stream = ["feature done"]
    for mark in range(1, len(VERSIONS) + 2):
        stream += ["commit refs/heads/main", f"mark :{mark}", f"committer {who} {STARTED} +0000", "data 1", str(mark)]
    now, set_so_far = STARTED, set()
    for number, (what, commit, stage, simple, later) in enumerate(happened, 1):
        now += later
        version = VERSIONS[commit] if commit < len(VERSIONS) else None
        base = {"register": f"@{version}", "deregister": f"@{version}!", "assign": f"#{stage}", "unassign": f"#{stage}!"}
        name = NAME + base.get(what, "@deprecated") + ("" if simple else f"#{number}")
        if name in set_so_far or ("register" in what and version is None):
            continue
        set_so_far.add(name)
        stream += [f"tag {name}", f"from :{commit + 1}", f"tagger {who} {now} +0000", "data 3", "why"]
    subprocess.run(["git", "fast-import", "--quiet"], cwd=folder, input="\n".join([*stream, "done", ""]).encode(), check=True)
    return folder


def by_gto(repository: Path) -> tuple[set[Any], dict[str, Any]]:
    artifacts = gto.api.show(str(repository))
    if NAME not in artifacts:  # deprecated, or no tag at all
        return set(), dict.fromkeys(STAGES)
    listed = gto.api.show(str(repository), NAME)
    stages = artifacts[NAME]["stage"]
    return {one["version"] for one in listed if one["registrations"]}, {stage: stages.get(stage) for stage in STAGES}


def by_us(repository: Path, home: Path) -> tuple[set[Any], dict[str, Any]]:
    data = DataRepository(str(repository), home)
    data.refresh()
    registry = Registry.of(read_tags(data))
    named = {commit: version for version, commit in registry.registered()}
    stages = {stage: registry.assigned(stage) for stage in STAGES}
    return set(named.values()), {stage: tag and named.get(tag.commit, tag.commit) for stage, tag in stages.items()}


@settings(max_examples=30, deadline=None, derandomize=True, phases=[Phase.generate])  # to make one smaller takes minutes
@given(happened=st.lists(events, max_size=12))
def test_any_sequence_of_gtos_events(tmp_path_factory: pytest.TempPathFactory, happened: list[Event]) -> None:
    folder = tmp_path_factory.mktemp("tags")
    repository = tagged(folder / "repository", happened)
    assert by_us(repository, folder / "home") == by_gto(repository)


def test_what_a_colleague_does_by_gto_is_shown_and_done(repository: Path, tmp_path: Path, bundle: Callable[[bytes], Path]) -> None:
    data = DataRepository(str(repository), tmp_path / "home")
    releases, stages = Releases(data), Stages(Releases(data))
    for content in (b"a", b"b"):
        digests = Digests("space", content.decode(), "packaging")
        releases.register(bundle(content), data.resolve("HEAD"), content.decode(), digests, {}, {})
    assert stages.assign("v1.0.0", "first") and stages.assign("v1.1.0", "second")

    def by_gto(version: str | None) -> Assignment | None:
        """The release in production after a refresh, checked against GTO."""
        data.refresh()
        assert gto.api.show(str(repository))[NAME]["stage"]["production"] == version
        return stages.production()

    assert by_gto("v1.1.0") == stages.last()
    assert gto.api.deregister(str(repository), NAME, version="v1.1.0", simple=True).tag == f"{NAME}@v1.1.0!"
    now = by_gto("v1.0.0")
    assert now and now.release.version == "v1.0.0"
    assert [release.version for release in releases.all()] == ["v1.0.0"]
    made = releases.find("b")
    assert made and made.deprecated, "it is not made again under another version"
    with pytest.raises(UserError, match=r"v1\.1\.0 is deprecated .* by `gto deprecate`"):
        stages.assign("v1.1.0", "again")

    head = data.resolve("HEAD")
    later = f"{now.when + 1} +0000"
    git("tag", "-a", "-m", "ours?", f"{NAME}#production", head, cwd=repository, env={"GIT_COMMITTER_DATE": later})
    assert by_gto(head) == now, "what is no release of ours cannot be served"
    assert f"{NAME}#production puts commit {head[:12]} into production" in str(stages.foreign())
    assert stages.assign("v1.0.0", "taken back", again=True)
    assert by_gto("v1.0.0") and stages.foreign() is None


def test_a_tag_that_nobody_can_read_hides_no_other(repository: Path, tmp_path: Path) -> None:
    """At a time that no clock has, git's own listing ends; a message may be of any length, and a number of any."""
    commit = git("rev-parse", "HEAD", cwd=repository).decode().strip()

    def tag(name: str, when: str, message: str = "why", author: str = "Ann <ann@example.org>") -> None:
        content = f"object {commit}\ntype commit\ntag {name}\ntagger {author} {when}\n\n{message}\n".encode()
        written = git("hash-object", "-w", "-t", "tag", "--literally", "--stdin", cwd=repository, content=content).decode().strip()
        git("update-ref", f"refs/tags/{name}", written, cwd=repository)

    for number, when in enumerate(("-5 +0000", "99999999999999999999 +0000", "9999999999999 +0000", "now", "")):
        tag(f"{NAME}#production#{number}", when)
    tag(f"{NAME}#production#10", f"{STARTED} +0000", "x" * 200_000)
    tag(f"{NAME}#production#{'9' * 200}", f"{STARTED} +9999")
    tag(f"{NAME}@v1.0.0", f"{STARTED} -0130", "made\n\nof two parts", "Ann B.\t<>")
    data = DataRepository(str(repository), tmp_path / "home")
    data.refresh()
    first, second = read_tags(data)
    assert (first.stage, first.time, first.email) == ("production", "2023-11-14T22:13:20+00:00", "ann@example.org")
    assert (second.version, second.time, second.author) == ("v1.0.0", "2023-11-14T20:43:20-01:30", "Ann B.")
    assert second.message == "made\n\nof two parts"
