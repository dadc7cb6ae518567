"""The comparison of two releases or commits as sections of sentences and tables, for the terminal, a file and a page."""

from collections.abc import Sequence

from face_assets.evaluation.hardest_pairs import Regression
from face_assets.release.comparison import Comparison, DataChange, Row

FIGURES, BAD_PHOTOS = "Figures", "On bad photos"
WORSE = "Pairs that became worse"
LISTED = 10
ON_BAD_PHOTOS = (
    "Photos of test people, degraded before the face is looked for, with intervals of 95 % over people: TAR at each release's own gate "
    "threshold, and the share in which the face is not found. Each release's photos are those of its own test people."
)
EACH_ITS_OWN = (
    "At each release's own threshold, with intervals over people: how often two photos of one person are taken for one, and how often "
    "those of two people are."
)
Section = tuple[str, list[str], list[list[str]], list[str]]


def comparison_sections(found: Comparison) -> tuple[str, list[Section]]:
    """Returns the title, and sections of (heading, header of the table, rows, sentences before it)."""
    old, new = names_of(found)
    about = [
        [name, side.commit[:12], side.dataset_version, f"{side.evaluation['people']:,}"]
        for name, side in zip((old, new), (found.first, found.second), strict=True)
    ]
    figures = [[row.name, _number(row.first), _number(row.second), _difference(row)] for row in found.rows]
    groups = [[f"{one.attribute}: {one.group}", one.figure, one.first, one.second] for one in found.groups]
    stress = [[one.condition, *one.tar, *one.failures] for one in found.stress]
    stress_header = ["condition", *(f"{figure}, {version}" for figure in ("TAR", "FTA") for version in (old, new))]
    parameters = [[name, str(before), str(after)] for name, (before, after) in found.parameters.items()]
    worse = [_regression(one) for one in found.regressions]
    return f"{old} and {new}", [
        ("Compared", ["name", "commit", "data set", "test people"], about, found.notes),
        (FIGURES, ["figure", old, new, "difference"], figures, []),
        *([("Figures by group", ["group", "figure", old, new], groups, [EACH_ITS_OWN])] if groups else []),
        *([(BAD_PHOTOS, stress_header, stress, [ON_BAD_PHOTOS])] if stress else []),
        *([("Photos and people", ["change", "number", "such as"], data_rows(found.data), [])] if found.data else []),
        ("Parameters that differ", ["parameter", old, new], parameters, [] if parameters else ["None."]),
        (WORSE, ["pair", "first", "second", old, new, ""], worse, [_mistakes(found.regressions, old, new)]),
    ]


def data_rows(data: DataChange) -> list[list[str]]:
    """Returns rows about the photos and people that the second side adds, removes and moves."""
    moved = [f"{before} → {after}" for before, after in data.moved.items()]
    people = [("people added", data.people_added), ("people removed", data.people_removed), ("photos under another name", moved)]
    rows = [["photos added", f"{data.added:,}", ""], ["photos removed", f"{data.removed:,}", ""]]
    return rows + [[what, f"{len(listed):,}", ", ".join(listed[:LISTED])] for what, listed in people]


def names_of(found: Comparison) -> tuple[str, str]:
    """Returns the names of both sides, told apart where they are the same."""
    names = found.first.name, found.second.name
    return names if names[0] != names[1] else (f"{names[0]} (first)", f"{names[1]} (second)")


def _mistakes(regressions: Sequence[Regression], old: str, new: str) -> str:
    """Returns a sentence with the number of new mistakes, and of those for which the earlier result is unknown."""
    if not regressions:
        return "None is known."
    counted = f"Of the pairs below, {sum(one.new_mistake for one in regressions)} are mistakes at {new}'s threshold that were none before."
    unknown = sum(one.wrong and one.was_wrong is None for one in regressions)
    return f"{counted} Of {unknown} more mistakes {old} kept no score, so they may have been mistakes before, too." if unknown else counted


def _regression(one: Regression) -> list[str]:
    before = f"{one.before:.3f}" if one.before is not None else f"{'over' if one.kind == 'genuine' else 'under'} {one.bound:.3f}"
    kind = "one person" if one.kind == "genuine" else "two people"
    return [kind, one.first, one.second, before, f"{one.after:.3f}", verdict_of(one)]


def verdict_of(one: Regression) -> str:
    """Returns the verdict on a pair in words."""
    if not one.wrong:
        return "still right"
    if one.was_wrong is None:
        return "mistake, before unknown"
    return "mistake before, too" if one.was_wrong else "new mistake"


def _number(value: float | None) -> str:
    if value is None:
        return "not measurable"
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) > 1 else f"{value:.4f}"


def _difference(row: Row) -> str:
    if row.first is None or row.second is None:
        return ""
    change = row.second - row.first
    return f"{change:+,.0f}" if float(change).is_integer() and change else f"{change:+.4f}"
