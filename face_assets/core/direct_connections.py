"""Connections to our own servers, never through a proxy that http_proxy or its kin name."""

import urllib.error
import urllib.request
from http.client import HTTPResponse
from typing import Any, cast

GRPC_OPTIONS: tuple[tuple[str, Any], ...] = (("grpc.enable_http_proxy", 0),)
"""Options of every gRPC channel to one of our servers."""
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def open_url(url: str | urllib.request.Request, timeout: float) -> HTTPResponse:
    """Opens a URL as urllib's urlopen does, without a proxy. Raises URLError, HTTPError, TimeoutError and ConnectionError."""
    return cast(HTTPResponse, _OPENER.open(url, timeout=timeout))


def responds(url: str, timeout: float = 2.0) -> bool:
    """Returns True where a service responds to a GET with 200 within `timeout` seconds."""
    try:
        with open_url(url, timeout) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False
