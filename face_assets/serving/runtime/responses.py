"""The end of a question in the models. An answer that cannot be sent must not end its thread, for which others wait."""

from contextlib import suppress
from typing import Any

from face_assets.dataset.decoding import UnusablePhoto
from face_assets.serving.runtime.limits import BusyError, DroppedError
from face_assets.serving.runtime.recorder import tell

UNUSABLE, BUSY, DROPPED = "the photo cannot be used", "the server is busy", "the request was dropped"
CODES = {UNUSABLE: "INVALID_ARG", BUSY: "UNAVAILABLE", DROPPED: "CANCELLED"}
"""How an error's sentence begins, and its code. One model gets the sentence of another, but not the code (triton server #7804)."""
BEGINNINGS = {UnusablePhoto: UNUSABLE, BusyError: BUSY, DroppedError: DROPPED}


def sentence_of(error: Exception) -> str:
    """The sentence for the caller."""
    return f"{BEGINNINGS.get(type(error)) or type(error).__name__}: {error}"


def error_response(backend: Any, sentence: str, code: int | None = None) -> Any:
    """An answer that is an error; backend: triton_python_backend_utils; code: one of TritonError; without it the sentence's."""
    if code is None:
        name = next((name for beginning, name in CODES.items() if sentence.startswith(beginning)), "INTERNAL")
        code = getattr(backend.TritonError, name)
    return backend.InferenceResponse(error=backend.TritonError(sentence, code))


def send(backend: Any, sender: Any, response: Any) -> None:
    """The one answer of a request's sender. Where it cannot be sent, such as for want of shared memory, the log tells, and the caller is
    told if that can still be done."""
    final = backend.TRITONSERVER_RESPONSE_COMPLETE_FINAL
    try:
        sender.send(response, flags=final)
    except Exception as problem:
        tell("answer_not_sent", reason=f"{type(problem).__name__}: {problem}")
        with suppress(Exception):  # a sender that has begun refuses a second answer
            sender.send(error_response(backend, "the answer could not be sent"), flags=final)
