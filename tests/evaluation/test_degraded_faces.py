"""Faces in degraded photos: found at the subject's place, with a key of their own, and none in a photo of nothing but noise."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from face_assets.core.degradations import CLEAN, default_strengths, row_name, rows_of
from face_assets.demo.synthetic import draw
from face_assets.detection.detector import DetectorConfig
from face_assets.detection.mtcnn import Detector
from face_assets.evaluation.conditions import FaceWindow, face_window
from face_assets.evaluation.degraded_faces import Probe, entries_of

CONFIG = DetectorConfig(image_size=80, margin=16, choose="most_central")
CONDITIONS = {row_name(*row): row for row in [(CLEAN, None), *rows_of(default_strengths())]}


def test_a_face_is_found_unless_it_is_degraded_too_much_and_noise_has_none(networks: Path) -> None:
    detector = Detector(networks, CONFIG)
    photo = np.asarray(draw(3, 0))
    faces = detector.detect(photo)
    window = face_window(photo, faces.boxes[0].tolist(), faces.landmarks[0].tolist())
    found = {entry.key: entry for entry in entries_of(detector, window, "abc", CONDITIONS)}
    assert found.keys() == CONDITIONS.keys()
    assert found["clean"].facts["status"] == found["turned 15"].facts["status"] == "face"
    assert len(found["clean"].blob or b"") == 80 * 80 * 3
    noise = FaceWindow(np.random.RandomState(0).randint(0, 256, window.pixels.shape).astype(np.uint8), window.landmarks)
    for entry in entries_of(detector, noise, "abc", CONDITIONS):
        assert (entry.facts["status"], entry.blob) == ("no_face", None)
        assert entry.facts["reason"] == "no face found where the subject is"


def test_a_face_beside_the_subject_is_not_taken_for_it(networks: Path) -> None:
    detector = Detector(networks, CONFIG)
    photo = np.asarray(draw(3, 0))
    box = detector.detect(photo).boxes[0]
    beside = (box + np.array([1.2, 0, 1.2, 0], np.float32) * (box[2] - box[0])).tolist()
    (entry,) = entries_of(detector, face_window(photo, beside, [(0.0, 0.0)] * 5), "abc", {"clean": (CLEAN, None)})
    assert entry.facts["status"] == "no_face"


def test_a_key_names_all_that_decides_the_degraded_pixels() -> None:
    probe = Probe("abc", [1.0, 2.0, 3.0, 4.0], [[0.0, 0.0]] * 5)
    keys = {
        probe.key(("jpeg", 15)),
        probe.key(("jpeg", 6.0)),
        replace(probe, md5="xyz").key(("jpeg", 15)),
        replace(probe, box=[1.0, 2.0, 3.0, 5.0]).key(("jpeg", 15)),
        replace(probe, landmarks=[[0.0, 1.0]] * 5).key(("jpeg", 15)),
    }
    assert len(keys) == 5 and all(key.startswith(("abc~jpeg-", "xyz~jpeg-")) for key in keys)
    assert probe.key(("jpeg", 15)) == probe.key(("jpeg", 15.0)), "YAML's 15 is 15.0"
