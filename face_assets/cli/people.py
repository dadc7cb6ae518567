"""`face-assets people`, `enrol`, `unenrol` and `rename`: the people of the followed data repository."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from face_assets.core.errors import UserError
from face_assets.core.outside_text import shown_lines
from face_assets.event_log.commit_progress import wait_for_commit
from face_assets.gallery.known_by import releases_that_enrol
from face_assets.gallery.people import Photo, valid_name
from face_assets.gallery.people_changes import AddPhotos, Merge, PeopleChange, RemovePerson, RemovePhoto, Rename
from face_assets.gallery.people_commits import Request, change_people, followed_branch, people_at, require_possible
from face_assets.gallery.people_register import COLUMNS, today
from face_assets.gallery.photo_checks import PhotoChecks
from face_assets.gallery.retention import people_of_register
from face_assets.registry.person import git_identity
from face_assets.registry.watch import REGISTER
from face_assets.registry.workspace import Workspace

SECONDS_TO_LIVE = 1800.0


def enrolled_people(name: str | None) -> list[dict[str, Any]]:
    """Returns the people at the head of the followed branch, or the one of that name: name and photos, each with path and md5."""
    workspace = Workspace.load()
    workspace.repository.refresh()
    people = people_at(workspace, workspace.repository.resolve(followed_branch(workspace)))
    keys = [people.key_of(name)] if name else sorted(people.names, key=people.names.__getitem__)
    return [
        {"name": people.names[key], "photos": [{"path": path, "md5": md5} for path, md5 in sorted(people.photos[key].items())]}
        for key in keys
    ]


def people_text(rows: Sequence[dict[str, Any]], each: bool) -> str:
    """Returns people as text, one a line, and with `each` their photos."""
    if each:
        return shown_lines(f"{photo['md5']}  {photo['path']}" for row in rows for photo in row["photos"])
    lines = [f"{row['name']}  ({len(row['photos'])} photo{'s' if len(row['photos']) != 1 else ''})" for row in rows]
    return shown_lines([*lines, f"{len(rows):,} people"])


def due_people() -> list[dict[str, Any]]:
    """Returns the people at the head of the followed branch about whom something is due by people.csv. Raises UserError without one."""
    workspace = Workspace.load()
    workspace.repository.refresh()
    found = people_of_register(workspace, workspace.repository.resolve(followed_branch(workspace)), today())
    if found is None:
        raise UserError(f"The data repository has no {REGISTER}: commit one that begins with the line `{','.join(COLUMNS)}`.")
    return [
        {
            "name": one.standing.name,
            "state": one.standing.state,
            "enrolled": one.is_enrolled,
            "basis": one.standing.entry.basis if one.standing.entry else None,
            "since": str(one.standing.entry.since) if one.standing.entry else None,
            "until": str(one.standing.entry.until) if one.standing.entry and one.standing.entry.until else None,
        }
        for one in found
        if one.is_due
    ]


def due_text(rows: Sequence[dict[str, Any]]) -> str:
    """Returns what is due as text, one person a line."""
    words = {
        "past": "ended on {until}",
        "no entry": "has no entry",
        "not yet": "may be enrolled from {since} on",
        "soon": "ends on {until}",
    }
    lines = [
        f"{row['name']}: {words[row['state']].format(**row)}{', and is enrolled' if row['enrolled'] else ', with photos and not enrolled'}"
        for row in rows
    ]
    return shown_lines([*lines, f"{len(rows):,} people are due by {REGISTER}"])


def enrol(name: str, photos: Sequence[Path], meant: bool, wait: bool) -> dict[str, Any]:
    """Enrols a person, or adds photos; returns the commit. Raises UserError with the reasons for which photos are refused."""
    workspace = Workspace.load()
    asked, name = tuple(_read(photo) for photo in photos), valid_name(name)
    workspace.repository.refresh()
    head = workspace.repository.resolve(followed_branch(workspace))
    change = AddPhotos(name, asked, meant=meant)
    require_possible(workspace, head, change)  # a name that is taken is reported before the networks are loaded
    PhotoChecks(workspace).require_good(head, name, asked, meant)
    return _commit(workspace, change, wait)


def unenrol(name: str, photo: str | None, wait: bool) -> dict[str, Any]:
    """Removes a person, or one photo by its md5; returns the commit, and of a person the releases that still enrol him or her.

    Raises UserError.
    """
    workspace = Workspace.load()
    if photo:
        return _commit(workspace, RemovePhoto(name, photo), wait)
    report = _commit(workspace, RemovePerson(name), wait)
    return report | {"still_known_by": releases_that_enrol(workspace, name)}


def rename(name: str, to: str, merge: bool, wait: bool) -> dict[str, Any]:
    """Renames a person, or merges one into another; returns the commit. Raises UserError."""
    return _commit(Workspace.load(), Merge(name, to) if merge else Rename(name, to), wait)


def _commit(workspace: Workspace, change: PeopleChange, wait: bool) -> dict[str, Any]:
    author = git_identity(workspace.repository.local or Path.home())
    (outcome,) = change_people(workspace, [Request(change, author)])
    if outcome.error:
        raise outcome.error
    commit = str(outcome.commit)
    report = {"commit": commit, "change": outcome.line, "state": "committed", "reason": ""}
    if wait:
        progress = wait_for_commit(workspace, commit, SECONDS_TO_LIVE)
        report |= {"state": progress.state, "reason": progress.reason}
    return report


def _read(photo: Path) -> Photo:
    if not photo.is_file():
        raise UserError(f"{photo}: {'no such file' if not photo.exists() else 'not a file'}.")
    content = photo.read_bytes()
    return Photo(hashlib.md5(content, usedforsecurity=False).hexdigest(), content, photo.name)
