"""Step versions: a change of code that a step runs is looked at by a person, and what does not count does not ask for it."""

import ast
import gc
import json
from pathlib import Path

import pytest

from face_assets.core import code_digest as digests
from face_assets.core import step_versions


class Parses:
    """Parses source as it is collected, as a traceback in the log does."""

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        ast.parse("a + (b * c(d))")


def test_source_is_parsed_whatever_is_collected_meanwhile() -> None:
    source = Path(digests.__file__).read_text(encoding="utf-8")
    expected = ast.dump(ast.parse(source))
    for _ in range(5):
        gc.disable()
        for _ in range(300):
            Parses()
        gc.enable()
        assert ast.dump(digests.parsed(source)) == expected


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in {
        "__init__": "",
        "a": "from face_assets import b\nx = 1\n",
        "b": "y = 2\n",
        "c": "z = 3\n",
        "d": "from face_assets.b import y\n",
    }.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.setattr(digests, "PACKAGE", tmp_path)
    return tmp_path


def digest(name: str, ignored: tuple[str, ...] = ()) -> str:
    digests._read.cache_clear()
    return digests.code_digest(name, ignored=ignored)


def test_a_digest_follows_imports_and_ignores_the_rest(package: Path) -> None:
    before = digest("face_assets.a")
    (package / "c.py").write_text("z = 4\n")
    assert digest("face_assets.a") == before
    (package / "b.py").write_text("y = 3\n")
    assert digest("face_assets.a") != before


def test_docs_and_layout_do_not_count(package: Path) -> None:
    before = digest("face_assets.a")
    (package / "a.py").write_text('"""A docstring."""\n\n# a comment\nfrom face_assets import b\n\nx   =   1\n')
    assert digest("face_assets.a") == before


def test_ignored_modules_do_not_count(package: Path) -> None:
    before = digest("face_assets.d", ignored=("face_assets.b",))
    (package / "b.py").write_text("y = 3\n")
    assert digest("face_assets.d", ignored=("face_assets.b",)) == before


def test_every_change_of_a_steps_code_was_looked_at() -> None:
    """After a change: `python -m face_assets.core.step_versions same STEP…` where results stay the same, else `… new STEP…`."""
    digests._read.cache_clear()
    assert step_versions.changed_steps() == []


def test_a_step_keeps_its_version_where_results_stay_the_same(tmp_path: Path) -> None:
    file = tmp_path / "versions.json"
    step = {"version": "of before", "modules": ["face_assets.core.fingerprint"], "code": "of before"}
    file.write_text(json.dumps({"one": step, "other": step}))
    step_versions.settle(["one"], same=True, file=file)
    step_versions.settle(["other"], same=False, file=file)
    kept = json.loads(file.read_text())
    assert kept["one"]["version"] == "of before"
    assert kept["one"]["code"] == kept["other"]["code"] == kept["other"]["version"] != "of before"


def test_what_decides_the_served_thresholds_is_in_the_names_of_evaluation_and_gallery() -> None:
    deciding = {f"face_assets.biometrics.{name}" for name in ("thresholds", "score_tail", "score_blocks", "impostor_scores", "cross_fit")}
    for name in ("embedder_evaluation", "face_gallery"):
        used = digests.modules_used(*step_versions._steps()[name]["modules"], ignored=step_versions.CARRIERS)
        assert deciding <= set(used), name
