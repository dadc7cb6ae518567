"""The pages of releases and experiments: every evaluated commit in one table, and any two next to one another."""

import base64
import threading
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse
from starlette.concurrency import run_in_threadpool

from face_assets.biometrics.plots import roc_plot
from face_assets.core.errors import UserError
from face_assets.registry.approval import objection
from face_assets.registry.person import Person
from face_assets.registry.workspace import Workspace
from face_assets.release.comparison import Comparison, Side, compare, people_at
from face_assets.release.comparison_sections import WORSE, comparison_sections, names_of, verdict_of
from face_assets.release.evaluated_commits import FIGURES, decisions_about, evaluated_commits
from face_assets.web.pages import page
from face_assets.web.people import AnAuthor, problem_of
from face_assets.web.releases import approver

TITLE = "Releases"
MOST_PAIRS = 20
AName = Annotated[str, Query(max_length=256)]
router = APIRouter(include_in_schema=False)
_drawing = threading.Lock()  # matplotlib draws one picture at a time


@router.get("/releases")
async def releases_page(author: AnAuthor) -> HTMLResponse:
    """The table of evaluated commits, and the candidate that the caller may approve."""
    try:
        return await run_in_threadpool(_releases, approver(author))
    except UserError as error:
        return _refused(error)


def _releases(who: Person) -> HTMLResponse:
    workspace = Workspace.load()
    candidate = workspace.stages.candidate()
    waiting = candidate.release if candidate else None
    production = workspace.stages.production()
    about: dict[str, Any] = {
        "candidate": waiting.version if waiting else "",
        "production": production.release.version if production else "",
        "who": str(who),
        "objection": objection(workspace.repository, waiting, who) if waiting else None,
    }
    return page("releases.html", TITLE, error=None, commits=evaluated_commits(workspace), figures=FIGURES, **about)


def _refused(error: UserError) -> HTMLResponse:
    problem = problem_of(error)
    return page("releases.html", TITLE, problem.status, error=str(problem), commits=[], figures=FIGURES, candidate="")


@router.get("/compare")
async def compare_page(first: AName, second: AName) -> HTMLResponse:
    """Two releases or evaluated commits next to one another."""
    try:
        return await run_in_threadpool(_compare, first, second)
    except UserError as error:
        return _refused(error)


def _compare(first: str, second: str) -> HTMLResponse:
    workspace = Workspace.load()
    found = compare(workspace, first, second)
    title, sections = comparison_sections(found)
    shown = [section for section in sections if section[0] != WORSE]
    sentences = next(section[3] for section in sections if section[0] == WORSE)
    md5s = people_at(workspace, found.second.commit).files if found.regressions else {}
    pairs = [
        {"facts": one, "verdict": verdict_of(one), "md5s": [md5s.get(path, "") for path in (one.first, one.second)]}
        for one in found.regressions[:MOST_PAIRS]
    ]
    sides = [_side(workspace, side) for side in (found.first, found.second)]
    about: dict[str, Any] = {"heading": title, "sections": shown, "pairs": pairs, "sentences": sentences, "sides": sides}
    return page("compare.html", TITLE, curve=_curve(found), names=names_of(found), **about)


def _side(workspace: Workspace, side: Side) -> dict[str, Any]:
    """The model card of a side, and who decided about it."""
    card = side.directory / "model_card.md"
    return {
        "name": side.name,
        "card": card.read_text(encoding="utf-8") if card.is_file() else "",
        "decisions": decisions_about(workspace, side.release) if side.release else [],
    }


def _curve(found: Comparison) -> str:
    """The ROC curves as a data: URL; "" where a side has none."""
    measured = [side.evaluation for side in (found.first, found.second)]
    if not all("roc" in one for one in measured):
        return ""
    with _drawing:
        picture = roc_plot({name: (one["roc"], one["impostor"]) for name, one in zip(names_of(found), measured, strict=True)})
    return f"data:image/png;base64,{base64.b64encode(picture).decode()}"
