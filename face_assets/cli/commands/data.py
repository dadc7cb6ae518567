"""Commands for the data repository: creation, commits, parameters, feedback."""

import shlex
from dataclasses import asdict
from functools import partial
from pathlib import Path

import click

from face_assets.cli.commands.shared import json_option, print_json
from face_assets.core.outside_text import echo


@click.command()
@click.argument("repo", type=click.Path(path_type=Path))
@click.option("--photos", type=click.Path(path_type=Path), required=True, help="Folder with one folder of photos a person.")
@click.option("--gallery", type=click.Path(path_type=Path), help="Folder of the people to enroll; without it everybody in the photos is.")
@click.option("--params", "params_file", type=click.Path(path_type=Path), help="A params.yaml to start with; without it the defaults.")
@click.option("--weights", help="embedder.weights of the new params.yaml: vggface2, casia-webface, scratch, or a file.")
@click.option("--remote", help="URL of the DVC remote; without it a folder next to REPO.")
@click.option(
    "--shards",
    type=click.IntRange(0, 10_000),
    default=0,
    help="Divide the people into this many pointers of DVC below photos/; 0 for one pointer, photos.dvc.",
)
def init(
    repo: Path, photos: Path, gallery: Path | None, params_file: Path | None, weights: str | None, remote: str | None, shards: int
) -> None:
    """Make a Git + DVC data repository of a folder of photos."""
    from face_assets.cli.new_repository import init_repository

    note = partial(echo, err=True)
    commit = init_repository(repo, photos, gallery, params_file, weights, remote, note, shards)
    echo(
        "Faces are biometric data: name a basis for each person, and assess the impact before you start (docs/how-to/impact-assessment.md)."
    )
    echo(f"{repo} is a data repository at commit {commit[:12]}. Next: face-assets run --repo {shlex.quote(str(repo))}")


@click.command()
@click.option("-m", "--message", required=True, help="What changed, in a few words.")
@click.option("--acknowledge", "acknowledged", metavar="NAME", multiple=True, help="A person whose change is meant; repeatable.")
@click.option("--repo", type=click.Path(path_type=Path), default=Path(), help="Your clone of the data repository; the current folder.")
def commit(message: str, acknowledged: tuple[str, ...], repo: Path) -> None:
    """Commit and push what changed in your clone of the data repository.

    Adds what changed in the folders of DVC (photos, gallery), their pointers, params.yaml and texts; pushes the photos to the DVC
    remote, commits, and pushes the branch where git has a remote. What else changed is named and stays as it is.

    A new face under an enrolled name, a rename, one face under two names, or a removal past gallery.max_vanished goes live only where
    --acknowledge, or the trailer `Acknowledge-Person: NAME` of the message, names the person. With it, a commit without changes is made,
    too.
    """
    from face_assets.cli.data_commit import commit_changes

    if commit_changes(repo, message, acknowledged, echo):
        echo("Next: face-assets run. Where `face-assets up` is on, the daemon has seen the commit and runs it.")


@click.command()
@click.argument("repo")
def use(repo: str) -> None:
    """Follow the data repository REPO, a path or URL, with later commands, the daemon and the UI."""
    from face_assets.cli.followed_repository import follow_repository

    echo(f"Followed: {follow_repository(repo).repository.shown}")


@click.command()
def params() -> None:
    """Print a params.yaml with every default."""
    from face_assets.core.params_yaml import default_params_yaml

    click.echo(default_params_yaml(), nl=False)


@click.command()
@click.argument("photo", required=False, type=click.Path(path_type=Path))
@click.option("--is", "name", help="The name of the person.")
@click.option("--stranger", is_flag=True, help="The person is not enrolled.")
@click.option("--wrong", is_flag=True, help="The result is wrong, and the person is unknown.")
@click.option("--sampled", is_flag=True, help="The result was chosen at random, not because it looked wrong: only such make a rate.")
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
    """Judge a result of the server, for your clone's inbox to be committed; without PHOTO, show the error rates from it.

    Asks the live server about PHOTO and writes its answer and your word into inbox/ of the working tree. Nothing is committed.
    """
    from face_assets.cli import feedback as inbox
    from face_assets.monitoring.feedback import SOMEBODY_ELSE, STRANGER

    if rows:
        files = inbox.import_feedback(repo, rows)
        print_json([str(file) for file in files]) if as_json else echo(f"{len(files)} written; next: face-assets commit -m …")
    elif photo is None:
        found = inbox.feedback_report(repo)
        print_json(found) if as_json else click.echo(found["text"])
    else:
        said = [truth for truth in (name, STRANGER if stranger else None, SOMEBODY_ELSE if wrong else None) if truth]
        if len(said) != 1:
            raise click.UsageError("Give one of --is NAME, --stranger and --wrong.")
        given, file = inbox.give_feedback(repo, photo, said[0], sampled, keep_photo, note)
        if as_json:
            print_json({**asdict(given), "verdict": given.verdict, "file": str(file)})
        else:
            echo(f"{given.release} took it for {given.answered or 'nobody'}: {given.verdict}.")
            echo(f"Written: {file}; next: face-assets commit -m …")
