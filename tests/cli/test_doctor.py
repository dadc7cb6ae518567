"""`face-assets doctor`: what would fail after hours is said in seconds, each with what to do next."""

import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from face_assets.automation.preflight import Plan
from face_assets.cli import doctor as examination
from face_assets.cli.main import main
from face_assets.dataset.repository_creation import create_repository
from face_assets.registry.git import git
from face_assets.registry.workspace import Workspace

GOOD = "split: {validation: 0.0, test: 0.5, min_test_people: 2}\nembedder: {weights: scratch}\ntrain: {unfreeze: all}\n"
BAD = "split: {validation: 0.0, test: 0.5}\nembedder: {weights: /nowhere.pt}\n"
OF_THE_REPOSITORY = ("repository", "git and DVC", "clock", "releases", "parameters", "photos", "gallery", "DVC remote", "weights")


@pytest.fixture(autouse=True)
def own_ports(home: Path, free_ports: Callable[[int], list[int]], monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    ports = dict(zip(("HTTP_PORT", "GRPC_PORT", "METRICS_PORT", "UI_PORT", "WEB_PORT"), free_ports(5), strict=True))
    for name, port in ports.items():
        monkeypatch.setenv(f"FACE_ASSETS_{name}", str(port))
    return ports


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for person in range(8):
        (tmp_path / "photos" / f"Person {person}").mkdir(parents=True)
        for number in range(2):
            (tmp_path / "photos" / f"Person {person}" / f"{number}.jpg").write_bytes(os.urandom(2000))
    create_repository(tmp_path / "data", tmp_path / "photos", GOOD, None, tmp_path / "photos")
    return tmp_path / "data"


def doctor(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["doctor", *map(str, arguments)])


def test_where_nothing_is_wrong_nothing_failed_and_where_much_is_each_says_what_to_do(
    data: Path, home: Path, tmp_path: Path, own_ports: dict[str, int]
) -> None:
    good = doctor("--repo", data, "--json")
    assert good.exit_code == 0, good.output
    found = {finding["subject"]: finding for finding in json.loads(good.output)}
    assert {subject: found[subject]["state"] for subject in OF_THE_REPOSITORY} == dict.fromkeys(OF_THE_REPOSITORY, "ok"), good.output
    assert found["photos"]["text"].startswith("16 of 8 people (")
    assert found["gallery"]["text"] == "8 people, 8 of them in photos/, too"
    assert not [path for path in (tmp_path / "data.dvc-remote").iterdir() if path.name.startswith("face-assets")], "the probe is removed"

    (data / "params.yaml").write_text(BAD)
    config = data / ".dvc" / "config"
    config.write_text(config.read_text().replace(f"{tmp_path}/data.dvc-remote", "/proc/nowhere"))
    git("commit", "-q", "-a", "-m", "Break much", cwd=data, env={"GIT_COMMITTER_DATE": "4000000000 +0000"})
    with socket.create_server(("127.0.0.1", own_ports["HTTP_PORT"])):
        bad = doctor("--repo", data)
    assert bad.exit_code == 1
    lines = {line[9:24].strip(): line for line in bad.output.splitlines()}
    assert {subject for subject, line in lines.items() if line.startswith("failed ")} == {"ports", "DVC remote", "weights"}
    for subject, cure in {
        "ports": "set FACE_ASSETS_HTTP_PORT to a free one",
        "photos": "nothing is trained",
        "DVC remote": "see its address, and your rights there",
        "weights": "Name a state_dict",
        "clock": "set its clock, or the committer's",
    }.items():
        assert cure in lines[subject]
    assert bad.output.splitlines()[-1] == "3 failed: mend that, and run `face-assets doctor` again."


def test_without_a_repository_the_machine_is_examined(home: Path) -> None:
    done = doctor()
    assert done.exit_code == 0, done.output
    assert "Python" in done.output
    assert "`face-assets init` makes one" in done.output


def test_the_shared_store_is_tried(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def found() -> tuple[str, str]:
        finding = examination._finding("store", examination._store, Plan(Workspace.load(), None, registers=True, serves=True))
        return finding.state, finding.text

    assert found() == ("ok", "none: this machine makes what it needs")
    monkeypatch.setenv("FACE_ASSETS_STORE", str(tmp_path / "store"))
    (tmp_path / "store").mkdir()
    assert found() == ("ok", f"{tmp_path}/store answers, and can be written")
    assert not [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 3600)
    assert found() == ("warning", f"{tmp_path}/store answers, and its clock is -60 minutes off this machine's: set one of them.")
    (tmp_path / "store" / "trials").rmdir()
    (tmp_path / "store").rmdir()
    assert found()[0] == "failed"
