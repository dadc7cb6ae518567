"""Callers of the web service and their rights, by the proxy before the service, or this machine's user without one.

`caller_of(request)` is all that routes need; `may(right)` of it, and `person()`, the author of what the request changes.
"""

import hmac
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from fastapi import Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from face_assets.core.settings import Settings
from face_assets.registry.person import PLATFORM, Person, git_identity
from face_assets.serving.rights import EMBEDDINGS, NAME_HEADER, RIGHTS, RIGHTS_HEADER, TOKEN_HEADER, right_for
from face_assets.web.problems import WebError

SCOPE, BY_PROXY = "face_assets.caller", "face_assets.by_proxy"
CALLER: ContextVar["Caller | None"] = ContextVar("caller", default=None)
"""The caller of the request that a task works on."""


@dataclass(frozen=True)
class Caller:
    """name: of the key, of the user who has signed in, or of this machine's git identity; is_local: without a proxy."""

    name: str
    rights: frozenset[str]
    email: str = PLATFORM.email
    is_local: bool = False

    def may(self, right: str) -> bool:
        """Returns True where the caller has a right."""
        return right in self.rights

    def person(self) -> Person:
        """Returns the author of commits."""
        return Person(self.name, self.email)


def caller_of(request: Request) -> Caller:
    """Returns the caller of a request. Raises WebError without a caller."""
    return caller_in(request.scope)


def caller_in(scope: Mapping[str, object]) -> Caller:
    """Returns the caller of a scope. Raises WebError without a caller."""
    found = scope.get(SCOPE)
    if not isinstance(found, Caller):
        raise WebError(401, "A key is needed: Authorization: Bearer KEY.", headers={"WWW-Authenticate": "Bearer"})
    return found


def name_for_record() -> str | None:
    """Returns the name that a proxy states for the caller of the present request; None without a proxy."""
    caller = CALLER.get()
    return caller.name if caller and not caller.is_local else None


def is_by_proxy(scope: Mapping[str, object]) -> bool:
    """Returns True for a request that a proxy has let through: it knows the names by which the service is called."""
    return bool(scope.get(BY_PROXY))


def local_caller(settings: Settings) -> Caller:
    """Returns the caller on this machine's loopback, who may everything, but embeddings only where the settings allow them."""
    folder = Path(settings.repo) if settings.repo and Path(settings.repo).is_dir() else Path.home()
    person = git_identity(folder)
    rights = frozenset(RIGHTS) if settings.web_embeddings else frozenset(RIGHTS) - {EMBEDDINGS}
    return Caller(person.name, rights, person.email, is_local=True)


class Callers:
    """ASGI middleware that notes who sends a request. token: the proxies' secret; local: the caller without a proxy, None where there must
    be one."""

    def __init__(self, app: ASGIApp, token: str | None = None, local: Caller | None = None):
        self.app = app
        self.token = token
        self.local = local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on."""
        if scope["type"] in ("http", "websocket"):
            headers = Headers(scope=scope)
            by_proxy = self._is_by_proxy(headers)
            caller = _stated(headers) if by_proxy else self._without_proxy(headers)
            scope = {**scope, BY_PROXY: by_proxy, SCOPE: caller}
            CALLER.set(caller)
        await self.app(scope, receive, send)

    def _is_by_proxy(self, headers: Headers) -> bool:
        return bool(self.token) and hmac.compare_digest(headers.get(TOKEN_HEADER, "").encode(), str(self.token).encode())

    def _without_proxy(self, headers: Headers) -> Caller | None:
        return None if TOKEN_HEADER in headers else self.local


def _stated(headers: Headers) -> Caller | None:
    """The caller that a proxy states, None for a request that needs none, such as a browser's question before one with a key."""
    name = headers.get(NAME_HEADER, "")
    return Caller(name, frozenset(headers.get(RIGHTS_HEADER, "").split(",")) & set(RIGHTS)) if name else None


class Rights:
    """ASGI middleware that rejects API requests of callers without the right: 401, 403."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or rejects it."""
        if scope["type"] == "http" and scope["path"] != "/api/v1/alive":
            try:
                require_right(scope)
            except WebError as error:
                await error.response()(scope, receive, send)
                return
        await self.app(scope, receive, send)


def require_right(scope: Scope) -> None:
    """Raises WebError where the caller may not use the path."""
    caller, right = caller_in(scope), right_for(scope["path"])
    if right is not None and not caller.may(right):
        raise WebError(403, f"The key {caller.name} may not do this: it needs the right `{right}`.", "no_right")
