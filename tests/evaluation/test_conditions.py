"""Degradations: the same for the same photo, harder where the strength says so, around the face wherever it is in the photo."""

import numpy as np
import pytest

from face_assets.core.degradations import CLEAN, DEGRADATIONS, default_strengths, rows_of
from face_assets.evaluation.conditions import FACE, SIDE, FaceWindow, degrade, face_window

EYES = ((100.0, 110.0), (150.0, 110.0), (125.0, 135.0), (105.0, 160.0), (145.0, 160.0))
ROWS = rows_of(default_strengths())
DRAWN = {"motion", "noise", "dark", "turned", "mask", "cap"}
"""Conditions in which something is drawn by the photo's content."""


def window(seed: int = 0) -> FaceWindow:
    """A window with shapes of all sizes."""
    random = np.random.RandomState(seed)
    coarse = random.uniform(40, 215, (10, 10, 3)).repeat(25, 0).repeat(25, 1)
    return FaceWindow(np.clip(coarse + random.normal(0, 12, coarse.shape), 0, 255).astype(np.uint8), np.array(EYES))


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_condition_is_the_same_for_the_same_photo_and_changes_it(row: tuple[str, float | None]) -> None:
    clean = window()
    found = degrade(clean, *row, "abc")
    assert found.shape == (SIDE, SIDE, 3) and found.dtype == np.uint8
    assert np.array_equal(found, degrade(window(), *row, "abc"))
    assert not np.array_equal(found, clean.pixels)
    assert np.array_equal(clean.pixels, window().pixels), "the window itself stays"
    others = [degrade(clean, *row, content) for content in "defgh"]
    assert any(not np.array_equal(found, other) for other in others) == (row[0] in DRAWN)


@pytest.mark.parametrize("name", [name for name, one in DEGRADATIONS.items() if len(one.strengths) > 1 and name not in ("turned", "small")])
def test_a_harder_strength_is_farther_from_the_clean_photo(name: str) -> None:
    clean = window()
    away = [
        np.abs(degrade(clean, name, strength, "abc").astype(float) - clean.pixels).mean()
        for _, strength in rows_of({name: list(DEGRADATIONS[name].strengths)})
    ]
    assert away == sorted(away) and away[0] < away[-1]


@pytest.mark.parametrize("name", [name for name, one in DEGRADATIONS.items() if one.unit])
def test_every_strength_within_the_bounds_can_be_made(name: str) -> None:
    for strength in (DEGRADATIONS[name].low, DEGRADATIONS[name].high):
        assert degrade(window(), name, strength, "abc").shape == (SIDE, SIDE, 3)


def test_an_evenly_lit_wall_stays_as_bright_out_of_focus_and_shaken() -> None:
    wall = FaceWindow(np.full((SIDE, SIDE, 3), 117, np.uint8), np.array(EYES))
    for row in (("defocus", 6.0), ("motion", 20.0), ("resolution", 14.0), (CLEAN, None)):
        assert np.array_equal(degrade(wall, *row, "abc"), wall.pixels), row


@pytest.mark.parametrize("points", [np.zeros((5, 2)), np.full((5, 2), 125.0), np.array(EYES)[:, ::-1]])
@pytest.mark.parametrize("cover", ["mask", "sunglasses", "cap"])
def test_landmarks_that_fall_together_or_lie_outside_make_no_error(cover: str, points: np.ndarray) -> None:
    assert degrade(FaceWindow(window().pixels, points), cover, None, "abc").shape == (SIDE, SIDE, 3)


def test_the_face_is_as_large_in_the_window_of_every_photo_and_in_its_middle() -> None:
    for scale, (x, y) in ((1, (300, 220)), (4, (90, 40)), (0.25, (30, 30))):
        side = int(160 * scale)
        photo = np.zeros((int(400 * scale) + 80, int(600 * scale) + 80, 3), np.uint8)
        photo[y : y + side, x : x + side] = 255
        found = face_window(photo, (x, y, x + side, y + side), [(x + side / 2, y + side / 2)] * 5)
        assert found.landmarks == pytest.approx(np.full((5, 2), SIDE / 2), abs=1.0)
        rows = np.flatnonzero(found.pixels[:, SIDE // 2, 0] > 127)
        assert len(rows) == pytest.approx(FACE, abs=3) and rows.mean() == pytest.approx(SIDE / 2, abs=2)


@pytest.mark.parametrize("box", [(-5000, -5000, 5000, 5000), (0, 0, 0, 0), (39, 39, 60, 60), (-90, -90, -40, -40)])
def test_a_box_at_the_border_or_beyond_it_gives_a_window(box: tuple[float, ...]) -> None:
    photo = np.arange(40 * 40 * 3, dtype=np.int64).reshape(40, 40, 3).astype(np.uint8)
    assert face_window(photo, box, [(0, 0)] * 5).pixels.shape == (SIDE, SIDE, 3)
