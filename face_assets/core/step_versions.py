"""Versions of the steps: the results of a step are made again when its version changes, and not when a line of its code moves.

A version is that of the step's code, and of the libraries that decide its result where they differ from those it was declared under.

step_versions.json holds the version of each step and a digest of the code that it runs. After a change of that code a test fails until its
author declares the results the same or new: `python -m face_assets.core.step_versions same STEP…` or `… new STEP…`.
"""

import json
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TypedDict

from face_assets.core.code_digest import code_digest
from face_assets.core.fingerprint import fingerprint
from face_assets.core.step_libraries import other_libraries

FILE = Path(__file__).with_name("step_versions.json")
# They pass on values and bytes, whose digests are in the fingerprints anyway: a change of this code changes no result.
CARRIERS = (
    "face_assets.core.devices",
    "face_assets.core.errors",
    "face_assets.core.files",
    "face_assets.core.fingerprint",
    "face_assets.core.params",
    "face_assets.core.params_yaml",
    "face_assets.core.settings",
    "face_assets.core.step_libraries",
    "face_assets.core.step_versions",
    "face_assets.registry",
    "face_assets.storage",
)


class Step(TypedDict):
    """A step: its version, the modules that decide its result, and the digest of their code at the last declaration."""

    version: str
    modules: list[str]
    code: str


@cache
def _steps(file: Path = FILE) -> dict[str, Step]:
    steps: dict[str, Step] = json.loads(file.read_text(encoding="utf-8"))
    return steps


def step_version(name: str) -> str:
    """The version of a step. It is part of the fingerprint of what the step makes."""
    declared, libraries = _steps()[name]["version"], other_libraries(name)
    return fingerprint(declared, libraries) if libraries else declared


def changed_steps() -> list[str]:
    """The steps whose code changed since their last declaration."""
    return [name for name, step in _steps().items() if _code(step) != step["code"]]


def settle(names: Sequence[str], same: bool, file: Path = FILE) -> None:
    """Declares the results of steps the `same` under the present code, or else sets new versions."""
    steps = {name: dict(step) for name, step in _steps(file).items()}
    for name in names:
        code = _code(_steps(file)[name])
        steps[name] |= {"code": code} if same else {"code": code, "version": code}
    file.write_text(json.dumps(steps, indent=2) + "\n", encoding="utf-8")
    _steps.cache_clear()


def _code(step: Step) -> str:
    return code_digest(*step["modules"], ignored=CARRIERS)


if __name__ == "__main__":
    if sys.argv[1:2] not in (["same"], ["new"]):
        raise SystemExit(
            f"usage: python -m face_assets.core.step_versions same|new STEP…  (changed: {', '.join(changed_steps()) or 'none'})"
        )
    settle(sys.argv[2:] or changed_steps(), same=sys.argv[1] == "same")
