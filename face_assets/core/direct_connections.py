"""Connections to our own servers: never through a proxy, which http_proxy and its kin set for the world outside."""

import urllib.request
from http.client import HTTPResponse
from typing import Any, cast

GRPC_OPTIONS: tuple[tuple[str, Any], ...] = (("grpc.enable_http_proxy", 0),)
"""Of every gRPC channel to a server of ours."""
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def open_url(url: str | urllib.request.Request, timeout: float) -> HTTPResponse:
    """As urllib's urlopen, without a proxy. Raises URLError, HTTPError, TimeoutError and ConnectionError as that does."""
    return cast(HTTPResponse, _OPENER.open(url, timeout=timeout))
