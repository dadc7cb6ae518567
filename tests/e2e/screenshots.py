"""Pictures of the UI for docs/images (`make screenshots`): of the demo's synthetic people, and of nobody else."""

import io
import sys
from pathlib import Path

from dagster_ui import DagsterUi, open_ui
from PIL import Image

from face_assets.automation.services import start_ui, ui_address
from face_assets.core.settings import Settings, load_settings

WIDEST = 1600
LARGEST = 300_000


def main(folder: Path) -> None:
    """Takes every picture. Ends with a sentence where the home holds anything but the demo."""
    settings = load_settings()
    require_synthetic_people(settings)
    start_ui(settings)
    folder.mkdir(parents=True, exist_ok=True)
    with open_ui(ui_address(settings), width=2600, height=1200) as ui:  # so wide that names are drawn large
        ui.open_whole_lineage()
        save(ui, folder / "lineage.png")
    with open_ui(ui_address(settings), width=1280, height=800) as ui:
        ui.open_asset("aligned_faces")
        ui.page.goto(ui.row("sample").get_by_role("link").first.get_attribute("href") or "")
        save(ui, folder / "aligned_faces.png")
        ui.open_asset("embedder_evaluation")
        ui.open_plot("roc")
        save(ui, folder / "roc.png")
    with open_ui(ui_address(settings), width=1280, height=620) as ui:
        ui.open_check("embedder_evaluation", "gate")
        save(ui, folder / "gate.png")


def require_synthetic_people(settings: Settings) -> None:
    """Exits unless the data repository is the one that the demo drew."""
    drawn = settings.home / "demo" / "data"
    if settings.repo is None or Path(settings.repo) != drawn:
        sys.exit(
            f"Pictures are taken of synthetic people only: run `make demo` in this home ({settings.home}), which shows {settings.repo}."
        )


def save(ui: DagsterUi, file: Path) -> None:
    """The page as a small PNG, of 256 colours."""
    picture = Image.open(io.BytesIO(ui.picture())).convert("RGB")
    picture.thumbnail((WIDEST, picture.height), Image.Resampling.LANCZOS)
    picture.quantize(256, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    assert file.stat().st_size < LARGEST, f"{file} is too large for a page of documentation"
    print(file)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
