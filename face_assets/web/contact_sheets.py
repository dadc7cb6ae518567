"""The contact sheets of a commit's faces, which metadata in Dagster links to: the event log itself holds no face."""

from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from fastapi.responses import HTMLResponse
from starlette.concurrency import run_in_threadpool

from face_assets.core.errors import UserError
from face_assets.registry.artifact_references import artifact_of
from face_assets.registry.workspace import Workspace
from face_assets.web.pages import page
from face_assets.web.problems import WebError

TITLE = "Faces"
SHEETS = {
    "aligned_faces": {"sample": "Faces as they were cut", "rejected": "Photos without a usable face"},
    "label_audit": {"suspects": "Photos whose labels their faces contradict"},
    "gallery_audit": {"suspects": "Enrolled photos whose labels their faces contradict"},
}
"""Asset → its sheets with their headings."""
Asset = Literal["aligned_faces", "label_audit", "gallery_audit"]
Sheet = Literal["sample", "rejected", "suspects"]
ACommit = Annotated[str, Query(pattern="^[0-9a-f]{40}$", description="commit of the data repository")]
router = APIRouter(include_in_schema=False)


@router.get("/faces")
async def faces_page(asset: Asset, commit: ACommit) -> HTMLResponse:
    """The contact sheets of an asset for a commit."""
    about: dict[str, Any] = {"asset": asset, "commit": commit}
    try:
        found = await run_in_threadpool(_sheets, asset, commit)
    except UserError as error:
        return page("faces.html", TITLE, 404, error=str(error), sheets={}, **about)
    return page("faces.html", TITLE, error=None, sheets={name: SHEETS[asset][name] for name in found}, **about)


@router.get("/sheet")
async def sheet(asset: Asset, commit: ACommit, name: Sheet) -> Response:
    """A contact sheet."""
    try:
        found = await run_in_threadpool(_sheets, asset, commit)
    except UserError as error:
        raise WebError(404, str(error), "not_found") from error
    if name not in found:
        raise WebError(404, f"{asset} has no sheet {name} for commit {commit[:12]}.", "not_found")
    return Response(await run_in_threadpool(found[name].read_bytes), media_type="image/jpeg")


def _sheets(asset: str, commit: str) -> dict[str, Path]:
    """The files of an asset's sheets by name. Raises UserError where this machine does not have the asset for the commit."""
    artifact = artifact_of(Workspace.load(), asset, commit)
    if artifact is None:
        raise UserError(
            f"This machine has no {asset} for commit {commit[:12]}: it was made on another one, pruned, or removed because somebody was "
            f"erased. `face-assets run --commit {commit[:12]}` makes it again."
        )
    files = {name: artifact.directory / f"{name}.jpg" for name in SHEETS[asset]}
    return {name: file for name, file in files.items() if file.is_file()}
