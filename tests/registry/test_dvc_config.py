"""DVC's settings: a commit's name its remotes and nothing of this machine; those of this machine's user may name all."""

import os
import re
from pathlib import Path

import pytest
from configobj import ConfigObj
from hypothesis import given, settings
from hypothesis import strategies as st

from face_assets.core.errors import UserError
from face_assets.registry import dvc_config
from face_assets.registry.availability import missing_bytes
from face_assets.registry.data_repository import DataRepository
from face_assets.registry.git import git

HARMFUL = {  # what DVC takes, and reads or runs on the machine that it runs on
    "s3": ("configpath", "credentialpath"),
    "gs": ("credentialpath",),
    "ssh": ("keyfile", "ask_password", "ask_passphrase", "passphrase"),
    "webdav": ("bearer_token_command", "ask_password", "cert_path", "key_path"),
    "hdfs": ("kerb_ticket",),
    "webhdfs": ("proxy_to", "data_proxy_target"),
    "gdrive": ("gdrive_user_credentials_file", "gdrive_service_account_json_file_path", "profile_path", "gdrive_use_service_account"),
    "https": ("ask_password", "something_new"),
}


REFUSED = r"'(configpath|bearer_token_command)' of the remote 'storage'"


def committed(repository: Path, text: str, name: str = ".dvc/config") -> str:
    (repository / name).write_text(text)
    git("add", "-f", "--", name, cwd=repository)
    git("commit", "-q", "-m", "Change DVC's settings", cwd=repository)
    return git("rev-parse", "HEAD", cwd=repository).decode().strip()


def remote(url: str, **values: str) -> str:
    lines = [f"url = {url}", *(f"{key} = {value}" for key, value in values.items())]
    return "\n".join(["[core]", "remote = storage", "['remote \"storage\"']", *lines, ""])


def test_a_commit_cannot_make_a_remote_run_a_command(repository: Path, tmp_path: Path) -> None:
    """By a credential_process beside the settings: on its own, DVC runs it when it looks into the remote."""
    (repository / ".dvc" / "cache").rename(tmp_path / "cache")
    committed(repository, f"[default]\ncredential_process = touch {tmp_path}/pwned\n", ".dvc/evil.cfg")
    data = DataRepository(str(repository), tmp_path / "home")
    for text in (
        remote("s3://bucket/path", configpath="evil.cfg", endpointurl="http://127.0.0.1:9", region="us-east-1"),
        remote("webdav://127.0.0.1:9/path", bearer_token_command=f"touch {tmp_path}/pwned"),
    ):
        commit = committed(repository, text)
        data.refresh()
        with pytest.raises(UserError, match=REFUSED):
            data.files(commit, "photos")
        with pytest.raises(UserError, match=REFUSED):
            missing_bytes(data, commit, ("photos",))
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("kind", HARMFUL)
def test_what_names_files_and_commands_of_this_machine_is_refused_by_name(kind: str) -> None:
    for key in HARMFUL[kind]:
        config = dvc_config.parse_config(remote(f"{kind}://host/path", **{key.upper(): "anything"}).encode(), "here")
        with pytest.raises(UserError, match=f"here sets '{key}' of the remote 'storage'"):
            dvc_config.require_harmless(config, "here")


@pytest.mark.parametrize(
    ("committed", "own", "refused"),
    [
        (remote("gs://bucket/path", endpointurl="https://theirs.example"), "", "'endpointurl'"),
        (remote("gs://bucket/path", endpointurl="https://ours.example"), remote("gs://bucket", endpointurl="https://ours.example"), ""),
        (remote("s3://bucket/path", endpointurl="https://minio.example"), "", ""),  # keys of S3 sign, and are not sent
        (remote("azure://container", account_name="theirs.example/x?"), "", "'account_name'"),
        (remote("azure://container", account_name="photos"), "", ""),
        (remote("azure://container", connection_string="BlobEndpoint=https://theirs.example;AccountKey=eA=="), "", ""),
        (remote("https://theirs.example/path"), "password = secret", "address 'https://theirs.example/path'"),
        (remote("ssh://theirs.example/path", user="ann"), "password = secret", "address"),
        (remote("http://ours.example/path"), "password = secret", "address"),  # where everybody on the way could read it
        (remote("remote://base/x") + "['remote \"base\"']\nurl = https://theirs.example", "token = secret", "address"),
        (remote("https://ann@ours.example/other"), "password = secret", ""),
        (remote("https://theirs.example/path"), "user = ann", ""),
        (remote("https://theirs.example/path"), "url = https://ours.example\npassword = secret", ""),  # the user's own address wins
    ],
)
def test_credentials_of_this_machine_s_user_go_to_no_server_of_a_commit_s_choosing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, committed: str, own: str, refused: str
) -> None:
    """`own`: settings of this machine, of the working tree and of the user, who gave them for the address in the working tree."""
    settings = own if own.startswith("[") or not own else f"['remote \"storage\"']\n{own}\n"
    theirs = dvc_config.parse_config(committed.encode(), "here")
    for tree, user in ((settings, ""), ("", settings)):
        folder = tmp_path / f"{bool(tree)}"
        for file, text in (
            (folder / ".dvc" / "config", remote("https://ours.example/path")),
            (folder / ".dvc" / "config.local", tree),
            (folder / "user" / "config", user),
        ):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        monkeypatch.setenv("DVC_GLOBAL_CONFIG_DIR", str(folder / "user"))
        if refused or ("password" in user and "url" in user):  # the commit's address wins over that of the user's own configuration
            with pytest.raises(UserError, match=f"here sets (the )?{re.escape(refused)}"):
                dvc_config.merged(theirs, folder, "here")
        else:
            assert dvc_config.merged(theirs, folder, "here")['remote "storage"']["url"]


@pytest.mark.parametrize("link", ["", ".dvc", ".dvc/config.local"])
def test_a_commit_cannot_bring_the_settings_of_this_machine_s_user(repository: Path, tmp_path: Path, link: str) -> None:
    """`.dvc/config.local` that came with a checkout belongs to the user as every file there, and is the committer's word."""
    (repository / "other").mkdir()
    if link == ".dvc":
        (repository / ".dvc").rename(repository / "other" / "dvc")
        (repository / ".dvc").symlink_to("other/dvc")
    elif link:
        (repository / link).symlink_to("../other/settings")
    text = remote("s3://bucket/path", configpath="evil.cfg")
    (repository / ".dvc" / "config.local").write_text(text)
    assert dvc_config.merged({}, repository, "here")['remote "storage"']["configpath"].endswith("/evil.cfg")  # the user's own word
    git("add", "-f", "--all", "--", ".", cwd=repository)
    with pytest.raises(UserError, match=REFUSED):
        dvc_config.merged({}, repository, "here")


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("ext::sh", "of no kind"),
        ("memory://host/x", "of no kind"),
        ("file:///etc", "of no kind"),
        ("remote://storage/x", "of no kind"),
        ("http://[x", "of no kind"),
        ("s3://a, b", "no single text"),
        ("%(HOME)s/x", "no single text"),
        ("'''a\nb'''", "no single text"),
        ("a\x1bb", "no single text"),
    ],
)
def test_an_address_that_dvc_does_not_have_is_refused(url: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        dvc_config.require_harmless(dvc_config.parse_config(remote(url).encode(), "here"), "here")


def test_the_user_of_this_machine_may_set_all_in_the_working_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".dvc").mkdir()
    file = tmp_path / ".dvc" / "config.local"
    file.write_text(remote("s3://b/p", configpath="own.cfg", access_key_id="no", machine="x"))
    found = dvc_config.merged({}, tmp_path, "nowhere")
    own = {"url": "s3://b/p", "configpath": str(file.with_name("own.cfg")), "machine": "x"}
    assert dict(dvc_config.remotes_of(found)) == {"storage": own}
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    os.chown(file, 4321, 4321)
    with pytest.raises(UserError, match=r"config\.local sets 'configpath'"):
        dvc_config.merged({}, tmp_path, "nowhere")


def test_settings_as_people_have_them_reach_dvc_as_they_are(tmp_path: Path) -> None:
    text = remote('"s3://b/a, #b"', region="eu-west-1", endpointurl="http://minio:9000", ssl_verify="false", version_aware="true")
    text += "['remote \"Other\"']\n  url = ../store\n[plots]\n  out_dir = /x\n[feature]\n  machine = true\n"
    config = dvc_config.merged(dvc_config.parse_config(text.encode(), "here"), tmp_path / "data", "here")
    (tmp_path / "clone" / ".dvc").mkdir(parents=True)
    dvc_config.configure(tmp_path / "clone", config, tmp_path / "cache")
    read = ConfigObj(str(tmp_path / "clone" / ".dvc" / "config.local"), encoding="utf-8").dict()
    assert set(read) == {"core", "cache", 'remote "storage"', 'remote "other"'}
    remotes = dict(dvc_config.remotes_of(read))
    assert remotes["storage"]["url"] == "s3://b/a, #b" and remotes["storage"]["ssl_verify"] == "false"
    assert remotes["other"]["url"] == str(tmp_path / "data" / "store")
    assert read["cache"] == {"dir": str(tmp_path / "cache")}


PIECES = st.sampled_from(
    [*"[]'\"=#,%()\\ \n\t\r\0", "remote", "url", "a", "configpath", '"""', "'''", "[core]\n", "['remote \"a\"']\n", "=x\n"]
)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.one_of(st.binary(max_size=200), st.lists(PIECES, max_size=40).map(lambda parts: "".join(parts).encode())))
def test_whatever_settings_hold_they_are_read_or_refused_in_a_sentence(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    clone = tmp_path_factory.getbasetemp() / "any"
    try:
        config = dvc_config.merged(dvc_config.parse_config(content, "here"), None, "here")
    except UserError:
        return
    (clone / ".dvc").mkdir(parents=True, exist_ok=True)
    dvc_config.configure(clone, config, clone / "cache")
    read = ConfigObj(str(clone / ".dvc" / "config.local"), encoding="utf-8").dict()
    assert read["cache"] == {"dir": str(clone / "cache")}
    assert all(set(values) <= dvc_config.ALLOWED for _, values in dvc_config.remotes_of(read))
