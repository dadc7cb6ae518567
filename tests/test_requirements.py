"""The lock file: it holds the pins of requirements.txt, with hashes, and no build of torch."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PIN = re.compile(r"^([\w.-]+)(?:\[[\w,]+\])?==([^\s;]+)", re.MULTILINE)


def pins(name: str) -> dict[str, str]:
    found = PIN.findall((ROOT / name).read_text(encoding="utf-8"))
    return {re.sub(r"[-_.]+", "-", package).lower(): version for package, version in found}


def test_the_lock_holds_what_requirements_pin_but_torch() -> None:
    pinned = pins("requirements.txt") | pins("requirements-nodeps.txt")
    torch = pinned.pop("torch")
    locked = pins("requirements.lock")
    assert {package: locked.get(package) for package in pinned} == pinned, "run make lock"
    assert not [package for package in locked if package in ("torch", "torchvision", "triton") or package.startswith("nvidia-")]
    assert f"TORCH := torch=={torch}\n" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_every_package_of_the_lock_has_a_hash() -> None:
    entries = re.split(r"\n(?=\S)", (ROOT / "requirements.lock").read_text(encoding="utf-8"))
    assert [entry for entry in entries if not entry.startswith("#") and "--hash=sha256:" not in entry] == []


def test_the_lock_was_made_without_what_only_some_builds_of_torch_need() -> None:
    described = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["uv"]["dependency-metadata"]
    pinned = pins("requirements.txt") | pins("requirements-nodeps.txt")
    assert {one["name"]: one["version"] for one in described} == {name: pinned[name] for name in ("torch", "facenet-pytorch")}
