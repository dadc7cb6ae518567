"""Commands for photos, by the live server."""

import sys
from pathlib import Path

import click

from face_assets.cli.commands.shared import FAILED, REFUSED, json_option, print_json
from face_assets.cli.terminal import say_next
from face_assets.core.outside_text import echo


@click.command()
@click.argument("photos", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--one-person", is_flag=True, help="All photos show one person: identify it by them together, weighted by quality.")
@click.option("--draw", type=click.Path(path_type=Path), metavar="OUT", help="Draw boxes and names on the one photo, as a new JPEG.")
@json_option
def identify(photos: tuple[Path, ...], one_person: bool, draw: Path | None, as_json: bool) -> None:
    """Identify the people in each photo by the live server. Of a folder, in all photos below it."""
    from face_assets.cli.named_photos import photos_in
    from face_assets.cli.recognition import identify_one_person, identify_photos
    from face_assets.core.progress import progress_bar

    if draw and (one_person or len(photos) != 1 or photos[0].is_dir()):
        raise click.UsageError("--draw takes one photo, without --one-person.")
    if one_person:
        answer = identify_one_person(photos)
        print_json(answer) if as_json else echo(answer["text"])
        return
    if any(photo.is_dir() for photo in photos):
        with progress_bar("identifying") as progress:
            answers = identify_photos(photos_in(photos), progress)
    else:
        answers = identify_photos(photos)
    if draw and "error" not in answers[0]:
        from face_assets.cli.drawn_faces import draw_faces

        draw_faces(photos[0], answers[0]["faces"], draw)
    if as_json:
        print_json(answers)
    else:
        for answer in answers:
            echo(f"{answer['photo']}: {answer['text']}")
        say_next("face-assets feedback PHOTO --is NAME writes down what is true of an answer")
    if any("error" in answer for answer in answers):
        sys.exit(FAILED)


@click.command()
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@json_option
def verify(first: Path, second: Path, as_json: bool) -> None:
    """Verify by the live server that two photos show the same person. Exit status 0 for the same, 3 for different people."""
    from face_assets.cli.recognition import verify_photos

    answer = verify_photos(first, second)
    print_json(answer) if as_json else echo(answer["text"])
    sys.exit(0 if answer["same"] else REFUSED)


@click.command()
@click.argument("photo", type=click.Path(path_type=Path))
@click.option("--people", type=click.IntRange(1, 10), default=3, show_default=True, help="Nearest people to explain, of each face.")
@json_option
def why(photo: Path, people: int, as_json: bool) -> None:
    """Explain the live server's answer to PHOTO: the nearest people, the margin, and the photos that carry each score.

    A template is the mean of a person's photos, so a score is a sum with a part for each of them. The release, its commit, and md5 and crop
    of each photo lead back to the bytes.
    """
    from face_assets.cli.explanation import explain_photo, explanation_text

    found = explain_photo(photo, people)
    print_json(found) if as_json else echo(*explanation_text(found).split("\n"))


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--to", type=click.Path(path_type=Path), metavar="NEW", help="Copy the photos there, into one folder a person.")
@json_option
def sort(folder: Path, to: Path | None, as_json: bool) -> None:
    """Sort the photos below FOLDER by the people on them, without labels: a proposal, for nothing is moved.

    Faces are of one person where their scores reach the live release's threshold of two photos on average. Who is enrolled gives a person
    the name; others are numbered. A photo of several people counts for each.
    """
    from face_assets.cli import sorting
    from face_assets.core.progress import progress_bar

    if to and to.exists():
        raise click.UsageError(f"{to} exists already: name a new folder.")
    with progress_bar("looking at") as progress:
        plan = sorting.sort_photos(folder, progress)
    if to:
        sorting.copy_sorted(plan, to)
    print_json(plan) if as_json else echo(*sorting.plan_text(plan).split("\n"))
    if not to and not as_json:
        say_next(f"face-assets sort {folder} --to NEW copies the photos into one folder a person")
    if plan["errors"]:
        sys.exit(FAILED)
