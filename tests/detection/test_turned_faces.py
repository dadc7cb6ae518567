"""Turned faces are set upright before the crop, and photos turned by quarters are found."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from face_assets.demo.synthetic import draw
from face_assets.detection.alignment import align_batch
from face_assets.detection.cropping import STANDARD_FACE, box_crop, similarity_crop, tilt_of, upright_crop
from face_assets.detection.detector import DetectorConfig
from face_assets.detection.faces import turned_points
from face_assets.detection.mtcnn import Detector

SURE = 0.995
FACE = np.array([[-20, -15], [20, -15], [0, 5], [-15, 25], [15, 25]], np.float32)


def places(width: int, height: int) -> np.ndarray:
    """A picture whose red and green are the place of each pixel, in parts of 255."""
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    return np.stack([x / width * 255, y / height * 255, 0 * x], axis=2).round().astype(np.uint8)


def png(image: Image.Image) -> bytes:
    output = io.BytesIO()
    image.save(output, "PNG")
    return output.getvalue()


def turned_face(centre: tuple[float, float], degrees: float, scale: float = 1.0) -> np.ndarray:
    """Landmarks of a face that is turned clockwise, (5, 2)."""
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return (FACE * scale @ turn + centre).astype(np.float32)


def box_of(landmarks: np.ndarray, side: float) -> np.ndarray:
    centre = landmarks[:2].mean(axis=0)
    return np.concatenate([centre - side / 2, centre + side / 2]).astype(np.float32)


class Counting(Detector):
    """A detector that counts the photos that it searches."""

    searched = 0

    def search(self, images: Sequence[np.ndarray], shapes: Sequence[tuple[int, int]]) -> list:
        self.searched += len(images)
        return super().search(images, shapes)


@pytest.mark.parametrize("quarter_turns", range(4))
def test_points_turn_as_pixels_do(quarter_turns: int) -> None:
    image = np.zeros((4, 7), np.uint8)
    image[1, 5] = 1
    found = turned_points(np.array([5.5, 1.5]), quarter_turns, 4, 7)
    row, column = np.argwhere(np.rot90(image, quarter_turns))[0]
    assert (column + 0.5, row + 0.5) == tuple(found)


def test_a_photo_turned_by_quarters_has_the_crops_of_the_upright_one(networks: Path) -> None:
    detector = Detector(networks, DetectorConfig(align="upright", turned_below=SURE))
    upright = np.asarray(draw(4, 0))[:, :240]
    first = detector.detect(upright)
    for quarter_turns in (1, 2, 3):
        photo = np.rot90(upright, -quarter_turns)
        faces = detector.detect(photo)
        assert faces.quarter_turns == quarter_turns
        assert (detector.crop(photo, faces) == detector.crop(upright, first)).all()
        back = faces.turned(quarter_turns, *photo.shape[:2])
        assert np.abs(back.boxes - first.boxes).max() < 1e-3 and np.abs(back.landmarks - first.landmarks).max() < 1e-3
    without = Detector(networks, DetectorConfig(align="upright"))
    assert without.detect(np.rot90(upright, 2)).probability < SURE


def test_only_doubtful_photos_are_searched_again(networks: Path) -> None:
    detector = Counting(networks, DetectorConfig(turned_below=0.9))
    faces = detector.detect_all([np.asarray(draw(1, 0)), np.full((120, 90, 3), 127, np.uint8), np.asarray(draw(4, 0))])
    assert detector.searched == 3 + 3
    assert [(len(found.boxes), found.quarter_turns) for found in faces] == [(1, 0), (0, 0), (1, 0)]


def test_the_stored_facts_are_in_the_pixels_of_the_photo(networks: Path) -> None:
    detector = Detector(networks, DetectorConfig(align="upright", turned_below=SURE))
    upside_down = np.asarray(draw(1, 0).rotate(180))
    photos = {"upright": png(draw(1, 0)), "upside down": png(Image.fromarray(upside_down))}
    upright, turned = align_batch(detector, photos.items(), 100.0)
    assert "quarter_turns" not in upright.facts and turned.facts["quarter_turns"] == 2
    size = upside_down.shape[0]
    assert np.abs(size - np.array(turned.facts["box"])[[2, 3, 0, 1]] - upright.facts["box"]).max() < 2


def test_an_upright_face_keeps_its_crop(networks: Path) -> None:
    landmarks = turned_face((100, 90), 9)
    image, box = places(200, 180), box_of(landmarks, 60)
    assert (upright_crop(image, box, landmarks, 160, 32) == box_crop(image, box, 160, 32)).all()


@pytest.mark.parametrize("degrees", [-170, -35, 11, 30, 90])
def test_a_tilted_face_is_level_in_its_crop(degrees: float) -> None:
    landmarks = turned_face((120, 100), degrees)
    assert tilt_of(landmarks) == pytest.approx(degrees, abs=2)
    crop = upright_crop(places(255, 255), box_of(landmarks, 64), landmarks, 160, 32).astype(float)
    eyes = landmarks[:2].mean(axis=0)
    assert np.abs(crop[79:81, 79:81, :2].mean(axis=(0, 1)) - eyes).max() < 1, "the box's centre stays in the middle"
    right = crop[70:90, 130:150, :2].mean(axis=(0, 1)) - eyes
    assert np.degrees(np.arctan2(right[1], right[0])) == pytest.approx(tilt_of(landmarks), abs=3)
    assert np.linalg.norm(right) == pytest.approx(30, abs=1.5), "60 of 160 pixels, which show 80"


@pytest.mark.parametrize("scale", [0.4, 1.0, 3.0])
def test_landmarks_come_where_the_standard_has_them(scale: float) -> None:
    standard = (np.array(STANDARD_FACE) - 56) @ [[0.8, 0.6], [-0.6, 0.8]] * scale + (260, 250)
    crop = similarity_crop(places(510, 510), standard.astype(np.float32), 112).astype(float)
    for (x, y), place in zip(STANDARD_FACE, standard, strict=True):
        assert np.abs(crop[int(y), int(x), :2] * 2 - place).max() < 3 + 2 * scale


def test_a_large_face_is_averaged_and_not_skipped(networks: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1500, 1500, 3), np.uint8)
    landmarks = turned_face((750, 750), 30, 15)
    for crop in (upright_crop(noise, box_of(landmarks, 900), landmarks, 80, 16), similarity_crop(noise, landmarks, 80)):
        assert crop.std() < 20, "of 74 in the photo"


@pytest.mark.parametrize("centre", [(0, 0), (-80, 30), (1e4, 1e4)])
def test_a_face_beyond_the_edge_has_a_crop(centre: tuple[float, float]) -> None:
    landmarks = turned_face(centre, 30)
    image = places(60, 40)
    assert upright_crop(image, box_of(landmarks, 50), landmarks, 80, 16).shape == (80, 80, 3)
    assert similarity_crop(image, landmarks, 80).shape == (80, 80, 3)
    assert similarity_crop(image, np.zeros((5, 2), np.float32), 80).shape == (80, 80, 3)
