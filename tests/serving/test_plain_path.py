"""Homes and environments whose paths Triton's Python backend cannot bear by itself."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from face_assets.core.errors import UserError
from face_assets.serving.embedded import EmbeddedTarget
from face_assets.serving.plain_path import plain_path
from face_assets.serving.server_environment import ServingEnvironment
from face_assets.serving.triton_server import Ports


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of running things."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path / f"face-assets-{os.getuid()}"


@pytest.mark.slow
def test_a_release_answers_from_a_path_that_a_shell_would_take_apart(kit: Any, tmp_path: Path, runtime: Path) -> None:
    environment = tmp_path / "Umgebung für Zoë's $(exit 1)"
    environment.symlink_to(kit.environment.directory)
    root = tmp_path / 'Zoë\'s "home" #1; exit' / "serving"
    target = EmbeddedTarget(root, ServingEnvironment(environment), Ports(*kit.free_ports(3)), 2)
    try:
        kit.deploy(target, "v1.0.0")
        assert target.client().identify(kit.photo(0, 2)).release == "v1.0.0"
        shutil.rmtree(runtime)  # as what cleans up such folders does
        kit.deploy(target, "v2.0.0")
        assert target.client().identify(kit.photo(0, 2)).release == "v2.0.0"
    finally:
        target.stop()


def test_links_stand_where_no_other_user_may_change_them(tmp_path: Path, runtime: Path) -> None:
    assert plain_path(tmp_path) == tmp_path
    link = plain_path(tmp_path / "ö")
    assert (link.parent, link.readlink(), link == plain_path(tmp_path / "ö")) == (runtime, tmp_path / "ö", True)
    assert runtime.stat().st_mode & 0o777 == 0o700
    runtime.chmod(0o777)
    with pytest.raises(UserError, match="this user alone may change"):
        plain_path(tmp_path / "ö")
