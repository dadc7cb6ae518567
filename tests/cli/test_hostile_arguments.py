"""A user's mistake is a sentence and an exit status, whatever the command and the value: never a traceback."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from face_assets.cli.commands.shared import Refusal
from face_assets.cli.main import main
from face_assets.core.settings import remember

VALUES = (
    *("", ".", "../x", "/", "~nobody/x", "-", "v1", "latest", "v1.0.0", "v1.0.0!", "1", "-1", "1e9"),
    *("HEAD\nmain", "main^{tree}", "HEAD:photos.dvc", "@{u}", "refs/tags/*", "0" * 40, "x" * 5000),
    *("Ann\x1b[31m", "Ann\r\nBob", "Zoë", "\u202e", "\udcff", "%s%n", "$(id)", "key:dataset_version", "+", '"'),
    *("--upload-pack=id", "ext::sh -c id", "http://", "file://", "ssh://-oProxyCommand=id/x", "git://127.0.0.1:1/x"),
    *("photos", "page.jpg", "empty.jpg", "closed.jpg", "loop.jpg"),
)
COMMANDS = (
    *(["run", "--commit"], ["run", "--repo"], ["align", "--shards"], ["use"], ["releases", "--repo"]),
    *(["launch"], ["launch", "aligned_faces", "--commit"], ["launch", "--job"], ["watch"], ["history", "--limit"]),
    *(["promote"], ["promote", "v1.0.0", "--reason"], ["lineage"], ["compare", "v1.0.0"], ["rollback", "--reason"]),
    *(["identify"], ["identify", "--json"], ["verify", "page.jpg"], ["feedback", "page.jpg", "--is"], ["feedback", "--repo"]),
    *(["feedback", "--file"], ["keys", "add"], ["keys", "revoke"], ["prune", "--days"], ["init", "here", "--photos"]),
    *(
        ["commit", "-m", "x", "--repo"],
        ["commit", "-m"],
        ["sort"],
        ["sort", "photos", "--to"],
        ["identify", "page.jpg", "--draw"],
        ["import-compreface", "--api-key", "x", "http://127.0.0.1:1"],
    ),
)


@pytest.fixture
def here(repository: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with things that are no photos, and a home that follows a data repository on which nothing can be run."""
    home.mkdir()
    remember(repo=str(repository))
    folder = tmp_path / "somewhere"
    (folder / "photos").mkdir(parents=True)
    (folder / "page.jpg").write_text("<html>404</html>")
    (folder / "empty.jpg").touch()
    (folder / "closed.jpg").touch(mode=0)
    (folder / "loop.jpg").symlink_to("loop.jpg")
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_value_is_a_traceback(command: list[str], here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("face_assets.cli.commit_runs.require_possible", _stop)
    monkeypatch.setattr("face_assets.cli.commit_runs.run_job", _stop)
    wrong = []
    for value in VALUES:
        done = CliRunner().invoke(main, [*command, value])
        if not isinstance(done.exception, SystemExit | None) or (done.exit_code and not done.output.strip()) or "Traceback" in done.output:
            wrong.append((value, repr(done.exception), done.output[-300:]))
        elif "\x1b" in done.output:
            wrong.append((value, "a control character reaches the terminal", done.output))
    assert wrong == []


def _stop(*_: object, **__: object) -> None:
    raise Refusal("Far enough: nothing is run here.")
