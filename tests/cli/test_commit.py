"""`face-assets commit`: what changed is committed and pushed, what is not the data's stays, and nothing is lost by accident."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from face_assets.cli.main import main
from face_assets.registry.data_repository import DataRepository
from face_assets.registry.git import git


def commit(clone: Path, message: str = "Enrol Zoë", *options: str) -> Result:
    return CliRunner().invoke(main, ["commit", "--repo", str(clone), "-m", message, *options])


def head(clone: Path) -> str:
    return git("rev-parse", "HEAD", cwd=clone).decode().strip()


def test_what_changed_is_committed_and_pushed_and_the_rest_stays(repository: Path, home: Path, tmp_path: Path) -> None:
    git("clone", "-q", "--bare", repository, tmp_path / "origin.git")
    git("remote", "add", "origin", tmp_path / "origin.git", cwd=repository)
    for path in ("photos/Ann/new.jpg", "gallery/Zoë/1.jpg", "inbox/answer.json", "secret.json", "weights.pt", "script.py"):
        (repository / path).parent.mkdir(exist_ok=True, parents=True)
        (repository / path).write_text(path)
    (repository / "photos" / "Bob" / "0 a.jpg").unlink()
    (repository / "params.yaml").write_text("train: {epochs: 2}\n")
    git("add", "script.py", "params.yaml", cwd=repository)

    done = commit(repository)
    assert done.exit_code == 0, done.output
    for line in (
        "photos: 1 added, 1 deleted",
        "gallery: new, 1 files",
        "Staged before, by whomever, and part of the commit: params.yaml",
        "Pushed the branch main.",
        "Next: face-assets run.",
    ):
        assert line in done.output
    assert {"script.py", "secret.json", "weights.pt"} == set(done.output.split("data repository: ")[1].split(". ")[0].split(", "))
    named = git("show", "--name-only", "--format=%s", "HEAD", cwd=repository).decode().split("\n")
    assert named[0] == "Enrol Zoë"
    assert set(named[2:-1]) == {".gitignore", "gallery.dvc", "inbox/answer.json", "params.yaml", "photos.dvc"}
    assert git("status", "--porcelain", cwd=repository).decode().split("\n")[:-1] == ["A  script.py", "?? secret.json", "?? weights.pt"]
    assert head(tmp_path / "origin.git") == head(repository)
    elsewhere = DataRepository(f"file://{tmp_path}/origin.git", home)
    elsewhere.refresh()
    assert [file.path for file in elsewhere.files(head(repository), "gallery")] == ["Zoë/1.jpg"], "fetched from the DVC remote"

    before = head(repository)
    again = commit(repository)
    assert again.exit_code == 0
    assert f"Nothing has changed since commit {before[:12]}." in again.output
    assert head(repository) == before


def test_photos_that_were_never_fetched_are_not_dropped(repository: Path, home: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    git("clone", "-q", repository, clone)
    (clone / "photos" / "Zoë").mkdir(parents=True)
    (clone / "photos" / "Zoë" / "1.jpg").write_bytes(b"new")
    done = commit(clone)
    assert done.exit_code == 1
    assert "`dvc pull photos` first" in done.output
    assert not git("status", "--porcelain", cwd=clone)


def test_a_remote_that_takes_no_photos_leaves_everything_to_be_done_again(repository: Path, home: Path, tmp_path: Path) -> None:
    config, before = repository / ".dvc" / "config", head(repository)
    config.write_text(config.read_text().replace(f"{tmp_path}/data.dvc-remote", "/proc/nowhere"))
    (repository / "photos" / "Ann" / "new.jpg").write_bytes(b"new")
    done = commit(repository)
    assert done.exit_code == 1
    assert "Nothing is committed: mend that, and run the same again." in done.output
    assert head(repository) == before


def test_mistakes_are_named_before_anything_is_added(repository: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (repository / "photos" / "Ann" / "new.jpg").write_bytes(b"new")
    before = (repository / "photos.dvc").read_bytes()
    assert "The message is empty" in commit(repository, " ").output
    (repository / "params.yaml").write_text("train: {epoch: 2}\n")
    assert "unknown key `train.epoch`" in commit(repository).output
    git("checkout", "-q", "params.yaml", cwd=repository)
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.delenv(f"GIT_{who}_NAME")
        monkeypatch.delenv(f"GIT_{who}_EMAIL")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    git("config", "user.useConfigOnly", "true", cwd=repository)
    assert "Git does not know who you are" in commit(repository).output
    (tmp_path / "plain").mkdir()
    assert "is in no clone of a data repository" in commit(tmp_path / "plain").output
    git("init", "-q", tmp_path / "plain")
    assert "is a git repository without DVC" in commit(tmp_path / "plain").output
    assert (repository / "photos.dvc").read_bytes() == before


def test_people_are_acknowledged_in_the_message_also_after_a_refusal_and_where_nothing_has_changed(repository: Path, home: Path) -> None:
    before = head(repository)
    done = commit(repository, "Ann and Zoë are meant\n\n---\n\nReviewed-by: Bob", "--acknowledge", "Ann ", "--acknowledge", "Zoë Müller")
    assert done.exit_code == 0, done.output
    assert "nothing has changed, and the message acknowledges" in done.output
    message = git("show", "-s", "--format=%B", "HEAD", cwd=repository).decode().strip().split("\n")
    assert message[-3:] == ["Reviewed-by: Bob", "Acknowledge-Person: Ann", "Acknowledge-Person: Zoë Müller"]
    assert git("rev-parse", "HEAD~", cwd=repository).decode().strip() == before
    forged = commit(repository, "Forge", "--acknowledge", "Ann\nAcknowledge-Person: Bob")
    assert forged.exit_code == 1
    assert "control characters" in forged.output
