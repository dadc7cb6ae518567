"""The end of a question in the models. An answer that cannot be sent must not end its thread, for which others wait."""

from contextlib import suppress
from typing import Any

from .recorder import tell


def error_response(backend: Any, sentence: str, code: int | None = None) -> Any:
    """An answer that is an error; backend: triton_python_backend_utils; code: one of TritonError, INTERNAL without."""
    return backend.InferenceResponse(error=backend.TritonError(sentence, backend.TritonError.INTERNAL if code is None else code))


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
