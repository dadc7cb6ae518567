"""`face-assets identify` and `verify`: requests to the live server over gRPC."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from face_assets.core.errors import UserError
from face_assets.core.progress import Progress
from face_assets.registry.workspace import Workspace
from face_assets.serving.client import Answer, Person, RecognizerClient
from face_assets.serving.steps import target

AT_ONCE = 16
"""Photos that are sent at once: as many as the recognizer processes."""


def connect() -> RecognizerClient:
    """Returns a client of this state directory's server. Raises UserError where none was started."""
    return target(Workspace.load()).client()


def identify_photos(photos: Sequence[Path], progress: Progress = lambda done, whole: None) -> list[dict[str, Any]]:
    """Returns one result a photo; that of an unusable photo has an error."""
    connect().require_ready()
    return [result_of(photo, answer) for photo, answer in zip(photos, answers_of(photos, progress), strict=True)]


def answers_of(photos: Sequence[Path], progress: Progress) -> list[Answer | UserError]:
    """Returns the server's answer to each photo, or why there is none. Some photos are sent at once, as the server takes them."""
    own = threading.local()

    def answer(photo: Path) -> Answer | UserError:
        try:
            own.client = getattr(own, "client", None) or connect()  # one a thread, as Triton's client wants it
            found: Answer = own.client.identify(_read(photo))
            return found
        except UserError as error:
            return error

    answers = []
    with ThreadPoolExecutor(min(AT_ONCE, len(photos) or 1)) as pool:
        for done, one in enumerate(pool.map(answer, photos), 1):
            answers.append(one)
            progress(done, len(photos))
    return answers


def identify_one_person(photos: Sequence[Path]) -> dict[str, Any]:
    """Returns the result for one person whom all photos show. Raises UserError, also where one of the photos is unusable."""
    client = connect()
    client.require_ready()
    person = client.identify_person([photo_content(photo) for photo in photos])
    shown = [
        {
            "photo": str(photo),
            "box": _box(subject.box) if subject else None,
            "probability": round(subject.probability, 4) if subject else None,
            "quality": _quality(subject.quality) if subject else None,
        }
        for photo, subject in zip(photos, person.photos, strict=True)
    ]
    return {
        "identity": person.identity or None,
        "accepted": person.accepted,
        "too_poor": person.too_poor,
        "score": None if person.score is None else round(person.score, 4),
        "photos": shown,
        "release": person.release,
        "text": _person_text(person),
    }


def _person_text(person: Person) -> str:
    found = [subject for subject in person.photos if subject]
    if person.score is None or not found:
        return f"no face found in {len(person.photos)} photos ({person.release})"
    best = max((subject.quality for subject in found if subject.quality is not None), default=None)
    verdict = _verdict(person.identity, person.score, person.accepted, person.too_poor, best)
    return f"{verdict} by {len(found)} of {len(person.photos)} photos [{person.release}]"


def result_of(photo: Path, answer: Answer | UserError) -> dict[str, Any]:
    """Returns the JSON-able result of a photo by the server's answer, or by the error in its place."""
    if isinstance(answer, UserError):
        return {"photo": str(photo), "error": str(answer), "text": f"error: {answer}"}
    faces = [
        {
            "identity": face.identity or None,
            "accepted": face.accepted,
            "too_poor": face.too_poor,
            "score": round(face.score, 4),
            "box": _box(face.box),
            "probability": round(face.probability, 4),
            "quality": _quality(face.quality),
        }
        for face in answer.faces
    ]
    return {"photo": str(photo), "release": answer.release, "faces": faces, "text": _text(answer)}


def _text(answer: Answer) -> str:
    if not answer.faces:
        return f"no face found ({answer.release})"
    names = [_verdict(face.identity, face.score, face.accepted, face.too_poor, face.quality) for face in answer.faces]
    return f"{'; '.join(names)} [{answer.release}]"


def _verdict(identity: str, score: float, accepted: bool, too_poor: bool, quality: float | None) -> str:
    """The verdict on a person in words, such as `Ann (0.812, quality 97)`."""
    name = identity if accepted else "too poor to tell" if too_poor else "nobody enrolled"
    return f"{name} ({score:.3f}{'' if quality is None else f', quality {quality:.0f}'})"


def _box(box: np.ndarray) -> list[float]:
    return [round(float(value), 1) for value in box]


def _quality(quality: float | None) -> float | None:
    return None if quality is None else round(quality, 1)


def verify_photos(first: Path, second: Path) -> dict[str, Any]:
    """Compares the subjects (largest faces) of two photos at the release's threshold; returns the result. Raises UserError."""
    client = connect()
    client.require_ready()
    one, other = (_subject(client, photo) for photo in (first, second))
    score = float(np.dot(one, other))
    threshold = client.verification_threshold()
    same = score >= threshold
    text = f"{'the same person' if same else 'different people'}: cosine {score:.4f}, threshold {threshold:.4f}"
    return {"same": same, "score": round(score, 6), "threshold": threshold, "release": client.live_release(), "text": text}


def _subject(client: RecognizerClient, photo: Path) -> np.ndarray:
    try:
        answer = client.identify(_read(photo))
    except UserError as error:
        raise UserError(f"{photo}: {error}") from error
    if not answer.faces:
        raise UserError(f"{photo}: no face found.")
    return answer.faces[0].embedding


def photo_content(photo: Path) -> bytes:
    """Returns the bytes of a photo. Raises UserError that names it."""
    try:
        return _read(photo)
    except UserError as error:
        raise UserError(f"{photo}: {error}") from error


def _read(photo: Path) -> bytes:
    if not photo.is_file():
        raise UserError("no such file" if not photo.exists() else "not a file")
    return photo.read_bytes()
