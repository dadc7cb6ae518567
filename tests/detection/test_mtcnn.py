"""The detector against its oracle, facenet-pytorch's MTCNN."""

import io
import os
import random
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from face_assets.core import devices, onnx_runtime
from face_assets.core.devices import CPU, Device
from face_assets.dataset.decoding import decode
from face_assets.demo.synthetic import draw
from face_assets.detection.cropping import box_crop
from face_assets.detection.detector import DetectorConfig
from face_assets.detection.device_networks import networks_for, open_detector_on
from face_assets.detection.facenet_pytorch import import_facenet_pytorch
from face_assets.detection.mtcnn import Detector

pillow_heif.register_heif_opener()  # so that Pillow writes HEIC here


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    first, last = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    shared = np.clip(last - first, 0, None).prod()
    return float(shared / ((one[2:] - one[:2]).prod() + (other[2:] - other[:2]).prod() - shared))


def disagreements(images: Iterable[Image.Image], networks: Path) -> tuple[int, int]:
    """(photos with a face, those on which the two differ)."""
    oracle = import_facenet_pytorch().MTCNN(select_largest=True)
    crop = sys.modules["facenet_pytorch.models.utils.detect_face"].crop_resize
    detector = Detector(networks, DetectorConfig())
    with_face = different = 0
    for image in images:
        boxes, _, points = oracle.detect(image, landmarks=True)
        found = detector.detect(np.asarray(image))
        if boxes is None:
            different += len(found.boxes) > 0
            continue
        with_face += 1
        same = len(boxes) == len(found.boxes) and overlap(boxes[0], found.boxes[0]) >= 0.98
        different += not (same and np.abs(points[0] - found.landmarks[0]).max() <= 1.5)
        margin = 32 * (boxes[0][2:] - boxes[0][:2]) / (160 - 32) / 2
        first, last = np.maximum(boxes[0][:2] - margin, 0), np.minimum(boxes[0][2:] + margin, image.size)
        reference = np.asarray(crop(image, [int(value) for value in (*first, *last)], 160))
        assert (box_crop(np.asarray(image), boxes[0].astype(np.float32), 160, 32) == reference).all()
    return with_face, different


def group(size: tuple[int, int], people: int) -> Image.Image:
    picture = Image.new("RGB", size, (90, 110, 130))
    for number in range(people):
        picture.paste(draw(number, 0).resize((150 + 40 * number, 150 + 40 * number)), (20 + 210 * number, 30))
    return picture


def test_it_finds_what_facenet_pytorch_finds_on_drawn_faces(networks: Path) -> None:
    images = [*(draw(person, photo) for person in range(6) for photo in range(2)), group((640, 400), 2), group((500, 300), 1)]
    with_face, different = disagreements(images, networks)
    assert with_face >= 12
    assert different == 0


@pytest.mark.real
def test_it_finds_what_facenet_pytorch_finds_on_real_faces(networks: Path, real_data: Path) -> None:
    photos = random.Random(0).sample(sorted((real_data / "lfw").rglob("*.jpg")), 80)
    with_face, different = disagreements((Image.open(photo).convert("RGB") for photo in photos), networks)
    assert with_face >= 78
    assert different <= 1


WHOLE = {"chroma": 444, "subsampling": "4:4:4", "quality": 100, "lossless": True}
"""Options by which the formats lose next to nothing: boxes move by pixels where a photo is compressed a little more."""


def test_a_photo_of_a_phone_has_the_face_of_the_jpeg(networks: Path) -> None:
    detector = Detector(networks, DetectorConfig())

    def box(image: Image.Image, kind: str, **options: object) -> np.ndarray:
        output = io.BytesIO()
        image.save(output, kind, **options)
        return detector.detect(decode(output.getvalue())).boxes[0]

    output = io.BytesIO()
    draw(1, 0).save(output, "JPEG", quality=90)
    pixels = Image.fromarray(decode(output.getvalue()))
    wanted = box(pixels, "PNG")
    for kind in ("HEIF", "AVIF", "JPEG2000", "TIFF", "WEBP"):
        assert np.abs(box(pixels, kind, **(WHOLE if kind in ("HEIF", "AVIF", "WEBP") else {})) - wanted).max() <= 2, kind


def test_the_subject_is_chosen_as_asked(networks: Path) -> None:
    image = np.asarray(group((640, 400), 2))
    largest = Detector(networks, DetectorConfig()).detect(image).boxes
    central = Detector(networks, DetectorConfig(choose="most_central")).detect(image).boxes
    probable = Detector(networks, DetectorConfig(choose="most_probable")).detect(image)
    assert len(largest) == len(central) == 2
    assert largest[0][2] - largest[0][0] > largest[1][2] - largest[1][0]
    assert abs(central[0][[0, 2]].mean() - 320) < abs(central[1][[0, 2]].mean() - 320)
    assert probable.probabilities[0] >= probable.probabilities[1]


def test_a_large_photo_is_found_in_its_own_pixels(networks: Path) -> None:
    small = draw(0, 0)
    box = Detector(networks, DetectorConfig()).detect(np.asarray(small)).boxes[0]
    large = Detector(networks, DetectorConfig()).detect(np.asarray(small.resize((3000, 3000)))).boxes[0]
    assert overlap(box * 12, large) > 0.85


def test_no_face_is_an_empty_answer(networks: Path) -> None:
    found = Detector(networks, DetectorConfig()).detect(np.full((120, 90, 3), 127, np.uint8))
    assert (found.boxes.shape, found.probabilities.shape, found.landmarks.shape) == ((0, 4), (0,), (0, 5, 2))


def test_the_stand_in_for_torchvision_is_gone_after_the_import() -> None:
    import_facenet_pytorch()
    stand_ins = [name for name, module in sys.modules.items() if name.startswith("torchvision") and not getattr(module, "__file__", None)]
    assert stand_ins == []


def test_many_photos_at_once_give_what_each_alone_gives(networks: Path) -> None:
    small, wide = draw(1, 0), group((640, 400), 2)
    images = [np.asarray(image) for image in (small, wide, draw(2, 1), small.resize((2000, 2000)), draw(3, 0).resize((20, 20)), wide)]
    images.append(np.full((250, 250, 3), 127, np.uint8))
    detector = Detector(networks, DetectorConfig())
    together = detector.detect_all(images)
    assert [len(faces.boxes) for faces in together] == [1, 2, 1, 1, 0, 2, 0]
    for image, faces in zip(images, together, strict=True):
        alone = detector.detect(image)
        assert np.abs(alone.boxes - faces.boxes).max(initial=0) < 0.01
        assert np.abs(alone.landmarks - faces.landmarks).max(initial=0) < 0.01
    assert detector.detect_all([]) == []


def test_an_inference_is_bound_to_no_core(networks: Path) -> None:
    """Workers that are all bound to the first one would take turns."""
    detector, image = Detector(networks, DetectorConfig()), np.asarray(group((640, 400), 2))
    worker, ended = threading.get_native_id(), threading.Event()
    seen = set()

    def watch() -> None:
        while not ended.wait(0.001):
            seen.add(frozenset(os.sched_getaffinity(worker)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(10):
        detector.detect(image)
    ended.set()
    watcher.join()
    assert seen == {frozenset(os.sched_getaffinity(0))}


@pytest.mark.slow
def test_a_devices_faces_are_those_of_the_cpu(tmp_path: Path, networks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With ONNX Runtime's CPU provider in the place of a GPU's."""
    monkeypatch.setitem(devices.PROVIDERS, "cuda", "CPUExecutionProvider")
    monkeypatch.setattr(onnx_runtime, "_providers", lambda device, folder: ["CPUExecutionProvider"])
    gpu, config = Device("tensorrt"), DetectorConfig()
    images = [np.asarray(group((900, 420), 3)), np.asarray(group((420, 420), 1))]
    with networks_for(gpu, networks, config) as folder:
        found = open_detector_on(gpu, folder, config).detect_all(images)
    for faces, expected in zip(found, Detector(networks, config).detect_all(images), strict=True):
        assert len(expected.boxes)
        np.testing.assert_allclose(faces.boxes, expected.boxes, atol=1e-2)
        np.testing.assert_allclose(faces.landmarks, expected.landmarks, atol=1e-2)
    with networks_for(CPU, networks, config) as folder:
        assert folder == networks
