"""The page Review: labels in doubt, rejected photos and answers that were called wrong, decided by a key each, in one commit."""

import secrets
import threading
from collections import Counter
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from face_assets.core.errors import UserError
from face_assets.dataset.decoding import UnusablePhoto, decode
from face_assets.registry.workspace import Workspace
from face_assets.review.cases import HEADINGS, Case, LabelCases, label_cases, open_cases
from face_assets.review.decisions import Decision, Verdict, require_possible
from face_assets.review.draft import Draft
from face_assets.review.review_commit import Reviewed, commit_review
from face_assets.web.face_pictures import PHOTO_SIDE, small_jpeg
from face_assets.web.pages import page
from face_assets.web.people import AnAuthor, AService, problem_of
from face_assets.web.problems import WebError
from face_assets.web.recognition import now

TITLE = "Review"
Made = TypeVar("Made")
AT_ONCE = 300
"""Cases on the page; the next come when they are decided."""
router = APIRouter(include_in_schema=False)


class ReviewService:
    """The cases of the present commit, collected once. Its methods block; several threads may call them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._labels: LabelCases | None = None
        self._found: dict[str, Case] = {}
        self._names: list[dict[str, str]] = []

    def collect(self, head: str) -> list[Case]:
        """The open cases at a commit, by kind. Labels are read once a commit and audit. Raises UserError."""
        workspace = Workspace.load()
        with self._lock:
            before = self._labels
        labels = label_cases(workspace, head, before)
        cases = open_cases(workspace, labels)
        names = [people.names for people in labels.faces.folders.values()]
        with self._lock:
            self._labels, self._found, self._names = labels, {case.id: case for case in cases}, names
        return cases

    def case(self, number: str, head: str) -> tuple[Case, list[dict[str, str]]]:
        """A case, and the names by key in each tracked folder. Raises WebError where it is open no more."""
        with self._lock:
            found, names = self._found.get(number), self._names
        if found is None:
            self.collect(head)
            with self._lock:
                found, names = self._found.get(number), self._names
        if found is None:
            raise WebError(404, "This case is open no more: load the page again.", "not_found")
        return found, names


def review_of(request: Request) -> ReviewService:
    """Returns the application's review."""
    found: ReviewService = request.app.state.review
    return found


AReview = Annotated[ReviewService, Depends(review_of)]


class Judgement(BaseModel):
    """A decision as the page sends it. seen: the token of the decision that the page shows for this case, "" for none."""

    case: str = Field(max_length=64)
    verdict: Verdict
    to: str = Field("", max_length=1000)
    seen: str = Field("", max_length=64)


class TakenBack(BaseModel):
    """A decision that is taken back."""

    case: str = Field(max_length=64)
    seen: str = Field(max_length=64)


class Drafted(BaseModel):
    """The draft after a change. token: of the new decision; words: the decision; decided: number of decisions that are not committed."""

    token: str = ""
    words: str = ""
    decided: int


class Stays(BaseModel):
    """A decision that stays in the draft."""

    what: str
    why: str


class Committed(BaseModel):
    """A committed review, in the shape of any change of people."""

    commit: str
    change: str
    follow: str
    committed: int
    stays: list[Stays]


@router.get("/review")
async def review_page(
    review: AReview, service: AService, kind: Annotated[str, Query(max_length=40)] = "", skip: Annotated[str, Query(max_length=64)] = ""
) -> HTMLResponse:
    """The cases that nobody has decided. kind: of one kind alone; skip: those up to this case come last."""
    try:
        return await run_in_threadpool(_show, review, service.head, kind, skip)
    except UserError as error:
        problem = problem_of(error)
        nothing: dict[str, Any] = {"cases": [], "draft": [], "left": 0, "kinds": [], "kind": "", "commit": ""}
        return page("review.html", TITLE, problem.status, error=str(problem), **nothing)


def _show(review: ReviewService, head: Callable[[], str], kind: str, skip: str) -> HTMLResponse:
    commit = head()
    every = review.collect(commit)
    draft = Draft.of(Workspace.load()).read()
    left = [case for case in every if case.id not in draft]
    counts = Counter(case.kind for case in left)
    chosen = [case for case in left if not kind or case.kind == kind]
    start = next((place + 1 for place, case in enumerate(chosen) if case.id == skip), 0)
    shown = (chosen[start:] + chosen[:start])[:AT_ONCE]
    kinds = [(name, heading, counts[name]) for name, heading in HEADINGS.items() if counts[name]]
    counted: dict[str, Any] = {"left": len(left), "kinds": kinds, "kind": kind}
    return page("review.html", TITLE, error=None, cases=shown, draft=list(draft.values()), commit=commit, **counted)


@router.post("/review-decide")
async def decide(review: AReview, service: AService, author: AnAuthor, judged: Judgement) -> Drafted:
    """Keeps a decision in the draft."""
    return await _drafted(_decide, review, service.head, author.name, judged)


def _decide(review: ReviewService, head: Callable[[], str], by: str, judged: Judgement) -> Drafted:
    case, names = review.case(judged.case, head())
    md5 = case.photo.md5 if case.photo else ""
    token = secrets.token_hex(8)
    decision = Decision(case.id, judged.verdict, judged.to, case.subject, md5, case.identity, by, now(), token)
    has_photo = case.answer is not None and case.answer.photo is not None
    name = require_possible(decision, has_photo, names)
    decision = Decision(case.id, judged.verdict, name, case.subject, md5, case.identity, by, decision.at, token)
    draft = Draft.of(Workspace.load())
    draft.decide(decision, judged.seen)
    return Drafted(token=token, words=decision.words, decided=len(draft.read()))


@router.post("/review-undo")
async def undo(taken: TakenBack) -> Drafted:
    """Takes a decision back."""
    return await _drafted(_undo, taken)


def _undo(taken: TakenBack) -> Drafted:
    draft = Draft.of(Workspace.load())
    draft.undo(taken.case, taken.seen)
    return Drafted(decided=len(draft.read()))


@router.post("/review-commit")
async def commit(author: AnAuthor) -> Committed:
    """Writes all decisions of the draft as one commit."""
    found: Reviewed = await _drafted(lambda: commit_review(Workspace.load(), author))
    stays = [Stays(what=f"{decision.identity}: {decision.words}", why=reason) for decision, reason in found.refused]
    number = str(found.commit)
    return Committed(commit=number, change=found.line, follow=f"/api/v1/commits/{number}", committed=found.committed, stays=stays)


@router.get("/review-answer/{case}")
async def answer_photo(review: AReview, service: AService, case: str) -> Response:
    """The photo of an answer that was called wrong."""
    content = await _drafted(_answer_photo, review, service.head, case)
    return Response(content, media_type="image/jpeg")


def _answer_photo(review: ReviewService, head: Callable[[], str], number: str) -> bytes:
    commit = head()
    case, _ = review.case(number, commit)
    content = case.answer.content() if case.answer else None
    if content is None:
        raise WebError(404, "The photo of this answer is not on this machine.", "not_found")
    try:
        pixels = decode(content, Workspace.load().params(commit).photos.max_megapixels)
    except UnusablePhoto as error:
        raise UserError(f"The photo cannot be shown: {error.reason}.") from error
    return small_jpeg(pixels, PHOTO_SIDE)


async def _drafted(work: Callable[..., Made], *arguments: Any) -> Made:
    """The result of work that blocks. Raises WebError."""
    try:
        return await run_in_threadpool(work, *arguments)
    except UserError as error:
        raise problem_of(error) from error
