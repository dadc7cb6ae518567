"""Limits of a request: rejected by size and header, counted while under way, large photos one at a time."""

import io
import threading
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from face_assets.core.params import Serving
from face_assets.dataset.decoding import UnusablePhoto
from face_assets.serving.runtime.limits import Admission, BusyError, DecodingRoom, DroppedError, Limits, require_waiting_caller, within


def png(width: int, height: int, mode: str) -> bytes:
    output = io.BytesIO()
    Image.new(mode, (width, height)).save(output, "PNG")
    return output.getvalue()


def test_releases_that_state_no_limits_get_the_parameters_defaults() -> None:
    stated = {name: value for name, value in Serving().model_dump().items() if name in asdict(Limits())}
    assert Limits.of({"serving": {}, "max_megapixels": 100.0}) == Limits(**stated)
    assert Limits.of({"serving": {"max_faces": 3}, "max_megapixels": 4.0}) == Limits(max_megapixels=4.0, max_faces=3)


def test_too_many_bytes_and_faces_are_no_usable_photo() -> None:
    limits = Limits(max_bytes=1_000_000, max_faces=2)
    limits.check_content(bytes(1_000_000))
    limits.check_faces(2)
    with pytest.raises(UnusablePhoto, match=r"1\.5 MB, more than 1\.0"):
        limits.check_content(bytes(1_500_000))
    with pytest.raises(UnusablePhoto, match="3 faces, more than 2"):
        limits.check_faces(3)


def test_requests_and_their_bytes_are_bounded() -> None:
    admission = Admission(Limits(max_bytes=100, max_waiting=3))
    admission.enter(700)
    with pytest.raises(BusyError):
        admission.enter(101)
    admission.enter(50)
    admission.enter(50)
    with pytest.raises(BusyError):
        admission.enter(0)
    admission.leave(700)
    admission.enter(700)


def test_nobody_waits_for_a_request_that_was_left_or_is_late() -> None:
    class Sender:
        def __init__(self, cancelled: bool):
            self.is_cancelled = lambda: cancelled

    require_waiting_caller(Sender(False), float("inf"), 1.0)
    with pytest.raises(DroppedError, match="left"):
        require_waiting_caller(Sender(True), float("inf"), 1.0)
    with pytest.raises(DroppedError, match="within 1 s"):
        require_waiting_caller(Sender(False), float("-inf"), 1.0)


@pytest.mark.parametrize("large", [png(4000, 4000, "RGB"), png(3000, 3000, "RGBA"), png(3000, 3000, "I;16"), b"unknown"])
def test_large_photos_are_decoded_one_at_a_time_and_small_ones_meanwhile(large: bytes, tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    first, second, small = (DecodingRoom(tmp_path / "lock") for _ in range(3))
    entered = threading.Event()

    def take() -> None:
        with second:
            second.take(large)
            entered.set()

    thread = threading.Thread(target=take)
    with first:
        first.take(large)
        first.take(large)  # another one of the same turn
        thread.start()
        with small:
            small.take(png(1000, 1000, "RGBA"))
        assert not entered.wait(0.2)
    thread.join(30)
    assert entered.is_set()


def test_boxes_are_cut_to_the_photo() -> None:
    boxes = np.array([[-1060, -661, 1538, 2717], [3, 4, 5, 6]], np.float32)
    np.testing.assert_array_equal(within(boxes, 1900, 1500), [[0, 0, 1500, 1900], [3, 4, 5, 6]])
