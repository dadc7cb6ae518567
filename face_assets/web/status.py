"""GET /api/v1/status: the live release, and whether requests can be answered."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from face_assets import __version__
from face_assets.web.problems import WebError
from face_assets.web.recognizer import Recognizer

router = APIRouter(tags=["service"])


async def recognizer_of(request: Request) -> Recognizer:
    """Returns the application's recognizer, for routes of every module. Asynchronous, for FastAPI gives others a thread each."""
    found: Recognizer = request.app.state.recognizer
    return found


ARecognizer = Annotated[Recognizer, Depends(recognizer_of)]


class Status(BaseModel):
    """State of the service."""

    version: str = Field(description="version of Face Assets")
    ready: bool = Field(description="whether photos can be sent now")
    release: str | None = Field(description="the live release")
    why: str | None = Field(description="why photos cannot be sent")


@router.get("/api/v1/alive", include_in_schema=False)
async def alive() -> dict[str, bool]:
    """That the process responds, whatever the recognition server does."""
    return {"alive": True}


@router.get("/api/v1/status")
async def status(recognizer: ARecognizer) -> Status:
    """The live release, and whether photos can be sent."""
    try:
        live = await recognizer.live()
    except WebError as error:
        return Status(version=__version__, ready=False, release=None, why=str(error))
    return Status(version=__version__, ready=True, release=live.release, why=None)
