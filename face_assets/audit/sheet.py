"""The contact sheet of the audit: each photo in doubt, next to its person's other photos and those that it fits."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from face_assets.audit.findings import Finding
from face_assets.detection.contact_sheet import contact_sheet
from face_assets.detection.steps import Face
from face_assets.storage.content_store import ContentStore

ROWS, OWN, OTHER = 10, 4, 3
COLUMNS = 1 + OWN + OTHER


def findings_sheet(findings: Sequence[Finding], faces: Sequence[Face], crops: ContentStore, size: int) -> bytes:
    """A JPEG with a row for each of the first ROWS findings of every kind in turn; each person with several findings has one row."""
    of_person: defaultdict[str, list[Face]] = defaultdict(list)
    for face in faces:
        of_person[face.identity].append(face)
    doubtful = {finding.path for finding in findings}
    rows = [_row(finding, of_person, doubtful) for finding in _chosen(findings)]
    wanted = {face.crop_key for row in rows for face, _ in row if face}
    stored = {
        entry.key: np.frombuffer(entry.blob, np.uint8).reshape(size, size, 3) for entry in crops.entries(sorted(wanted)) if entry.blob
    }
    empty = np.full((size, size, 3), 255, np.uint8)
    pictures = [(stored.get(face.crop_key, empty) if face else empty, caption) for row in rows for face, caption in row]
    return contact_sheet(pictures, COLUMNS)


def _chosen(findings: Sequence[Finding]) -> list[Finding]:
    """ROWS findings, from each kind in turn, one a person and kind."""
    kinds: defaultdict[str, dict[str, Finding]] = defaultdict(dict)
    for finding in findings:
        kinds[finding.kind].setdefault(finding.identity, finding)
    waiting = [list(found.values()) for found in kinds.values()]
    turns = max((len(one) for one in waiting), default=0)
    return [one[turn] for turn in range(turns) for one in waiting if turn < len(one)][:ROWS]


def _row(finding: Finding, of_person: dict[str, list[Face]], doubtful: set[str]) -> list[tuple[Face | None, str]]:
    """COLUMNS faces with captions: the one in doubt, some of its person without doubt, and some of the person that it fits."""
    every = of_person[finding.identity]
    suspect = next((face for face in every if face.path == finding.path), every[0])
    own = [face for face in every if face.path not in doubtful and face is not suspect][:OWN]
    fits = [face for face in of_person.get(finding.agrees_with, []) if face.path not in doubtful][:OTHER]
    filled = [*((face, face.identity) for face in own), *[(None, "")] * (OWN - len(own))]
    filled += [*((face, f"fits: {face.identity}") for face in fits), *[(None, "")] * (OTHER - len(fits))]
    return [(suspect, f"{finding.kind}: {suspect.path}"), *filled]
