"""The degradations of photos that evaluation.stress may name: units, bounds, and the strengths of the table unless others are chosen."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Degradation:
    """A kind of bad photo. strengths: of the default table, the mildest first; without a unit it has no strength, and one row.

    low, high: bounds of a strength; falling: a lower strength is the harder one.
    """

    meaning: str
    unit: str = ""
    strengths: tuple[float, ...] = ()
    low: float = 0.0
    high: float = 0.0
    falling: bool = False


MOST_STRENGTHS = 8
CLEAN = "clean"
"""Row of the same photos without degradation."""
DEGRADATIONS: dict[str, Degradation] = {
    "resolution": Degradation("few pixels, enlarged", "pixels of the face", (24, 14), 4, 100, falling=True),
    "small": Degradation("few pixels in a large frame", "pixels of the face", (32, 24), 8, 100, falling=True),
    "defocus": Degradation("out of focus: a disc", "radius in % of the face", (3, 6), 0.5, 25),
    "motion": Degradation("shaken: a line in a drawn direction", "length in % of the face", (10, 20), 1, 100),
    "noise": Degradation("Gaussian noise in each channel", "standard deviation in levels of 255", (25, 50), 1, 255),
    "jpeg": Degradation("compressed", "JPEG quality", (15, 6), 1, 100, falling=True),
    "dark": Degradation("underexposed, with the noise of few photons", "stops", (4, 6), 0.5, 12),
    "overexposed": Degradation("overexposed, highlights clipped", "stops", (2, 3), 0.25, 8),
    "greyscale": Degradation("without colour"),
    "turned": Degradation("turned in the plane, to a drawn side", "degrees", (15, 30, 90), 1, 180),
    "mask": Degradation("mouth and nose covered"),
    "sunglasses": Degradation("eyes covered"),
    "cap": Degradation("forehead covered"),
}


def row_name(condition: str, strength: float | None) -> str:
    """The name of a row of the table, such as `resolution 24` or `mask`."""
    return condition if strength is None else f"{condition} {strength:g}"


def default_strengths() -> dict[str, list[float]]:
    """The conditions of the default table, each with its strengths."""
    return {name: list(one.strengths) for name, one in DEGRADATIONS.items()}


def wrong_condition(condition: str, strengths: list[float]) -> str | None:
    """A sentence where a condition does not exist, or strengths do not fit; None where all fit."""
    known = DEGRADATIONS.get(condition)
    if known is None:
        return f"there is no condition {condition[:40]!r}; there are {', '.join(DEGRADATIONS)}"
    if not known.unit:
        return f"{condition} has no strength: write `{condition}: []`" if strengths else None
    if not strengths:
        return f"{condition} needs a strength or several ({known.unit}, {known.low:g} to {known.high:g})"
    if beyond := [one for one in strengths if not known.low <= one <= known.high]:
        return f"{condition} {beyond[0]:g} is out of bounds: {known.unit}, {known.low:g} to {known.high:g}"
    if len(set(strengths)) < len(strengths):
        return f"{condition} names a strength twice"
    if len(strengths) > MOST_STRENGTHS:
        return f"{condition} has {len(strengths):,} strengths, and at most {MOST_STRENGTHS} are measured"
    return None


def rows_of(conditions: dict[str, list[float]]) -> list[tuple[str, float | None]]:
    """Condition and strength of each row: in the order of DEGRADATIONS, the mildest strength of each first."""
    found: list[tuple[str, float | None]] = []
    for name, known in DEGRADATIONS.items():
        if name in conditions:
            found += [(name, one) for one in sorted(conditions[name], reverse=known.falling)] if known.unit else [(name, None)]
    return found
