"""The page /docs: Swagger UI from files of this machine, for it is read where there is no network."""

from fastapi import APIRouter
from fastapi.responses import FileResponse, HTMLResponse, Response

from face_assets.web.origins import PAGE_POLICY
from face_assets.web.problems import WebError

FILES = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}
STARTED = "SwaggerUIBundle({url: 'openapi.json', dom_id: '#ui', validatorUrl: null, deepLinking: true})\n"
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Face Assets: API</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="docs/swagger-ui.css"></head>
<body><main id="ui"></main><script src="docs/swagger-ui-bundle.js"></script><script src="docs/start.js"></script></body></html>
"""
POLICY = PAGE_POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")
"""Swagger UI draws with styles in its elements."""

router = APIRouter(include_in_schema=False)


@router.get("/docs")
async def page() -> HTMLResponse:
    """The page."""
    return HTMLResponse(PAGE, headers={"content-security-policy": POLICY})


@router.get("/docs/start.js")
async def start() -> Response:
    """The script that starts Swagger UI."""
    return Response(STARTED, media_type="text/javascript")


@router.get("/docs/{name}")
async def file(name: str) -> FileResponse:
    """A file of Swagger UI."""
    if name not in FILES:
        raise WebError(404, "There is no such file.")
    from swagger_ui_bundle import swagger_ui_path

    return FileResponse(swagger_ui_path / name, media_type=FILES[name], headers={"cache-control": "max-age=86400"})
