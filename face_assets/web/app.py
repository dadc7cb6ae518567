"""The application: routes, bounds and errors of the web service."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.concurrency import run_in_threadpool
from starlette.middleware.cors import CORSMiddleware
from starlette.staticfiles import StaticFiles

from face_assets import __version__
from face_assets.core.settings import Settings
from face_assets.storage.home import Home
from face_assets.web import (
    compreface,
    compreface_embeddings,
    compreface_people,
    contact_sheets,
    docs_page,
    due_page,
    erasures,
    explanation,
    face_pictures,
    people,
    people_pages,
    recognition,
    release_pages,
    releases,
    review_page,
    status,
    try_page,
)
from face_assets.web.bounds import Bounds
from face_assets.web.caller import Callers, Rights, local_caller
from face_assets.web.declared_subjects import DeclaredSubjects
from face_assets.web.memory import Memory
from face_assets.web.origins import LOOPBACK, Origins
from face_assets.web.pages import STATIC
from face_assets.web.problems import PROBLEMS, add_handlers
from face_assets.web.recognizer import Recognizer

SUMMARY = "Faces on photos, the people they are, and the people who are enrolled."


def create_app(
    settings: Settings,
    recognizer: Recognizer,
    hosts: Sequence[str] = LOOPBACK,
    models: Path | None = None,
    token: str | None = None,
    is_local: bool = True,
) -> FastAPI:
    """Returns the application. models: the model repository, by default the state directory's.

    hosts: names by which it may be called without a proxy. token: the secret of the proxies that state the caller; is_local: whether this
    machine's user may call it without one.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        watch = asyncio.create_task(memory.watch())
        yield
        watch.cancel()
        await recognizer.close()
        await run_in_threadpool(app.state.people.writer.close)

    app = FastAPI(
        title="Face Assets",
        version=__version__,
        summary=SUMMARY,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        responses=PROBLEMS,
        redirect_slashes=False,  # a redirect would name the scheme behind the proxy: a photo would be sent again without TLS
    )
    app.state.settings = settings
    app.state.recognizer = recognizer
    app.state.memory = memory = Memory(app, settings, models)
    app.state.declared = DeclaredSubjects(Home(settings.home).root / "declared-subjects.json")
    for module in (
        status,
        recognition,
        explanation,
        people,
        erasures,
        releases,
        compreface,
        compreface_embeddings,
        try_page,
        due_page,
        people_pages,
        review_page,
        release_pages,
        face_pictures,
        contact_sheets,
        docs_page,
    ):
        app.include_router(module.router)
    for router in (compreface_people.subjects, compreface_people.faces, compreface_people.pictures):
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=STATIC))
    add_handlers(app)
    app.add_middleware(Bounds, max_bytes=int(settings.max_request_mb * 1e6))
    app.add_middleware(Rights)
    if settings.web_origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=settings.web_origins, allow_methods=["*"], allow_headers=["*"], expose_headers=["Retry-After"]
        )
    app.add_middleware(Origins, hosts=hosts, allowed=settings.web_origins)
    app.add_middleware(Callers, token=token, local=local_caller(settings) if is_local else None)
    app.openapi = lambda: _document(app)  # type: ignore[method-assign]
    return app


def _document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, without FastAPI's own shape of validation errors, which no response has."""
    if app.openapi_schema is None:
        found = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
        for operations in found["paths"].values():
            for operation in operations.values():
                operation["responses"].pop("422", None)
        for name in ("HTTPValidationError", "ValidationError"):
            found.get("components", {}).get("schemas", {}).pop(name, None)
        app.openapi_schema = found
    return app.openapi_schema
