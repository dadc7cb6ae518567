"""Names from outside: each parser takes what it is for, and of hostile strings none reaches a path, a command or a terminal."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from face_assets.core import identifiers
from face_assets.core.errors import UserError
from face_assets.registry.data_repository import DataRepository
from face_assets.registry.git import GitError, git

HOSTILE = (
    *("", "-", "--", "--all", "-h", "--upload-pack=touch pwned", "--output=pwned", "-c", "--exec=touch pwned", "--git-dir=."),
    *("ext::sh -c touch% pwned", "fd::17", "a::b", "EXT::sh -c x", "::x", "ftp://host/x", "javascript://x", "ssh://-oProxyCommand=x/y"),
    *("../../etc/passwd", "a/../../b", "/etc/passwd", "~root/.ssh", "..", ".", "a//b", "a/", "./a", "\\\\host\\x", "C:\\x", "a\\..\\b"),
    *("a\nb", "a\0b", "\x1b[31mred", "a\rb", "\x7f", "\x9b31m", "a\u2028b", "\ud800", "\u202egpj.exe", "a\tb", "\u200bmain"),
    *("HEAD@{-1}", "main..other", "^main", ":/fix", ":0:file", "main^{/x}", "@", "refs/heads/*", "main^{blob}", "main:photos.dvc"),
    *("v1.2", "v1.2.3.4", "v01.2.3", "v1.2.3\n", "v１.2.3", "v9999999999.0.0", "v" + "9" * 5000 + ".0.0", "v1.2.3-rc1"),
    *("0" * 39, "0" * 41, "0" * 40 + "\n", "G" * 40, "０" * 40, "A" * 40, "--upload-pack=touch${IFS}/tmp/pwned;:xx", "x" * 100_000),
    *("$(touch pwned)", "`touch pwned`", "; touch pwned", "| touch pwned", "%(refname)", "{commit}", "*.json", "?", "[a-z]"),
)
"""Written by hand; hypothesis adds what it makes of pieces of them and of any characters."""
PIECES = st.sampled_from(
    [*"-./:~^@{}*?\\ %$", "..", "--", "::", "://", "ext", "HEAD", "refs", "v1", "0" * 40, "\0", "\n", "\x1b", "\u202e", "\ud800"]
)
STRINGS = st.one_of(st.sampled_from(HOSTILE), st.lists(PIECES, max_size=12).map("".join), st.text(st.characters(), max_size=300))
PARSERS: tuple[Callable[[str], object], ...] = (
    identifiers.commit_id,
    identifiers.revision,
    identifiers.version,
    identifiers.source,
    identifiers.tracked_path,
)


def parsed(parse: Callable[[str], object], text: str) -> str | None:
    """The text as its type, None where it was refused in a sentence that a terminal and a log can take."""
    try:
        found = parse(text)
    except UserError as error:
        assert str(error).isprintable() and len(str(error)) < 500
        return None
    return str(found[0] if isinstance(found, tuple) else found)


@settings(max_examples=500, deadline=None, derandomize=True, database=None)
@given(STRINGS)
def test_a_name_is_what_its_type_says_or_is_refused_in_a_sentence(text: str) -> None:
    commit, revision, version, source, path = (parsed(parse, text) for parse in PARSERS)
    assert commit is None or (len(commit) == 40 and set(commit) <= set("0123456789abcdef"))
    assert version is None or ([int(part) for part in version.removeprefix("v").split(".")] and version.isascii())
    for name in (revision, source):
        assert name is None or (name and not name.startswith("-") and not set(name) & set("\0\n\r\x1b"))
    if source is not None and not source.startswith("/"):
        assert not identifiers.HELPER.match(source)
    if path is not None:
        below = os.path.normpath(os.path.join("/root/of/it", path))
        assert below == f"/root/of/it/{path}" and "\0" not in path


@pytest.mark.parametrize(
    ("parse", "good"),
    [
        (identifiers.commit_id, ["0123456789abcdef" * 2 + "01234567"]),
        (identifiers.revision, ["main", "HEAD~2", "feature/ö", "v1.0.0^{}", "face-recognizer@v1.0.0", "main@{1 week ago}"]),
        (identifiers.version, ["v1.0.0", "v0.12.345"]),
        (identifiers.tracked_path, ["Ann/1 a.jpg", "Zoë Müller/-1.jpg", ".hidden", "a\\b.jpg", ":(top)x", "…/x"]),
        (
            identifiers.source,
            [
                "git@host:team/data.git",
                "https://user:key@host/data.git",
                "ssh://host:22/~ann/data",
                "file:///srv/d",
                "host:data",
                "nowhere",
            ],
        ),
    ],
)
def test_names_as_people_have_them_are_taken_as_they_are(parse: Callable[[str], object], good: list[str]) -> None:
    assert [parsed(parse, text) for text in good] == good


@pytest.mark.slow
def test_no_hostile_name_starts_a_program(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each as the data repository and as a revision of one: nothing is written where a started program would write."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    data = DataRepository(str(repository), tmp_path / "home")
    data.refresh()
    monkeypatch.setattr(data, "refresh", lambda: None)  # once is enough
    commit = data.resolve("HEAD")
    for text in HOSTILE:
        for use in (data.resolve, lambda text: DataRepository(text, tmp_path / "home").heads()):
            try:
                use(text)
            except UserError as error:
                assert str(error).isprintable()
    for text in (one for one in HOSTILE if one and "\0" not in one and one.isprintable()):  # as if a parser had let it through
        for command in (["fetch", "-q", "--end-of-options", str(repository), text], ["ls-remote", "--end-of-options", text]):
            try:
                git(*command, cwd=data.mirror, seconds=20)
            except (GitError, OSError):  # OSError: an argument that is too long
                continue
    assert not list(work.iterdir()) and not list(tmp_path.rglob("*pwned*"))
    assert data.resolve("HEAD") == commit
