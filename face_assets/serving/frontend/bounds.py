"""Bounds of a request before Triton receives it, the same over HTTP and gRPC."""

import hmac
from dataclasses import dataclass

from face_assets.serving.frontend.pending_requests import PendingRequests
from face_assets.serving.runtime.limits import Admission, Limits

JSON_BYTES = 16_384
"""Length of a request's JSON, which describes tensors; their content is binary. Triton parses JSON by recursion: 200,000 levels end it."""
AROUND_PHOTO = 65_536
"""Bytes of a request in addition to its photo."""
MOST_REQUESTS = 512
SECONDS_TO_SEND = 30.0
"""Time for the body of a request over HTTP."""


@dataclass(frozen=True)
class Bounds:
    """Bounds. largest: bytes of a request; key: of the platform, for model control; pending: the requests that were forwarded."""

    largest: int
    key: str
    admission: Admission
    pending: PendingRequests

    @staticmethod
    def of(max_bytes: int, key: str) -> "Bounds":
        """Returns the bounds for photos of at most `max_bytes`."""
        largest = max_bytes + AROUND_PHOTO
        return Bounds(largest, key, Admission(Limits(max_bytes=largest, max_waiting=MOST_REQUESTS)), PendingRequests())

    def has_key(self, stated: str | bytes | None) -> bool:
        """Returns True where a header is the platform's key."""
        given = stated.encode("utf-8", "surrogateescape") if isinstance(stated, str) else stated or b""
        return hmac.compare_digest(given, self.key.encode())
