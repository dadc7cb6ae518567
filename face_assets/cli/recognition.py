"""`face-assets identify` and `verify`: requests to the live server over gRPC."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from face_assets.core.errors import UserError
from face_assets.registry.workspace import Workspace
from face_assets.serving.client import Answer, RecognizerClient
from face_assets.serving.steps import target


def connect() -> RecognizerClient:
    """Returns a client of this state directory's server. Raises UserError where none was started."""
    return target(Workspace.load()).client()


def identify_photos(photos: Sequence[Path]) -> list[dict[str, Any]]:
    """Returns one result a photo; that of an unusable photo has an error."""
    client = connect()
    client.require_ready()
    return [_identify(client, photo) for photo in photos]


def _identify(client: RecognizerClient, photo: Path) -> dict[str, Any]:
    try:
        answer = client.identify(_read(photo))
    except UserError as error:
        return {"photo": str(photo), "error": str(error), "text": f"error: {error}"}
    faces = [
        {
            "identity": face.identity or None,
            "accepted": face.accepted,
            "score": round(face.score, 4),
            "box": [round(float(value), 1) for value in face.box],
            "probability": round(face.probability, 4),
        }
        for face in answer.faces
    ]
    return {"photo": str(photo), "release": answer.release, "faces": faces, "text": _text(answer)}


def _text(answer: Answer) -> str:
    if not answer.faces:
        return f"no face found ({answer.release})"
    names = [f"{face.identity} ({face.score:.3f})" if face.accepted else f"nobody enrolled ({face.score:.3f})" for face in answer.faces]
    return f"{'; '.join(names)} [{answer.release}]"


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


def _read(photo: Path) -> bytes:
    if not photo.is_file():
        raise UserError("no such file" if not photo.exists() else "not a file")
    return photo.read_bytes()
