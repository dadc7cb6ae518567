"""Releases and stages: git tags on commits that they alone reach, once for the same inputs, whole or not at all."""

import json
import multiprocessing
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from face_assets.core.errors import UserError
from face_assets.registry.data_repository import DataRepository
from face_assets.registry.decision import Decision, gate_message, machine_message, person_message, read_decision
from face_assets.registry.git import git
from face_assets.registry.person import Person
from face_assets.registry.releases import Digests, Lineage, Release, Releases, next_version
from face_assets.registry.stages import Assignment, Stages
from tests.conftest import copied, name_somebody
from tests.waiting import until_the_next_second

FIRST = Digests("space", "gallery", "packaging")


def open_releases(repository: Path, home: Path) -> Releases:
    data = DataRepository(str(repository), home)
    data.refresh()
    return Releases(data)


def register(repository: Path, home: Path, bundle: Path, inputs: str, digests: Digests = FIRST) -> Release:
    releases = open_releases(repository, home)
    commit = releases.repository.resolve("HEAD")
    return releases.register(bundle, commit, inputs, digests, {"auc": 0.9}, {})


@pytest.fixture(scope="module")
def two(original: Path, tmp_path_factory: pytest.TempPathFactory, bundle: Callable[[bytes], Path]) -> tuple[Path, list[Release]]:
    """A data repository with two releases, made once."""
    folder = tmp_path_factory.mktemp("two")
    with pytest.MonkeyPatch.context() as patch:
        name_somebody(patch)
        copied(original, folder)
    (folder / "roc.csv").write_text("far,tar\n0.1,0.9\n")
    (folder / "data" / ".dvcignore").write_text("*.xml\n")
    (folder / "data" / "dvc.yaml").write_text(
        "metrics:\n- metrics.json: {cache: false}\nplots:\n  theirs.csv: {x: a}\n  plots/roc.csv: {}\n"
    )
    for name in ("metrics.json", "release.json"):
        (folder / "data" / name).write_text("{}")
    git("add", ".", cwd=folder / "data")
    git("commit", "-qm", "Have files of their own", cwd=folder / "data")
    made = []
    for content, digests, auc in ((b"a", FIRST, 0.9), (b"b", Digests("space", "other", "packaging"), 0.95)):
        releases = open_releases(folder / "data", folder / "home")
        commit = releases.repository.resolve("HEAD")
        made.append(releases.register(bundle(content), commit, content.decode(), digests, {"auc": auc}, {"roc.csv": folder / "roc.csv"}))
    return folder / "data", made


@pytest.fixture
def released(two: tuple[Path, list[Release]], tmp_path: Path) -> Path:
    """The test's own copy of it."""
    return Path(shutil.copytree(two[0], tmp_path / "data"))


def test_a_release_is_reachable_by_its_tag_alone_and_moves_nothing(two: tuple[Path, list[Release]]) -> None:
    repository, releases = two
    trained = git("rev-parse", "main", cwd=repository).decode().strip()
    assert git("for-each-ref", "--format=%(refname)", "refs/heads", cwd=repository).split() == [b"refs/heads/main"]
    assert not git("status", "--porcelain", cwd=repository)
    for release in releases:
        assert release.trained_commit == trained
        assert git("log", "-1", "--format=%H %P", release.tag, cwd=repository).decode().split() == [release.commit, trained]
        assert not git("branch", "--contains", release.tag, cwd=repository)


def test_the_same_inputs_give_the_same_release(two: tuple[Path, list[Release]], tmp_path: Path, bundle: Callable[[bytes], Path]) -> None:
    repository, releases = two
    again = register(repository, tmp_path / "another-home", bundle(b"c"), "a", Digests("new", "new", "new"))
    assert again == releases[0]
    assert open_releases(repository, tmp_path / "home").all() == releases


def test_the_same_bundle_gives_the_same_files_on_any_machine(repository: Path, tmp_path: Path, bundle: Callable[[bytes], Path]) -> None:
    trees = set()
    for name in ("one", "two"):
        git("clone", "-q", "--bare", repository, tmp_path / f"{name}.git")
        register(tmp_path / f"{name}.git", tmp_path / name, bundle(b"a"), "inputs")
        trees.add(git("rev-parse", "face-recognizer@v1.0.0^{tree}", cwd=tmp_path / f"{name}.git"))
    assert len(trees) == 1


MEASURED = Lineage("v1.2.0", ("v1.1.0", "v1.2.0"))


@pytest.mark.parametrize(
    ("digests", "lineage", "version"),
    [
        (Digests("space", "gallery", "other"), Lineage(), "v2.0.1"),
        (Digests("space", "other", "packaging"), Lineage(), "v2.1.0"),
        (Digests("other", "gallery", "packaging"), Lineage(), "v3.0.0"),
        (Digests("other", "gallery", "packaging"), MEASURED, "v1.4.0"),
        (Digests("other", "gallery", "packaging"), Lineage("v1.2.0", ()), "v3.0.0"),
        (Digests("other", "gallery", "packaging"), Lineage("v1.2.0", ("v1.1.0",)), "v3.0.0"),
        (Digests("first", "gallery", "other"), MEASURED, "v1.2.2"),
        (Digests("first", "other", "packaging"), MEASURED, "v1.4.0"),
    ],
)
def test_the_version_says_what_changed_since_production_and_never_takes_one_that_is_there(
    digests: Digests, lineage: Lineage, version: str
) -> None:
    """In production is v1.2.0; v1.3.0 and v2.0.0 never came there. Without production the last release counts."""
    first = Digests("first", "gallery", "packaging")
    made = {"v1.1.0": first, "v1.2.0": first, "v1.2.1": first, "v1.3.0": FIRST, "v2.0.0": FIRST}
    registered = [Release(name, "c", "p", "i", theirs, {}) for name, theirs in made.items()]
    assert next_version(digests, registered, lineage) == version


def test_a_release_keeps_what_was_measured(repository: Path, tmp_path: Path, bundle: Callable[[bytes], Path]) -> None:
    releases = open_releases(repository, tmp_path / "home")
    commit = releases.repository.resolve("HEAD")
    lineage = Lineage("v1.0.0", ("v1.0.0",), "as good", {"v1.0.0": {"tar": 0.9}}, {"inputs": "a", "towards": None})
    assert releases.register(bundle(b"a"), commit, "a", FIRST, {}, {}).lineage == Lineage()
    second = releases.register(bundle(b"b"), commit, "b", Digests("other", "other", "other"), {}, {}, lambda: lineage)
    assert (second.version, second.lineage) == ("v1.1.0", lineage)
    assert json.loads(git("show", f"{second.tag}:release.json", cwd=repository))["compatible_with"] == ["v1.0.0"]


def test_a_bundle_comes_back_whole_from_the_remote_alone(two: tuple[Path, list[Release]], tmp_path: Path) -> None:
    repository, releases = two
    folder = open_releases(repository, tmp_path / "fresh").bundle(releases[0])
    assert (folder / "embedder.bin").read_bytes() == b"a" * 1000
    assert (folder / "detector" / "pnet.xml").is_file(), "the user's .dvcignore does not speak of the bundle"


def test_a_release_lies_once_on_a_machine_and_what_was_damaged_there_comes_anew(two: tuple[Path, list[Release]], tmp_path: Path) -> None:
    repository, (release, _) = two
    releases = open_releases(repository, tmp_path / "fresh")
    weights = releases.bundle(release) / "embedder.bin"
    (md5,) = [file.md5 for file in releases.repository.files(release.commit, "release") if file.path == "embedder.bin"]
    assert weights.samefile(releases.repository.cached([md5])[md5])
    weights.write_bytes(b"damaged in place, and so in the cache")
    shutil.rmtree(releases.folder(release))
    assert (releases.bundle(release) / "embedder.bin").read_bytes() == b"a" * 1000


def test_dvc_compares_two_releases_in_a_users_clone(two: tuple[Path, list[Release]], tmp_path: Path) -> None:
    git("clone", "-q", two[0], tmp_path / "clone")
    compared = subprocess.run(
        [sys.executable, "-m", "dvc", "metrics", "diff", "--json", "face-recognizer@v1.0.0", "face-recognizer@v1.1.0"],
        cwd=tmp_path / "clone", capture_output=True, text=True, check=True,
    )  # fmt: skip
    auc = json.loads(compared.stdout)["metrics.json"]["auc"]
    assert (auc["old"], auc["new"]) == (0.9, 0.95)
    declared = yaml.safe_load(git("show", "face-recognizer@v1.1.0:dvc.yaml", cwd=tmp_path / "clone"))
    assert declared["metrics"] == ["metrics.json"]
    assert declared["plots"] == [{"theirs.csv": {"x": "a"}}, {"plots/roc.csv": {"x": "far", "y": "tar"}}]


def test_what_people_tag_by_hand_is_no_release_and_its_version_is_not_taken(
    released: Path, tmp_path: Path, bundle: Callable[[bytes], Path]
) -> None:
    git("tag", "-a", "-m", "mine", "face-recognizer@v2.0.0", "main", cwd=released)
    git("tag", "-a", "-m", "a copy", "face-recognizer@v1.0.9", "face-recognizer@v1.0.0^{}", cwd=released)
    git("branch", "face-recognizer@v1.1.0", "main", cwd=released)
    before = [release.version for release in open_releases(released, tmp_path / "home").all()]
    assert before == ["v1.0.0", "v1.1.0"]
    release = register(released, tmp_path / "home", bundle(b"c"), "c", Digests("other", "", ""))
    assert release.version == "v2.0.1"


def test_a_version_says_what_changed_since_the_last_one_also_where_that_is_deprecated(
    released: Path, tmp_path: Path, bundle: Callable[[bytes], Path]
) -> None:
    third = register(released, tmp_path / "home", bundle(b"c"), "c", Digests("second space", "a", "a"))
    git("tag", "-a", "-m", "No", f"face-recognizer@{third.version}!", third.commit, cwd=released)
    fourth = register(released, tmp_path / "home", bundle(b"d"), "d", Digests("third space", "a", "a"))
    assert (third.version, fourth.version) == ("v2.0.0", "v3.0.0")


def test_a_commit_cannot_make_a_release_write_outside_the_clone(released: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (released / "plots").symlink_to(tmp_path / "precious")
    git("add", "plots", cwd=released)
    git("commit", "-qm", "Link", cwd=released)
    releases = open_releases(released, tmp_path / "home")
    with pytest.raises(UserError, match=r"plots at commit .* rename it"):
        releases.register(tmp_path, releases.repository.resolve("HEAD"), "c", FIRST, {}, {"roc.csv": tmp_path / "roc.csv"})
    assert not list((tmp_path / "precious").iterdir())


def _register(repository: Path, home: Path, bundle: Path, inputs: str) -> None:
    register(repository, home, bundle, inputs, Digests(inputs, "", ""))


def test_two_machines_registering_at_once_get_two_versions(repository: Path, tmp_path: Path, bundle: Callable[[bytes], Path]) -> None:
    context = multiprocessing.get_context("spawn")
    both = [
        context.Process(target=_register, args=(repository, tmp_path / f"home-{name}", bundle(name.encode()), name))
        for name in ("one", "two")
    ]
    for process in both:
        process.start()
    for process in both:
        process.join()
        assert process.exitcode == 0
    assert [release.version for release in open_releases(repository, tmp_path / "home").all()] == ["v1.0.0", "v2.0.0"]


def test_a_kill_while_registering_leaves_nothing_half(repository: Path, tmp_path: Path, bundle: Callable[[bytes], Path]) -> None:
    home = tmp_path / "home"
    ended = []
    for last_seen in ("clones/*/data/release.dvc", "clones/*/data/.git/refs/tags/face-recognizer@v1.0.0"):
        process = multiprocessing.get_context("spawn").Process(target=_register, args=(repository, home, bundle(b"a"), "inputs"))
        process.start()
        while not list(home.glob(last_seen)) and process.is_alive():
            time.sleep(0.02)
        process.kill()  # which does nothing to one that has ended
        process.join()
        ended.append(process.exitcode)
    assert -signal.SIGKILL in ended
    release = register(repository, home, bundle(b"a"), "inputs", Digests("inputs", "", ""))
    assert git("tag", cwd=repository).decode().split() == ["face-recognizer@v1.0.0"]
    assert (open_releases(repository, home).bundle(release) / "embedder.bin").read_bytes() == b"a" * 1000


def test_a_source_that_cannot_be_written_is_said_so(repository: Path, tmp_path: Path, bundle: Callable[[bytes], Path]) -> None:
    hook = repository / ".git" / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(UserError, match=r"could not be pushed .* needs to write tags there"):
        register(repository, tmp_path / "home", bundle(b"a"), "inputs")
    assert not git("tag", cwd=repository)
    assert not open_releases(repository, tmp_path / "home").all()


def test_stages_follow_the_tags_whoever_sets_them(released: Path, tmp_path: Path) -> None:
    stages = Stages(open_releases(released, tmp_path / "home"))
    assert stages.production() is None
    first = stages.assign("v1.0.0", "first")
    assert first and first.tag == "face-recognizer#production#1"
    assert stages.assign("v1.0.0", "again") is None

    git("clone", "-q", released, tmp_path / "colleague")
    gto = [str(Path(sys.executable).with_name("gto")), "assign", "face-recognizer", "--version", "v1.1.0", "--stage", "production"]
    until_the_next_second()
    subprocess.run(gto, cwd=tmp_path / "colleague", check=True, capture_output=True)
    git("push", "-q", "--tags", cwd=tmp_path / "colleague")
    stages.repository.refresh()
    now = stages.production()
    assert now and (now.release.version, now.author) == ("v1.1.0", "Ann")

    back = stages.assign("v1.0.0", "rolled back", Person("Bob", "bob@example.org"))
    assert back and (back.release.version, back.author, back.email, back.message) == ("v1.0.0", "Bob", "bob@example.org", "rolled back")
    assert [one.release.version for one in stages.history()] == ["v1.0.0", "v1.1.0", "v1.0.0"]
    take_out(released, stages, now)
    assert stages.production() == back, "what came after stays"
    take_out(released, stages, back)
    assert stages.production() is None
    hold = stages.hold()
    assert hold and hold.gone and hold.author == "Ann", "a person emptied it"
    staging = stages.assign("v1.1.0", "try it", stage="staging")
    assert staging and staging.tag.startswith("face-recognizer#staging#")
    assert stages.production() is None
    with pytest.raises(UserError, match="v9"):
        stages.assign("v9.0.0", "no such release")


def take_out(repository: Path, stages: Stages, assignment: Assignment) -> None:
    """As `gto deassign` does."""
    number = max(int(one.tag.rpartition("#")[2]) for one in stages.history()) + 1
    git("tag", "-a", "-m", "Out of production", f"face-recognizer#production!#{number}", assignment.release.commit, cwd=repository)
    stages.repository.refresh()


def test_what_a_machine_rolled_back_never_held_the_stage(released: Path, tmp_path: Path, bundle: Callable[[bytes], Path]) -> None:
    third = register(released, tmp_path / "home", bundle(b"c"), "c", Digests("space", "third", "packaging"))
    stages = Stages(open_releases(released, tmp_path / "home"))
    for version in ("v1.0.0", "v1.1.0", third.version):
        refused = stages.assign(version, gate_message("The gate let it through", "a" * 40))
    assert refused
    assert stages.assign("v1.1.0", machine_message("too slow"), condition=lambda: stages.last() == refused)
    now = stages.production()
    assert now and now.release.version == "v1.1.0" and "too slow" in now.decision.reason
    assert not stages.assign("v1.0.0", machine_message("late"), condition=lambda: stages.last() == refused), (
        "something else is there by now"
    )
    assert [one.release.version for one in stages.effective()] == ["v1.0.0", "v1.1.0"]
    assert stages.hold() is None, "no person decided"


COMMIT = "a" * 40


@pytest.mark.parametrize(
    ("message", "decision"),
    [
        ("", Decision("person", "", None, True)),
        ("Assigning stage production to artifact x", Decision("person", "Assigning stage production to artifact x", None, True)),
        ("Better\n\nDecided-by: gate now\nSigned-off-by: Ann", Decision("person", "Better", None, True)),
        (person_message("two\nlines\x1b[31m\n\nDecided-by: gate"), Decision("person", r"two lines\x1b[31m Decided-by: gate", None, True)),
        (person_message("Ready", follow=True), Decision("person", "Ready", None, False)),
        (f"{person_message('Signed')}\n-----BEGIN PGP SIGNATURE-----\n\nx", Decision("person", "Signed", None, True)),
        (gate_message("It stays", COMMIT), Decision("gate", f"It stays, for commit {COMMIT}", COMMIT, False)),
        (f"The gate let it through, for commit {COMMIT}", Decision("gate", f"The gate let it through, for commit {COMMIT}", COMMIT, False)),
        ("v1.0.0 failed its verification: late", Decision("machine", "v1.0.0 failed its verification: late", None, False)),
        (machine_message("late"), Decision("machine", "Rolled back automatically: late", None, False)),
    ],
)
def test_a_tags_message_says_who_decided(message: str, decision: Decision) -> None:
    """The reason of a person cannot speak for the gate; the messages of earlier versions are read, too."""
    assert read_decision(message) == decision


def test_what_waits_is_the_last_that_the_gate_let_through_since_a_person_decided(released: Path, tmp_path: Path) -> None:
    stages = Stages(open_releases(released, tmp_path / "home"))
    passed = gate_message("The gate let it through", COMMIT)
    assert stages.assign("v1.1.0", passed)
    assert (stages.hold(), stages.waiting()) == (None, None)
    assert stages.assign("v1.0.0", person_message("Too many false accepts"), Person("Ann", "ann@example.org"))
    hold = stages.hold()
    assert hold and (hold.author, hold.decision.reason, stages.waiting()) == ("Ann", "Too many false accepts", None)
    assert stages.assign("v1.1.0", passed, stage="waiting", again=True)
    waiting = stages.waiting()
    assert waiting and (waiting.release.version, waiting.commit) == ("v1.1.0", COMMIT)
    now = stages.production()
    assert now and now.release.version == "v1.0.0"
    assert stages.assign("v1.0.0", person_message("Still"), again=True)
    assert stages.waiting() == waiting
    assert stages.assign("v1.0.0", person_message("Follow", follow=True), again=True)
    assert (stages.hold(), stages.waiting()) == (None, None)
    assert stages.assign("v1.0.0", person_message("Hold again"), again=True)
    assert stages.waiting() is None, "what waited before production was released waits no more"
