"""Code versions follow what a step uses, and nothing else."""

from pathlib import Path

import pytest

from face_assets.core import step_versions as module


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in {
        "__init__": "",
        "a": "from face_assets import b\nx = 1\n",
        "b": "y = 2\n",
        "c": "z = 3\n",
        "errors": "e = 1\n",
    }.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.setattr(module, "PACKAGE", tmp_path)
    return tmp_path


def version(*names: str) -> str:
    module.code_version.cache_clear()
    module._read.cache_clear()
    return module.code_version(*names)


def test_it_follows_imports_and_ignores_the_rest(package: Path) -> None:
    before = version("face_assets.a")
    (package / "c.py").write_text("z = 4\n")
    assert version("face_assets.a") == before
    (package / "b.py").write_text("y = 3\n")
    assert version("face_assets.a") != before


def test_docs_and_layout_do_not_count(package: Path) -> None:
    before = version("face_assets.a")
    (package / "a.py").write_text('"""A docstring."""\n\n# a comment\nfrom face_assets import b\n\nx   =   1\n')
    assert version("face_assets.a") == before


def test_what_only_carries_values_does_not_count(package: Path) -> None:
    (package / "a.py").write_text("from face_assets.core.errors import e\n")
    before = version("face_assets.a")
    (package / "errors.py").write_text("e = 2\n")
    assert version("face_assets.a") == before
