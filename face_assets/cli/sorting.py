"""`face-assets sort`: photos without labels, grouped by the people on them. A proposal: nothing is moved."""

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from face_assets.biometrics.clustering import MOST, groups_of_faces
from face_assets.cli.named_photos import photos_in
from face_assets.cli.recognition import answers_of, connect
from face_assets.core.errors import UserError
from face_assets.core.files import new_directory
from face_assets.core.progress import Progress
from face_assets.dataset.photo_folders import person_key
from face_assets.serving.client import Answer


def sort_photos(folder: Path, progress: Progress) -> dict[str, Any]:
    """Returns the plan: each person with folder, suggested name and photos, and photos that nobody is found on. Raises UserError."""
    photos = photos_in([folder])
    client = connect()
    client.require_ready()
    answers = answers_of(photos, progress)
    return plan_of([str(photo) for photo in photos], answers, client.verification_threshold())


def plan_of(photos: Sequence[str], answers: Sequence[Answer | UserError], threshold: float) -> dict[str, Any]:
    """Returns the plan of photos by the server's answers. threshold: score from which two photos show one person, by the release."""
    faces = [(photo, face) for photo, answer in zip(photos, answers, strict=True) if isinstance(answer, Answer) for face in answer.faces]
    if len(faces) > MOST:
        raise UserError(f"{len(faces):,} faces were found, and {MOST:,} can be sorted at once: sort the folder in parts.")
    groups = groups_of_faces(np.stack([face.embedding for _, face in faces]), threshold) if faces else np.empty(0, np.int64)
    members: dict[int, list[Any]] = {}
    for group, one in zip(groups.tolist(), faces, strict=True):
        members.setdefault(group, []).append(one)
    people, taken = [], set[str]()
    for own in sorted(members.values(), key=lambda own: (-len(own), own[0][0])):
        known = Counter(face.identity for _, face in own if face.accepted).most_common(1)
        name = known[0][0] if known else None
        folder = next(one for one in _folders(name) if person_key(one) not in taken)
        taken.add(person_key(folder))
        people.append(
            {
                "folder": folder,
                "name": name,
                "recognized": known[0][1] if known else 0,
                "photos": [{"photo": photo, "box": [round(float(value), 1) for value in face.box]} for photo, face in own],
            }
        )
    pairs = list(zip(photos, answers, strict=True))
    return {
        "people": people,
        "without_face": [photo for photo, answer in pairs if isinstance(answer, Answer) and not answer.faces],
        "errors": {photo: str(answer) for photo, answer in pairs if isinstance(answer, UserError)},
        "threshold": threshold,
        "release": next((answer.release for answer in answers if isinstance(answer, Answer)), None),
    }


def _folders(name: str | None) -> Iterator[str]:
    """Names for a person's folder, the best first."""
    if name:
        yield name
    for number in count(2 if name else 1):
        yield f"{name or 'person'} {number}"


def copy_sorted(plan: dict[str, Any], to: Path) -> None:
    """Copies the photos into a new folder, one folder a person; a photo of several people into each of theirs. Raises UserError."""
    if to.exists():
        raise UserError(f"{to} exists already: name a new folder.")
    with new_directory(to) as aside:
        for person in plan["people"]:
            folder = aside / person["folder"]
            folder.mkdir()
            for photo in dict.fromkeys(one["photo"] for one in person["photos"]):
                shutil.copyfile(photo, _free(folder / Path(photo).name))


def _free(path: Path) -> Path:
    """The path, or the first with a number that nobody has taken: photos of two folders may have one name."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.stem} {number}{path.suffix}")
    return free


def plan_text(plan: dict[str, Any]) -> str:
    """Returns the plan as lines of text."""
    lines = []
    for person in plan["people"]:
        photos = len({one["photo"] for one in person["photos"]})
        why = f", {person['recognized']} of them recognized" if person["name"] else ""
        lines.append(f"{person['folder']}: {photos} photo{'s' if photos != 1 else ''}{why}")
    lines += [f"{photo}: {error}" for photo, error in plan["errors"].items()]
    shown = {one["photo"] for person in plan["people"] for one in person["photos"]}
    lines.append(f"{len(plan['people']):,} people on {len(shown):,} photos; {len(plan['without_face']):,} photos without a face")
    return "\n".join(lines)
