"""The record of reviewed cases in the data repository: labels in doubt that a person has decided."""

import csv
import io
from collections.abc import Callable, Mapping

from face_assets.audit.findings import Finding
from face_assets.audit.gallery_faces import GALLERY
from face_assets.core.fingerprint import fingerprint
from face_assets.dataset.photo_folders import person_key
from face_assets.dataset.steps import PHOTOS
from face_assets.registry.data_repository import DataRepository
from face_assets.registry.watch import REVIEWED

HEADER = ("case", "decision")
RIGHT = "right"
MOST_BYTES = 50_000_000


def photo_case(md5: str, identity: str) -> str:
    """The id of a case about a photo under a person's name, the same at every commit."""
    return fingerprint("photo", md5, person_key(identity))


def people_case(one: str, other: str) -> str:
    """The id of a case about two names."""
    return fingerprint("people", *sorted((person_key(one), person_key(other))))


def reviewed_cases(repository: DataRepository, commit: str) -> dict[str, str]:
    """The reviewed cases at a commit: id → decision. Lines that are none are left out."""
    content = repository.read(commit, REVIEWED, MOST_BYTES) or b""
    rows = csv.reader(io.StringIO(content.decode(errors="replace"), newline=""))
    return {row[0]: row[1] for row in rows if len(row) == len(HEADER) and tuple(row) != HEADER}


def record_of(reviewed: Mapping[str, str]) -> bytes:
    """The record, sorted, so that git merges those of two branches."""
    output = io.StringIO()
    writer = csv.writer(output, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows(sorted(reviewed.items()))
    return output.getvalue().encode()


def found_right(repository: DataRepository, commit: str) -> Callable[[Finding], bool]:
    """A function that is True for a finding about a label that a person has called right."""
    right = {case for case, decision in reviewed_cases(repository, commit).items() if decision == RIGHT}
    if not right:
        return lambda _: False
    folders = [(name, prefix) for name, prefix in ((PHOTOS, ""), (GALLERY, f"{GALLERY}/")) if repository.pointer(commit, name)]
    md5s = {f"{prefix}{file.path}": file.md5 for name, prefix in folders for file in repository.files(commit, name)}

    def is_right(finding: Finding) -> bool:
        if finding.kind == "two_names":
            return people_case(finding.identity, finding.agrees_with) in right
        return photo_case(md5s.get(finding.path, ""), finding.identity) in right

    return is_right
