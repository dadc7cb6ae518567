"""Quality of faces in the evaluation: its scale by the calibration people, and how well it predicts errors on the test people."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from face_assets.biometrics.quality import QualityScale, qualities
from face_assets.core.batches import batched
from face_assets.core.files import write_bytes
from face_assets.core.params import Detector, Params
from face_assets.core.tables import write_rows
from face_assets.detection.detectors import crop_store
from face_assets.detection.steps import Face
from face_assets.embedding.vectors import Embedded, engine_faces
from face_assets.evaluation.labelled_photos import LabelledPhotos
from face_assets.registry.workspace import Log, Workspace
from face_assets.storage.artifacts import Artifact

if TYPE_CHECKING:
    from face_assets.biometrics.labelled import Labelled

SIDES = (16, 20, 28)
"""Pixels of the crops that measure the scale, beside the crops as they are: few of the first match, most of the last."""
MOST_PHOTOS, FACES_OF_A_PERSON = 200, 4
FEWEST_PHOTOS = 40
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75)
CROPS_AT_ONCE = 64
QUALITY, OTHERS = "quality", ("detection probability", "size", "sharpness")


@dataclass(frozen=True)
class FaceQuality:
    """The scale, None where it cannot be measured, the reason then, and the figures of the test photos.

    test: quality (k,) of the found test photos, NaN without a scale.
    """

    scale: QualityScale | None
    note: str
    test: np.ndarray
    discard: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """JSON-able values."""
        known = self.test[np.isfinite(self.test)]
        values = np.quantile(known, QUANTILES) if len(known) else ()
        quantiles = {f"{share:g}": round(float(value), 1) for share, value in zip(QUANTILES, values, strict=False)}
        return {"scale": self.scale.to_json() if self.scale else None, "note": self.note, "quantiles": quantiles, **self.discard}


def measure_quality(
    workspace: Workspace,
    params: Params,
    exported: Artifact,
    photos: Mapping[str, LabelledPhotos],
    seen: "Labelled",
    threshold: float,
    log: Log,
) -> FaceQuality:
    """The quality of the exported engine's faces.

    photos: of the splits validation, by whose people the scale is measured, and test, which stands in where those are too few. seen: the
    test photos. threshold: cosine of two photos.
    """
    from face_assets.biometrics.discard import discard_curves

    source = photos["validation"] if len(_of_several(photos["validation"].faces)) >= FEWEST_PHOTOS else photos["test"]
    scale, note = _scale(workspace, params, exported, _of_several(source.faces), threshold, log)
    keys = [face.crop_key for face in photos["test"].faces]
    raw = engine_faces(workspace, exported.directory, params.detector, keys, log).raw
    found = qualities(scale, raw)
    others = zip(OTHERS, crop_measures(workspace, params.detector, keys).T, strict=True)
    return FaceQuality(scale, note, found, discard_curves(seen, {QUALITY: raw, **dict(others)}, threshold).to_json())


def write_discards(directory: Path, discard: Mapping[str, Any]) -> None:
    """Writes the error-versus-discard curves as a table and a plot."""
    from face_assets.biometrics import plots

    names, shares = list(discard["fnmr"]), discard["discarded"]
    write_rows(directory / "discard.csv", ("discarded", *names), zip(shares, *discard["fnmr"].values(), strict=True))
    write_bytes(directory / "discard.png", plots.discard_plot(shares, discard["fnmr"]))


def _of_several(faces: list[Face]) -> list[Face]:
    """The faces of people with two photos or more, at most FACES_OF_A_PERSON of each and MOST_PHOTOS of all."""
    by_person: dict[str, list[Face]] = {}
    for face in faces:
        by_person.setdefault(face.identity, []).append(face)
    chosen: list[Face] = []
    for some in by_person.values():
        if len(some) > 1:
            chosen += some[:FACES_OF_A_PERSON]
    return chosen[:MOST_PHOTOS]


def _scale(
    workspace: Workspace, params: Params, exported: Artifact, faces: list[Face], threshold: float, log: Log
) -> tuple[QualityScale | None, str]:
    """The scale by faces as they are and shrunk, or the reason why there is none."""
    from face_assets.biometrics.quality_calibration import matched_shares, quality_scale
    from face_assets.embedding.shrunk_crops import shrunk_key

    if not faces:
        return None, "faces have no quality: nobody has two photos by which its scale could be measured"
    keys = [face.crop_key for face in faces]
    clean = engine_faces(workspace, exported.directory, params.detector, keys, log)
    views: list[Embedded] = [clean]
    if np.isfinite(clean.raw).all():
        wanted = [shrunk_key(key, side) for side in SIDES for key in keys]
        views.append(engine_faces(workspace, exported.directory, params.detector, wanted, log, shrunk=True))
    probes, raw = np.concatenate([view.embeddings for view in views]), np.concatenate([view.raw for view in views])
    people = np.unique([face.identity for face in faces], return_inverse=True)[1]
    turns = len(probes) // len(keys)
    shares = matched_shares(probes, np.tile(people, turns), clean.embeddings, people, threshold, np.tile(np.arange(len(keys)), turns))
    found = quality_scale(raw, shares)
    if isinstance(found, str):
        log(found)
        return None, found
    log(f"scale of quality: 50 is a raw quality of {found.middle:.4f}, by {len(keys):,} photos and shrunk ones")
    return found, ""


def crop_measures(workspace: Workspace, detector: Detector, keys: Sequence[str]) -> np.ndarray:
    """Detection probability, shorter side of the face in pixels and sharpness of stored crops, float64 (n, 3)."""
    from face_assets.evaluation.feature_histograms import appearance

    store, side = crop_store(workspace, detector), detector.image_size
    found: dict[str, tuple[float, float, float]] = {}
    for part in batched(list(dict.fromkeys(keys)), CROPS_AT_ONCE):
        entries = list(store.entries(part))
        crops = np.stack([np.frombuffer(entry.blob or b"", np.uint8).reshape(side, side, 3) for entry in entries])
        for entry, sharpness in zip(entries, appearance(crops)[1].tolist(), strict=True):
            left, top, right, bottom = entry.facts["box"]
            found[entry.key] = entry.facts["probability"], min(right - left, bottom - top), sharpness
    return np.array([found[key] for key in keys], np.float64).reshape(-1, 3)
