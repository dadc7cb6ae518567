"""Requests by other web pages: a browser sends them from wherever its user is, with this machine's rights."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from face_assets.web.caller import is_by_proxy
from face_assets.web.problems import WebError

LOOPBACK = ("localhost", "127.0.0.1", "::1")
PAGE_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
"""Content Security Policy of every response that has none of its own."""
HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cache-control": "no-store",  # an answer names people
    "content-security-policy": PAGE_POLICY,
}


class Origins:
    """ASGI middleware: answers requests for this machine's own names alone, and no writes of other pages' scripts and forms.

    hosts: names by which the service may be called without a proxy, against DNS rebinding. allowed: origins, such as
    https://app.example.org, whose pages may send what the service's own pages send.
    """

    def __init__(self, app: ASGIApp, hosts: Sequence[str] = LOOPBACK, allowed: Sequence[str] = ()):
        self.app = app
        self.hosts = {host.lower() for host in hosts}
        self.allowed = {origin.lower().rstrip("/") for origin in allowed}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on with the headers of a safe response, or rejects it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name for name, _ in message["headers"]}
                added = [(name.encode(), value.encode()) for name, value in HEADERS.items() if name.encode() not in present]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        if reason := self._refusal(scope, Headers(scope=scope)):
            await WebError(403, reason, "foreign_origin").response()(scope, receive, sending)
        else:
            await self.app(scope, receive, sending)

    def _refusal(self, scope: Scope, headers: Headers) -> str | None:
        host, method = headers.get("host", ""), scope["method"]
        if not is_by_proxy(scope) and _hostname(host) not in self.hosts:
            return f"The service is not called {host or 'nothing'}: use http://localhost and its port."
        if method in ("GET", "HEAD", "OPTIONS"):
            return None
        origin = headers.get("origin")
        if origin is None:
            return "A page of another site may not send this." if headers.get("sec-fetch-site") == "cross-site" else None
        if origin.lower() in self.allowed or (origin != "null" and urlsplit(origin).netloc.lower() == host.lower()):
            return None
        return f"Pages of {origin} may not send this: FACE_ASSETS_WEB_ORIGINS names those that may."


def _hostname(host: str) -> str:
    """The name in a Host header, without port; "" for one that is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
