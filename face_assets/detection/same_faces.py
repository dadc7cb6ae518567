"""The crops that another detector makes of the same faces."""

from collections.abc import Mapping, Sequence

from face_assets.core.params import Detector
from face_assets.detection.crop_keys import crop_keys
from face_assets.detection.detectors import crop_store
from face_assets.detection.steps import align
from face_assets.registry.workspace import Log, Workspace

LEAST_OVERLAP = 0.3
"""Intersection over union of two detectors' boxes of one face, at least."""

Box = Sequence[float]


def same_faces(
    workspace: Workspace,
    commit: str,
    source: str,
    chosen: Mapping[str, str],
    detectors: tuple[Detector, Detector],
    max_megapixels: float,
    log: Log,
) -> dict[str, str]:
    """The crop keys by the second of two detectors, by md5, of the photos in which it finds a face: of the face that the first one's crop
    shows, else of its own first choice.

    chosen: crop keys by the first detector, by md5, of all photos; the md5 itself where there is none.
    """
    first, second = detectors
    facts = align(workspace, commit, source, chosen, second, max_megapixels, log).facts
    keys = {md5: md5 for md5 in chosen if facts[md5]["status"] == "face"}
    apart = {md5: key for md5, key in chosen.items() if key != md5 and facts[md5]["faces"] > 1 and md5 in keys}
    if apart:
        facts = align(workspace, commit, source, apart, second, max_megapixels, log, every_face=apart).facts
        candidates = {md5: crop_keys(md5, facts[md5]["faces"]) for md5 in apart}
        boxes = crop_store(workspace, second).facts(key for keys in candidates.values() for key in keys)
        shown = crop_store(workspace, first).facts(apart.values())
        for md5, key in apart.items():
            shares = {one: overlap(shown[key]["box"], boxes[one]["box"]) for one in candidates[md5] if one in boxes}
            best = max(shares, key=lambda one: shares[one])
            keys[md5] = best if shares[best] >= LEAST_OVERLAP else md5
    return keys


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes, x1 y1 x2 y2: 0 to 1."""
    width, height = (max(0.0, min(one[at + 2], other[at + 2]) - max(one[at], other[at])) for at in (0, 1))
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return width * height / max(areas - width * height, 1e-9)
