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
@json_option
def identify(photos: tuple[Path, ...], one_person: bool, as_json: bool) -> None:
    """Identify the people in each photo by the live server."""
    from face_assets.cli.recognition import identify_one_person, identify_photos

    if one_person:
        answer = identify_one_person(photos)
        print_json(answer) if as_json else echo(answer["text"])
        return
    answers = identify_photos(photos)
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
