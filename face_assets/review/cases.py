"""Cases that a person decides: labels that the faces contradict, photos without a usable face, and answers that users called wrong."""

import csv
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, Literal

from face_assets.audit.findings import read_findings
from face_assets.audit.gallery_faces import GALLERY
from face_assets.audit.reviewed import people_case, photo_case, reviewed_cases
from face_assets.audit.steps import FINDINGS
from face_assets.dataset.photo_folders import person_key
from face_assets.dataset.steps import PHOTOS
from face_assets.gallery.people import People
from face_assets.monitoring.feedback import SOMEBODY_ELSE, STRANGER
from face_assets.registry.artifact_references import newest_artifact
from face_assets.registry.workspace import Workspace
from face_assets.review.judged_answers import JudgedAnswer, judged_answers
from face_assets.storage.artifacts import Artifact

Subject = Literal["photo", "people", "answer"]
REJECTED = {"contradiction": "a file under two names", "no_face": "no face found", "unusable": "cannot be read"}
"""Statuses of photos without a usable face, and their headings."""
HEADINGS = {
    "wrong_person": "shows somebody else",
    "two_names": "two names of one person",
    "two_people": "a second person under the name",
    "answer": "an answer that was called wrong",
    **REJECTED,
    "unlike": "unlike the person's other photos",
}
"""Kinds of cases in the order in which they come, and their headings."""
SHOWN = 6
"""Other photos of a person that a case shows."""


@dataclass(frozen=True)
class Shown:
    """A face that a case shows: the photo's md5, its place among the photo's faces, and the file's name."""

    md5: str
    rank: int
    file: str


@dataclass(frozen=True)
class Case:
    """A case. id: the same for the same label of the same photo, or the same two people, at every commit.

    identity: the label in doubt; suggestion: the person whom it fits, "" for nobody; photo: in doubt, None for two names and for an
    answer without a photo; face: False where the photo is shown whole; answer: of the inbox; own, other: photos of both people.
    """

    id: str
    kind: str
    subject: Subject
    identity: str
    suggestion: str
    reason: str
    photo: Shown | None = None
    face: bool = True
    answer: JudgedAnswer | None = None
    own: tuple[Shown, ...] = ()
    other: tuple[Shown, ...] = ()

    @property
    def heading(self) -> str:
        """The kind in words."""
        return HEADINGS[self.kind]


@dataclass(frozen=True)
class Faces:
    """The people at a commit, and their faces as the newest audit up to it has them. folders: tracked folder → people."""

    folders: Mapping[str, People]
    rows: Sequence[Mapping[str, str]]

    @cached_property
    def ranks(self) -> dict[str, int]:
        """The place of the subject among a photo's faces, by md5, for photos with a usable face."""
        return {row["md5"]: int(row.get("crop", "").partition(".")[2] or 0) for row in self.rows if row["status"] in ("face", "seen")}

    def stands(self, md5: str, identity: str) -> bool:
        """True where a photo is under the person's name."""
        key = person_key(identity)
        return any(md5 in people.photos.get(key, {}).values() for people in self.folders.values())

    def knows(self, identity: str) -> bool:
        """True where a person has photos."""
        return any(person_key(identity) in people.names for people in self.folders.values())

    def md5_at(self, path: str) -> str | None:
        """The photo at a path; the gallery's begin with the folder's name."""
        folder, inside = (GALLERY, path.removeprefix(f"{GALLERY}/")) if path.startswith(f"{GALLERY}/") else (PHOTOS, path)
        if folder == GALLERY and GALLERY not in self.folders:
            folder, inside = PHOTOS, path
        return self.folders[folder].files.get(inside) if folder in self.folders else None

    def of(self, identity: str, without: set[str]) -> tuple[Shown, ...]:
        """Some photos of a person, those with a face first, without the doubtful ones where there are others."""
        key = person_key(identity)
        photos = {md5: path for people in self.folders.values() for path, md5 in sorted(people.photos.get(key, {}).items())}
        sure = [md5 for md5 in photos if md5 not in without] or [md5 for md5 in photos if len(photos) > 1 or md5 not in without]
        ordered = sorted(sure, key=lambda md5: md5 not in self.ranks)[:SHOWN]
        return tuple(self.shown(md5, photos[md5]) for md5 in ordered)

    def shown(self, md5: str, path: str) -> Shown:
        """A photo as a case shows it."""
        return Shown(md5, self.ranks.get(md5, 0), PurePosixPath(path).name)


def people_of(workspace: Workspace, commit: str) -> dict[str, People]:
    """The people of each tracked folder at a commit."""
    repository = workspace.repository
    return {name: People.of(repository.files(commit, name)) for name in (PHOTOS, GALLERY) if repository.pointer(commit, name)}


@dataclass(frozen=True)
class LabelCases:
    """The cases of a commit's labels, with what they were read from. audits: fingerprints of the newest audits up to the commit."""

    commit: str
    audits: tuple[str, ...]
    faces: Faces
    cases: Sequence[Case]


def label_cases(workspace: Workspace, commit: str, before: LabelCases | None = None) -> LabelCases:
    """The cases of the newest audits up to a commit, as far as their labels still stand there.

    before: is returned where commit and audits are still the same, since listings and audits of many photos take seconds to read.
    """
    of_photos = newest_artifact(workspace, "label_audit", commit)
    of_gallery = newest_artifact(workspace, "gallery_audit", commit)
    audits = [found[1] for found in (of_photos, of_gallery) if found]
    names = tuple(f"{audit.kind} {audit.fingerprint}" for audit in audits)
    if before and (before.commit, before.audits) == (commit, names):
        return before
    faces = Faces(people_of(workspace, commit), _rows(of_photos[1]) if of_photos else [])
    findings = [finding for audit in audits for finding in read_findings(audit.directory / FINDINGS)]
    doubtful = {md5 for finding in findings if (md5 := faces.md5_at(finding["path"]))}
    return LabelCases(commit, names, faces, [*_found(findings, faces, doubtful), *_rejected(faces, doubtful)])


def open_cases(workspace: Workspace, labels: LabelCases) -> list[Case]:
    """The cases that nobody has reviewed, by kind: those of a commit's labels, and the answers that users called wrong by now."""
    reviewed = reviewed_cases(workspace.repository, labels.commit)
    once: dict[str, Case] = {}
    for case in (*labels.cases, *_answers(workspace, labels.commit, labels.faces)):
        once.setdefault(case.id, case)
    order = list(HEADINGS)
    return sorted((case for case in once.values() if case.id not in reviewed), key=lambda case: order.index(case.kind))


def _rows(audited: Artifact) -> list[dict[str, str]]:
    with open(audited.directory / "faces.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _found(findings: Iterable[Mapping[str, Any]], faces: Faces, doubtful: set[str]) -> Iterator[Case]:
    """The cases of an audit's findings."""
    for finding in findings:
        identity, fits = finding["identity"], finding["agrees_with"]
        own, other = faces.of(identity, doubtful), faces.of(fits, doubtful) if fits else ()
        if finding["kind"] == "two_names":
            if faces.knows(identity) and faces.knows(fits):
                number = people_case(identity, fits)
                yield Case(number, "two_names", "people", identity, fits, finding["reason"], own=own, other=other)
            continue
        md5 = faces.md5_at(finding["path"])
        if md5 and faces.stands(md5, identity):
            photo = faces.shown(md5, finding["path"])
            reason = f"{finding['reason']} (score with its own name {_score(finding['own'])}, with the other {_score(finding['other'])})"
            number = photo_case(md5, identity)
            yield Case(number, finding["kind"], "photo", identity, fits, reason, photo, md5 in faces.ranks, own=own, other=other)


def _rejected(faces: Faces, doubtful: set[str]) -> Iterator[Case]:
    """The cases of photos without a usable face."""
    claims: defaultdict[str, list[str]] = defaultdict(list)
    for row in faces.rows:
        claims[row["md5"]].append(row["identity"])
    for row in faces.rows:
        if row["status"] not in REJECTED or not faces.stands(row["md5"], row["identity"]):
            continue
        others = [name for name in claims[row["md5"]] if name != row["identity"]]
        fits = others[0] if others else ""
        yield Case(
            photo_case(row["md5"], row["identity"]),
            row["status"],
            "photo",
            row["identity"],
            fits,
            row["reason"] or REJECTED[row["status"]],
            faces.shown(row["md5"], row["path"]),
            face=False,
            own=faces.of(row["identity"], doubtful | {row["md5"]}),
            other=faces.of(fits, doubtful | {row["md5"]}) if fits else (),
        )


def _answers(workspace: Workspace, commit: str, faces: Faces) -> Iterator[Case]:
    """The cases of answers that users called wrong."""
    for answer in judged_answers(workspace, commit):
        given, truth = answer.feedback.answered or "", answer.feedback.truth
        name = "" if truth in (STRANGER, SOMEBODY_ELSE) else truth
        says = {STRANGER: "nobody who is enrolled", SOMEBODY_ELSE: "somebody else"}.get(truth, truth)
        reason = f"{answer.feedback.release} found {given or 'nobody'}, and a user says that it is {says}"
        reason += f" ({answer.feedback.note})" if answer.feedback.note else ""
        own, other = faces.of(name, set()) if name else (), faces.of(given, set()) if given else ()
        yield Case(answer.id, "answer", "answer", given or name, name, reason, answer=answer, own=other if given else own, other=own)


def _score(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"
