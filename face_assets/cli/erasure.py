"""`face-assets forget`: the plan of an erasure, and the run that does it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from face_assets.cli.commit_runs import shown_on_terminal
from face_assets.core.outside_text import shown_lines
from face_assets.erasure.certificate import PAGE
from face_assets.erasure.journal import Journal, erasing
from face_assets.erasure.plan import begin, make_plan
from face_assets.erasure.runs import run_erasure
from face_assets.erasure.steps import STEPS
from face_assets.registry.erased import CERTIFICATE, erasures
from face_assets.registry.person import git_identity
from face_assets.registry.workspace import Workspace


def show_plan(name: str, rewrite_history: bool = False) -> dict[str, Any]:
    """Returns what an erasure would do, or how far one that is under way has come. Raises UserError where nothing is found."""
    workspace = Workspace.load()
    if journal := Journal.find(workspace.home.root, name):
        return {"under_way": journal.pseudonym, "done": list(journal.done), "to_do": [step for step in STEPS if step not in journal.done]}
    return make_plan(workspace, name, rewrite_history).to_json()


def plan_text(plan: Mapping[str, Any]) -> str:
    """Returns a plan as text."""
    if "under_way" in plan:
        left = ", ".join(plan["to_do"]) or "the certificate"
        return shown_lines([f"The erasure {plan['under_way']} is under way; left: {left}.", "Go on with --yes."])
    branches = ", ".join(f"{branch} ({' and '.join(folders)})" for branch, folders in plan["branches"].items()) or "none"
    releases = ", ".join(f"{one['version']}{' (trained on the person)' if one['learned'] else ''}" for one in plan["releases"])
    lines = [
        f"{' = '.join(plan['names'])}: {plan['photos']:,} photos in {plan['revisions']:,} revisions, which can no longer be fetched then.",
        f"Branches that get a commit: {branches}.",
        f"Releases that know the person: {releases or 'none'}. Each is deprecated, and its bytes are erased.",
    ]
    if plan["production"]:
        lines.append(f"{plan['production']} is in production: the head of production is run and must go live first.")
    if plan["also_filed_under"]:
        lines.append(f"Photos of the person are filed under other names, too, and go there: {', '.join(plan['also_filed_under'])}.")
    if plan["unreadable_listings"]:
        lines.append(f"{plan['unreadable_listings']:,} lists of files of old revisions are in no cache and no remote.")
    if plan["rewritten_commits_at_most"]:
        lines.append(
            f"The git history is rewritten and force-pushed: up to {plan['rewritten_commits_at_most']:,} commits, all tags on them. "
            "Commits get other ids, signatures of people are lost, and everybody else clones anew."
        )
    time = f"about {max(1, round(plan['seconds'] / 60)):,} min" + (", and a run" if plan["production"] else "")
    return shown_lines([*lines, f"Time: {time}. Nothing is changed yet: --yes does it, and it cannot be taken back."])


def forget(name: str, quiet: bool, rewrite_history: bool = False) -> dict[str, Any]:
    """Erases a person by a run of the job forget_person, or goes on with it; returns its report. Raises UserError."""
    workspace = Workspace.load()
    root = workspace.home.root
    with erasing(root):
        who = git_identity(workspace.repository.local or Path.home())
        journal = Journal.find(root, name) or begin(workspace, make_plan(workspace, name, rewrite_history), who)
        if rewrite_history:
            journal.want_rewriting()
    report = shown_on_terminal(quiet, lambda show: run_erasure(workspace.home, journal.pseudonym, show))
    folder = erasures(root) / journal.pseudonym
    done = (folder / CERTIFICATE).is_file() and report["success"]
    files = {"certificate": str(folder / CERTIFICATE), "page": str(folder / PAGE)} if done else {}
    return {"pseudonym": journal.pseudonym, "success": done, "reasons": report["reasons"], "run": report["run_id"], **files}
