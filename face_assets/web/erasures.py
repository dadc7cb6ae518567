"""/api/v1/erasures: a person erased everywhere, in two steps: the plan, and the erasure once somebody has confirmed it.

The name is in the body, for addresses are logged. A key needs the right `operate`.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from face_assets.core.errors import UserError
from face_assets.core.files import read_json
from face_assets.erasure.journal import Journal, erasing
from face_assets.erasure.plan import begin, make_plan
from face_assets.erasure.steps import STEPS
from face_assets.registry.erased import CERTIFICATE, erasures
from face_assets.registry.person import Person
from face_assets.registry.workspace import Workspace
from face_assets.web.people import AnAuthor
from face_assets.web.problems import WebError, of_user_error

router = APIRouter(tags=["erasures"])
PSEUDONYM = r"^person-[0-9a-f]{12}$"
_pool = ThreadPoolExecutor(1, "erasure")
_runs: "dict[str, Future[Any]]" = {}


class Wanted(BaseModel):
    """An erasure to plan, or to do."""

    name: str = Field(description="the person's name")
    rewrite_history: bool = Field(False, description="take the name out of the git history, too: commits get other ids")
    confirmed: bool = Field(False, description="true to do it, which cannot be taken back; else the response is the plan")


class ErasureState(BaseModel):
    """An erasure. plan: of one that is not confirmed."""

    state: Literal["planned", "running", "stopped", "done"]
    pseudonym: str | None = None
    plan: dict[str, Any] | None = None
    done: list[str] = Field([], description="steps that are done")
    to_do: list[str] = []
    reason: str = Field("", description="why it stopped; the same request goes on")
    certificate: dict[str, Any] | None = None
    follow: str | None = Field(None, description="path of the state from now on")


@router.post("/api/v1/erasures")
async def erase_person(response: Response, author: AnAuthor, wanted: Wanted) -> ErasureState:
    """Plan the erasure of a person, or begin it. A confirmed request for one that stopped goes on with it."""
    try:
        found = await run_in_threadpool(_begin if wanted.confirmed else _plan, wanted, author)
    except UserError as error:
        raise of_user_error(error) from error
    response.status_code = 202 if wanted.confirmed else 200
    return found


@router.get("/api/v1/erasures/{pseudonym}")
async def get_erasure(pseudonym: Annotated[str, Path(pattern=PSEUDONYM)]) -> ErasureState:
    """State of an erasure, with the certificate at its end."""
    return await run_in_threadpool(_state, Workspace.load(), pseudonym)


def _plan(wanted: Wanted, _: Person) -> ErasureState:
    workspace = Workspace.load()
    if journal := Journal.find(workspace.home.root, wanted.name):
        return _state(workspace, journal.pseudonym)
    plan = make_plan(workspace, wanted.name, wanted.rewrite_history)
    return ErasureState(state="planned", plan=plan.to_json(), to_do=list(STEPS))


def _begin(wanted: Wanted, author: Person) -> ErasureState:
    from face_assets.erasure.runs import run_erasure  # with Dagster, which takes a second to import

    workspace = Workspace.load()
    with erasing(workspace.home.root):
        journal = Journal.find(workspace.home.root, wanted.name) or begin(
            workspace, make_plan(workspace, wanted.name, wanted.rewrite_history), author
        )
        if wanted.rewrite_history:
            journal.want_rewriting()
    if journal.pseudonym not in _runs or _runs[journal.pseudonym].done():
        _runs[journal.pseudonym] = _pool.submit(run_erasure, workspace.home, journal.pseudonym)
    return _state(workspace, journal.pseudonym)


def _state(workspace: Workspace, pseudonym: str) -> ErasureState:
    folder, follow = erasures(workspace.home.root) / pseudonym, f"/api/v1/erasures/{pseudonym}"
    if journal := Journal.find(workspace.home.root, pseudonym):
        run = _runs.get(pseudonym)
        reasons = run.result().reasons if run and run.done() and not run.exception() else []
        return ErasureState(
            state="running" if run and not run.done() else "stopped",
            pseudonym=pseudonym,
            done=[name for name in STEPS if name in journal.done],
            to_do=[name for name in STEPS if name not in journal.done],
            reason="; ".join(reasons),
            follow=follow,
        )
    if not (folder / CERTIFICATE).is_file():
        raise WebError(404, f"There is no erasure {pseudonym}.", "no_erasure")
    return ErasureState(state="done", pseudonym=pseudonym, done=list(STEPS), certificate=read_json(folder / CERTIFICATE), follow=follow)
