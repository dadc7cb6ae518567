"""The step in which the git history is rewritten without the person: pushed as a whole, and then followed by all that refers to commits."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from face_assets.core.errors import UnreachableError
from face_assets.core.files import file_lock, read_json, write_json
from face_assets.erasure.history import History, history_without
from face_assets.erasure.journal import Journal
from face_assets.erasure.person import is_of
from face_assets.erasure.renamed import Renaming, rename_in_state
from face_assets.registry.erased import JOURNAL, RENAMED, erasures
from face_assets.registry.folder_commit import LOCK, SECONDS_TO_WAIT, TRIES, keep_listings
from face_assets.registry.git import git
from face_assets.registry.history_refs import forget_former_history, other_refs, replace_refs, require_replaceable
from face_assets.registry.listing import listing_of, read_listing
from face_assets.registry.workspace import Workspace

KEPT = ("renamed", "unsigned", "signatures")


def rewrite_history(workspace: Workspace, journal: Journal) -> Mapping[str, Any]:
    """Replaces the history by one without the person, and every id of a changed commit on this machine; returns facts of it.

    Raises UserError; done again, it goes on.
    """
    repository = workspace.repository
    with file_lock(repository.home / LOCK, seconds=SECONDS_TO_WAIT):
        _replace(workspace, journal)
    forget_former_history(repository)
    renamed = journal.facts["renamed"]
    changed = rename_in_state(workspace, renamed)
    renaming = Renaming(renamed)
    for file in erasures(workspace.home.root).glob(f"*/{JOURNAL}"):
        if file.parent != journal.folder:
            write_json(file, _with_new_ids(read_json(file), renaming))
    journal.note(**{key: value for key, value in _with_new_ids(journal.facts, renaming).items() if key not in KEPT})
    return {
        "commits": len(renamed),
        "tags_unsigned": journal.facts["unsigned"],
        "signatures_of_commits_lost": journal.facts["signatures"],
        "other_refs_of_the_source": [] if repository.local else other_refs(repository),
        "remotes_of_the_clone": git("remote", cwd=repository.local).decode().split() if repository.local else [],
        "ids_replaced_in": changed,
    }


def _with_new_ids(facts: Mapping[str, Any], renaming: Renaming) -> dict[str, Any]:
    kept = {key: facts[key] for key in KEPT if key in facts}
    others: dict[str, Any] = json.loads(renaming.changed_text(json.dumps({key: facts[key] for key in facts if key not in KEPT})))
    return others | kept


def _replace(workspace: Workspace, journal: Journal) -> None:
    """Writes and pushes the new history, until nobody has pushed meanwhile."""
    repository = workspace.repository
    for _ in range(TRIES):
        repository.refresh()
        require_replaceable(repository)
        listings = _listings_without(workspace, journal)
        history = history_without(repository, journal.traces, journal.pseudonym, listings)
        _note(journal, history)  # before the push, after which nothing else knows the former ids
        if not history.refs or replace_refs(repository, history.refs):
            write_json(journal.folder / RENAMED, journal.facts["renamed"])
            return
    raise UnreachableError(f"Others kept pushing to {repository.shown}, so its history was not rewritten: run again.")


def _note(journal: Journal, history: History) -> None:
    """Adds to the journal what a history changed; of one that is written for the second time, nothing has changed any more."""
    facts = journal.facts
    journal.note(
        renamed={**facts.get("renamed", {}), **history.commits},
        unsigned=sorted({*facts.get("unsigned", ()), *history.unsigned}),
        signatures=max(facts.get("signatures", 0), history.signatures),
    )


def _listings_without(workspace: Workspace, journal: Journal) -> dict[str, tuple[str, int] | None]:
    """The listings that name the person → md5 and number of files of those without, which are in the cache and the DVC remotes then.

    One that is in no cache any more is left out, so that its pointer stays and leads nowhere.
    """
    repository, traces = workspace.repository, journal.traces
    found: dict[str, tuple[str, int] | None] = {}
    contents: dict[str, bytes] = {}
    for md5, file in repository.cached(journal.facts["listings"]).items():
        files = [one for one in read_listing(file, md5) if not is_of(traces, one)]
        content = listing_of(files)
        without = f"{hashlib.md5(content, usedforsecurity=False).hexdigest()}.dir"
        found[md5] = (without, len(files)) if files else None
        contents |= {without: content} if files else {}
    if sorted(contents) != journal.facts.get("kept", []):
        commit = next(iter(workspace.production_heads()), None) or next(iter(repository.mirrored_heads().values()))
        for remote in sorted(_remotes(workspace, journal, commit), key=str):
            keep_listings(repository, commit, contents, remote)
        journal.note(kept=sorted(contents))
    return found


def _remotes(workspace: Workspace, journal: Journal, commit: str) -> set[str | None]:
    """The DVC remotes of the folders with the person: the default one, and those that pointers at the heads of branches name."""
    repository = workspace.repository
    heads, known = repository.mirrored_heads(), repository.dvc_settings(commit)
    pointers = [
        repository.pointer(heads[branch], name) for branch, names in journal.facts["heads"].items() if branch in heads for name in names
    ]
    named = {pointer.remote for pointer in pointers if pointer}
    default: set[str | None] = {None} if known.get("core", {}).get("remote") else set()
    return default | {remote for remote in named if f'remote "{remote}"' in known}
