"""Releases as containers behind the gateway: deployments under load, faults, and what callers may and may not ask."""

from typing import Any

import pytest

pytestmark = pytest.mark.slow


def test_a_release_goes_live_beside_the_last_one_and_takes_its_place(box: Any, live: Any, key: str) -> None:
    assert live.status().ready
    assert box.asker(key).identify(box.kit.photo(0, 2)).release == "v1.0.0"
    box.deploy(live, "v2.0.0")
    answer = box.asker(key).identify(box.kit.photo(0, 2))
    assert (answer.release, len(answer.faces[0].embedding)) == ("v2.0.0", box.kit.size("v2.0.0"))
    assert len(box.containers()) == 2
