"""Signed releases: a tag, a record or a bundle that no allowed signer signed, or that changed since, counts for nothing."""

import json
import random
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from face_assets.core.errors import RefusedError, UserError
from face_assets.core.fingerprint import tree_digest
from face_assets.core.settings import load_settings
from face_assets.registry.data_repository import DataRepository
from face_assets.registry.decision import gate_message, person_message
from face_assets.registry.git import git
from face_assets.registry.gto_tags import refused_tags
from face_assets.registry.person import PLATFORM, Person
from face_assets.registry.releases import Digests, Release, Releases
from face_assets.registry.signatures import Signing, digests_text
from face_assets.registry.workspace import Workspace
from face_assets.release.signing import sign_release
from face_assets.serving.steps import deploy, write_repository

ANN = Person("Ann", "ann@example.org")
MUTATIONS = 200
COMMIT = "a" * 40


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of SSH keys: platform, ann, stranger."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("platform", "ann", "stranger"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)], check=True)
    return folder


def public(keys: Path, name: str) -> str:
    return " ".join((keys / f"{name}.pub").read_text().split()[:2])


@pytest.fixture
def signers(keys: Path, tmp_path: Path) -> Path:
    file = tmp_path / "allowed_signers"
    file.write_text(f"{PLATFORM.email} {public(keys, 'platform')}\nann@example.org {public(keys, 'ann')}\n")
    return file


@pytest.fixture
def signing(keys: Path, signers: Path) -> Signing:
    return Signing(signers, keys / "platform")


def payload(name: str, email: str = PLATFORM.email, when: int = 1_790_000_000, message: str = "Message") -> bytes:
    return f"object {COMMIT}\ntype commit\ntag {name}\ntagger Somebody <{email}> {when} +0000\n\n{message}\n".encode()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git repository with one release, v1.0.0, that is not signed, and its bundle."""
    folder = tmp_path / "data"
    git("init", "-q", "-b", "main", str(folder))
    git("commit", "-q", "--allow-empty", "-m", "Begin", cwd=folder)
    trained = git("rev-parse", "HEAD", cwd=folder).decode().strip()
    release = Release("v1.0.0", "", trained, trained, Digests("e", "r", tree_digest(bundle_of(tmp_path))), {"auc": 0.9})
    (folder / "release.json").write_text(json.dumps({**asdict(release), "digests": release.digests.to_json()}))
    git("add", "release.json", cwd=folder)
    tree = git("write-tree", cwd=folder).decode().strip()
    made = git("commit-tree", tree, "-p", trained, "-m", "R", cwd=folder).decode().strip()
    git("tag", "-a", "-m", "Release", release.tag, made, cwd=folder, env={"GIT_COMMITTER_DATE": "@1790000000 +0000"})
    git("reset", "-q", "--hard", cwd=folder)
    return folder


def bundle_of(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    if not folder.is_dir():
        (folder / "detector").mkdir(parents=True)
        (folder / "embedder.bin").write_bytes(bytes(range(256)) * 20)
        (folder / "detector" / "pnet.xml").write_text("<net/>")
    return folder


@pytest.fixture
def workspace(repository: Path, home: Path, tmp_path: Path, keys: Path, signers: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A platform that requires signatures, with the bundle in its store; Ann's key is that of git."""
    monkeypatch.setenv("FACE_ASSETS_REPO", str(repository))
    monkeypatch.setenv("FACE_ASSETS_ALLOWED_SIGNERS", str(signers))
    monkeypatch.setenv("FACE_ASSETS_SIGNING_KEY", str(keys / "platform"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    (tmp_path / "gitconfig").write_text(f"[gpg]\n\tformat = ssh\n[user]\n\tsigningKey = {keys / 'ann'}\n")
    commit = git("rev-parse", "face-recognizer@v1.0.0^{commit}", cwd=repository).decode().strip()
    shutil.copytree(bundle_of(tmp_path), home / "releases" / commit)
    return Workspace(load_settings())


def test_no_mutation_of_a_signed_tag_is_accepted(keys: Path, signing: Signing, tmp_path: Path) -> None:
    name = "face-recognizer#production#7"
    signed = signing.sign(tmp_path, name, payload(name), personal=False)
    assert signing.refusal(name, signed) is None
    draw = random.Random(7)
    mutated = set()
    while len(mutated) < MUTATIONS:
        place, kind = draw.randrange(len(signed)), draw.randrange(4)
        changed = bytes([signed[place] ^ (1 << draw.randrange(8))])
        replaced = {0: changed, 1: b"", 2: signed[place : place + 1] * 2, 3: changed + signed[place : place + 1]}[kind]
        mutated.add(signed[:place] + replaced + signed[place + 1 :])
    accepted = [one for one in mutated - {signed} if signing.refusal(name, one) is None]
    assert accepted == []


def test_each_refusal_has_a_sentence(keys: Path, signing: Signing, signers: Path, tmp_path: Path) -> None:
    name = "face-recognizer@v1.0.0"
    signed = signing.sign(tmp_path, name, payload(name), personal=False)
    forged = Signing(None, keys / "stranger").sign(tmp_path, name, payload(name), personal=False)
    other = Signing(None, keys / "ann").sign(tmp_path, name, payload(name), personal=False)
    moved = "face-recognizer#production#9"
    for ref, content, reason in (
        (name, payload(name), "it is not signed with an SSH key"),
        (name, b"", "it is no annotated tag of a commit"),
        (name, forged, "no key that may sign for face-assets@localhost signed it"),
        (name, other, "no key that may sign for face-assets@localhost signed it"),
        (moved, signed, f"the tag that was signed is called {name}"),
        (name, signed.replace(b"Message", b"Massage"), "its bytes are not those that were signed"),
        (name, signed + b"more\n", "its signature is damaged"),
        (name, signed.replace(b"SSH SIGNATURE", b"PGP SIGNATURE"), "it is not signed with an SSH key"),
    ):
        assert signing.refusal(ref, content) == reason
    platform = public(keys, "platform")
    for line, accepts in (
        (f'{PLATFORM.email} valid-before="20300101Z" {platform}', True),
        (f'{PLATFORM.email} valid-before="20260101Z" {platform}', False),
        (f'{PLATFORM.email} valid-after="20300101Z" {platform}', False),
        (f"*@localhost {platform}", True),
        (f'{PLATFORM.email} namespaces="file" {platform}', False),
        (f"# revoked: {platform}", False),
    ):
        signers.write_text(line + "\n")
        assert (signing.refusal(name, signed) is None) == accepts, line
    signers.unlink()
    with pytest.raises(UserError, match="FACE_ASSETS_ALLOWED_SIGNERS"):
        signing.refusal(name, signed)
    assert Signing().refusal(name, payload(name)) is None, "off by default"


def test_a_platform_without_a_key_or_with_a_wrong_one_sets_no_tag(keys: Path, signers: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="FACE_ASSETS_SIGNING_KEY"):
        Signing(signers).require_key()
    with pytest.raises(UserError, match="no key is named"):
        Signing(signers).sign(tmp_path, "t", payload("t"), personal=False)
    with pytest.raises(RefusedError, match="was not set, since nobody would take it"):
        Signing(signers, keys / "stranger").sign(tmp_path, "t", payload("t"), personal=False)
    with pytest.raises(UserError, match="does not sign"):
        Signing(None, tmp_path / "none").sign(tmp_path, "t", payload("t"), personal=False)


def test_what_is_not_signed_is_not_deployed_and_what_a_person_signs_is(workspace: Workspace, repository: Path) -> None:
    workspace.repository.refresh()
    assert workspace.releases.all() == []
    assert "face-recognizer@v1.0.0 does not count: it is not signed with an SSH key" in str(workspace.stages.unsigned())
    with pytest.raises(UserError, match=r"No release is in production: face-recognizer@v1.0.0 does not count"):
        deploy(workspace, print)
    assert sign_release(workspace, "1.0.0", ANN) == "face-recognizer@v1.0.0#1"
    release = workspace.releases.get("v1.0.0")
    git("tag", "-a", "-m", "By hand", "face-recognizer#production#5", release.commit, cwd=repository)
    workspace.repository.refresh()
    assert workspace.stages.production() is None, "a stage tag counts only with a signature, too"
    with pytest.raises(UserError, match=r"face-recognizer#production#5 does not count, nor do 1 others"):
        deploy(workspace, print)
    assert workspace.stages.assign("v1.0.0", gate_message("The gate let it through", COMMIT)), "by the platform"
    now = workspace.stages.production()
    assert now and now.author == PLATFORM.name and now.decision.by == "gate"
    assert workspace.stages.assign("v1.0.0", person_message("Mine"), ANN, again=True), "by Ann, with her key"
    with pytest.raises(RefusedError, match=r"no key that may sign for bob@example.org signed it"):
        workspace.stages.assign("v1.0.0", person_message("As Bob"), Person("Bob", "bob@example.org"), again=True)
    newest = git("for-each-ref", "--sort=-taggerdate", "--count=1", "--format=%(objectname)", "refs/tags", cwd=repository).decode().strip()
    git("update-ref", "refs/tags/face-recognizer#production#99", newest, cwd=repository)
    workspace.repository.refresh()
    assert [tag.name for tag, _ in refused_tags(workspace.repository)][-1] == "face-recognizer#production#99", "a copy under another name"


def test_no_mutation_of_a_bundle_or_a_record_is_accepted(workspace: Workspace, tmp_path: Path, repository: Path) -> None:
    sign_release(workspace, "v1.0.0", ANN)
    release = workspace.releases.get("v1.0.0")
    folder = workspace.releases.bundle(release)
    draw = random.Random(7)
    file = folder / "embedder.bin"
    content = file.read_bytes()
    for _ in range(MUTATIONS // 4):
        place = draw.randrange(len(content))
        file.write_bytes(content[:place] + bytes([content[place] ^ (1 << draw.randrange(8))]) + content[place + 1 :])
        with pytest.raises(RefusedError, match=r"The files of v1.0.0 are not those that were signed"):
            workspace.releases.bundle(release)
    file.write_bytes(content)
    workspace.releases.bundle(release)
    for change, back in (
        (lambda: (folder / "more").write_text("x"), lambda: (folder / "more").unlink()),
        (
            lambda: (folder / "detector" / "pnet.xml").rename(folder / "pnet.xml"),
            lambda: (folder / "pnet.xml").rename(folder / "detector" / "pnet.xml"),
        ),
        (lambda: (folder / "link").symlink_to("embedder.bin"), lambda: (folder / "link").unlink()),
    ):
        change()
        with pytest.raises(RefusedError):
            write_repository(workspace, release)
        back()
    workspace.releases.bundle(release)

    for key in ("digests", "metrics", "trained_commit"):  # another record, under the signed tag's name, and with its message
        record = json.loads(git("show", f"{release.commit}:release.json", cwd=repository))
        record[key] = "0" * 40 if key == "trained_commit" else {"space": "x", "recognition": "x", "packaging": "x"}
        (repository / "release.json").write_text(json.dumps(record))
        git("add", "release.json", cwd=repository)
        tree = git("write-tree", cwd=repository).decode().strip()
        forged = git("commit-tree", tree, "-p", release.trained_commit, "-m", "R", cwd=repository).decode().strip()
        signed = git("cat-file", "tag", "face-recognizer@v1.0.0#1", cwd=repository)
        pointed = git("mktag", cwd=repository, content=signed.replace(release.commit.encode(), forged.encode())).decode().strip()
        git("update-ref", "refs/tags/face-recognizer@v1.0.0#1", pointed, cwd=repository)
        workspace.repository.refresh()
        assert workspace.releases.all() == []
        original = git("mktag", cwd=repository, content=signed).decode().strip()
        git("update-ref", "refs/tags/face-recognizer@v1.0.0#1", original, cwd=repository)


def test_the_record_must_be_the_one_that_the_tag_states(workspace: Workspace, repository: Path, tmp_path: Path) -> None:
    commit = git("rev-parse", "face-recognizer@v1.0.0^{commit}", cwd=repository).decode().strip()
    for number, message in enumerate(("No digests", digests_text(b"another record", bundle_of(tmp_path)))):
        ann = {"GIT_COMMITTER_NAME": "Ann", "GIT_COMMITTER_EMAIL": ANN.email}
        git("tag", "-s", "-m", message, f"face-recognizer@v1.0.0#{number + 1}", commit, cwd=repository, env=ann)
    workspace.repository.refresh()
    assert [tag.name for tag, _ in refused_tags(workspace.repository)] == ["face-recognizer@v1.0.0"], "git's own signatures are good"
    assert workspace.releases.all() == []


def test_a_platform_with_a_key_registers_what_counts_everywhere(
    original: Path, tmp_path: Path, signing: Signing, signers: Path, bundle: Callable[[bytes], Path]
) -> None:
    """From the registration to another machine, which fetches the bundle and checks it."""
    from tests.conftest import copied

    folder = tmp_path / "real"
    folder.mkdir()
    source = str(copied(original, folder))
    releases = Releases(DataRepository(source, tmp_path / "home", signing))
    commit = releases.repository.resolve("HEAD")
    made = releases.register(bundle(b"a"), commit, "inputs", Digests("a", "b", "c"), {"auc": 0.9}, {})
    elsewhere = Releases(DataRepository(source, tmp_path / "elsewhere", Signing(signers)))
    elsewhere.repository.refresh()
    found = elsewhere.get(made.version)
    assert (elsewhere.bundle(found) / "embedder.bin").read_bytes() == b"a" * 1000
    with pytest.raises(UserError, match="Releases must be signed"):
        elsewhere.register(bundle(b"b"), commit, "others", Digests("a", "b", "d"), {"auc": 0.9}, {})
    shutil.rmtree(elsewhere.folder(found))

    def change(*folders: Path) -> None:
        for file in [file for folder in folders for file in folder.rglob("*")]:
            if file.is_file() and not file.is_symlink() and file.read_bytes() == b"a" * 1000:
                file.chmod(0o644)
                file.write_bytes(b"a" * 999 + b"b")

    change(tmp_path / "elsewhere", tmp_path / "home")
    assert (elsewhere.bundle(found) / "embedder.bin").read_bytes() == b"a" * 1000, "the DVC remote's"
    shutil.rmtree(elsewhere.folder(found))
    change(tmp_path)
    with pytest.raises((RefusedError, UserError)):
        elsewhere.bundle(found)
    assert not elsewhere.folder(found).exists(), "nothing of it stays"
