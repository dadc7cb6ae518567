"""The command `face-assets`: the whole platform from a shell, with exit statuses and JSON for scripts."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import wraps
from pathlib import Path
from typing import Any

import click

from face_assets import __version__
from face_assets.errors import UserError
from face_assets.settings import usable_cores

FAILED = 1
REFUSED = 3

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
repo_option = click.option("--repo", metavar="PATH_OR_URL", help="The data repository; remembered for later commands.")


def _no_traceback(command: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except UserError as error:
            raise click.ClickException(str(error)) from error
        except OSError as error:
            if error.errno is None:
                raise
            raise click.ClickException(f"{error.filename or 'the system'}: {error.strerror}") from error
        except KeyboardInterrupt:
            click.echo("Stopped.", err=True)
            sys.exit(130)

    return wrapped


class Group(click.Group):
    """Commands whose users' mistakes get a sentence and an exit status of 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """As click's, with `_no_traceback` around the command."""
        return _no_traceback(super().invoke)(ctx)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """From a commit of face photos to a verified answer of a running server.

    State is kept under FACE_ASSETS_HOME (default ~/.face-assets). Exit status: 0 done, 1 an error that the message names,
    2 wrong usage, 3 refused by the gate or by the verification: what is live stays live.
    """


@main.command()
@click.argument("repo", type=click.Path(path_type=Path))
@click.option("--photos", type=click.Path(path_type=Path), required=True, help="Folder with one folder of photos a person.")
@click.option("--gallery", type=click.Path(path_type=Path), help="Folder of the people to enroll; without it everybody in the photos is.")
@click.option("--params", "params_file", type=click.Path(path_type=Path), help="A params.yaml to start with; without it the defaults.")
@click.option("--weights", help="embedder.weights of the new params.yaml: vggface2, casia-webface, scratch, or a file.")
@click.option("--remote", help="URL of the DVC remote; without it a folder beside REPO.")
def init(repo: Path, photos: Path, gallery: Path | None, params_file: Path | None, weights: str | None, remote: str | None) -> None:
    """Make a Git + DVC data repository of a folder of photos."""
    from face_assets.operations.repository import init_repository

    commit = init_repository(repo, photos, gallery, params_file, weights, remote, _progress)
    click.echo(f"{repo} is a data repository at commit {commit[:12]}. Next: face-assets run --repo {repo}")


@main.command()
@repo_option
@click.option("--commit", "revision", default="HEAD", show_default=True, help="Branch, tag or commit of the data repository.")
@click.option("--until", type=click.Choice(["live", "evaluation"]), default="live", show_default=True, help="How far to go.")
@json_option
def run(repo: str | None, revision: str, until: str, as_json: bool) -> None:
    """Run the pipeline for a commit: from its photos to a verified, running release."""
    from face_assets.operations.pipeline import run_commit

    _end(run_commit(repo, revision, until, quiet=as_json), as_json)


@main.command()
@repo_option
@click.option("--commit", "revision", default="HEAD", show_default=True, help="Branch, tag or commit of the data repository.")
@click.option("--shards", type=click.IntRange(min=1), default=usable_cores, show_default="processors", help="Parts of the photos.")
@json_option
def align(repo: str | None, revision: str, shards: int, as_json: bool) -> None:
    """Detect the faces of a commit's photos in shards beside one another, before `run`, which then finds them done."""
    from face_assets.operations.aligning import align_commit

    _end(align_commit(repo, revision, shards, quiet=as_json), as_json)


@main.command()
@click.argument("selection", nargs=-1)
@repo_option
@click.option("--commit", "revision", help="Branch, tag or commit of the data repository; HEAD without it.")
@click.option("--job", help="A job, or with SELECTION a part of it; without both commit_to_live.")
@click.option("--follow/--no-follow", default=True, show_default=True, help="Stay until the run is over.")
@json_option
def launch(selection: tuple[str, ...], repo: str | None, revision: str | None, job: str | None, follow: bool, as_json: bool) -> None:
    """Launch assets for a commit on the running platform (`face-assets up`).

    SELECTION is a name (aligned_faces), with all that is upstream (+face_embedder) or downstream (face_embedder+), or an
    expression of Dagster's selection language ('group:embedder and not exported_embedder'). Several are made together.
    """
    from face_assets.operations.launching import follow_launched, launch_assets

    launched = launch_assets(repo, selection, revision, job)
    if follow:
        _end(follow_launched(launched, quiet=as_json), as_json)
    _print_json(asdict(launched)) if as_json else click.echo(
        f"Launched: {launched.ui}\nfollow it with: face-assets watch {launched.run_id[:8]}"
    )


@main.command()
@click.argument("run")
@json_option
def watch(run: str, as_json: bool) -> None:
    """Follow a run to its end, whoever launched it. RUN is its id or the beginning of it. Ctrl-C leaves the run alone."""
    from face_assets.operations.launching import watch_run

    _end(watch_run(run, quiet=as_json), as_json)


@main.command()
@click.argument("photos", nargs=-1, required=True, type=click.Path(path_type=Path))
@json_option
def identify(photos: tuple[Path, ...], as_json: bool) -> None:
    """Ask the live server who is on each photo."""
    from face_assets.operations.asking import identify_photos

    answers = identify_photos(photos)
    if as_json:
        _print_json(answers)
    else:
        for answer in answers:
            click.echo(f"{answer['photo']}: {answer['text']}")
    if any("error" in answer for answer in answers):
        sys.exit(FAILED)


@main.command()
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@json_option
def verify(first: Path, second: Path, as_json: bool) -> None:
    """Ask the live server whether two photos show the same person. Exit status 0 for the same, 3 for different people."""
    from face_assets.operations.asking import verify_photos

    answer = verify_photos(first, second)
    _print_json(answer) if as_json else click.echo(answer["text"])
    sys.exit(0 if answer["same"] else REFUSED)


@main.command()
@repo_option
@json_option
def releases(repo: str | None, as_json: bool) -> None:
    """List the registered releases, newest first."""
    from face_assets.operations.releases import list_releases

    rows = list_releases(repo)
    if as_json:
        _print_json(rows)
    elif not rows:
        click.echo("No release is registered yet: face-assets run makes the first.")
    for row in [] if as_json else rows:
        click.echo(f"{row['version']:<10} {row['stage'] or '':<11} commit {row['trained_commit'][:12]}  {row['figures']}")


@main.command()
@click.argument("version")
@click.option("--reason", default="", help="Why, for the record.")
@json_option
def promote(version: str, reason: str, as_json: bool) -> None:
    """Put a release into production: assign its stage tag, verify it, let it take traffic."""
    from face_assets.operations.releases import promote_release

    _end(promote_release(version, reason, quiet=as_json), as_json)


@main.command()
@click.option("--reason", default="", help="Why, for the record.")
@json_option
def rollback(reason: str, as_json: bool) -> None:
    """Go back to the release that was in production before this one."""
    from face_assets.operations.releases import roll_back

    _end(roll_back(reason, quiet=as_json), as_json)


@main.command()
@click.argument("version")
@json_option
def lineage(version: str, as_json: bool) -> None:
    """Show how VERSION (or `live`) came about, from the event log alone."""
    from face_assets.operations.reporting import lineage_report, lineage_text

    found = lineage_report(version)
    _print_json(found) if as_json else click.echo(lineage_text(found))


@main.command()
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many runs.")
@click.option("--failed", is_flag=True, help="Only runs that failed or were refused.")
@json_option
def history(limit: int, failed: bool, as_json: bool) -> None:
    """List the runs, newest first: what each was for, how it ended, and where and why it failed."""
    from face_assets.operations.history import history_report, history_text

    rows = history_report(limit, failed)
    _print_json(rows) if as_json else click.echo(history_text(rows, failed))


@main.command()
@json_option
def status(as_json: bool) -> None:
    """Show on one screen how everything is: server, production, traffic, drift, waiting commits, last runs.

    Exit status 1 when the server does not answer.
    """
    from face_assets.operations.status import status_report, status_text

    found = status_report()
    _print_json(found) if as_json else click.echo(status_text(found))
    sys.exit(0 if found["server"]["ready"] else FAILED)


@main.command()
@click.option("--server/--no-server", default=True, help="Bring back the Triton server.")
@click.option("--ui/--no-ui", default=True, help="Start Dagster's UI and daemon.")
@click.option("--monitoring", is_flag=True, help="Start the exporter and a local Prometheus, where one is installed.")
def up(server: bool, ui: bool, monitoring: bool) -> None:
    """Start the UI, the daemon, and the server with the release that production names."""
    from face_assets.operations.machine import bring_up

    for line in bring_up(server=server, ui=ui, monitoring=monitoring):
        click.echo(line)


@main.command()
def down() -> None:
    """Stop the server, the UI and the daemon. Nothing is lost."""
    from face_assets.operations.machine import take_down

    stopped = take_down()
    click.echo(f"Stopped: {', '.join(stopped)}." if stopped else "Nothing was running.")


@main.group()
def keys() -> None:
    """API keys of the gateway (docker target): who may ask. A change is in force at once, without a restart."""


@keys.command("add")
@click.argument("name")
def keys_add(name: str) -> None:
    """Make a key for NAME and print it, this once: only its hash is kept."""
    from face_assets.operations.keys import add_key

    click.echo(add_key(name))


@keys.command("list")
@json_option
def keys_list(as_json: bool) -> None:
    """List the keys in force by name, and how many requests had none of them."""
    from face_assets.operations.keys import list_keys

    found = list_keys()
    if as_json:
        _print_json(found)
        return
    for key in found["keys"]:
        click.echo(f"{key['name']:<30} since {key['created']}")
    click.echo(f"Refused without a key in force: {'unknown, the gateway does not run' if found['refused'] is None else found['refused']}")


@keys.command("revoke")
@click.argument("name")
def keys_revoke(name: str) -> None:
    """Forget the key of NAME: requests with it are refused from now on."""
    from face_assets.operations.keys import revoke_key

    click.echo(revoke_key(name))


@main.command()
@click.argument("first")
@click.argument("second")
@repo_option
@click.option("--output", type=click.Path(path_type=Path), help="A file to write, .html or .md with the curves; without it, the terminal.")
@json_option
def compare(first: str, second: str, repo: str | None, output: Path | None, as_json: bool) -> None:
    """Compare two releases: figures, ROC, parameters, and the pairs of photos that the second judges worse."""
    from face_assets.operations import comparing

    found = comparing.compare_releases(repo, first, second)
    if output:
        for file in comparing.write_page(found, output):
            click.echo(f"Written: {file}", err=as_json)
    if as_json:
        _print_json(comparing.as_json(found))
    elif not output:
        click.echo(comparing.as_markdown(found))


@main.command()
@click.argument("photo", required=False, type=click.Path(path_type=Path))
@click.option("--is", "name", help="Who it is.")
@click.option("--stranger", is_flag=True, help="It is nobody enrolled.")
@click.option("--wrong", is_flag=True, help="The answer is wrong, and who it is is not known.")
@click.option("--sampled", is_flag=True, help="The answer was chosen blindly, and not because it looked wrong: only such make a rate.")
@click.option("--keep-photo", is_flag=True, help="Copy the photo into the inbox; git ignores it there.")
@click.option("--note", default="", help="Anything to add.")
@click.option("--file", "rows", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="A CSV file: answered, truth, release.")
@click.option("--repo", type=click.Path(path_type=Path), default=Path(), help="Your clone of the data repository; the current folder.")
@json_option
def feedback(
    photo: Path | None,
    name: str | None,
    stranger: bool,
    wrong: bool,
    sampled: bool,
    keep_photo: bool,
    note: str,
    rows: Path | None,
    repo: Path,
    as_json: bool,
) -> None:
    """Say what is true of an answer, for your clone's inbox to be committed; without PHOTO, show the error rates from it.

    Asks the live server about PHOTO and writes its answer and your word into inbox/ of the working tree. Nothing is committed.
    """
    from face_assets.monitoring.feedback import SOMEBODY_ELSE, STRANGER
    from face_assets.operations import feedback as inbox

    if rows:
        files = inbox.import_feedback(repo, rows)
        _print_json([str(file) for file in files]) if as_json else click.echo(f"{len(files)} written; next: git add inbox && git commit")
    elif photo is None:
        found = inbox.feedback_report(repo)
        _print_json(found) if as_json else click.echo(found["text"])
    else:
        said = [truth for truth in (name, STRANGER if stranger else None, SOMEBODY_ELSE if wrong else None) if truth]
        if len(said) != 1:
            raise click.UsageError("Say one of --is NAME, --stranger and --wrong.")
        given, file = inbox.give_feedback(repo, photo, said[0], sampled, keep_photo, note)
        if as_json:
            _print_json({**asdict(given), "verdict": given.verdict, "file": str(file)})
        else:
            click.echo(f"{given.release} took it for {given.answered or 'nobody'}: {given.verdict}.")
            click.echo(f"Written: {file}; next: git add inbox && git commit")


@main.command()
def exporter() -> None:
    """Serve the platform's metrics for Prometheus until stopped; `up --monitoring` starts it with a Prometheus."""
    from face_assets.operations.exporter import run_exporter

    run_exporter(lambda line: click.echo(line, err=True))


@main.command()
def params() -> None:
    """Print a params.yaml that states every default."""
    from face_assets.params import default_params_yaml

    click.echo(default_params_yaml(), nl=False)


@main.command()
def demo() -> None:
    """Draw synthetic people and take them all the way to a running server."""
    from face_assets.operations.demo import run_demo

    sys.exit(run_demo())


def _end(report: dict[str, Any], as_json: bool) -> None:
    if as_json:
        _print_json(report)
    sys.exit(0 if report["success"] else REFUSED if report["refused"] else FAILED)


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def _progress(done: int, whole: int, what: str) -> None:
    """A line that overwrites itself on a terminal, nothing elsewhere."""
    if sys.stderr.isatty():
        click.echo(f"\r{what}: {done:,} of {whole:,}", nl=done == whole, err=True)
