"""Dagster's web interface in a real browser: lineage, a run by clicking, its plot and checks, and a sensor's tick."""

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dagster_ui import CHROMIUM, DagsterUi, open_ui
from playwright.sync_api import expect

from face_assets.demo.synthetic import write_people
from face_assets.registry.git import git

GROUPS = {"data", "dataset", "embedder", "release", "serving"}
PEOPLE, PHOTOS = 10, 3
PARAMS = """
split: {validation: 0.1, test: 0.3, min_test_people: 2}
detector: {image_size: 80, margin: 16, align: upright, max_rejected: 0.3}
embedder: {weights: scratch, embedding_size: 64}
"""
WATCHED = "experiment"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(cli: Any) -> Path:
    """A data repository of which the commit sensor watches one branch, whose commits end at their first check."""
    write_people(cli.folder / "photos", PEOPLE, PHOTOS)
    (cli.folder / "params.yaml").write_text(PARAMS)
    cli("init", "data", "--photos", "photos", "--params", "params.yaml")
    repository = cli.folder / "data"
    git("branch", WATCHED, cwd=repository)
    commit_experiment(repository, PEOPLE + 1)
    cli.environment.update(
        FACE_ASSETS_REPO=str(repository), FACE_ASSETS_PRODUCTION_BRANCHES="none", FACE_ASSETS_EXPERIMENT_BRANCHES=WATCHED
    )
    return repository  # type: ignore[no-any-return]


def commit_experiment(repository: Path, min_test_people: int) -> None:
    """Commits parameters to the watched branch, and goes back to the branch that is checked out."""
    git("checkout", "-q", WATCHED, cwd=repository)
    (repository / "params.yaml").write_text(PARAMS.replace("min_test_people: 2", f"min_test_people: {min_test_people}"))
    git("-c", "user.name=Ann", "-c", "user.email=ann@example.org", "commit", "-q", "-am", "Ask for more people", cwd=repository)
    git("checkout", "-q", "-", cwd=repository)


@pytest.fixture(scope="module")
def commit(data: Path) -> str:
    return git("rev-parse", "HEAD", cwd=data).decode().strip()


@pytest.fixture(scope="module")
def chromium() -> None:
    """Without a browser these tests fail in CI; elsewhere they are skipped, and say why."""
    if not CHROMIUM.is_file():
        sentence = f"{CHROMIUM} is missing: apt-get install chromium"
        pytest.fail(sentence) if os.environ.get("CI") else pytest.skip(sentence)


@pytest.fixture(scope="module")
def ui(chromium: None, cli: Any, data: Path) -> Iterator[DagsterUi]:
    """The browser, at the UI of a home with webserver and daemon."""
    cli("up", "--no-server")
    with open_ui(f"http://127.0.0.1:{cli.environment['FACE_ASSETS_UI_PORT']}") as ui:
        yield ui


@pytest.fixture(scope="module")
def made(ui: DagsterUi, commit: str) -> dict[str, str]:
    """Two assets made for the commit by clicking; the address of the run of each."""
    return {
        "dataset_version": ui.materialize("dataset_version", commit, add=True),
        "aligned_faces": ui.materialize("aligned_faces", commit),
    }


def test_the_lineage_of_each_group_shows_its_assets(ui: DagsterUi) -> None:
    from definitions import defs

    assets = defaultdict(list)
    for spec in defs.resolve_all_asset_specs():
        assets[spec.group_name].append(spec.key.to_user_string())
    assert set(assets) >= GROUPS
    for group, members in assets.items():
        ui.open_lineage(str(group))
        for asset in members:
            expect(ui.node(asset)).to_be_visible()


def test_assets_are_made_for_a_commit_by_clicking(ui: DagsterUi, made: dict[str, str], commit: str) -> None:
    for asset, run in made.items():
        ui.page.goto(run)
        ui.see_success()
        expect(ui.page.get_by_text(f"Materialized value {asset}.")).to_be_visible()
        ui.open_asset(asset, "partitions")
        ui.page.get_by_title(commit).first.click()
        expect(ui.page.locator(f"a[href*='{run.rsplit('/', 1)[-1]}']").first).to_be_visible()


def test_the_page_of_an_asset_shows_its_figures_and_its_plot(ui: DagsterUi, made: dict[str, str], commit: str) -> None:
    ui.open_asset("aligned_faces")
    expect(ui.row("commit")).to_contain_text(commit)
    expect(ui.row("photos").get_by_text(str(PEOPLE * PHOTOS), exact=True)).to_be_visible()
    with ui.page.context.expect_page() as opened:
        ui.row("sample").get_by_role("link").first.click()
    picture = opened.value.get_by_role("img", name="Faces as they were cut")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0


@pytest.mark.parametrize(("asset", "check"), [("dataset_version", "readable"), ("aligned_faces", "faces_found")])
def test_the_checks_of_an_asset_are_seen_to_pass(ui: DagsterUi, made: dict[str, str], asset: str, check: str) -> None:
    ui.open_check(asset, check)
    expect(ui.page.get_by_text("This is a blocking asset check.")).to_be_visible()
    expect(ui.page.get_by_text("Passed", exact=True)).to_be_visible()


@pytest.mark.parametrize("sensor", ["stage_sensor", "health_sensor"])
def test_the_page_of_a_sensor_shows_its_ticks(ui: DagsterUi, sensor: str) -> None:
    ui.open_sensor(sensor)
    expect(ui.ticks().first).to_contain_text("0 runs requested")


def test_a_commit_is_seen_in_a_tick_of_the_commit_sensor(ui: DagsterUi, data: Path) -> None:
    ui.open_sensor("commit_sensor")
    expect(ui.ticks().first).to_be_visible()
    commit_experiment(data, PEOPLE + 2)
    head = git("rev-parse", WATCHED, cwd=data).decode().strip()
    asked = ui.ticks().filter(has_text="1 run requested").filter(has_text=head)
    expect(asked).to_be_visible()
