"""Errors of the web service as JSON of one shape: {"error": sentence, "code": word}, whatever went wrong."""

import logging
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from face_assets.core.errors import RefusedError, UnreachableError, UserError
from face_assets.core.outside_text import shown

CODES = {
    400: "bad_request",
    401: "no_key",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "too_slow",
    409: "conflict",
    411: "no_length",
    413: "too_large",
    415: "unknown_type",
    422: "invalid",
    503: "busy",
}
"""Code of a status, where an error has none of its own."""
RETRY_AFTER = {"Retry-After": "1"}


class Problem(BaseModel):
    """An error."""

    error: str = Field(description="a sentence for people: what is wrong and what to do")
    code: str = Field(description="a word for programs, such as `no_face`")


PROBLEMS: dict[int | str, dict[str, object]] = {name: {"model": Problem, "description": "an error"} for name in ("4XX", "5XX")}
"""Responses of every operation in the OpenAPI document."""


class WebError(Exception):
    """A request that cannot be answered. code: a word for programs, by default that of the status; headers: of the response."""

    def __init__(self, status: int, message: str, code: str | None = None, headers: dict[str, str] | None = None):
        super().__init__(message)
        self.status = status
        self.code = code or CODES.get(status, "error")
        self.headers = headers

    def response(self) -> JSONResponse:
        """Returns the response."""
        return problem(self.status, str(self), self.code, self.headers)


def problem(status: int, message: str, code: str | None = None, headers: dict[str, str] | None = None) -> JSONResponse:
    """Returns an error response; characters of `message` that could forge a line are escaped."""
    found = {**(RETRY_AFTER if status in (429, 503) else {}), **(headers or {})}
    return JSONResponse({"error": shown(message), "code": code or CODES.get(status, "error")}, status, found)


def of_user_error(error: UserError) -> WebError:
    """Returns the platform's own error as one of the web service: it names what a person can mend."""
    if isinstance(error, UnreachableError):
        return WebError(503, str(error), "unreachable")
    if isinstance(error, RefusedError):
        return WebError(409, str(error), "refused")
    return WebError(422, str(error))


def add_handlers(app: FastAPI) -> None:
    """Adds the handlers that make each error of `app` one of this shape."""

    @app.exception_handler(WebError)
    async def of_web(_: Request, error: WebError) -> JSONResponse:
        return error.response()

    @app.exception_handler(UserError)
    async def of_user(_: Request, error: UserError) -> JSONResponse:
        return of_user_error(error).response()

    @app.exception_handler(HTTPException)
    async def of_http(request: Request, error: HTTPException) -> JSONResponse:
        message = str(error.detail)
        if error.status_code == 404 and message == HTTPStatus.NOT_FOUND.phrase:
            message = f"There is nothing at {request.url.path}: /docs lists what there is."
        elif error.status_code == 405:
            message = f"{request.method} is not for {request.url.path}: /docs lists what is."
        return problem(error.status_code, message, headers=dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def of_validation(_: Request, error: RequestValidationError) -> JSONResponse:
        found = [f"{'.'.join(str(part) for part in one['loc'][1:]) or 'the body'}: {one['msg']}" for one in error.errors()[:3]]
        return problem(422, "; ".join(found), "invalid")

    @app.exception_handler(Exception)
    async def of_fault(request: Request, error: Exception) -> JSONResponse:
        # the type alone: the message may name a person
        logging.getLogger(__name__).error("%s %s failed: %s", request.method, request.url.path, type(error).__name__)
        return problem(500, "The web service failed; its log names the kind of error.", "fault")
