"""CompreFace's API of recognition, verification and detection, so that its clients run unchanged.

Source: the "Rest API description" of github.com/exadel-inc/CompreFace, and the numbers of its CommonExceptionCode.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Header, Query, Request

from face_assets.serving.rights import EMBEDDINGS
from face_assets.web.caller import caller_of
from face_assets.web.compreface_route import CompreFaceRoute
from face_assets.web.photos import read_photos
from face_assets.web.problems import WebError
from face_assets.web.recognition import MOST_NEAREST, Folders, body, by_one_release, look, release_of
from face_assets.web.recognizer import Arrays, while_connected
from face_assets.web.status import ARecognizer

STEEPNESS = 5.291995557
"""In (tanh((d0 - d) * STEEPNESS) + 1) / 2, CompreFace's similarity by the distance d of unit vectors; d0 is the threshold's here."""
LANDMARKS, CALCULATOR = "landmarks", "calculator"
Key = Annotated[str, Header(alias="x-api-key", description="any text on this machine, where no key is needed")]
Limit = Annotated[int, Query(ge=0, description="the largest faces alone; 0 for all")]
Least = Annotated[float, Query(ge=0, le=1, description="least probability of a face")]
Plugins = Annotated[str, Query(description="landmarks, calculator (embeddings, where the service may return them); others say nothing")]
State = Annotated[bool, Query(description="with execution times and versions")]
router = APIRouter(prefix="/api/v1", tags=["CompreFace"], route_class=CompreFaceRoute)


@dataclass(frozen=True)
class Options:
    """The options of a request. least: probability of a face; began: time.monotonic."""

    limit: int
    least: float
    status: bool
    landmarks: bool
    embeddings: bool
    began: float

    def at_least(self, probability: str) -> "Options":
        """Returns the options with another least probability of a face. Raises WebError."""
        try:
            least = float(probability)
        except ValueError:
            least = -1.0
        if not 0 <= least <= 1:
            raise WebError(400, "det_prob_threshold is no number from 0 to 1", "invalid")
        return replace(self, least=least)

    def rows(self, found: Arrays) -> list[int]:
        """Rows of the wanted faces, the largest first. Raises WebError where there is none."""
        boxes = found["BOXES"]
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        kept = [int(row) for row in np.argsort(-areas, kind="stable") if found["PROBABILITIES"][row] >= self.least]
        if not kept:
            raise WebError(400, "No face is found in the given image", "no_face")
        return kept[: self.limit or None]

    def face(self, found: Arrays, row: int) -> dict[str, Any]:
        """Returns box and plugins of a face."""
        left, top, right, bottom = (round(float(value)) for value in found["BOXES"][row])
        probability = float(found["PROBABILITIES"][row])
        face: dict[str, Any] = {"box": {"probability": probability, "x_max": right, "y_max": bottom, "x_min": left, "y_min": top}}
        if self.landmarks and "LANDMARKS" in found:
            face["landmarks"] = [[round(float(x)), round(float(y))] for x, y in found["LANDMARKS"][row]]
        if self.embeddings and "EMBEDDINGS" in found:
            face["embedding"] = [float(value) for value in found["EMBEDDINGS"][row]]
        if self.status:
            face["execution_time"] = {"detector": round(1000 * (time.monotonic() - self.began), 1)}
        return face

    def result(self, result: Sequence[Any], release: str) -> dict[str, Any]:
        """Returns the body of an answer."""
        versions = {"plugins_versions": {"detector": release, "calculator": release}} if self.status else {}
        return {"result": result, **versions}


async def options_of(
    request: Request, key: Key = "", limit: Limit = 0, det_prob_threshold: Least = 0.0, face_plugins: Plugins = "", status: State = False
) -> Options:
    """Returns the options of a request."""
    plugins = {name.strip().lower() for name in face_plugins.split(",")}
    embeddings = CALCULATOR in plugins and caller_of(request).may(EMBEDDINGS)
    return Options(limit, det_prob_threshold, status, LANDMARKS in plugins, embeddings, time.monotonic())


Asked = Annotated[Options, Depends(options_of)]


def similarity(score: float, threshold: float) -> float:
    """Returns a cosine as CompreFace's similarity, 0 to 1, which grows with it: 0.5 is the release's threshold."""
    distance, allowed = (math.sqrt(max(0.0, 2 - 2 * cosine)) for cosine in (score, threshold))
    return (math.tanh((allowed - distance) * STEEPNESS) + 1) / 2


@router.post("/recognition/recognize", openapi_extra=body(["file"]))
async def recognize(
    request: Request,
    recognizer: ARecognizer,
    folders: Folders,
    asked: Asked,
    prediction_count: Annotated[int, Query(ge=1, le=MOST_NEAREST, description="nearest people of each face")] = 1,
) -> dict[str, Any]:
    """The nearest people of each face, as CompreFace states them."""
    (photo,) = await read_photos(request)
    found = await while_connected(request, look(recognizer, photo.content, asked.landmarks))
    files = folders.read(release_of(found))
    faces = []
    for row in asked.rows(found):
        nearest = files.nearest(found["EMBEDDINGS"][row], prediction_count)
        subjects = [{"subject": one.name, "similarity": similarity(one.score, files.identification_threshold)} for one in nearest]
        faces.append({**asked.face(found, row), "subjects": subjects})
    return asked.result(faces, files.release)


@router.post("/verification/verify", openapi_extra=body(["source_image", "target_image"]))
async def verify(request: Request, recognizer: ARecognizer, folders: Folders, asked: Asked) -> dict[str, Any]:
    """The faces of the target, each compared with the largest face of the source."""
    photos = {photo.name: photo.content for photo in await read_photos(request, most=2)}
    if set(photos) != {"source_image", "target_image"}:
        missing = next(name for name in ("source_image", "target_image") if name not in photos)
        raise WebError(400, f"Required part {missing} is missing", "no_photo")
    source, target = await while_connected(
        request, by_one_release(recognizer, [photos["source_image"], photos["target_image"]], asked.landmarks)
    )
    files = folders.read(release_of(target))
    own = asked.rows(source)[0]
    matches = [
        {
            **asked.face(target, row),
            "similarity": similarity(float(np.dot(source["EMBEDDINGS"][own], target["EMBEDDINGS"][row])), files.verification_threshold),
        }
        for row in asked.rows(target)
    ]
    return asked.result([{"source_image_face": asked.face(source, own), "face_matches": matches}], files.release)


@router.post("/detection/detect", openapi_extra=body(["file"]))
async def detect(request: Request, recognizer: ARecognizer, asked: Asked) -> dict[str, Any]:
    """The faces on a photo, as CompreFace states them."""
    (photo,) = await read_photos(request)
    work = look(recognizer, photo.content, asked.landmarks) if asked.embeddings else recognizer.detect(photo.content)
    found = await while_connected(request, work)
    return asked.result([asked.face(found, row) for row in asked.rows(found)], (await recognizer.live()).release)
