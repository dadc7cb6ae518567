"""Dagster's web interface as a person uses it: by address, visible text and clicks, in Debian's Chromium without a screen."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import Error, HttpCredentials, Locator, Page, expect, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
LOCATION = "face-assets"
SECONDS_TO_SHOW = 90
"""How long a page may take to show what is there, on a machine that trains beside it."""
SECONDS_TO_RUN = 400
MILLISECONDS_TO_MOVE = 1000


@contextmanager
def open_ui(
    address: str, width: int = 1400, height: int = 900, flags: Sequence[str] = (), user: HttpCredentials | None = None
) -> Iterator["DagsterUi"]:
    """A browser with an empty profile of its own, at the UI's `address`; user: who signs in, by the tests' certificate."""
    expect.set_options(timeout=SECONDS_TO_SHOW * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags], chromium_sandbox=False)
        context = browser.new_context(
            base_url=address,
            viewport={"width": width, "height": height},
            reduced_motion="reduce",
            http_credentials=user,
            ignore_https_errors=user is not None,
        )
        page = context.new_page()
        page.set_default_timeout(SECONDS_TO_SHOW * 1000)
        yield DagsterUi(page)
        browser.close()


@dataclass(frozen=True)
class DagsterUi:
    """The page that is open, and what a person does there. Each method returns when what it names is on the screen."""

    page: Page

    def open_lineage(self, group: str) -> None:
        """The graph of a group's assets."""
        self.page.goto(f"/locations/{LOCATION}/asset-groups/{quote(group)}/lineage")

    def open_whole_lineage(self) -> None:
        """The graph of all assets, every group unfolded, and nothing beside it."""
        self.page.goto("/asset-groups")
        self.page.get_by_role("button", name="Hide navigation").click()
        self.page.get_by_role("button").filter(has=self._icon("panel_show_right")).last.click()
        expect(self._icon("unfold_more").first).to_be_visible()
        self.page.keyboard.press("Alt+E")
        expect(self.page).to_have_url(re.compile("expanded="))

    def _icon(self, name: str) -> Locator:
        return self.page.get_by_role("img", name=name, exact=True)

    def node(self, asset: str) -> Locator:
        """The asset's box in the graph; assets of other groups are links there, and no boxes."""
        return self.page.locator(f"foreignObject [data-tooltip='{asset}']")

    def open_asset(self, asset: str, view: str = "overview") -> None:
        """An asset's page: its overview, partitions, events or checks."""
        self.page.goto(f"/assets/{quote(asset)}?view={view}")

    def materialize(self, asset: str, partition: str, add: bool = False) -> str:
        """Clicks Materialize, picks the partition, which `add` makes first, launches, and sees the run succeed. Returns its address."""
        self.open_asset(asset)
        self.page.get_by_role("button", name="Materialize").first.click()
        dialog = self.page.get_by_role("dialog").filter(has_text=f"Launch runs to materialize {asset}")
        if add:
            self._add_partition(dialog, partition)
        else:
            dialog.get_by_text("Select a partition").click()
            self.page.get_by_role("menuitem").filter(has=self.page.get_by_title(partition)).click()
        expect(dialog).to_contain_text(partition)
        dialog.get_by_role("button", name="Launch 1 run").click()
        expect(self.page.get_by_text("Launched run")).to_be_visible()
        self.page.locator("a[href^='/runs/']", has_text="View").click()
        self.see_success()
        return self.page.url

    def _add_partition(self, dialog: Locator, partition: str) -> None:
        dialog.get_by_role("button", name="Add a partition").click()
        asked = self.page.get_by_role("dialog").filter(has_text="Partition name")
        asked.get_by_role("textbox").fill(partition)
        asked.get_by_role("button", name="Save").click()
        expect(asked).to_be_hidden()

    def see_success(self) -> None:
        """Waits on a run's page until the run has ended, and sees that it succeeded."""
        expect(self.status(re.compile("^(Success|Failure|Canceled)$"))).to_be_visible(timeout=SECONDS_TO_RUN * 1000)
        expect(self.status("Success")).to_be_visible()

    def status(self, text: str | re.Pattern[str]) -> Locator:
        """The state of the run whose page is open."""
        return self.page.get_by_text(text, exact=True).first

    def open_plot(self, label: str) -> Locator:
        """Opens a plot of the asset whose page is open; returns the picture, drawn."""
        self.row(label).get_by_text("[Show Markdown]").click()
        picture = self.page.get_by_role("dialog").locator("img")
        expect(picture).to_be_visible()
        return picture

    def row(self, label: str) -> Locator:
        """The row of a table in which a cell says just `label`."""
        return self.page.get_by_role("row").filter(has=self.page.get_by_text(label, exact=True)).first

    def open_check(self, asset: str, check: str) -> None:
        """A check of an asset, with its latest result."""
        self.page.goto(f"/assets/{quote(asset)}?view=checks&checkDetail={quote(check)}")
        expect(self.page.get_by_text("Latest execution")).to_be_visible()

    def open_sensor(self, sensor: str) -> None:
        """A sensor's page, with its ticks."""
        self.page.goto(f"/locations/{LOCATION}/sensors/{quote(sensor)}")

    def ticks(self) -> Locator:
        """The ticks on a sensor's page, newest first."""
        return self.page.get_by_role("row").filter(has=self.page.get_by_text("View logs"))

    def picture(self) -> bytes:
        """The page as a PNG, once nothing moves on it any more."""
        self.page.wait_for_load_state("networkidle")
        before, now = b"", self.page.screenshot(animations="disabled")
        while now != before:
            self.page.wait_for_timeout(MILLISECONDS_TO_MOVE)
            before, now = now, self.page.screenshot(animations="disabled")
        return now

    def keep(self, folder: Path, name: str) -> str:
        """Keeps the picture and the text of the page in the folder; says where, or why not."""
        folder.mkdir(parents=True, exist_ok=True)
        picture, text = folder / f"{name}.png", folder / f"{name}.txt"
        try:
            self.page.screenshot(path=picture)
            text.write_text(f"{self.page.url}\n\n{self.page.inner_text('body')}", encoding="utf-8")
        except Error as error:  # a browser that is gone
            return str(error)
        return f"{self.page.url}\n{picture}\n{text}"
