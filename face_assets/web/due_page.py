"""The page of what is due by people.csv: whose time has passed or ends soon, and who has no entry in force."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse
from starlette.concurrency import run_in_threadpool

from face_assets.core.errors import UserError
from face_assets.gallery.people_commits import followed_branch
from face_assets.gallery.people_register import today
from face_assets.gallery.retention import people_of_register
from face_assets.registry.workspace import Workspace
from face_assets.web.pages import page
from face_assets.web.people import problem_of

TITLE = "Due"
A_PAGE = 100
router = APIRouter(include_in_schema=False)


@router.get("/due")
async def due_page(at: Annotated[int, Query(ge=1, le=1_000_000)] = 1) -> HTMLResponse:
    """A page of the people about whom something is due, the most urgent first. at: number of the page, from 1."""
    try:
        return await run_in_threadpool(_list, at)
    except UserError as error:
        problem = problem_of(error)
        return page(
            "due.html", TITLE, problem.status, error=str(problem), people=[], total=0, at=1, last=1, erases=True, has_register=False
        )


def _list(at: int) -> HTMLResponse:
    workspace = Workspace.load()
    workspace.repository.refresh()
    found = people_of_register(workspace, workspace.repository.resolve(followed_branch(workspace)), today())
    due = [one for one in found or () if one.is_due]
    last = max(1, -(-len(due) // A_PAGE))
    at = min(at, last)
    people = [
        {
            "name": one.standing.name,
            "state": one.standing.state,
            "enrolled": one.is_enrolled,
            "basis": one.standing.entry.basis if one.standing.entry else "",
            "since": str(one.standing.entry.since) if one.standing.entry else "",
            "until": str(one.standing.entry.until or "") if one.standing.entry else "",
        }
        for one in due[(at - 1) * A_PAGE : at * A_PAGE]
    ]
    erases = workspace.settings.after_consent == "erase"
    return page(
        "due.html", TITLE, error=None, people=people, total=len(due), at=at, last=last, erases=erases, has_register=found is not None
    )
