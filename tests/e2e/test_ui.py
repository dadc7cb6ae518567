"""Dagster's web interface in a real browser, behind the sign-in of Compose with TLS.

Lineage, a run by clicking and live, its plot and checks, a sensor's tick; nothing for who has not signed in or for other sites' pages.
"""

import json
import os
import ssl
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from dagster_ui import CHROMIUM, SECONDS_TO_SHOW, DagsterUi, open_ui
from playwright.sync_api import Error, HttpCredentials, WebSocket, expect

from face_assets.demo.synthetic import write_people
from face_assets.registry.git import git
from tests.signin import BACKENDS, PASSWORD, SignIn, sign_in
from tests.waiting import until

GROUPS = {"data", "dataset", "embedder", "release", "serving"}
PEOPLE, PHOTOS = 10, 3
PARAMS = """
split: {validation: 0.1, test: 0.3, min_test_people: 2}
detector: {image_size: 80, margin: 16, align: upright, max_rejected: 0.3}
embedder: {weights: scratch, embedding_size: 64}
"""
WATCHED = "experiment"
ANN = HttpCredentials(username="ann", password=PASSWORD)
DAGSTER, _, PAGES, _ = BACKENDS

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
def signin(
    chromium: None, base_image: str, cli: Any, data: Path, free_ports: Callable[[int], list[int]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SignIn]:
    """The sign-in before the webserver and the pages of a home with webserver, daemon and web service."""
    ports = dict(zip(BACKENDS, free_ports(len(BACKENDS)), strict=True))
    cli.environment["FACE_ASSETS_WEB_URL"] = f"https://127.0.0.1:{ports[PAGES]}"
    cli("up", "--no-server")
    services = {DAGSTER: int(cli.environment["FACE_ASSETS_UI_PORT"]), PAGES: int(cli.environment["FACE_ASSETS_WEB_PORT"])}
    token = (Path(cli.environment["FACE_ASSETS_HOME"]) / "serving/proxy.token").read_text(encoding="utf-8")
    with sign_in(base_image, tmp_path_factory.mktemp("signin"), ports, services, token=token) as made:
        yield made


@pytest.fixture(scope="module")
def ui(signin: SignIn) -> Iterator[DagsterUi]:
    """The browser of ann, who signs in, at the UI."""
    with open_ui(signin.address(DAGSTER), user=ANN) as ui:
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


def test_a_run_is_followed_live_over_the_websocket(ui: DagsterUi, made: dict[str, str]) -> None:
    addresses: list[str] = []
    messages: list[str] = []

    def listen(websocket: WebSocket) -> None:
        addresses.append(websocket.url)
        websocket.on("framereceived", lambda message: messages.append(str(message)))

    ui.page.on("websocket", listen)
    ui.page.goto(made["dataset_version"])
    expect(ui.page.get_by_text("Materialized value dataset_version.")).to_be_visible()
    ui.page.remove_listener("websocket", listen)
    assert {address.partition("//")[0] for address in addresses} == {"wss:"}
    assert any("pipelineRunLogs" in message for message in messages), "the log was polled"
    assert ui.page.context.cookies() == []


def test_without_the_sign_in_of_compose_the_ui_is_the_same(ui: DagsterUi, cli: Any) -> None:
    with another(ui, f"http://127.0.0.1:{cli.environment['FACE_ASSETS_UI_PORT']}") as direct:
        direct.open_lineage("dataset")
        expect(direct.node("dataset_version")).to_be_visible()


def test_who_has_not_signed_in_sees_nothing(ui: DagsterUi, signin: SignIn) -> None:
    for user in (None, HttpCredentials(username="ann", password="wrong"), HttpCredentials(username="eve", password=PASSWORD)):
        with another(ui, signin.address(DAGSTER), user) as stranger:
            for address in (f"{signin.address(PAGES)}/people", f"{signin.address(DAGSTER)}/graphql", signin.address(DAGSTER)):
                if user is None:
                    with pytest.raises(Error, match="ERR_INVALID_AUTH_CREDENTIALS"):  # a browser with a screen asks for the password
                        stranger.page.goto(address)
                else:
                    answer = stranger.page.goto(address)
                    assert answer and answer.status == 401
                    assert stranger.page.evaluate(OPEN_WEBSOCKET, signin.address(DAGSTER)) == "refused"


def test_a_removed_user_is_out_at_once_and_so_is_the_websocket(ui: DagsterUi, signin: SignIn, made: dict[str, str]) -> None:
    signin.set_user("ben")
    with another(ui, signin.address(DAGSTER), HttpCredentials(username="ben", password=PASSWORD)) as ben:
        assert until(lambda: (answer := ben.page.goto("/overview")) is not None and answer.status == 200)
        with ben.page.expect_websocket() as opened:
            ben.page.goto(made["dataset_version"])
        ben.see_success()
        with opened.value.expect_event("close"):
            signin.remove_user("ben")
        assert until(lambda: (answer := ben.page.reload()) is not None and answer.status in (401, 429))
        assert ben.page.evaluate(OPEN_WEBSOCKET, signin.address(DAGSTER)) == "refused"


OPEN_WEBSOCKET = """address => new Promise(opened => {
    const socket = new WebSocket(address.replace("https", "wss") + "/graphql", "graphql-ws");
    socket.onopen = () => opened("open");
    socket.onerror = () => opened("refused");
})"""
ATTACK = """async ([address, mutation]) => {
    const got = `${address}/graphql?query=${encodeURIComponent(mutation)}`;
    const image = new Image(), frame = document.createElement("iframe"), form = document.createElement("form");
    frame.name = "frame";
    Object.assign(form, {method: "POST", action: got, target: "frame", enctype: "text/plain"});
    document.body.append(frame, form);
    await new Promise(ended => { image.onload = image.onerror = ended; image.src = got; });
    await new Promise(ended => { frame.onload = ended; form.submit(); });
    const body = JSON.stringify({query: mutation}), options = {method: "POST", credentials: "include"};
    await fetch(got, {...options, mode: "no-cors"}).catch(() => 0);
    await fetch(got, {credentials: "include", mode: "no-cors"}).catch(() => 0);
    await fetch(got.replace("graphql", "%67raphql"), {credentials: "include", mode: "no-cors"}).catch(() => 0);
    await fetch(`${address}/graphql`, {...options, body, headers: {"Content-Type": "application/json"}}).catch(() => 0);
}"""
IS_PAUSED = "{ instance { autoMaterializePaused } }"
ASK = """async ([path, query]) => (await (await fetch(path, {
    method: "POST", body: JSON.stringify({query}), headers: {"Content-Type": "application/json"}
})).json()).data"""


@pytest.mark.parametrize("site", ["http://localhost", "https://127.0.0.1"], ids=["another site", "another port"])
def test_a_page_of_another_site_or_port_changes_nothing(ui: DagsterUi, signin: SignIn, site: str) -> None:
    def asked(query: str) -> Any:
        return ui.page.evaluate(ASK, [f"{signin.address(DAGSTER)}/graphql", query])

    def setting(paused: bool) -> str:
        return f"mutation {{ setAutoMaterializePaused(paused: {json.dumps(paused)}) }}"

    ui.page.goto("/overview")
    asked(setting(False))
    assert asked(IS_PAUSED)["instance"] == {"autoMaterializePaused": False}
    with foreign_site(site, signin) as address:
        foreign = ui.page.context.new_page()  # with the password that the browser knows
        foreign.goto(address)
        foreign.evaluate(ATTACK, [signin.address(DAGSTER), setting(True)])
        assert foreign.evaluate(OPEN_WEBSOCKET, signin.address(DAGSTER)) == "refused"
        with foreign.expect_navigation() as link:
            foreign.evaluate("address => location.assign(address)", f"{signin.address(DAGSTER)}/%67raphql?query={setting(True)}")
        assert link.value.status == 403
        foreign.close()
    assert asked(IS_PAUSED)["instance"] == {"autoMaterializePaused": False}
    asked(setting(True))
    assert asked(IS_PAUSED)["instance"] == {"autoMaterializePaused": True}, "the mutation is one that changes something"


@contextmanager
def another(ui: DagsterUi, address: str, user: HttpCredentials | None = None) -> Iterator[DagsterUi]:
    """The same browser with an empty profile, for another user."""
    browser = ui.page.context.browser
    assert browser
    with browser.new_context(base_url=address, http_credentials=user, ignore_https_errors=True, reduced_motion="reduce") as context:
        page = context.new_page()
        page.set_default_timeout(SECONDS_TO_SHOW * 1000)
        yield DagsterUi(page)


class EmptyPage(BaseHTTPRequestHandler):
    """A page on which scripts run."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><body>")

    def log_message(self, format: str, *arguments: Any) -> None:
        """Logs nothing."""


@contextmanager
def foreign_site(site: str, signin: SignIn) -> Iterator[str]:
    """A server with a page of its own; its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), EmptyPage)
    if site.startswith("https"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(signin.secrets / "signin/tls.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"{site}:{server.server_port}"
    server.shutdown()
