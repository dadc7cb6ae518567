"""An erasure on a real data repository with two releases: a person planted in every place, and no trace of her at the end."""

import hashlib
import json
import os
import signal
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from face_assets.core.errors import RefusedError, UserError
from face_assets.core.files import write_json
from face_assets.erasure.certificate import PAGE
from face_assets.erasure.journal import Journal
from face_assets.erasure.plan import begin, make_plan
from face_assets.erasure.steps import STEPS, Erasure
from face_assets.gallery.known_by import releases_that_enrol
from face_assets.gallery.people import Photo
from face_assets.gallery.people_changes import AddPhotos
from face_assets.gallery.people_commits import Request, change_people
from face_assets.registry.erased import releases_of_erased
from face_assets.registry.git import git
from face_assets.registry.person import Person
from face_assets.registry.releases import Digests
from face_assets.registry.workspace import Workspace
from face_assets.storage.content_store import Entry

ZOE = "Zoë Müller"
FACE = b"the face of Zoe" * 999
FORMS = (ZOE.encode(), json.dumps(ZOE)[1:-1].encode(), ZOE.encode("utf-32-le"), FACE)
ONE_MORE = hashlib.md5(b"\xff\xd8\xff\xe0 one more photo", usedforsecurity=False).hexdigest()
ADA = Person("Ada", "ada@example.org")


@pytest.fixture
def workspace(repository: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    (tmp_path / "store").mkdir()
    monkeypatch.setenv("FACE_ASSETS_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("FACE_ASSETS_REPO", str(repository))
    return Workspace.load()


def photos_of_zoe(workspace: Workspace) -> set[str]:
    files = workspace.repository.files(workspace.repository.resolve("main"), "photos")
    return {file.md5 for file in files if file.path.startswith(ZOE)}


def release(workspace: Workspace, content: bytes, commit: str, *learned: str) -> str:
    """Registers a release, with a record of what its embedder learned from, and puts it into production."""
    folder = workspace.home.root.parent / f"bundle-{content.decode()}"
    folder.mkdir(exist_ok=True)
    (folder / "detector.bin").write_bytes(b"a detector of all releases")
    (folder / "embedder.bin").write_bytes(content * 1000)
    (folder / "training.json").write_text("{}")
    (folder / "learned_from.csv").write_text("identity,md5\n" + "".join(f"{ZOE},{md5}\n" for md5 in learned) + f"Ann,{'0' * 32}\n")
    np.savez(folder / "gallery.npz", names=np.array([ZOE, "Ann"] if learned else ["Ann"]))
    made = workspace.releases.register(folder, commit, f"inputs {content!r}", Digests(content.decode(), "a", "a"), {"auc": 0.9}, {})
    workspace.stages.assign(made.version, "by a test")
    return made.version


def plant(workspace: Workspace, data: Path) -> set[str]:
    """Puts the person everywhere; returns the md5s of her photos."""
    home, commit = workspace.home, workspace.repository.resolve("main")
    change = AddPhotos(ZOE, (Photo(ONE_MORE, b"\xff\xd8\xff\xe0 one more photo", "one"),), meant=True)
    (enrolled,) = change_people(workspace, [Request(change, ADA)])
    assert enrolled.commit, enrolled.error
    git("checkout", "-q", "-b", "other", commit, cwd=data)
    (data / "attributes.csv").write_text(f"identity,group\nAnn,a\n{ZOE},b\n")
    (data / "inbox" / "photos").mkdir(parents=True)
    write_json(data / "inbox" / "1.json", {"answered": ZOE, "truth": "Ann", "release": "v1.0.0", "time": 1.0})
    git("add", "attributes.csv", "inbox", cwd=data)
    git("commit", "-q", "-m", "Say who is who", cwd=data)
    git("checkout", "-q", "main", cwd=data)
    (data / "inbox" / "photos").mkdir(parents=True, exist_ok=True)
    write_json(data / "inbox" / "2.json", {"answered": None, "truth": ZOE, "release": "v1.0.0", "time": 1.0, "photo": "photos/2.jpg"})
    (data / "inbox" / "photos" / "2.jpg").write_bytes(FACE)
    md5s = photos_of_zoe(workspace) | {ONE_MORE}
    release(workspace, b"1", commit, *md5s)
    md5 = min(md5s)
    for store in (home.crops("d"), home.inspections("i"), home.embeddings("e")):
        store.put([Entry(key, {"at": 1}, FACE) for key in (md5, f"{md5}.2", f"{md5}~1")])
        store.put([Entry("1" * 32, {}, b"another face")])
        store.publish()
    vector = np.zeros((3, 128), np.float32)
    vector[:2, 0] = vector[2, 1] = 1.0
    home.embeddings("v").put(Entry(key, {}, row.tobytes()) for key, row in zip((md5, "2" * 32, "3" * 32), vector, strict=True))
    folder = home.artifacts.root / "aligned_faces" / "abc"
    folder.mkdir(parents=True)
    (folder / "faces.csv").write_text(f"path,md5,identity,split\n{ZOE}/1.jpg,{md5},{ZOE},train\nAnn/1.jpg,{'1' * 32},Ann,train\n")
    (folder / "sample.jpg").write_bytes(FACE)
    write_json(home.artifact_references / "aligned_faces" / f"{commit}.json", {"directory": str(folder), "kind": "aligned_faces"})
    sheet = home.artifacts.make("label_audit", "abc", lambda folder: {"sheet": (folder / "sheet.jpg").write_bytes(FACE)})
    write_json(home.artifact_references / "label_audit" / f"{commit}.json", {"directory": str(sheet.directory), "kind": "label_audit"})
    untaught = home.artifacts.root / "exported_embedder" / "def"
    untaught.mkdir(parents=True)
    (untaught / "embedder.bin").write_bytes(b"weights of another commit")
    write_json(home.artifact_references / "exported_embedder" / f"{'e' * 40}.json", {"directory": str(untaught)})
    home.dagster.mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(home.dagster / "runs.db") as connection:
        connection.execute("CREATE TABLE event_logs (id INTEGER PRIMARY KEY, event TEXT)")
        connection.execute("INSERT INTO event_logs (event) VALUES (?)", (json.dumps({"text": f"{ZOE} is enrolled from {md5}"}),))
    connection.close()
    home.logs.mkdir(parents=True)
    (home.logs / "web.log").write_text(f"PUT /people/{ZOE}\n")
    (home.training / "abc").mkdir(parents=True)
    (home.training / "abc" / "last.ckpt").write_bytes(FACE)
    return md5s


def places(workspace: Workspace, data: Path) -> list[Path]:
    """Every file of state, caches, remote, store and working tree; git has its own search."""
    roots = (workspace.home.root, data, data.with_name("data.dvc-remote"), Path(workspace.settings.store or "/none"))
    files = [path for root in roots for path in root.rglob("*") if path.is_file()]
    return [file for file in files if ".git" not in file.parts and "mirrors" not in file.parts]


def traces(workspace: Workspace, data: Path, md5s: set[str]) -> set[Path]:
    wanted = [*FORMS, *(md5.encode() for md5 in md5s)]
    names = {md5[2:] for md5 in md5s}
    return {file for file in places(workspace, data) if file.name in names or any(one in file.read_bytes() for one in wanted)}


def objects(folder: Path) -> bytes:
    """The bytes of all objects of a git repository, whether a ref reaches them or not."""
    listed = git("cat-file", "--batch-all-objects", "--batch-check=%(objectname)", cwd=folder)
    return git("cat-file", "--batch", cwd=folder, content=listed)


def erasure(workspace: Workspace, journal: Journal) -> Erasure:
    """The erasure with a run that makes a release of the head's people, in place of a training."""

    def make_live(commit: str) -> list[str]:
        release(workspace, b"2", commit)
        return []

    return Erasure(workspace, journal, make_live, list, list, lambda line: None)


def kill_after(workspace: Workspace, step: str) -> None:
    """Goes on with the erasure in a process that is killed when the step is done and the journal does not know."""
    child = os.fork()
    if not child:
        ends = Journal.end_step

        def killed(self: Journal, name: str, facts: dict[str, object], **changed: object) -> None:
            if name == step:
                os.kill(os.getpid(), signal.SIGKILL)
            ends(self, name, facts, **changed)

        try:
            Journal.end_step = killed  # type: ignore[assignment,method-assign]
            journal = Journal.find(workspace.home.root, ZOE)
            assert journal
            erasure(workspace, journal).run()
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL, step


def test_a_person_is_erased_everywhere_whatever_is_killed(workspace: Workspace, repository: Path, tmp_path: Path) -> None:
    md5s = plant(workspace, repository)
    assert len(traces(workspace, repository, md5s)) > 10
    assert releases_that_enrol(workspace, ZOE) == ["v1.0.0"]
    plan = make_plan(workspace, "zoë müller", rewrite_history=True)
    assert (plan.production, [one.version for one in plan.releases], plan.releases[0].learned) == ("v1.0.0", ["v1.0.0"], True)
    assert plan.person.heads == {"main": ("gallery", "photos"), "other": ("photos",)}
    others = {file.md5 for file in workspace.repository.files(workspace.repository.resolve("main"), "photos")} - md5s
    journal, known = begin(workspace, plan, ADA), workspace.releases.get("v1.0.0")
    assert releases_of_erased(workspace.home.root).keys() == {known.commit}
    former = workspace.repository.resolve("main")
    kill_after(workspace, "heads")
    stuck = Erasure(workspace, journal, lambda commit: ["the gate refused it"], list, list, lambda line: None)
    with pytest.raises(UserError, match=r"v1\.0\.0 still knows the person.*the gate refused it"):
        stuck.run()
    assert workspace.repository.cached(md5s).keys() == md5s
    for step in list(STEPS)[1:]:
        kill_after(workspace, step)
    found = Journal.find(workspace.home.root, ZOE)
    assert found and found.done.keys() == set(STEPS) - {"scan"}
    workspace.repository.refresh()
    certificate = erasure(workspace, found).run()

    assert traces(workspace, repository, md5s) == set()
    assert not [form for form in FORMS for folder in (repository, workspace.repository.mirror) if form in objects(folder)]
    assert {path.name for path in certificate.parent.iterdir()} == {"certificate.json", "commits.json", PAGE}
    facts = json.loads(certificate.read_text())
    assert (facts["photos"], facts["production"], facts["by"]["name"]) == (len(md5s), "v2.0.0", "Ada")
    assert "The history of git was rewritten" in facts["left"][0]  # it had "Add 1 photo of …", by which she was enrolled
    assert facts["revisions_no_longer_fetchable"] == []
    assert facts["steps"]["scan"]["similar_embeddings"] == {"embeddings/v.sqlite": 1}  # of a photo under another name
    assert "1 stored embeddings of photos that stand under other names" in facts["left"][1]
    rewritten = workspace.repository.resolve(former)
    assert {file.md5 for file in workspace.repository.files(rewritten, "photos")} == others
    assert facts["pseudonym"] in certificate.with_name(PAGE).read_text()

    assert workspace.repository.cached(others).keys() == others  # nobody else lost a photo
    subjects = git("log", "--format=%s", "-2", "main", cwd=repository).decode().split("\n")
    assert subjects[:2] == ["Erase a person on request", f"Add 1 photo of {facts['pseudonym']}"], "photos and gallery in one commit"
    assert git("show", "other:attributes.csv", cwd=repository).decode() == "identity,group\nAnn,a\n"
    assert (workspace.home.artifacts.root / "exported_embedder" / "def").is_dir()
    with pytest.raises(UserError, match="Nothing of"):
        make_plan(workspace, ZOE)

    with pytest.raises(RefusedError, match="knows a person who was erased"):
        workspace.stages.assign("v1.0.0", "again")
    now = workspace.stages.production()
    assert now and now.release.version == "v2.0.0"
    assert workspace.stages.previous(now) is None
    bundle = workspace.releases.bundle(now.release)
    assert (bundle / "detector.bin").read_bytes() == b"a detector of all releases"  # which both shared
    elsewhere = Workspace(workspace.settings.model_copy(update={"home": tmp_path / "another-home"}))
    others_rows = elsewhere.home.crops("d").missing([min(md5s), f"{min(md5s)}.2", f"{min(md5s)}~1", "1" * 32])
    assert "1" * 32 not in others_rows
    assert len(others_rows) == 3, "no machine gets her rows from the store"
    elsewhere.repository.refresh()
    with pytest.raises(RefusedError, match="deprecated"):
        elsewhere.stages.assign("v1.0.0", "again")


def test_what_may_still_read_the_person_is_waited_for(workspace: Workspace) -> None:
    journal = Journal.begin(workspace.home.root, {"names": [ZOE], "md5s": [], "others": [], "releases": []})
    busy = Erasure(workspace, journal, lambda commit: [], lambda: ["run 12345678 of commit_to_live"], list, lambda line: None)
    with pytest.raises(UserError, match="run 12345678 of commit_to_live may still read"):
        busy.erase_artifacts()
    assert not journal.done
