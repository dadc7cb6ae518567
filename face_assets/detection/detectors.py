"""The detector for a data set's parameters: its networks, fingerprint and crop store."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from face_assets.core.files import file_lock, new_directory, read_json
from face_assets.core.fingerprint import content_digest, fingerprint, tree_digest
from face_assets.core.outside_text import shown_in_markdown
from face_assets.core.params import Detector
from face_assets.core.step_versions import step_version
from face_assets.detection.crop_keys import FEWEST_PHOTOS
from face_assets.detection.detector import DetectorConfig
from face_assets.detection.onnx_detector import FILE
from face_assets.detection.onnx_models import onnx_networks
from face_assets.registry.workspace import Workspace
from face_assets.storage.content_store import ContentStore

LATER = ("align", "turned_below")
"""Settings that earlier releases and crop stores lack, which have DetectorConfig's values of them."""
OF_ONNX = ("family", "input_size", "min_probability", "max_overlap")
OF_MTCNN = ("min_face_size", "thresholds", "factor", "max_side")


def detector_networks(workspace: Workspace, detector: Detector) -> Path:
    """The folder of the detector's networks. MTCNN's are exported from facenet-pytorch's wheel the first time; a file in ONNX is checked
    then.

    Raises UserError for a file that is not there or does not fit.
    """
    if detector.family:
        return onnx_networks(workspace, detector, detector_config(detector))
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
    networks = detector_networks(workspace, detector)
    if detector.family:
        return fingerprint(content_digest(networks / FILE), _decisive(detector_config(detector)), step_version("onnx_detection"))
    return fingerprint(tree_digest(networks), _decisive(detector_config(detector)), step_version("detection"))


def crop_store(workspace: Workspace, detector: Detector) -> ContentStore:
    """The crop store of a detector's settings: key = the photo's md5, and keys derived from it for further faces (`crop_keys`)."""
    return workspace.home.crops(detector_fingerprint(workspace, detector))


def detector_config(detector: Detector) -> DetectorConfig:
    """The detector's settings as it takes them, for crops and requests. By consensus the largest face is the first choice."""
    first = "largest" if detector.choose == "consensus" else detector.choose
    return DetectorConfig(**detector.model_dump(exclude={"model", "max_rejected"}) | {"choose": first})


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
    recorded = read_json(bundle / "recognizer.json")["detector"]
    model = {"model": FILE} if recorded.get("family") else {}
    return Detector(**{name: getattr(DetectorConfig(), name) for name in LATER} | recorded | model).of(str(bundle))


def recorded_detector(detector: Detector) -> dict[str, Any]:
    """The detector's settings as a release's bundle records them, of a request's faces."""
    unused = {"model", "max_rejected", *(() if detector.family else OF_ONNX)}
    return detector.model_dump(mode="json", exclude=unused) | {"choose": detector_config(detector).choose}


def detector_in_words(detector: Detector, networks: Path) -> str:
    """The detector as a model card names it; networks: the folder with its file."""
    if detector.family is None:
        return "MTCNN"
    digest = hashlib.sha256((networks / FILE).read_bytes()).hexdigest()
    return f"{shown_in_markdown(detector.model)} of the family {detector.family}, SHA-256 `{digest}`"


def _decisive(config: DetectorConfig) -> dict[str, Any]:
    """The settings that name a crop store: without those of other detectors, and LATER ones that leave MTCNN's crops as they were."""
    if config.family:
        return {name: value for name, value in config.__dict__.items() if name not in OF_MTCNN}
    own = {name: value for name, value in config.__dict__.items() if name not in OF_ONNX}
    return {name: value for name, value in own.items() if name not in LATER or value != getattr(DetectorConfig(), name)}
