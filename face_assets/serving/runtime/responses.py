"""Responses of the models. A response that cannot be sent must not end its thread, for which other requests wait."""

from contextlib import suppress
from typing import Any

from face_assets.dataset.decoding import UnusablePhoto
from face_assets.serving.runtime.limits import BusyError, DroppedError
from face_assets.serving.runtime.recorder import log_event
from face_assets.serving.runtime.use_record import NotRecordedError

UNUSABLE, BUSY, DROPPED = "the photo cannot be used", "the server is busy", "the request was dropped"
CODES = {UNUSABLE: "INVALID_ARG", BUSY: "UNAVAILABLE", DROPPED: "CANCELLED"}
"""Beginning of an error message → its code. One model receives the message of another, but not the code (triton server #7804)."""
BEGINNINGS = {UnusablePhoto: UNUSABLE, BusyError: BUSY, DroppedError: DROPPED, NotRecordedError: BUSY}


def error_message(error: Exception) -> str:
    """Returns the message for the caller."""
    return f"{BEGINNINGS.get(type(error)) or type(error).__name__}: {error}"


def error_response(backend: Any, message: str, code: int | None = None) -> Any:
    """Returns an error response. backend: triton_python_backend_utils; code: one of TritonError, by default that of the message."""
    if code is None:
        name = next((name for beginning, name in CODES.items() if message.startswith(beginning)), "INTERNAL")
        code = getattr(backend.TritonError, name)
    return backend.InferenceResponse(error=backend.TritonError(message, code))


def send(backend: Any, sender: Any, response: Any) -> None:
    """Sends the one response of a request. A failure, as for want of shared memory, is logged, and sent to the caller where possible."""
    final = backend.TRITONSERVER_RESPONSE_COMPLETE_FINAL
    try:
        sender.send(response, flags=final)
    except Exception as error:
        log_event("response_not_sent", reason=f"{type(error).__name__}: {error}")
        with suppress(Exception):  # a sender that has begun rejects a second response
            sender.send(error_response(backend, "the response could not be sent"), flags=final)
