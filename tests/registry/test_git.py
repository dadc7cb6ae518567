"""Git as the registry calls it: it ends in time, takes its helpers along, and keeps secrets to itself."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from face_assets.core.errors import UserError
from face_assets.registry.data_repository import DataRepository
from face_assets.registry.git import OURS, GitError, config_options, git
from face_assets.registry.releases import Digests, Releases
from face_assets.registry.stages import Stages
from face_assets.registry.watch import Branches, new_commits
from tests.waiting import until


def test_a_far_end_that_never_answers_is_given_up_with_gits_helpers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/silent.git"
        with pytest.raises(GitError, match="no response within 1 s"):
            git("ls-remote", url, seconds=1)
        until(lambda: not any(url in line for line in command_lines()), 30)
        assert [line for line in command_lines() if url in line] == []


def command_lines() -> list[str]:
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(file.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return lines


def test_user_and_password_of_a_url_stay_out_of_every_sentence(tmp_path: Path) -> None:
    repository = DataRepository("https://ann:secret@127.0.0.1:1/faces.git", tmp_path)
    for ask in (repository.heads, repository.refresh):
        with pytest.raises(UserError, match=r"https://127\.0\.0\.1:1/faces\.git cannot be read") as raised:
            ask()
        assert "secret" not in str(raised.value)


SETTINGS_OF_A_USER = """
[log]
    showSignature = true
    date = relative
    mailmap = true
[format]
    pretty = fuller
[i18n]
    logOutputEncoding = ISO-8859-1
[color]
    ui = always
    push = always
    advice = always
    remote = always
    transport = always
[commit]
    gpgSign = true
[tag]
    gpgSign = true
    forceSignAnnotated = true
[submodule]
    recurse = true
[push]
    gpgSign = true
    recurseSubmodules = only
[gpg]
    program = {user}/gpg
[core]
    quotePath = true
    autocrlf = true
    safecrlf = true
    fsmonitor = {user}/fsmonitor
    hooksPath = {user}/hooks
[diff]
    renames = copies
    noprefix = true
[status]
    branch = true
    short = true
[init]
    defaultBranch = trunk
[clone]
    rejectShallow = true
    defaultRemoteName = upstream
[fetch]
    prune = true
    pruneTags = true
[safe]
    bareRepository = explicit
[protocol]
    allow = never
[protocol "file"]
    allow = never
"""
GPG = """#!/bin/sh
cat > /dev/null
echo 'gpg: Can not check signature: No public key' >&2
[ -n "$HAS_KEY" ] || exit 1
printf '\\n[GNUPG:] SIG_CREATED \\n' >&2
printf -- '-----BEGIN PGP SIGNATURE-----\\n\\nsigned\\n-----END PGP SIGNATURE-----\\n'
"""


@pytest.fixture
def user(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of the repository's user, whose git signs, shows, colours and forbids all it can, and whose hooks refuse."""
    user = tmp_path / "user"
    scripts = {f"hooks/{name}": "#!/bin/sh\nexit 1\n" for name in ("pre-push", "post-checkout", "prepare-commit-msg")}
    for name, text in {**scripts, "gpg": GPG, "fsmonitor": f"#!/bin/sh\ntouch {user}/was-asked\nexit 1\n"}.items():
        (user / name).parent.mkdir(parents=True, exist_ok=True)
        (user / name).write_text(text)
        (user / name).chmod(0o755)
    (user / ".gitconfig").write_text(SETTINGS_OF_A_USER.format(user=user))
    monkeypatch.setenv("HOME", str(user))
    return user


def test_settings_of_the_user_change_neither_releases_nor_what_is_seen_of_commits(
    repository: Path, user: Path, tmp_path: Path, bundle: Callable[[bytes], Path]
) -> None:
    def theirs(*arguments: str | Path, author: str = "Ann") -> None:
        git(*config_options(OURS), *arguments, cwd=repository, env={"GIT_AUTHOR_NAME": author, "HAS_KEY": "yes"})

    theirs("commit", "-q", "-S", "--amend", "--no-edit")
    source = tmp_path / "source.git"
    git("clone", "-q", "--bare", "--depth", "1", f"file://{repository}", source)
    data = DataRepository(str(source), tmp_path / "home")
    data.refresh()
    before, first = data.mirrored_heads(), data.resolve("HEAD")
    release = Releases(data).register(bundle(b"a"), first, "inputs", Digests("space", "gallery", "packaging"), {}, {})
    assigned = Stages(Releases(data)).assign(release.version, "The gate let it through")
    assert assigned and assigned.release == release
    of_release, of_first = data.commit_info(release.commit), data.commit_info(first)
    assert (of_release.author, of_release.time) == ("Face Assets <face-assets@localhost>", of_first.time)
    assert not (user / "was-asked").exists()

    branches = Branches(("main",), ("dev",))
    theirs("commit", "-q", "-S", "--allow-empty", "-m", "Zwei Läufe", author="Zoë Müller")
    theirs("push", "-q", source, "main:dev")
    data.refresh()
    [new] = new_commits(data, branches, before, data.mirrored_heads())
    assert (new.commit, new.reason) == (data.resolve("dev"), "changes neither photos, gallery, people.csv, reviewed.csv nor parameters")
    info = data.commit_info(new.commit)
    assert (info.author, info.subject, info.branches) == ("Zoë Müller <ann@example.org>", "Zwei Läufe", ("dev",))


@pytest.mark.usefixtures("user")
def test_no_commit_asks_for_a_key_and_a_refusal_is_told_without_colours(repository: Path, tmp_path: Path) -> None:
    git(*config_options(OURS), "commit", "-q", "--allow-empty", "-m", "Unsigned", cwd=repository)
    git("clone", "-q", "--bare", repository, tmp_path / "source.git")
    tag = tmp_path / "source.git" / "refs" / "tags" / "one"
    tag.parent.mkdir(exist_ok=True)
    tag.write_text(git("hash-object", "-w", "--stdin", cwd=tmp_path / "source.git", content=b"mine").decode())
    with pytest.raises(GitError) as raised:
        git(*config_options(OURS), "push", "-q", tmp_path / "source.git", "main:refs/tags/one", cwd=repository)
    assert str(raised.value).startswith("git push: ")
    assert "\x1b" not in str(raised.value)


def test_what_is_pushed_follows_the_umask_of_the_person_and_what_is_kept_that_of_the_platform(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACE_ASSETS_UMASK", "022")
    os.umask(0o077)
    git("init", "-q", "--bare", tmp_path / "kept")
    git("commit", "-q", "--allow-empty", "-m", "More", cwd=repository)
    git("fetch", "-q", repository, "HEAD:refs/heads/main", cwd=tmp_path / "kept")
    os.umask(0o022)
    git("init", "-q", "--bare", tmp_path / "theirs")
    os.umask(0o077)
    git("push", "-q", tmp_path / "theirs", "main", cwd=tmp_path / "kept")
    objects = {name: list((tmp_path / name / "objects").rglob("*")) for name in ("kept", "theirs")}
    assert objects["kept"] and not any(path.stat().st_mode & 0o077 for path in objects["kept"])
    assert objects["theirs"] and all(path.stat().st_mode & 0o044 == 0o044 for path in objects["theirs"])


def test_settings_of_a_local_data_repository_start_nothing_here(repository: Path, tmp_path: Path) -> None:
    """Its .git/config is its owner's: what it names as helpers of reading runs neither in the mirror nor in clones of ours."""
    (repository / ".gitattributes").write_text("* filter=x\n")
    git("add", ".gitattributes", cwd=repository)
    git("commit", "-q", "-m", "Name a filter", cwd=repository)
    touch = f"touch {tmp_path}/pwned #"
    for name in (
        *("core.fsmonitor", "core.sshCommand", "core.pager", "core.editor", "core.askPass", "core.alternateRefsCommand"),
        *("credential.helper", "uploadpack.packObjectsHook", "filter.x.smudge", "filter.x.clean", "diff.external", "alias.fetch"),
    ):
        git("config", name, touch, cwd=repository)
    git("config", "core.hooksPath", str(tmp_path / "hooks"), cwd=repository)
    (tmp_path / "hooks").mkdir()
    for hook in ("post-checkout", "reference-transaction", "pre-push", "post-index-change", "pre-commit", "post-commit"):
        (tmp_path / "hooks" / hook).write_text(f"#!/bin/sh\n{touch}\n")
        (tmp_path / "hooks" / hook).chmod(0o755)
    data = DataRepository(str(repository), tmp_path / "home")
    data.heads()
    data.refresh()
    commit = data.resolve("HEAD")
    assert data.files(commit, "photos") and data.commit_info(commit).subject
    with data.checkout(commit):
        assert not (tmp_path / "pwned").exists()
