"""`face-assets demo`: synthetic people from a first commit to a running server, and a short report."""

import time
from pathlib import Path
from typing import Any

import click

from face_assets.automation.services import start_ui, ui_address
from face_assets.cli.commit_runs import figures_text, run_commit
from face_assets.cli.new_repository import init_repository
from face_assets.cli.recognition import identify_photos
from face_assets.cli.web_service import start_web
from face_assets.core.outside_text import echo
from face_assets.core.progress import progress_bar
from face_assets.core.settings import load_settings
from face_assets.demo.synthetic import write_people
from face_assets.storage.home import Home

PEOPLE = 90
PHOTOS = 8
STRANGERS = 12
UNSEEN_PHOTOS = 2
PARAMS = Path(__file__).with_name("demo_params.yaml")


def run_demo() -> int:
    """Draws, commits, runs and identifies; returns the exit status. A second call reuses all results."""
    started = time.monotonic()
    settings = load_settings()
    folder = settings.home / "demo"
    repository = folder / "data"
    _draw(folder)
    if not (repository / "photos.dvc").is_file() or not (folder / "data.dvc-remote").is_dir():
        echo("Making the data repository (git, DVC, a DVC remote)…", err=True)
        init_repository(repository, folder / "photos", None, PARAMS, None, str(folder / "data.dvc-remote"))
    report = run_commit(str(repository), "HEAD", "live", quiet=False)
    if not report["success"]:
        return 3 if report["refused"] else 1
    start_ui(settings)
    start_web(settings)
    _print_report(report, _identify(folder), time.monotonic() - started)
    return 0


def _draw(folder: Path) -> None:
    """Draws people for training, unseen photos of them, and strangers; each folder appears whole."""
    from face_assets.core.files import new_directory

    wanted = {
        "photos": {"people": PEOPLE, "photos": PHOTOS},
        "unseen": {"people": PEOPLE, "photos": UNSEEN_PHOTOS, "first_photo": PHOTOS},
        "strangers": {"people": STRANGERS, "photos": UNSEEN_PHOTOS, "first_person": PEOPLE},
    }
    for name, arguments in wanted.items():
        if (folder / name).is_dir():
            continue
        with progress_bar(f"drawing {name}") as progress, new_directory(folder / name) as aside:
            write_people(aside, **arguments, progress=progress)


def _identify(folder: Path) -> dict[str, Any]:
    """Sends photos that no step has seen to the live server; returns the counts of results."""
    enrolled = {path: path.parent.name for path in sorted((folder / "unseen").rglob("*.jpg"))}
    strangers = dict.fromkeys(sorted((folder / "strangers").rglob("*.jpg")))
    answers = identify_photos([*enrolled, *strangers])
    found_in = {Path(answer["photo"]): [face["identity"] for face in answer.get("faces", [])][:1] for answer in answers}
    known = [(name, found_in[path]) for path, name in enrolled.items()]
    unknown = [found_in[path] for path in strangers]
    return {
        "asked": len(enrolled),
        "right": sum(found == [name] for name, found in known),
        "wrong": sum(found not in ([name], [None], []) for name, found in known),
        "refused": sum(found == [None] for _, found in known),
        "no_face": sum(found == [] for _, found in known) + sum(found == [] for found in unknown),
        "strangers": len(strangers),
        "strangers_refused": sum(found == [None] for found in unknown),
        "examples": [answer["text"] for answer in answers[:3]],
    }


def _print_report(report: dict[str, Any], asked: dict[str, Any], seconds: float) -> None:
    assets = report["assets"]
    dataset, release, live = assets["dataset_version"], assets["recognizer_release"], assets["triton_deployment"]
    faces, gallery = assets["aligned_faces"], assets["face_gallery"]
    click.echo(
        f"""
Dataset version  {dataset["dataset_version"]}: {dataset["photos"]} photos of {dataset["people"]} synthetic people
Faces            {faces["found"]} found, {faces["none"]} photos without one
Evaluation       {figures_text(release["figures"])} on {assets["embedder_evaluation"]["test_people"]} people kept apart
Release          {release["release"]} (git tag {release["tag"]}), {gallery["people"]} people enrolled
Live             {live["live"]} at gRPC {live["grpc"]}, HTTP {live["http"]}
UI               {ui_address(load_settings())}
Asked            {asked["asked"]} unseen photos of enrolled people:
                 {asked["right"]} right, {asked["wrong"]} wrong, {asked["refused"]} refused
                 {asked["strangers"]} photos of strangers: {asked["strangers_refused"]} refused; {asked["no_face"]} without a face
Home             {Home(load_settings().home).root}
Took             {seconds:.0f} s

Next: open the UI, then docs/tutorial/first-hour.md with photos of your own. `make down` stops everything.
Try a photo, such as one of {Home(load_settings().home).root / "demo" / "unseen"}: {load_settings().web_address}"""
    )
