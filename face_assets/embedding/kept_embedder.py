"""The embedder of a release, kept for a commit that adds little to what it learned from."""

from pathlib import Path
from typing import Any

from face_assets.core.errors import UserError
from face_assets.core.files import link_or_copy
from face_assets.core.fingerprint import file_digest, fingerprint
from face_assets.detection.steps import read_photos
from face_assets.embedding.pull import EMBEDDER
from face_assets.embedding.retraining import added_to
from face_assets.embedding.training_record import LEARNED, SUMMARY, read_record
from face_assets.embedding.weights import weight_files
from face_assets.registry.workspace import Log, Workspace
from face_assets.storage.artifacts import Artifact


def keep_embedder(workspace: Workspace, aligned: Artifact, version: str, of_commit: dict[str, Any], log: Log) -> Artifact:
    """The embedder of a release with the record of its training, named by their content: the same artifact for every commit that keeps it.

    of_commit: facts of the commit for the summary. In that, `kept` has the release that had the embedder first and what was added since;
    `files_of` is the release whose files were taken.
    Raises UserError where the release's files are damaged, UnreachableError where they cannot be fetched.
    """
    release = workspace.releases.of_version(version)
    bundle = workspace.releases.bundle(release)
    record = read_record(bundle)
    if record is None:
        raise UserError(f"{version}, whose embedder this commit keeps, lacks the record of its training: ask for one by `run --train`.")
    evaluated = {photo.identity for photo in read_photos(aligned) if photo.split != "train"}
    assert not evaluated & record.people, "the embedder has learned from people who are to be evaluated on"
    added = added_to(record, aligned)
    first = str(release.lineage.training.get("kept_from") or version)
    log(f"not training, the embedder of {first} is kept: {of_commit['reason']}")

    files = (EMBEDDER, SUMMARY, LEARNED, *weight_files(bundle)[1:])

    def fill(directory: Path) -> dict[str, Any]:
        for name in files:
            link_or_copy(bundle / name, directory / name)
        return record.summary

    name = fingerprint("kept", [file_digest(bundle / name) for name in files])
    made = workspace.home.artifacts.make("face_embedder", name, fill)
    since = {"photos": added.photos, "people": added.people, "share": round(added.share, 4)}
    summary = {**made.summary, **of_commit, "files_of": version, "kept": {"release": first, **since}}
    return Artifact(made.kind, made.fingerprint, made.directory, summary, made.reused)
