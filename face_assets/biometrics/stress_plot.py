"""Plot of the stress table: TAR and failures to acquire by condition and strength."""

from collections.abc import Mapping, Sequence
from typing import Any

from face_assets.biometrics.plots import DPI, png
from face_assets.core.degradations import row_name

ROW_HEIGHT, WIDTH = 0.2, 6.0
MARKERS = "os^"
Rows = Sequence[Mapping[str, Any]]


def stress_plot(tables: Mapping[str, Rows]) -> bytes:
    """A line for each row of the table, with the points of each recognizer. tables: name → rows as in stress.json.

    On the left TAR with its interval, on the right the share of photos in which the face is not found.
    """
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(row_name(row["condition"], row["strength"]) for rows in tables.values() for row in rows))
    figure = Figure(figsize=(WIDTH, 0.9 + ROW_HEIGHT * len(names)), dpi=DPI, layout="constrained", facecolor="white")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(2, 1))
    for number, (recognizer, rows) in enumerate(tables.items()):
        shift = (number - (len(tables) - 1) / 2) * 0.3
        look = {"color": f"C{number}", "marker": MARKERS[number % len(MARKERS)], "markersize": 4, "linestyle": "none"}
        measured = [row for row in rows if row["tar"] is not None]
        spread = [[row["tar"] - row["tar_low"] for row in measured], [row["tar_high"] - row["tar"] for row in measured]]
        heights = [names.index(row_name(row["condition"], row["strength"])) + shift for row in rows]
        shown = [height for height, row in zip(heights, rows, strict=True) if row["tar"] is not None]
        left.errorbar([row["tar"] for row in measured], shown, xerr=spread, label=recognizer, elinewidth=0.8, **look)
        right.plot([row["fta"] for row in rows], heights, label=recognizer, **look)
    left.set_yticks(range(len(names)), names, fontsize=8)
    left.invert_yaxis()
    for axes, title in ((left, "TAR, 95 % interval"), (right, "no face found")):
        axes.set_xlim(-0.02, 1.02)
        axes.set_xlabel(title)
        axes.grid(alpha=0.3)
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=len(tables), fontsize=8)
    return png(figure)
