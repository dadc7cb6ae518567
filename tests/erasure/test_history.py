"""A git history rewritten without a person: the name is in no object, and releases, stages and state refer to the new commits."""

import json
import os
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from face_assets.core.errors import UserError
from face_assets.core.files import write_json
from face_assets.erasure import rewriting
from face_assets.erasure.certificate import _left_in_git
from face_assets.erasure.journal import Journal
from face_assets.erasure.plan import begin, make_plan
from face_assets.erasure.rewriting import rewrite_history
from face_assets.registry.git import git
from face_assets.registry.history_refs import replace_refs
from face_assets.registry.signatures import Signing
from face_assets.registry.workspace import Workspace
from tests.erasure.test_erasure import ADA, FORMS, ZOE, objects, release, workspace

__all__ = ["workspace"]


def plant(workspace: Workspace, data: Path) -> dict[str, str]:
    """Commits, branches, tags and releases that name the person; returns commits by a word."""
    first = workspace.repository.resolve("main")
    (data / "attributes.csv").write_text(f"identity,group\nAnn,a\n{ZOE},b\n")
    (data / "notes.md").write_text(f"{ZOE} came, see {first[:12]}\n")
    (data / f"{ZOE}.txt").write_text("hers")
    photo = next(file for file in workspace.repository.files(first, "photos") if file.path.startswith(ZOE))
    (data / "photo.jpg").write_bytes(workspace.repository.locate(first, "photos", [photo.md5])[photo.md5].read_bytes())
    git("add", "-A", cwd=data)
    git("commit", "-q", "-m", f"Enrol {ZOE}\n\nAfter {first}.", cwd=data)
    named = git("rev-parse", "HEAD", cwd=data).decode().strip()
    workspace.repository.refresh()
    release(workspace, b"1", named, photo.md5)
    git("rm", "-q", "attributes.csv", "notes.md", f"{ZOE}.txt", "photo.jpg", cwd=data)
    git("commit", "-q", "-m", "Take texts out", cwd=data)
    git("branch", "about-zoë-müller", named, cwd=data)
    git("tag", "-a", "-m", f"With {ZOE}", "before", named, cwd=data)
    git("update-ref", "refs/remotes/origin/main", named, cwd=data)
    return {"first": first, "named": named}


def begun(workspace: Workspace) -> Journal:
    """The journal of an erasure that rewrites the history."""
    return begin(workspace, make_plan(workspace, ZOE, rewrite_history=True), ADA)


def test_no_object_of_git_names_the_person_and_all_that_refers_to_commits_follows(workspace: Workspace, repository: Path) -> None:
    commits = plant(workspace, repository)
    home, named = workspace.home, commits["named"]
    before = workspace.releases.get("v1.0.0")
    write_json(home.artifact_references / "aligned_faces" / f"{named}.json", {"directory": "/nowhere", "commit": named})
    bundle = workspace.releases.bundle(before)
    home.dagster.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(home.dagster / "runs.db")) as connection, connection:
        connection.execute("CREATE TABLE event_logs (id INTEGER PRIMARY KEY, partition TEXT, event TEXT)")
        connection.execute(
            "INSERT INTO event_logs VALUES (1, ?, ?)", (named, json.dumps({"text": f"made from {named[:12]}, 123456789012"}))
        )
    tree = git("rev-parse", "main^{tree}", cwd=repository)
    journal = begun(workspace)
    facts = rewrite_history(workspace, journal)

    for folder in (repository, workspace.repository.mirror):
        found = objects(folder)
        assert not [form for form in FORMS if form in found]
        assert not [md5 for md5 in journal.traces.md5s if md5.encode() in found]
    assert "about-zoë-müller" not in git("for-each-ref", cwd=repository).decode()
    assert f"about-{journal.pseudonym}" in git("for-each-ref", cwd=repository).decode()
    assert git("status", "--porcelain", cwd=repository) == b""
    assert not [
        file for file in (repository / ".git").rglob("*") if file.is_file() and ZOE.encode() in file.read_bytes()
    ]  # its last message
    new = workspace.repository.resolve(named)
    assert new != named and facts["commits"] >= 3
    assert git("log", "-1", "--format=%an %ae %at", named if named == new else new, cwd=repository)
    message = git("log", "-1", "--format=%B", new, cwd=repository).decode()
    assert message.startswith(f"Enrol {journal.pseudonym}\n\nAfter {workspace.repository.resolve(commits['first'])}.")
    assert git("show", f"{new}:attributes.csv", cwd=repository).decode() == "identity,group\nAnn,a\n"
    assert git("rev-parse", "main^{tree}", cwd=repository) != tree  # it listed her: the erasure's first step would have changed that

    after = workspace.releases.get("v1.0.0")
    assert (after.trained_commit, after.inputs, after.digests) == (new, before.inputs, before.digests)
    assert git("rev-parse", f"{after.commit}^", cwd=repository).decode().strip() == new
    now = workspace.stages.production()
    assert now and now.release == after and now.author == "Face Assets"
    assert git("cat-file", "tag", after.tag, cwd=repository).decode().count(new) == 1
    assert workspace.releases.bundle(after) == bundle.with_name(after.commit) and not bundle.exists()
    kept = json.loads((home.artifact_references / "aligned_faces" / f"{new}.json").read_text())
    assert kept["commit"] == new
    with closing(sqlite3.connect(home.dagster / "runs.db")) as connection:
        (row,) = connection.execute("SELECT partition, event FROM event_logs").fetchall()
    assert row == (new, json.dumps({"text": f"made from {new[:12]}, 123456789012"}))
    assert named not in json.dumps({key: value for key, value in journal.facts.items() if key != "renamed"})

    files = workspace.repository.files(new, "photos")  # anybody can fetch them
    assert files and not any(file.path.startswith(ZOE) for file in files)
    (sentence,) = [one for one in _left_in_git({"scan": {"git_objects_with_traces": {}}, "history": {"rewritten": True, **facts}})]
    assert f"{facts['commits']} commits have other ids" in sentence


def kill_after(workspace: Workspace, journal: Journal, name: str) -> None:
    """Rewrites the history in a process that is killed right after a function."""
    child = os.fork()
    if not child:
        function = getattr(rewriting, name)

        def killed(*arguments: object) -> None:
            function(*arguments)
            os.kill(os.getpid(), signal.SIGKILL)

        try:
            setattr(rewriting, name, killed)
            rewrite_history(workspace, journal)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL, name


def test_killed_anywhere_it_goes_on_and_what_others_push_meanwhile_stays(
    workspace: Workspace, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = plant(workspace, repository)["named"]
    write_json(workspace.home.artifact_references / "aligned_faces" / f"{named}.json", {"commit": named})
    journal, function = begun(workspace), replace_refs
    kill_after(workspace, journal, "_note")

    def meanwhile(*arguments: object) -> bool:
        if git("log", "-1", "--format=%s", "main", cwd=repository) != b"Another one\n":
            git("commit", "-q", "--allow-empty", "-m", "Another one", cwd=repository)
        return function(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(rewriting, "replace_refs", meanwhile)
    for step in ("write_json", "forget_former_history", "rename_in_state"):
        kill_after(workspace, Journal(journal.folder), step)
    assert rewrite_history(workspace, Journal(journal.folder))["commits"] >= 3
    assert git("log", "-1", "--format=%s", "main", cwd=repository).decode() == "Another one\n"
    new = workspace.repository.resolve(named)
    assert new != named and workspace.releases.get("v1.0.0").trained_commit == new
    assert [file.stem for file in workspace.home.artifact_references.glob("aligned_faces/*")] == [new]
    assert not [form for form in FORMS if form in objects(repository)]


def test_what_would_keep_the_former_history_is_refused_and_the_platforms_signatures_are_made_anew(
    workspace: Workspace, repository: Path, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    signers = tmp_path / "signers"
    signers.write_text(f"face-assets@localhost {key.with_suffix('.pub').read_text()}")
    workspace.repository.signing = Signing(signers, key)
    plant(workspace, repository)
    assert [one.version for one in workspace.releases.all()] == ["v1.0.0"]
    git("update-ref", "refs/stash", "main", cwd=repository)
    with pytest.raises(UserError, match=r"refs/stash, which keeps the former history"):
        begun(workspace)
    git("update-ref", "-d", "refs/stash", cwd=repository)
    git("checkout", "-q", "--detach", cwd=repository)
    with pytest.raises(UserError, match="has a commit checked out and no branch"):
        begun(workspace)
    git("checkout", "-q", "main", cwd=repository)
    facts = rewrite_history(workspace, begun(workspace))
    assert [one.version for one in workspace.releases.all()] == ["v1.0.0"]
    assert workspace.stages.production() and facts["tags_unsigned"] == []


def test_a_name_that_git_alone_has_is_found_for_a_rewriting(workspace: Workspace, repository: Path) -> None:
    git("commit", "-q", "--allow-empty", "-m", "Enrol Nora Nobody", cwd=repository)
    with pytest.raises(UserError, match="Nothing of 'Nora Nobody'"):
        make_plan(workspace, "Nora Nobody")
    with pytest.raises(UserError, match="Nothing of 'Zoë_Müller' is there, but of 'Zoë Müller'"):
        make_plan(workspace, "Zoë_Müller", rewrite_history=True)
    plan = make_plan(workspace, "nora nobody", rewrite_history=True)
    journal = begin(workspace, plan, ADA)
    assert (plan.to_json()["photos"], rewrite_history(workspace, journal)["commits"]) == (0, 1)
    assert git("log", "-1", "--format=%s", "main", cwd=repository).decode() == f"Enrol {journal.pseudonym}\n"
    with pytest.raises(UserError, match="Nothing of 'Nora Nobody'"):
        make_plan(workspace, "Nora Nobody", rewrite_history=True)
