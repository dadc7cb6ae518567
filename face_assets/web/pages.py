"""Pages: templates whose values are escaped, and the files beside them."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi.responses import HTMLResponse

if TYPE_CHECKING:
    from jinja2 import Environment

FOLDER = Path(__file__).parent
STATIC = FOLDER / "static"
PAGES = (("Try", "."), ("People", "people"), ("Due", "due"), ("Review", "review"), ("Releases", "releases"), ("API", "docs"))
"""Names and addresses of the pages in the navigation, relative to the service's own."""


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(loader=FileSystemLoader(FOLDER / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    made.filters["rate"] = rate_text
    return made


def page(template: str, title: str, status: int = 200, **values: Any) -> HTMLResponse:
    """Returns a page. title: its name in PAGES; values: of the template, escaped there."""
    text = _environment().get_template(template).render(title=title, pages=PAGES, **values)
    return HTMLResponse(text, status)


def rate_text(rate: float | None) -> str:
    """Returns a share as people say it: "1 in 500"."""
    if rate is None:
        return "not stated by this release"
    if rate > 0.5:
        return "more often than not"
    return f"1 in {_rounded(1 / rate):,}"


def _rounded(number: float) -> int:
    """The number to two digits, since it is an estimate."""
    return int(float(f"{number:.2g}"))
