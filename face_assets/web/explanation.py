"""POST /api/v1/explain: the nearest people of each face, the photos that carry the scores, and the release's lineage."""

import threading
from collections.abc import Sequence
from typing import Annotated

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from face_assets.core.errors import UserError
from face_assets.gallery.explanation import ExplainedPerson, Explainer, Origin
from face_assets.registry.workspace import Workspace
from face_assets.web.photos import read_photos
from face_assets.web.problems import of_user_error
from face_assets.web.recognition import Answer, Face, Folders, body, recognition_of, release_of
from face_assets.web.recognizer import while_connected
from face_assets.web.status import ARecognizer

MOST_PEOPLE = 10
router = APIRouter(tags=["recognition"])


class ExplainedFace(BaseModel):
    """A face with the reasons for its match."""

    face: Face
    nearest: list[ExplainedPerson] = Field(description="the nearest people, with the photos that carry their scores")


class Explanation(Answer):
    """The reasons for the matches of a photo's faces."""

    threshold: float = Field(description="score from which the nearest person is accepted")
    faces: list[ExplainedFace] = Field(description="the largest first")
    origin: Origin = Field(description="the lineage of the release's gallery")


class Explanations:
    """Keeps the explainer of the last release, whose network takes a second to load. Its method blocks; callers wait for one another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._explainer: Explainer | None = None

    def of(self, version: str, embeddings: npt.NDArray[np.float32], count: int) -> tuple[Origin, Sequence[list[ExplainedPerson]]]:
        """Returns the lineage of a release, and the nearest people of each embedding, float32 (n, d). Raises UserError."""
        with self._lock:
            if self._explainer is None or self._explainer.release.version != version:
                self._explainer = Explainer(Workspace.load(), version)
            return self._explainer.origin(), [self._explainer.nearest(embedding, count) for embedding in embeddings]


@router.post("/api/v1/explain", openapi_extra=body(["photo"], raw=True))
async def explain(
    request: Request,
    recognizer: ARecognizer,
    folders: Folders,
    k: Annotated[int, Query(ge=1, le=MOST_PEOPLE, description="number of nearest people of each face")] = 3,
) -> Explanation:
    """The reasons for an answer: which of the nearest people's photos carry their scores, down to md5 and commit.

    The shares of a person's photos add up to the score.
    """
    photos = await read_photos(request, most=1)
    found = await while_connected(request, recognizer.identify([photos[0].content]))
    answer = recognition_of(found, folders, k)
    explanations: Explanations = request.app.state.explanations
    try:
        origin, nearest = await run_in_threadpool(explanations.of, release_of(found), found["EMBEDDINGS"], k)
    except UserError as error:
        raise of_user_error(error) from error
    faces = [ExplainedFace(face=face, nearest=people) for face, people in zip(answer.faces, nearest, strict=True)]
    return Explanation(release=answer.release, time=answer.time, threshold=answer.threshold, faces=faces, origin=origin)
