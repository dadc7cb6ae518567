"""The certificate of an erasure: what was erased, where, when and by whom, without a name, an md5 or a face of the person."""

import hashlib
import html
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from face_assets import __version__
from face_assets.core.files import write_json, write_text
from face_assets.erasure.alike import SIMILAR
from face_assets.erasure.journal import Journal
from face_assets.registry.erased import CERTIFICATE, RENAMED
from face_assets.registry.workspace import Workspace
from face_assets.serving.machine_state import machine_name

PAGE = "certificate.html"
HEAD = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>body{{font:16px/1.5 sans-serif;max-width:60em;'
    "margin:2em auto;padding:0 1em}}table{{border-collapse:collapse}}td,th{{border:1px solid #ccc;padding:.3em .6em;text-align:left;"
    "vertical-align:top}}</style><h1>{title}</h1>"
)


def write_certificate(workspace: Workspace, journal: Journal) -> Path:
    """Writes the certificate and its page, then removes the journal. Returns the certificate."""
    facts = certificate_of(journal, machine_name(workspace))
    write_text(journal.folder / PAGE, page_of(facts))
    write_json(journal.folder / CERTIFICATE, facts)
    journal.end()
    return journal.folder / CERTIFICATE


def certificate_of(journal: Journal, machine: str) -> dict[str, Any]:
    """The certificate as JSON-able values; `digest` is the SHA-256 of the others as compact JSON with sorted keys."""
    facts, done = journal.facts, journal.done
    left = [*_left_in_git(done)]
    if similar := sum(done["scan"]["similar_embeddings"].values()):
        left.append(
            f"{similar} stored embeddings of photos that stand under other names have a cosine over {SIMILAR} to the person's: the person "
            "may be on these photos. `face-assets audit` lists photos under a wrong name."
        )
    if lost := facts["unreadable_listings"]:
        left.append(f"{lost} lists of files of old revisions were in no cache and no remote, and could not be read.")
    left.append("Other clones, backups, and the state directories of other machines: each machine runs the same command.")
    values: dict[str, Any] = {
        "format": 1,
        "pseudonym": journal.pseudonym,
        "began": facts["began"],
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "by": facts["by"],
        "machine": machine,
        "repository": facts["repository"],
        "platform": __version__,
        "photos": len(facts["md5s"]),
        "releases": facts["releases"],
        "production": done["live"]["production"],
        "revisions_no_longer_fetchable": [] if done["history"]["rewritten"] else facts["commits"],
        "steps": {name: done[name] for name in sorted(done)},
        "left": left,
    }
    values = json.loads(journal.traces.redacted_text(json.dumps(values), journal.pseudonym))
    compact = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return {**values, "digest": hashlib.sha256(compact.encode()).hexdigest()}


def _left_in_git(done: Mapping[str, Any]) -> Iterator[str]:
    """Sentences about what git has of the person still, and what others must do."""
    if found := done["scan"]["git_objects_with_traces"]:
        listed = ", ".join(f"{count} {kind}s" for kind, count in sorted(found.items()))
        yield (
            f"Names in the history of git: {listed} of the data repository, such as messages of commits, name the person. Photos and lists "
            "of them are no part of it."
        )
    history = done["history"]
    if not history["rewritten"]:
        return
    yield (
        f"The history of git was rewritten: {history['commits']} commits have other ids ({RENAMED} beside this file maps them). Every "
        "other clone has the former ones. In each: save work that is not pushed by `git format-patch`, then clone anew. Nobody may merge "
        "or push a former commit. A git server keeps former commits until its own housekeeping: have its administrator run "
        "`git gc --prune=now`."
    )
    if remotes := history["remotes_of_the_clone"]:
        commands = " and ".join(f"`git push --force --all {name}` and `git push --force --tags {name}`" for name in remotes)
        yield f"Git servers to which the rewritten clone pushes have the former history until these commands are run in it: {commands}."
    if tags := history["tags_unsigned"]:
        yield f"Tags that lost their signature, to be set again by who signed them: {', '.join(tags)}."
    if lost := history["signatures_of_commits_lost"]:
        yield f"{lost} commits lost their signature, which held for their former bytes."
    if others := history["other_refs_of_the_source"]:
        yield f"{len(others)} other refs of the git server, such as {others[0]}, keep former commits: its administrator can delete them."


def page_of(facts: dict[str, Any]) -> str:
    """The certificate as a page."""
    title = f"Certificate of erasure: {facts['pseudonym']}"
    rows = "".join(f"<tr><th>{html.escape(name.replace('_', ' '))}</th><td>{_cell(value)}</td></tr>" for name, value in facts.items())
    return f"{HEAD.format(title=html.escape(title))}<table>{rows}</table></html>\n"


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return "<br>".join(f"{html.escape(str(name)).replace('_', ' ')}: {_cell(one)}" for name, one in value.items()) or "none"
    if isinstance(value, list):
        return "<br>".join(map(_cell, value)) or "none"
    return html.escape(str(value))
