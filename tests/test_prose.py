"""The prose: no words that only this project's authors understand, docstrings that begin with a noun or a verb. `make lint` runs it."""

import ast
import re
from pathlib import Path

import pytest

from face_assets.core.code_digest import parsed

ROOT = Path(__file__).parents[1]
OLD_NAMES = {"CHANGELOG.md"}  # which it has to give
PAGES = [page for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")] if page.name not in OLD_NAMES]
FOLDERS = ("face_assets", "tests", "benchmarks", "triton_models", "deploy")
SOURCES = [file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py")]
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)

INSTEAD = {
    r"(?:is|are|was|were|be|been|being) (?:told|asked|said)|tells?|telling|told": "read, send, return, log, show, notify, distinguish",
    r"doors?|colours?": "gateway or listener; blue/green slot",
    r"by hand|a hand": "manually, manual",
    r"stand-ins?|far ends?|pieces?": "local image, receiver, candidate for pruning",
    r"whoever|whomever": "each person who",
    r"(?:the|a|its|this|that|each|one|whose) homes?": "state directory",
    r"beside": "with, next to, in addition to",
    r"(?:brings?|brought|bringing|gives?|gave|given) (?:it |them )?back": "restart, restore, return",
    r"sketch(?:es)?": "feature histogram",
    r"whitening": "input normalization",
}


def private_words(text: str) -> list[str]:
    """The words of INSTEAD in the text, outside code: `line: word (better words)`."""
    bare = CODE.sub(lambda code: "\n" * code[0].count("\n") or "`", text)
    return [
        f"{bare[: found.start()].count(chr(10)) + 1}: {found[0]} ({better})"
        for pattern, better in INSTEAD.items()
        for found in re.finditer(rf"\b(?:{pattern})\b", bare, re.IGNORECASE)
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_has_no_private_words(page: Path) -> None:
    assert private_words(page.read_text(encoding="utf-8")) == []


def test_private_words_are_found_outside_code_alone() -> None:
    text = "The home.\n```\nthe home\n```\n`the home` Whoever\nis told"
    assert [found.split(" (")[0] for found in private_words(text)] == ["6: is told", "5: Whoever", "1: The home"]


def test_a_docstring_names_what_it_returns_or_does() -> None:
    texts = {
        f"{file.relative_to(ROOT)}: {(ast.get_docstring(node) or '').partition(chr(10))[0]}"
        for file in SOURCES
        for node in ast.walk(parsed(file.read_text(encoding="utf-8")))
        if isinstance(node, DOCUMENTED)
    }
    assert [text for text in sorted(texts) if re.search(r": (?:What|Whether|Who|How)\b", text)] == []
