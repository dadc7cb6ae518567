"""Routes and errors of CompreFace's API: {"message": sentence, "code": number}, and a key with each request.

Source: the "Rest API description" of github.com/exadel-inc/CompreFace, and the numbers of its CommonExceptionCode.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from face_assets.core.errors import UserError
from face_assets.core.outside_text import shown
from face_assets.web.people import problem_of
from face_assets.web.problems import RETRY_AFTER, WebError

CODES = {
    "no_subject": 5,
    "not_found": 11,
    "no_header": 20,
    "unusable_photo": 21,
    "invalid": 26,
    "no_face": 28,
    "several_faces": 31,
    "no_parameter": 33,
    "no_photo": 34,
    "embeddings": 37,
    "busy": 41,
    "too_slow": 41,
    "server_down": 41,
    "nothing_live": 41,
    "unreachable": 41,
    "fault": 41,
    "not_enrolled": 42,
    "subject_exists": 43,
    "no_example": 44,
}
"""Our word → CompreFace's code; 0, its "undefined", for others."""


class CompreFaceRoute(APIRoute):
    """Route whose errors have CompreFace's shape, {"message": sentence, "code": number}, and whose callers state a key."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Returns the handler."""
        handle = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                if "x-api-key" not in request.headers:
                    raise WebError(400, "Missing header: x-api-key", "no_header")
                return await handle(request)
            except RequestValidationError as error:
                return _failure(_of_validation(error))
            except UserError as error:
                return _failure(problem_of(error))
            except HTTPException as error:
                return _failure(WebError(error.status_code, str(error.detail)))
            except WebError as error:
                return _failure(error)

        return handler


def _failure(error: WebError) -> JSONResponse:
    """The response of an error, with the status of CompreFace where it has one: 400 for what is wrong with a photo."""
    status = 400 if error.status in (409, 415, 422) else error.status
    return JSONResponse({"message": shown(str(error)), "code": CODES.get(error.code, 0)}, status, RETRY_AFTER if status == 503 else None)


def _of_validation(error: RequestValidationError) -> WebError:
    missing = [one["loc"][-1] for one in error.errors() if one["type"] == "missing" and one["loc"][0] == "query"]
    if missing:
        return WebError(400, f"Required parameter {missing[0]} is missing", "no_parameter")
    return WebError(400, "; ".join(f"{one['loc'][-1]}: {one['msg']}" for one in error.errors()[:3]), "invalid")
