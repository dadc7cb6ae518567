"""The plan of an erasure: who is to be erased, which releases know the person, and what it takes."""

import csv
import io
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

from face_assets.erasure.journal import Journal
from face_assets.erasure.person import Person, config_commits, find_person
from face_assets.erasure.traces import Traces
from face_assets.registry.dvc_objects import fetch_objects
from face_assets.registry.history_refs import require_replaceable
from face_assets.registry.listing import TrackedFile, read_listing
from face_assets.registry.person import Person as Identity
from face_assets.registry.release_commits import RELEASE
from face_assets.registry.releases import Release
from face_assets.registry.workspace import Workspace

LEARNED = "learned_from.csv"
BYTES_A_SECOND = 40e6
SECONDS_OF_A_COMMIT = 5.0


@dataclass(frozen=True)
class KnowingRelease:
    """A release whose data set had the person. learned: its embedder learned from the person, or that cannot be known any more."""

    version: str
    commit: str
    learned: bool


@dataclass(frozen=True)
class Plan:
    """The erasure to do.

    production: the release in production, if that is among `releases`; state_bytes: of the state directory; rewrites: number of commits of
    the data repository, which may all get other ids, 0 where the history stays.
    """

    person: Person
    releases: tuple[KnowingRelease, ...]
    production: str | None
    state_bytes: int
    rewrites: int = 0

    @property
    def seconds(self) -> float:
        """A rough estimate of the duration without the run that makes a new release."""
        commits = sum(map(len, self.person.heads.values()))
        return 20.0 + SECONDS_OF_A_COMMIT * commits + self.state_bytes / BYTES_A_SECOND

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON-able values for the person who decides; it has the name."""
        traces = self.person.traces
        return {
            "names": sorted(traces.names),
            "photos": len(traces.md5s),
            "branches": {branch: list(folders) for branch, folders in self.person.heads.items() if folders},
            "revisions": len(self.person.commits),
            "also_filed_under": list(self.person.shared_with),
            "unreadable_listings": self.person.lost,
            "releases": [asdict(one) for one in self.releases],
            "production": self.production,
            "rewritten_commits_at_most": self.rewrites,
            "seconds": round(self.seconds),
        }


def make_plan(workspace: Workspace, name: str, rewrite_history: bool = False) -> Plan:
    """The plan for a person of that name. Raises UserError where nothing is found, or the history cannot be rewritten."""
    repository = workspace.repository
    repository.refresh()
    if rewrite_history:
        require_replaceable(repository)
        if repository.signing.signers:
            repository.signing.require_key()
    person = find_person(workspace, name, in_history=rewrite_history)
    releases = knowing_releases(workspace, person)
    now = workspace.stages.production()
    production = now.release.version if now and now.release.commit in {one.commit for one in releases} else None
    size = sum(file.stat().st_size for file in workspace.home.root.rglob("*") if file.is_file() and not file.is_symlink())
    commits = int(repository.git("rev-list", "--count", "--branches", "--tags")) if rewrite_history else 0
    return Plan(person, tuple(releases), production, size, commits)


def begin(workspace: Workspace, plan: Plan, by: Identity) -> Journal:
    """Writes the journal of a plan, from which the steps are done."""
    traces = plan.person.traces
    facts = {
        "names": sorted(traces.names),
        "md5s": sorted(traces.md5s),
        "others": sorted(name for name in traces.others if any(one.lower() in name.lower() for one in traces.names)),
        "heads": {branch: list(folders) for branch, folders in plan.person.heads.items()},
        "commits": sorted(plan.person.commits),
        "listings": sorted(plan.person.listings),
        "releases": [asdict(one) for one in plan.releases],
        "unreadable_listings": plan.person.lost,
        "rewrite_history": bool(plan.rewrites),
        "by": asdict(by),
        "repository": workspace.repository.shown,
    }
    return Journal.begin(workspace.home.root, facts)


def knowing_releases(workspace: Workspace, person: Person) -> list[KnowingRelease]:
    """The releases trained from commits with the person, by version."""
    known = [release for release in workspace.releases.with_deprecated() if release.trained_commit in person.commits]
    listed = release_files(workspace, known)
    wanted = {release.commit: next((f.md5 for f in listed[release.commit] if f.path == LEARNED), None) for release in known}
    fetch_objects(workspace.repository, config_commits(workspace.repository), {md5 for md5 in wanted.values() if md5})
    return [KnowingRelease(one.version, one.commit, _learned(workspace, one, wanted[one.commit], person.traces)) for one in known]


def _learned(workspace: Workspace, release: Release, record: str | None, traces: Traces) -> bool:
    """True where the record of the training has a photo of the person, and where there is none although something was trained."""
    file = workspace.repository.cached([record]).get(record) if record else None
    if file is None:
        return bool(release.lineage.training.get("recipe")) or record is not None
    rows = csv.DictReader(io.StringIO(file.read_text(encoding="utf-8")))
    return any(row["md5"] in traces.md5s for row in rows)


def release_files(workspace: Workspace, releases: Collection[Release]) -> dict[str, list[TrackedFile]]:
    """The files of releases by their commit, with the listing itself; none where the listing is in no cache and no remote."""
    repository = workspace.repository
    pointers = {release.commit: pointer.md5 for release in releases if (pointer := repository.pointer(release.commit, RELEASE))}
    fetch_objects(repository, config_commits(repository), set(pointers.values()))
    found: dict[str, list[TrackedFile]] = {release.commit: [] for release in releases}
    for commit, md5 in pointers.items():
        if file := repository.cached([md5]).get(md5):
            found[commit] = [*read_listing(file, f"{RELEASE}.dvc at commit {commit[:12]}"), TrackedFile("", md5)]
    return found
