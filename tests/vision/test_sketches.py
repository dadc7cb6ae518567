"""Sketches: parts merge to the whole, what is measured means what it says, and files of others are refused."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageFilter

from face_assets.dataset.synthetic import draw
from face_assets.vision import sketches
from face_assets.vision.sketches import NAMES, BrokenSketch, Sketch, bins_of, measure, without_face

SIZE = 64
PHOTOS = 30


def seen(crops: npt.NDArray[np.uint8], seed: int = 0) -> npt.NDArray[np.float32]:
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(len(crops), SIZE)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    box = np.array([[10.0, 10.0, 74.0, 74.0]], np.float32).repeat(len(crops), 0)
    return measure(np.ones(len(crops)), crops, box, np.full(len(crops), 0.999), vectors, np.full(len(crops), 0.5))


@pytest.fixture(scope="module")
def crops() -> npt.NDArray[np.uint8]:
    return np.stack([np.asarray(draw(person, 0, size=160)) for person in range(PHOTOS)])


def sketch(bins: npt.NDArray[np.int64]) -> Sketch:
    made = Sketch("v1.0.0", 3600, 3600)
    for row in bins:
        made.add(row, 1, 0)
    return made


def test_parts_merge_to_the_whole(crops: npt.NDArray[np.uint8], tmp_path: Path) -> None:
    bins = bins_of(seen(crops))
    whole, part, other = sketch(bins), sketch(bins[:11]), sketch(bins[11:])
    for number, one in enumerate((part, other)):
        one.save(tmp_path / f"{number}.npz")
    merged = Sketch.load(tmp_path / "0.npz")
    merged.merge(Sketch.load(tmp_path / "1.npz"))
    assert np.array_equal(merged.counts, whole.counts)
    assert (merged.photos, merged.faces, merged.release, merged.window) == (PHOTOS, PHOTOS, "v1.0.0", 3600)
    assert (tmp_path / "0.npz").stat().st_size < 5000


def test_one_photo_alone_measures_as_in_company(crops: npt.NDArray[np.uint8]) -> None:
    together = seen(crops)
    assert np.allclose(together[7, 3:6], seen(crops[7:8])[0, 3:6])


def test_what_is_measured_means_what_it_says(crops: npt.NDArray[np.uint8]) -> None:
    def mean(changed: list[Image.Image]) -> dict[str, float]:
        return dict(zip(NAMES, seen(np.stack([np.asarray(image) for image in changed])).mean(axis=0), strict=True))

    images = [Image.fromarray(crop) for crop in crops]
    plain = mean(images)
    assert plain["face_size"] == 6.0
    assert plain["detection"] == pytest.approx(3.0, abs=0.01)
    assert mean([image.filter(ImageFilter.GaussianBlur(3)) for image in images])["sharpness"] < plain["sharpness"] - 0.5
    assert mean([image.point(lambda value: value // 3) for image in images])["brightness"] < plain["brightness"] / 2
    assert mean([image.convert("L").convert("RGB") for image in images])["saturation"] == 0.0


def test_a_photo_without_a_face_counts_as_such() -> None:
    made = Sketch("v1.0.0", 0, 3600)
    made.add(without_face(), 0, 0)
    assert (made.photos, made.without_face, made.counts.sum(), made.counts[0, 0]) == (1, 1, 1, 1)


def test_a_file_says_nothing_of_the_embeddings_of_a_few_faces(crops: npt.NDArray[np.uint8], tmp_path: Path) -> None:
    few = sketch(bins_of(seen(crops))[: sketches.FEWEST_FACES - 1])
    few.save(tmp_path / "few.npz")
    stored = Sketch.load(tmp_path / "few.npz").counts
    assert stored[: sketches.FIRST_PROJECTION].sum() > 0
    assert stored[sketches.FIRST_PROJECTION :].sum() == 0


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"\x80\x04N.", b"x" * 2_000_000], ids=["empty", "torn", "pickle", "huge"])
def test_a_foreign_file_is_refused_by_name(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(BrokenSketch, match=r"a\.npz"):
        Sketch.load(tmp_path / "a.npz")


def test_a_torn_or_other_sketch_is_refused(crops: npt.NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sketch(bins_of(seen(crops))).save(tmp_path / "a.npz")
    content = bytearray((tmp_path / "a.npz").read_bytes())
    (tmp_path / "short.npz").write_bytes(content[: len(content) // 2])
    content[len(content) // 2] ^= 255
    (tmp_path / "flipped.npz").write_bytes(content)
    for name in ("short", "flipped"):
        with pytest.raises(BrokenSketch, match="is no sketch"):
            Sketch.load(tmp_path / f"{name}.npz")
    monkeypatch.setattr(sketches, "FORMAT", "face-assets-sketch-2")
    with pytest.raises(BrokenSketch, match="another version"):
        Sketch.load(tmp_path / "a.npz")
