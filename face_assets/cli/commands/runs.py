"""Commands for runs: from a commit to a live release, in parts, and their history."""

import sys
from dataclasses import asdict

import click

from face_assets.cli.commands.shared import end, json_option, print_json, repo_option, same_repo_option
from face_assets.cli.terminal import print_text, say_next
from face_assets.core.errors import UserError
from face_assets.core.outside_text import echo

NEXT = {
    "live": "face-assets identify PHOTO, or face-assets up for the UI",
    "evaluation": "face-assets run takes it live, if the gate lets it through",
}

train_option = click.option("--train", is_flag=True, help="Train the embedder, also where the commit adds less than train.again_at.")


@click.command()
@repo_option
@click.option("--commit", "revision", default="HEAD", show_default=True, help="Branch, tag or commit of the data repository.")
@click.option("--until", type=click.Choice(["live", "evaluation"]), default="live", show_default=True, help="Last stage of the run.")
@train_option
@json_option
def run(repo: str | None, revision: str, until: str, train: bool, as_json: bool) -> None:
    """Run the pipeline for a commit: from its photos to a verified, running release."""
    from face_assets.cli.commit_runs import run_commit

    end(run_commit(repo, revision, until, as_json, train), as_json, NEXT[until])


@click.command(hidden=True, context_settings={"ignore_unknown_options": True})
@click.argument("former", nargs=-1, type=click.UNPROCESSED)
def align(former: tuple[str, ...]) -> None:
    """Name the successor of a command that is gone."""
    raise UserError(
        "`face-assets align` is gone: `face-assets run` uses all processors of this machine, and with FACE_ASSETS_RAY those of a Ray "
        "cluster (docs/how-to/scale.md); `face-assets launch aligned_faces` stops after the faces."
    )


@click.command()
@click.option("--commit", "revision", default="HEAD", show_default=True, help="Branch, tag or commit of the data repository.")
@json_option
def audit(revision: str, as_json: bool) -> None:
    """List the photos and people whose labels the faces contradict, as the last `label_audit` of the commit found them.

    A line has the kind, the path, the reason, and the cosines with the photos of its own name and with those that it fits.
    """
    from face_assets.cli.audit_report import audit_report, audit_text

    found = audit_report(revision)
    print_json(found) if as_json else echo(audit_text(found))


@click.command()
@click.argument("selection", nargs=-1)
@same_repo_option
@click.option("--commit", "revision", help="Branch, tag or commit of the data repository; HEAD without it.")
@click.option("--job", help="A job, or with SELECTION a part of it; without both commit_to_live.")
@train_option
@click.option("--follow/--no-follow", default=True, show_default=True, help="Stay until the run is over.")
@json_option
def launch(
    selection: tuple[str, ...], repo: str | None, revision: str | None, job: str | None, train: bool, follow: bool, as_json: bool
) -> None:
    """Launch assets for a commit on the running platform (`face-assets up`).

    SELECTION is a name (aligned_faces), with all that is upstream (+face_embedder) or downstream (face_embedder+), or an
    expression of Dagster's selection language ('group:embedder and not exported_embedder'). Several are made together.
    """
    from face_assets.cli.launches import follow_launched, launch_assets

    launched = launch_assets(repo, selection, revision, job, train)
    if follow:
        end(follow_launched(launched, quiet=as_json), as_json)
    print_json(asdict(launched)) if as_json else echo(
        f"Launched: {launched.ui}", f"follow it with: face-assets watch {launched.run_id[:8]}"
    )


@click.command()
@click.argument("run")
@json_option
def watch(run: str, as_json: bool) -> None:
    """Follow a run to its end, also one that others launched. RUN is its id or the beginning of it. Ctrl-C leaves the run alone."""
    from face_assets.cli.launches import watch_run

    end(watch_run(run, quiet=as_json), as_json)


@click.command()
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Number of runs.")
@click.option("--failed", is_flag=True, help="Only runs that failed or were refused.")
@json_option
def history(limit: int, failed: bool, as_json: bool) -> None:
    """List the runs, newest first: purpose, outcome, and place and reason of a failure."""
    from face_assets.cli.history import history_report, history_text

    rows = history_report(limit, failed)
    if as_json:
        print_json(rows)
        return
    print_text(history_text(rows, failed))
    if rows:
        say_next(f"face-assets watch {rows[0]['run_id'][:8]} shows a run and why it ended so")


@click.command()
def demo() -> None:
    """Draw synthetic people and process them up to a running server."""
    from face_assets.cli.demo import run_demo

    sys.exit(run_demo())
