"""Commands for the enrolled people: each change is a commit on the followed data repository."""

import sys
from pathlib import Path
from typing import Any

import click

from face_assets.cli.commands.shared import FAILED, REFUSED, json_option, print_json
from face_assets.cli.terminal import say_next
from face_assets.core.outside_text import echo

wait_option = click.option("--wait", is_flag=True, help="Wait until the change is live; exit status 3 where it is refused.")


@click.command()
@click.argument("name", required=False)
@click.option("--due", is_flag=True, help="List by people.csv who has no entry in force, and whose time has passed or ends in 30 days.")
@json_option
def people(name: str | None, due: bool, as_json: bool) -> None:
    """List the enrolled people, or the photos of NAME with their md5."""
    from face_assets.cli.people import due_people, due_text, enrolled_people, people_text

    if due:
        found = due_people()
        print_json(found) if as_json else click.echo(due_text(found))
        return
    rows = enrolled_people(name)
    print_json(rows) if as_json else click.echo(people_text(rows, each=name is not None))


@click.command()
@click.argument("name")
@click.argument("photos", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--acknowledge", "meant", is_flag=True, help="Enrol from photos in doubt, which is put on record in the commit.")
@wait_option
@json_option
def enrol(name: str, photos: tuple[Path, ...], meant: bool, wait: bool, as_json: bool) -> None:
    """Enrol NAME from PHOTOS, or add them to a person who is enrolled.

    Each photo must show one face, well enough, that agrees with the person's others and with nobody else's: the rules of the gallery's
    gate, judged before anything is written. Then it is one commit of gallery.dvc on the followed branch, pushed with DVC and git.
    """
    from face_assets.cli import people as work

    _end(work.enrol(name, photos, meant, wait), as_json)


@click.command()
@click.argument("name")
@click.option("--photo", metavar="MD5", help="Remove only this photo; `face-assets people NAME` lists them.")
@wait_option
@json_option
def unenrol(name: str, photo: str | None, wait: bool, as_json: bool) -> None:
    """Remove NAME from the gallery, or one of the person's photos.

    The photos stay in the history of the data repository, and earlier releases know the person: `face-assets forget` erases everything.
    """
    from face_assets.cli import people as work

    _end(work.unenrol(name, photo, wait), as_json)


@click.command()
@click.argument("name")
@click.argument("to")
@click.option("--merge", is_flag=True, help="TO is enrolled too, and the two are one person.")
@wait_option
@json_option
def rename(name: str, to: str, merge: bool, wait: bool, as_json: bool) -> None:
    """Give the enrolled person NAME the name TO."""
    from face_assets.cli import people as work

    _end(work.rename(name, to, merge, wait), as_json)


@click.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do it. Without this the command shows what it would do.")
@click.option(
    "--rewrite-history", is_flag=True, help="Take the name out of the git history, too: commits get other ids, clones are made anew."
)
@json_option
def forget(name: str, yes: bool, rewrite_history: bool, as_json: bool) -> None:
    """Erase NAME everywhere: photos, crops, embeddings, templates, releases, logs, in every revision.

    Without --yes the command shows what it would do. An erasure that was killed goes on when it is run again. At its end stands a
    certificate, which names the person by a pseudonym.
    """
    from face_assets.cli import erasure

    if not yes:
        plan = erasure.show_plan(name, rewrite_history)
        print_json(plan) if as_json else click.echo(erasure.plan_text(plan))
        return
    report = erasure.forget(name, as_json, rewrite_history)
    if as_json:
        print_json(report)
    elif report["success"]:
        echo(f"Erased as {report['pseudonym']}. The certificate: {report['certificate']}")
    sys.exit(0 if report["success"] else FAILED)


@click.command()
@click.option("--open/--print", "in_browser", default=None, help="Open the page in a browser, which is the default on a terminal.")
def review(in_browser: bool | None) -> None:
    """Open the page on which labels in doubt, rejected photos and wrong answers are decided, and print its address."""
    from face_assets.cli.web_service import page_address

    address = page_address("review")
    echo(address)
    if in_browser or (in_browser is None and sys.stdout.isatty()):
        click.launch(address)


def _end(report: dict[str, Any], as_json: bool) -> None:
    """Prints what was committed and how it ended, and exits with its status."""
    if as_json:
        print_json(report)
    else:
        echo(f"{report['change']}: commit {report['commit'][:12]}, {report['state']}{'. ' if report['reason'] else ''}{report['reason']}")
        if known := report.get("still_known_by"):
            echo(f"Still known by {', '.join(known)}, which a rollback would serve again: `face-assets forget` erases a person everywhere.")
        if report["state"] == "committed":
            say_next("face-assets run; where `face-assets up` is on, the daemon runs the commit by itself")
    sys.exit({"committed": 0, "live": 0, "refused": REFUSED}.get(report["state"], FAILED))


@click.command("import-compreface")
@click.argument("address")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--api-key", envvar="COMPREFACE_API_KEY", required=True, help="Key of its recognition service; better in COMPREFACE_API_KEY, unseen."
)
@json_option
def import_compreface(address: str, folder: Path, api_key: str, as_json: bool) -> None:
    """Write the photos of a CompreFace's subjects to FOLDER, a folder for each person.

    ADDRESS is that of CompreFace, such as http://localhost:8000. FOLDER may be `gallery` in a clone of the data repository, to be
    committed, or a new one for `face-assets init`. An import that broke off goes on where it was. Nothing changes in CompreFace.
    """
    from face_assets.cli import compreface_import as work
    from face_assets.core.progress import progress_bar

    with progress_bar("importing") as progress:
        report = work.import_subjects(work.reader(address, api_key), folder, progress)
    if as_json:
        print_json(report)
    else:
        echo(work.report_text(report, folder))
        say_next("face-assets commit in the clone of the data repository that has the folder, or face-assets init with it")
    sys.exit(FAILED if report["left_out"] else 0)
