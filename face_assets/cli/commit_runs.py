"""`face-assets run`: a job for a commit, followed on the terminal."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from tqdm import tqdm

from face_assets.automation.preflight import Plan, require_possible
from face_assets.cli.followed_repository import follow_repository
from face_assets.core.outside_text import echo, shown
from face_assets.dataset.steps import left_out_text
from face_assets.event_log.runs import Progress, RunReport, ShowProgress, run_job
from face_assets.orchestration import jobs
from face_assets.orchestration.tags import MANUAL, commit_tags, training_tag
from face_assets.registry.workspace import Workspace
from face_assets.storage.home import Home

JOBS = {"live": jobs.COMMIT_TO_LIVE, "evaluation": jobs.COMMIT_TO_EVALUATION}


def choose_commit(workspace: Workspace, revision: str, quiet: bool) -> str:
    """Returns the commit of `revision` in the workspace's repository, and prints it. Raises UserError, also for invalid parameters."""
    workspace.repository.refresh()
    commit = workspace.repository.resolve(revision)
    workspace.params(commit)
    if not quiet:
        echo(f"commit {commit[:12]} of {workspace.repository.shown}", err=True)
    return commit


def run_commit(repo: str | None, revision: str, until: str, quiet: bool, train: bool = False) -> dict[str, Any]:
    """Runs the job for the commit of `revision`; returns the report as JSON-able values. train: also where it gains little."""
    workspace = follow_repository(repo)
    commit = choose_commit(workspace, revision, quiet)
    require_possible(Plan(workspace, commit, registers=until == "live", serves=until == "live"))
    named = {"commit": commit, "repository": workspace.repository.shown}
    tags = commit_tags(workspace, commit, MANUAL) | training_tag(train)
    return {**named, **run_on_terminal(workspace.home, JOBS[until], commit, tags, quiet)}


def run_on_terminal(home: Home, job: str, commit: str | None, tags: Mapping[str, str], quiet: bool) -> dict[str, Any]:
    """Runs a job in a child process, shown on the terminal; returns the report as JSON-able values."""
    return shown_on_terminal(quiet, lambda show: run_job(home, job, commit, tags, show))


def shown_on_terminal(quiet: bool, follow: Callable[[ShowProgress], RunReport]) -> dict[str, Any]:
    """Follows a run with a line for each asset, and a progress bar on a terminal; returns its report as JSON-able values."""
    terminal = sys.stderr.isatty() and not quiet
    with tqdm(total=0, disable=not terminal, file=sys.stderr, bar_format="{desc:<60.60} {n_fmt}/{total_fmt} {elapsed}") as bar:

        def show(step: Progress) -> None:
            if quiet:
                return
            if step.kind == "planned":
                bar.total += 1
            elif step.kind == "state":
                bar.write(shown(f"… {step.text}"), file=sys.stderr)
            elif step.kind in ("start", "message"):
                bar.set_description(shown(f"{step.asset} {step.text}"))
                if step.kind == "message" and not terminal:
                    echo(f"  {step.asset}: {step.text}", err=True)
            elif step.kind == "done":
                bar.update()
                bar.write(shown(f"✓ {step.asset:<24} {step.text:>9}  {headline(step.asset, step.facts)}"), file=sys.stderr)
            elif step.kind == "check":
                bar.write(shown(f"! {step.text}"), file=sys.stderr)
            else:
                bar.write(shown(f"✗ {step.asset}"), file=sys.stderr)

        report = follow(show)
    if not report.success and not quiet:
        for reason in dict.fromkeys(report.reasons):
            echo(f"{'Refused' if report.refused else 'Error'}: {reason}", err=True)
    return asdict(report)


def headline(asset: str, facts: dict[str, Any]) -> str:
    """Returns a short summary of a materialization; empty where it has no facts."""
    if not facts:
        return ""
    again = "" if facts.get("made_now", True) else ", kept from before"
    match asset:
        case "dataset_version":
            return f"{facts['photos']:,} photos of {facts['people']:,} people{left_out_text(facts)}{again}"
        case "aligned_faces":
            return f"{facts['found']:,} faces, {facts['detected_now'] if not again else 0:,} photos detected now{again}"
        case "gallery_audit" if facts["source"] == "photos.dvc":
            return f"everybody of photos.dvc is enrolled{again}"
        case "label_audit" | "gallery_audit":
            count = facts.get("subjects_by_agreement", 0)
            agreed = f", subject chosen by agreement: {count:,} photos" if count else ""
            found = f"{facts['wrong_person']:,} photos show another person, {facts['two_names']:,} people have two names{agreed}"
            return (f"not judged: {facts['unable']}" if facts["unable"] else found) + again
        case "face_embedder":
            trained = f"{facts['epochs']} epochs over {facts['photos']:,} photos"
            kept = facts.get("kept")
            if isinstance(kept, Mapping):
                return f"that of {kept['release']} is kept, {kept['photos']:,} photos and {kept['people']:,} people were added since"
            return f"{trained if facts['epochs'] else 'not trained, the starting weights'}{again}"
        case "embedder_evaluation":
            return "; ".join(f"{name} {figures_text(figures)}" for name, figures in facts["figures"].items()) + again
        case "exported_embedder":
            return f"{facts['precision']}, parity {min(found['min'] for found in facts['parity'].values()):.7f}{again}"
        case "face_gallery":
            return f"{facts['people']:,} people enrolled{again}"
        case "recognizer_release":
            return f"{facts['release']}, {facts['stage_reason']}"
        case "triton_model_repository":
            return f"{facts['release']} as Triton version {facts['triton_version']}"
        case "triton_image" if "megabytes" in facts:
            return f"{facts['name']}, {facts['added_megabytes']} MB upon the server's{'' if facts['made_now'] else ', was there'}"
        case "triton_deployment":
            return f"live: {facts['live']} ({facts['reason']})"
    return ""


def figures_text(figures: Mapping[str, Any]) -> str:
    """Returns the available figures of an embedder in a line; those of a release come from the data repository."""
    tar = figures.get("tar")
    named = {"AUC": figures.get("auc"), "accuracy": figures.get("accuracy")}
    named |= {f"TAR@{far}": value for far, value in tar.items()} if isinstance(tar, Mapping) else {}
    return ", ".join(f"{name} {value:.4f}" for name, value in named.items() if isinstance(value, float)) or "no figures"
