"""A release with people whose consent has ended is not brought back."""

from pathlib import Path

import pytest

from face_assets.cli.releases import promote_release
from face_assets.core.errors import RefusedError
from face_assets.registry.git import git
from face_assets.registry.workspace import Workspace
from face_assets.release.consent import require_entries_in_force
from tests.erasure.test_erasure import ZOE, release


def test_a_release_with_people_whose_time_has_passed_is_refused(repository: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACE_ASSETS_REPO", str(repository))
    workspace = Workspace.load()
    commit = workspace.repository.resolve("main")
    release(workspace, b"1", commit, "0" * 32)
    require_entries_in_force(workspace, "v1.0.0")  # there is no register, so anybody may be recognized
    for until, refused in (("2021-01-01", True), ("", False)):
        entries = f"identity,basis,since,until\nAnn,contract,2020-01-01,\n{ZOE},consent,2020-01-01,{until}\n"
        (repository / "people.csv").write_text(entries)
        git("add", "people.csv", cwd=repository)
        git("commit", "-q", "-m", "Write the register", cwd=repository)
        workspace.repository.refresh()
        if refused:
            with pytest.raises(RefusedError, match=r"v1\.0\.0 recognizes 1 of 2 people who have no entry of people\.csv in force") as found:
                promote_release("1.0.0", "as before", follow=False, quiet=True)
            assert ZOE not in str(found.value)
        else:
            require_entries_in_force(workspace, "v1.0.0")
