"""The documentation: links, paths and commands of a page lead somewhere, and the reference is that of the code."""

import re
from collections import Counter
from pathlib import Path
from urllib.parse import unquote

import click

from face_assets.cli import reference
from face_assets.cli.main import main

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
ROOMS = ("benchmarks", "deploy", "face_assets", "tests", "triton_models")
NAMING = (*ROOT.glob("*"), *(file for room in ROOMS for file in (ROOT / room).rglob("*")))
TEXTS = {".md", ".py", ".yml", ".yaml", ".toml", ".cfg", ".sh", ".Dockerfile", ""}
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
NAMED = re.compile(r"\bdocs/[\w./-]+\.(?:md|png)\b")
SOURCE = re.compile(r"\b(?:face_assets|tests|deploy|benchmarks|triton_models)/[\w./-]+\.(?:py|ya?ml|cfg|sh|json|txt)\b")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def prose(page: Path) -> str:
    """The page without its blocks of code."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """The names by which GitHub links to a page's headings; the second of equal headings gets -1."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", text.lower()).strip().replace(" ", "-")
        found.add(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return found


def broken(page: Path) -> list[str]:
    """The page's relative links that lead nowhere."""
    bad = []
    for link in LINK.findall(prose(page)):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            bad.append(f"{page.name}: {link}")
    return bad


def unknown_commands(text: str) -> list[str]:
    """The calls of `face-assets` in blocks and spans of code that the command does not understand."""
    code = [*FENCE.findall(text), *re.findall(r"`([^`\n]+)`", FENCE.sub("", text))]
    lines = [line.partition(" #")[0] for part in code for line in part.splitlines()]
    return [call.strip() for line in lines for call in re.findall(r"\bface-assets [a-z][^|…]*", line) if not understood(call.split()[1:])]


def understood(words: list[str]) -> bool:
    """True if the command has the subcommand and the options that the words name."""
    command: click.Command = main
    while isinstance(command, click.Group) and words:
        found = command.commands.get(words[0])
        if found is None:
            return False
        command, words = found, words[1:]
    known = {"--help", "-h"}.union(*({*option.opts, *option.secondary_opts} for option in command.params))
    return known.issuperset(re.findall(r"(?<!\S)--?[a-z][a-z-]*", " ".join(words)))


def test_every_link_of_the_pages_leads_to_a_file_and_a_heading() -> None:
    assert [bad for page in PAGES for bad in broken(page)] == []


def test_every_page_stands_once_in_the_navigation_of_the_site() -> None:
    named = re.findall(r"[\w./-]+\.md$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(named) == sorted(str(page.relative_to(ROOT)) for page in PAGES)


def test_every_page_that_a_file_names_by_its_path_exists() -> None:
    missing = [
        f"{file.relative_to(ROOT)}: {name}"
        for file in NAMING
        if file.is_file() and file.suffix in TEXTS
        for name in NAMED.findall(file.read_text(encoding="utf-8", errors="replace"))
        if not (ROOT / name).exists()
    ]
    assert missing == []


def test_every_source_file_that_a_page_names_exists() -> None:
    named = {(page.name, name) for page in PAGES for name in SOURCE.findall(page.read_text(encoding="utf-8"))}
    assert [one for one in sorted(named) if not (ROOT / one[1]).exists()] == []


def test_a_list_stands_apart_from_the_sentence_before_it() -> None:
    """GitHub does without the blank line, the site shows the list as a paragraph."""
    paragraphs = [(page.name, part.strip()) for page in PAGES for part in prose(page).split("\n\n")]
    assert [one for one in paragraphs if re.match(r"(?!#|- |\* |\d+\. |\|)[^\n]*\n(?:.*\n)*?(?:- |\d+\. )", one[1])] == []


def test_every_command_that_a_page_shows_exists_with_its_options() -> None:
    written = [page for page in PAGES if page.name not in reference.pages()]
    wrong = [bad for page in written for bad in unknown_commands(page.read_text(encoding="utf-8"))]
    assert wrong == []


def test_an_unknown_command_and_an_unknown_option_are_found() -> None:
    text = "```\nface-assets run --nope  # face-assets is here\n```\n`face-assets up --no-ui`, `face-assets keys ad`, `face-assets nope`\n"
    assert unknown_commands(text) == ["face-assets run --nope", "face-assets keys ad", "face-assets nope"]


def test_a_link_to_a_missing_file_or_heading_is_found(tmp_path: Path) -> None:
    (tmp_path / "there.md").write_text("# A `b`, c\n# A `b`, c\n```\n# code\n```\n", encoding="utf-8")
    page = tmp_path / "page.md"
    good = "[1](there.md#a-b-c) [2](there.md#a-b-c-1) [3](https://example.org/x)\n```\n[4](gone.md)\n```\n"
    page.write_text(f"{good}[5](gone.md) [6](there.md#code) ![7](gone.png) [8](#gone)\n", encoding="utf-8")
    assert broken(page) == [f"page.md: {link}" for link in ("gone.md", "there.md#code", "gone.png", "#gone")]


def test_the_reference_pages_are_those_of_the_code() -> None:
    for name, text in reference.pages().items():
        assert (reference.FOLDER / name).read_text(encoding="utf-8") == text, "run python -m face_assets.cli.reference"
