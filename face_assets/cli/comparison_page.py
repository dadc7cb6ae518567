"""`face-assets compare`: a page about two releases or evaluated commits, as Markdown or as one HTML file."""

import base64
import html
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from face_assets.biometrics.plots import roc_plot
from face_assets.biometrics.stress_plot import stress_plot
from face_assets.cli.followed_repository import read_repository
from face_assets.core.errors import UserError
from face_assets.core.files import SHARED, write_bytes, write_text
from face_assets.core.outside_text import shown, shown_in_markdown, shown_lines
from face_assets.core.rights import outside
from face_assets.release.comparison import Comparison, compare
from face_assets.release.comparison_sections import BAD_PHOTOS, FIGURES, comparison_sections, names_of

STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:1rem 0}th,td{padding:.25rem .75rem;border-bottom:1px solid #ddd;text-align:left}
td.n{text-align:right;font-variant-numeric:tabular-nums}code{background:#f3f3f3;padding:0 .2rem}img{max-width:100%}"""


def compare_releases(repo: str | None, first: str, second: str) -> Comparison:
    """Compares two releases by version, with or without the v, or commits by name. Raises UserError."""
    workspace = read_repository(repo)
    workspace.repository.refresh()
    return compare(workspace, first, second)


@outside()
def write_page(found: Comparison, output: Path) -> list[Path]:
    """Writes the page as .html (with the curve) or .md (the curve in another file). Returns the files. Raises UserError."""
    names = names_of(found)
    measured = [side.evaluation for side in (found.first, found.second)]
    curve = roc_plot({name: (one["roc"], one["impostor"]) for name, one in zip(names, measured, strict=True)})
    pictures = {FIGURES: ("ROC of both", "roc", curve)}
    if found.stress:
        tables = {name: side.stress for name, side in zip(names, (found.first, found.second), strict=True) if side.stress}
        pictures[BAD_PHOTOS] = ("TAR and faces not found, by condition", "stress", stress_plot(tables))
    if output.suffix == ".html":
        write_text(output, as_html(found, {heading: (title, content) for heading, (title, _, content) in pictures.items()}), SHARED)
        return [output]
    if output.suffix == ".md":
        files = {heading: (title, output.with_suffix(f".{name}.png")) for heading, (title, name, _) in pictures.items()}
        for heading, (_, file) in files.items():
            write_bytes(file, pictures[heading][2], SHARED)
        write_text(output, as_markdown(found, {heading: (title, file.name) for heading, (title, file) in files.items()}), SHARED)
        return [output, *(file for _, file in files.values())]
    raise UserError(f"--output {output}: name a file that ends in .html or .md.")


def as_markdown(found: Comparison, pictures: Mapping[str, tuple[str, str]] | None = None) -> str:
    """Returns the page as Markdown. pictures: heading of a section → title and file of its picture."""
    title, sections = comparison_sections(found)
    lines = [f"# {title}", ""]
    for heading, header, rows, sentences in sections:
        lines += [f"## {heading}", "", *(line for sentence in sentences for line in (sentence, ""))]
        if rows:
            lines += [_line(header), _line(["---"] * len(header)), *(_line([shown_in_markdown(cell) for cell in row]) for row in rows), ""]
        if pictures and heading in pictures:
            lines += ["![{}]({})".format(*pictures[heading]), ""]
    return shown_lines(lines)


def as_html(found: Comparison, pictures: Mapping[str, tuple[str, bytes]]) -> str:
    """Returns the page as one HTML file. pictures: heading of a section → title and PNG. Names come from the data repository, so all
    text is escaped."""
    title, sections = comparison_sections(found)
    parts = [f"<!doctype html><html lang=en><meta charset=utf-8><title>{_in_html(title)}</title><style>{STYLE}</style>"]
    parts.append(f"<h1>{_in_html(title)}</h1>")
    for heading, header, rows, sentences in sections:
        parts.append(f"<h2>{_in_html(heading)}</h2>" + "".join(f"<p>{_in_html(sentence)}</p>" for sentence in sentences))
        if rows:
            body = "".join("<tr>" + "".join(f"<td>{_in_html(cell)}</td>" for cell in row) + "</tr>" for row in rows)
            parts.append("<table><tr>" + "".join(f"<th>{_in_html(cell)}</th>" for cell in header) + f"</tr>{body}</table>")
        if heading in pictures:
            about, content = pictures[heading]
            parts.append(f'<p><img alt="{about}" src="data:image/png;base64,{base64.b64encode(content).decode()}"></p>')
    return "\n".join(parts) + "\n"


def _in_html(text: str) -> str:
    return html.escape(shown(text))


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def as_json(found: Comparison) -> dict[str, Any]:
    """Returns the comparison as JSON-able values."""
    return {
        "first": found.first.name,
        "second": found.second.name,
        "figures": {row.name: {"first": row.first, "second": row.second} for row in found.rows},
        "groups": [asdict(one) for one in found.groups],
        "stress": [asdict(one) for one in found.stress],
        "parameters": {name: {"first": before, "second": after} for name, (before, after) in found.parameters.items()},
        "regressions": [{**one.__dict__, "loss": round(one.loss, 6)} for one in found.regressions],
        "data": asdict(found.data) if found.data else None,
        "notes": found.notes,
    }
