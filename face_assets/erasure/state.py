"""The state directory without a person: artifacts, content stores, bundles, models, logs and databases.

What commits with the person made goes as a whole and is made again where it is wanted; an embedder that did not learn from the person
stays. Of content stores the person's entries go. In texts and databases, such as Dagster's event log, a pseudonym replaces the name.
"""

import csv
import shutil
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from face_assets.core.files import PARTIAL, read_json, write_json
from face_assets.erasure.files import count_traces, erase_entries, is_database, is_store, redact_database, redact_file
from face_assets.erasure.traces import Traces
from face_assets.registry.erased import FOLDER
from face_assets.registry.workspace import Workspace
from face_assets.serving.embedded import folders_in_use
from face_assets.serving.model_repository import MODELS, VERSIONS, networks
from face_assets.storage.linked_files import FOLDER as LINKED

EMBEDDERS = ("face_embedder", "exported_embedder")
ALIGNED = ("label_audit", "aligned_faces")
BY_CONTENT = ("mirrors", "dvc-cache", "clones", LINKED)
"""Folders whose files are objects by content, of git, of DVC, and those that artifacts share: they are erased, and never changed."""
RECORD = "serving/record"
"""The record of use: a chain of hashes, which names callers and nobody whose face is recognized."""


@dataclass(frozen=True)
class References:
    """The artifacts that commits refer to: (commit, asset) → folder, by names relative to the state directory."""

    folders: dict[tuple[str, str], Path]

    @staticmethod
    def of(workspace: Workspace) -> "References":
        """The references of this machine."""
        root = workspace.home.artifacts.root
        found = {}
        for file in workspace.home.artifact_references.glob("*/*.json"):
            there = Path(read_json(file)["directory"])
            if there.parent.parent.name == root.name:  # a release's is its bundle
                found[file.stem, file.parent.name] = root / there.parent.name / there.name
        return References(found)


def erase_artifacts(workspace: Workspace, traces: Traces, commits: Collection[str]) -> int:
    """Removes the artifacts of commits with the person, those that no commit refers to, and those with traces; returns their number."""
    references, removed = References.of(workspace), 0
    users = defaultdict(set)
    for (commit, _), folder in references.folders.items():
        users[folder].add(commit)
    for folder in [path for path in workspace.home.artifacts.root.glob("*/*") if path.is_dir()]:
        clean = users[folder] - set(commits)
        untaught = folder.parent.name in EMBEDDERS and not any(_learned(references, one, traces) for one in users[folder] & set(commits))
        if users[folder] and (clean or untaught) and not any(count_traces(file, traces) for file in _files(folder)):
            continue
        _remove_folder(folder)
        removed += 1
    for (commit, asset), folder in references.folders.items():
        if not folder.is_dir():
            (workspace.home.artifact_references / asset / f"{commit}.json").unlink(missing_ok=True)
    workspace.home.linked.sweep()
    return removed


def _learned(references: References, commit: str, traces: Traces) -> bool:
    """True where the embedder of a commit learned from the person, and where that cannot be known."""
    for asset in ALIGNED:
        folder = references.folders.get((commit, asset))
        if folder and (folder / "faces.csv").is_file():
            with open(folder / "faces.csv", encoding="utf-8", newline="") as file:
                return any(row["md5"] in traces.md5s and row["split"] != "test" for row in csv.DictReader(file))
    return True


def erase_stores(workspace: Workspace, traces: Traces) -> dict[str, int]:
    """Removes the person's entries from every content store; returns their number by the folder of the store."""
    found: dict[str, int] = {}
    for file in _files(workspace.home.root):
        if file.suffix == ".sqlite" and is_database(file) and is_store(file):
            kind = file.relative_to(workspace.home.root).parts[0]
            found[kind] = found.get(kind, 0) + erase_entries(file, traces)
    return found


def erase_releases(workspace: Workspace, releases: Collection[str]) -> int:
    """Removes the bundles of releases, given by their commits, and their version folders for Triton; returns the number of folders.

    The server may have the detector and the embedder of such a release still, equal to those of the live one: they hold nobody.
    """
    models = workspace.home.serving / "models"
    gone = [workspace.home.root / "releases" / commit for commit in releases]
    file = models / VERSIONS
    rows = read_json(file) if file.is_file() else []
    old = [row["number"] for row in rows if row["release_commit"] in releases]
    gone += [models / model / str(number) for number in old for model in (*MODELS, *networks(models, number), "configs")]
    used = folders_in_use(workspace.home.serving)
    there = [folder for folder in gone if folder.is_dir() and folder not in used]
    for folder in there:
        _remove_folder(folder)
    if old:
        write_json(file, [row for row in rows if row["number"] not in old])
    return len(there)


def erase_trainings(workspace: Workspace) -> int:
    """Removes checkpoints of unfinished trainings, which have a row of weights for each person; returns their number."""
    folders = [path for path in workspace.home.training.glob("*") if path.is_dir()]
    for folder in folders:
        shutil.rmtree(folder)
    return len(folders)


def files_with_content(workspace: Workspace) -> list[Path]:
    """The files of `state_files` that are not empty, without those that SQLite keeps beside its databases."""
    return [file for file in state_files(workspace) if file.stat().st_size and not file.name.endswith(("-wal", "-shm"))]


def redact_state(workspace: Workspace, traces: Traces, pseudonym: str) -> dict[str, int]:
    """Puts the pseudonym in place of the traces in texts and databases; returns the number of changed files and rows."""
    texts = rows = 0
    for file in files_with_content(workspace):
        if is_database(file) and is_store(file):
            continue
        if is_database(file):
            rows += redact_database(file, traces, pseudonym)
        elif count_traces(file, traces):
            texts += redact_file(file, traces, pseudonym)
    for file in [file for file in state_files(workspace) if traces.count(file.name.encode(errors="surrogateescape"))]:
        file.unlink()
    workspace.home.linked.sweep()  # a text with the name had links, of which each is a file of its own now
    return {"texts": texts, "rows": rows}


def erase_index(folder: Path) -> int:
    """Removes a folder in which DVC remembers listings; returns the number of its files."""
    files = len(_files(folder))
    shutil.rmtree(folder, ignore_errors=True)
    return files


def state_files(workspace: Workspace) -> Iterator[Path]:
    """Yields the files of the state directory and of Dagster's, without objects by content and the records of erasures."""
    roots = [workspace.home.root]
    if not workspace.home.dagster.is_relative_to(workspace.home.root):
        roots.append(workspace.home.dagster)
    for root in roots:
        for file in _files(root):
            path = file.relative_to(root)
            if path.parts[0] not in (*BY_CONTENT, FOLDER) and not path.is_relative_to(RECORD):
                yield file


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]


def _remove_folder(folder: Path) -> None:
    """Removes a folder, renamed first so that no reader finds it incomplete."""
    aside = folder if folder.name.startswith(PARTIAL) else folder.with_name(f"{PARTIAL}{folder.name}-erased")
    if aside != folder:
        shutil.rmtree(aside, ignore_errors=True)
        folder.rename(aside)
    shutil.rmtree(aside)
