"""Releases that still know a person who is removed from the gallery: a rollback to one serves the person again."""

from contextlib import suppress

from face_assets.core.errors import UserError
from face_assets.dataset.photo_folders import person_key
from face_assets.gallery.enrolled_photos import source_of
from face_assets.gallery.people_commits import people_at
from face_assets.registry.workspace import Workspace


def releases_that_enrol(workspace: Workspace, name: str) -> list[str]:
    """The versions of the releases that can go into production and enrol the person, as far as a cache of this machine has their lists."""
    repository, key = workspace.repository, person_key(name)
    found, known = [], {}
    for release in workspace.releases.all():
        commit = release.trained_commit
        with suppress(UserError):
            source = source_of(repository, commit)
            pointer = repository.pointer(commit, source)
            if pointer and pointer.md5 not in known and repository.is_listed(commit, source):
                known[pointer.md5] = key in people_at(workspace, commit).names
            if pointer and known.get(pointer.md5):
                found.append(release.version)
    return found
