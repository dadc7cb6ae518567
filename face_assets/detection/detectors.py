"""The detector for a data set's parameters: its networks, fingerprint and crop store."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from face_assets.core.files import file_lock, new_directory, read_json
from face_assets.core.fingerprint import fingerprint, tree_digest
from face_assets.core.params import Detector
from face_assets.core.step_versions import step_version
from face_assets.detection.crop_keys import FEWEST_PHOTOS
from face_assets.detection.mtcnn import DetectorConfig
from face_assets.registry.workspace import Workspace
from face_assets.storage.content_store import ContentStore

LATER = ("align", "turned_below")
"""Settings that earlier releases and crop stores lack, which have DetectorConfig's values of them."""


def detector_networks(workspace: Workspace) -> Path:
    """The folder of MTCNN's networks, exported from facenet-pytorch's wheel the first time."""
    folder = workspace.home.detector
    if not folder.is_dir():
        from face_assets.detection.facenet_pytorch import export_detector

        with file_lock(workspace.home.root / ".detector.lock"):
            if not folder.is_dir():
                with new_directory(folder) as aside:
                    export_detector(aside)
    return folder


def detector_fingerprint(workspace: Workspace, detector: Detector) -> str:
    """The fingerprint of a detector: its networks, its settings and the version of the code that turns pixels into crops."""
    return fingerprint(tree_digest(detector_networks(workspace)), _decisive(detector_config(detector)), step_version("detection"))


def crop_store(workspace: Workspace, detector: Detector) -> ContentStore:
    """The crop store of a detector's settings: key = the photo's md5, and keys derived from it for further faces (`crop_keys`)."""
    return workspace.home.crops(detector_fingerprint(workspace, detector))


def detector_config(detector: Detector) -> DetectorConfig:
    """The detector's settings as MTCNN takes them, for crops and requests. By consensus the largest face is the first choice."""
    first = "largest" if detector.choose == "consensus" else detector.choose
    return DetectorConfig(**detector.model_dump(exclude={"max_rejected"}) | {"choose": first})


def consensus_photos(detector: Detector, photos: Iterable[tuple[str, str]]) -> set[str]:
    """The photos, among (md5, person), whose subject a consensus chooses, so that all their faces need crops.

    They are none where the detector's first choice is the subject, and none of people with fewer than FEWEST_PHOTOS photos.
    """
    people: defaultdict[str, set[str]] = defaultdict(set)
    for md5, person in photos if detector.choose == "consensus" else ():
        people[person].add(md5)
    return {md5 for md5s in people.values() if len(md5s) >= FEWEST_PHOTOS for md5 in md5s}


def served_detector(bundle: Path) -> Detector:
    """The detector's settings in a release's bundle. A release made before a setting existed has none of it."""
    return Detector(**{name: getattr(DetectorConfig(), name) for name in LATER} | read_json(bundle / "recognizer.json")["detector"])


def _decisive(config: DetectorConfig) -> dict[str, Any]:
    """The settings that name a crop store: without LATER ones that leave boxes and crops as they were."""
    return {name: value for name, value in config.__dict__.items() if name not in LATER or value != getattr(DetectorConfig(), name)}
