"""A signature for a release that was registered without one: a further tag of its version, by a person."""

import time

from face_assets.core import identifiers
from face_assets.core.errors import RefusedError, UserError
from face_assets.core.files import file_lock
from face_assets.core.fingerprint import tree_digest
from face_assets.registry.data_repository import DataRepository
from face_assets.registry.gto_tags import NAME, read_tags, write_tag
from face_assets.registry.person import Person
from face_assets.registry.release_commits import push_tag
from face_assets.registry.releases import Releases
from face_assets.registry.signatures import digests_text
from face_assets.registry.workspace import Workspace


def sign_release(workspace: Workspace, version: str, who: Person) -> str:
    """Signs a registered release, with the bytes of its bundle on this machine, in the name of `who`; returns the new tag's name.

    Raises RefusedError for a bundle that is not the one of its record, and UserError without a key or for an unknown version.
    """
    signing = workspace.repository.signing
    plain = DataRepository(workspace.repository.source, workspace.home.root)
    plain.refresh()
    releases = Releases(plain)
    release = releases.get(identifiers.version(version if version.startswith("v") else f"v{version}"))
    record, bundle = plain.read(release.commit, "release.json"), releases.bundle(release)
    if record is None or tree_digest(bundle) != release.digests.packaging:
        raise RefusedError(f"{release.version} is not signed: the files of {bundle} are not those of its record.")
    with file_lock(releases.registering):
        tags = read_tags(plain)
        name = f"{NAME}@{release.version}#{max(tag.number for tag in tags) + 1}"
        message = f"{NAME} {release.version}, signed\n\n{digests_text(record, bundle)}"
        when = max(int(time.time()), max(tag.when for tag in tags) + 1)
        written = write_tag(plain.mirror, name, release.commit, message, who.name, who.email, when, signing, personal=True)
        if not push_tag(plain, plain.mirror, name, written):
            raise UserError(f"Another machine took the tag {name}: sign again.")
    workspace.repository.refresh()
    return name
