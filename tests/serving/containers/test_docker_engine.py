"""Commands in containers on a slow machine."""

import http.client
import time
from typing import Any

import pytest

from face_assets.core.errors import UserError

pytestmark = pytest.mark.slow


def test_what_a_container_prints_is_read_whole_by_who_reads_late(box: Any, live: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits, so that the engine has sent the head of its response and the first output at once."""
    begin = http.client.HTTPResponse.begin

    def begin_late(response: http.client.HTTPResponse) -> None:
        time.sleep(1)
        begin(response)

    monkeypatch.setattr(http.client.HTTPResponse, "begin", begin_late)
    assert ("http", "BACKEND") in live.gateway.counts()
    with pytest.raises(UserError, match="No such server"):
        live.gateway.execute(["set server http/nobody state ready"])
    with pytest.raises(UserError, match="status 3"):
        live.docker.run_in(live.gateway.container(), ["sh", "-c", "exit 3"])
