"""Notes of the gate: what was not compared, drawn or found."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from face_assets.core.params import Params
from face_assets.evaluation.labelled_photos import CALIBRATION, LabelledPhotos, Seen
from face_assets.evaluation.production_line import Line

if TYPE_CHECKING:
    from face_assets.biometrics.recognition import Recognition
    from face_assets.evaluation.regression import Comparison

IN_INTERVAL = 0.95


def not_compared(line: Line, comparisons: "list[Comparison]") -> list[str]:
    """Sentences about releases that cannot be compared, and about people left out of a comparison."""
    compared = {one.version: one for one in comparisons}
    return [
        f"{release.version} is not compared: it has learned from the test people, or none of them has two photos"
        for release in line.releases
        if release.version not in compared
    ]


def drawn_interval(photos: LabelledPhotos, found: "Recognition", params: Params) -> dict[str, Any]:
    """The size of the whole test split where people are drawn from it, and the recognizer's shares with the intervals in which those of
    the whole split lie at IN_INTERVAL; empty where all photos are compared."""
    from face_assets.biometrics.paired_bootstrap import share_interval

    if not photos.of_photos:
        return {}
    side = 1 - (1 - IN_INTERVAL) / 2
    shares = {"tar": found.accepted, "found_in_gallery": found.found}
    intervals = {name: share_interval(counts, side, params.evaluation.seed).to_json() for name, counts in shares.items() if counts}
    return {"of_photos": photos.of_photos, "of_people": photos.of_people, **intervals}


def drawn_notes(photos: Mapping[str, LabelledPhotos], drawn: Mapping[str, Any]) -> list[str]:
    """Sentences about splits from which people are drawn."""
    notes = [
        f"the figures are of {len(one.paths):,} photos of {len(one.names):,} people drawn from the {one.of_photos:,} photos of "
        f"{one.of_people:,} people of the split {split}: all pairs of more would take the square of their number in time"
        for split, one in photos.items()
        if one.of_photos
    ]
    named = {"tar": "TAR", "found_in_gallery": "1 - FNIR"}
    ranges = [f"{named[key]} {one['low']:.4f} to {one['high']:.4f}" for key, one in drawn.items() if key in named]
    return notes + ([f"of the whole split, at {IN_INTERVAL:.0%}: {', '.join(ranges)}"] if ranges else [])


def failure_notes(seen: Mapping[str, Seen]) -> list[str]:
    """Sentences about failures to acquire."""
    return [
        f"{name}: no usable face in {one.test.failures:,} of {len(one.test.people):,} test photos, which count as missed"
        for name, one in seen.items()
        if one.test.failures and name != "start"
    ]


def own_people(recognized: "Recognition") -> list[str]:
    """Sentence about thresholds that are chosen on the test people."""
    rates = [rate for rate, source in zip(("FAR", "FPIR", "accuracy"), recognized.point.sources, strict=True) if source]
    if not rates:
        return []
    return [f"the gate's thresholds for {', '.join(rates)} are chosen on the test people: those of the split {CALIBRATION} are too few"]
