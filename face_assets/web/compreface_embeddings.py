"""CompreFace's recognition and verification by embeddings, which a caller computed before with the live release."""

from typing import Annotated, Any
from uuid import UUID

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from face_assets.web.compreface import Asked, similarity
from face_assets.web.compreface_people import named_example
from face_assets.web.compreface_route import CompreFaceRoute
from face_assets.web.people import AService
from face_assets.web.problems import WebError
from face_assets.web.recognition import MOST_NEAREST, Folders, release_of
from face_assets.web.recognizer import while_connected
from face_assets.web.release_files import ReleaseFiles
from face_assets.web.status import ARecognizer

MOST = 256
LONGEST = 4096
Vector = Annotated[list[float], Field(max_length=LONGEST)]
Vectors = Annotated[list[Vector], Field(max_length=MOST)]
Floats = npt.NDArray[np.float32]
router = APIRouter(prefix="/api/v1", tags=["CompreFace"], route_class=CompreFaceRoute)


class Embeddings(BaseModel):
    """Embeddings of faces."""

    embeddings: Vectors


class Compared(BaseModel):
    """An embedding, and others to compare it with."""

    source: Vector
    targets: Vectors


@router.post("/recognition/embeddings/recognize")
async def recognize_embeddings(
    recognizer: ARecognizer,
    folders: Folders,
    sent: Embeddings,
    prediction_count: Annotated[int, Query(ge=1, le=MOST_NEAREST, description="nearest people of each embedding")] = 1,
) -> dict[str, Any]:
    """The nearest people of each embedding."""
    files = folders.read((await recognizer.live()).release)
    vectors = _of_unit_length(sent.embeddings, files)
    found = []
    for stated, vector in zip(sent.embeddings, vectors, strict=True):
        near = files.nearest(vector, prediction_count)
        likely = [{"subject": one.name, "similarity": similarity(one.score, files.identification_threshold)} for one in near]
        found.append({"embedding": stated, "similarities": likely})
    return {"result": found}


@router.post("/recognition/embeddings/faces/{image_id}/verify")
async def verify_embeddings(
    request: Request, service: AService, recognizer: ARecognizer, folders: Folders, asked: Asked, image_id: UUID, sent: Embeddings
) -> dict[str, Any]:
    """Each embedding compared with the largest face of an example."""
    _, example = await run_in_threadpool(named_example, service, image_id)
    source = await while_connected(request, recognizer.identify([example]))
    files = folders.read(release_of(source))
    return _compared(source["EMBEDDINGS"][asked.rows(source)[0]], sent.embeddings, files)


@router.post("/verification/embeddings/verify")
async def verify_two_embeddings(recognizer: ARecognizer, folders: Folders, sent: Compared) -> dict[str, Any]:
    """Each target compared with the source."""
    files = folders.read((await recognizer.live()).release)
    return _compared(_of_unit_length([sent.source], files)[0], sent.targets, files)


def _compared(source: Floats, targets: list[list[float]], files: ReleaseFiles) -> dict[str, Any]:
    """The targets by similarity with the source, the most similar first. source: float32 (d,) of unit length."""
    scores = _of_unit_length(targets, files) @ source
    likely = [similarity(float(score), files.verification_threshold) for score in scores]
    return {"result": [{"embedding": targets[row], "similarity": likely[row]} for row in np.argsort(-scores, kind="stable")]}


def _of_unit_length(embeddings: list[list[float]], files: ReleaseFiles) -> Floats:
    """The embeddings, float32 (n, d). Raises WebError for none, of another length than the release's, or without a direction."""
    if not embeddings:
        raise WebError(400, "1 embeddings were expected, but 0 were provided", "embeddings")
    size = files.gallery.templates.shape[1]
    if any(len(one) != size for one in embeddings):
        raise WebError(400, f"An embedding of {files.release} has {size} numbers.", "invalid")
    vectors = np.array(embeddings, np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or not lengths.all():
        raise WebError(400, "An embedding has finite numbers, not all of them 0.", "invalid")
    return np.asarray(vectors / lengths, np.float32)
