"""Feature histograms: parts merge to the whole, values mean what they say, and foreign files are rejected."""

import contextlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageFilter

from face_assets.demo.synthetic import draw
from face_assets.evaluation import feature_histograms
from face_assets.evaluation.feature_histograms import NAMES, BrokenHistograms, FeatureHistograms, bins_of, measure, without_face

SIZE = 64
PHOTOS = 30


def seen(crops: npt.NDArray[np.uint8], seed: int = 0) -> npt.NDArray[np.float32]:
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(len(crops), SIZE)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    box = np.array([[10.0, 10.0, 74.0, 74.0]], np.float32).repeat(len(crops), 0)
    return measure(
        np.ones(len(crops)), crops, box, np.full(len(crops), 0.999), vectors, np.full(len(crops), 0.5), np.full(len(crops), 95.0)
    )


@pytest.fixture(scope="module")
def crops() -> npt.NDArray[np.uint8]:
    return np.stack([np.asarray(draw(person, 0, size=160)) for person in range(PHOTOS)])


def histograms(bins: npt.NDArray[np.int64]) -> FeatureHistograms:
    made = FeatureHistograms("v1.0.0", 3600, 3600)
    for row in bins:
        made.add(row, 1, 0)
    return made


def test_parts_merge_to_the_whole(crops: npt.NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_histograms, "FEWEST_FACES", 1)
    bins = bins_of(seen(crops))
    whole, part, other = histograms(bins), histograms(bins[:11]), histograms(bins[11:])
    for number, one in enumerate((part, other)):
        one.save(tmp_path / f"{number}.npz")
    merged = FeatureHistograms.load(tmp_path / "0.npz")
    merged.merge(FeatureHistograms.load(tmp_path / "1.npz"))
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
    made = FeatureHistograms("v1.0.0", 0, 3600)
    made.add(without_face(), 0, 0)
    assert (made.photos, made.without_face, made.counts.sum(), made.counts[0, 0]) == (1, 1, 1, 1)


def test_a_file_tells_of_the_embeddings_of_many_faces_at_a_time(crops: npt.NDArray[np.uint8], tmp_path: Path) -> None:
    bins = np.tile(bins_of(seen(crops)), (4, 1))
    for photos, shown in ((49, 0), (50, 50), (99, 50), (120, 100)):
        histograms(bins[:photos]).save(tmp_path / "a.npz")
        stored = FeatureHistograms.load(tmp_path / "a.npz").counts
        assert stored[:3].sum(axis=1).tolist() == [photos] * 3
        assert stored[feature_histograms.FIRST_PROJECTION :].sum(axis=1).tolist() == [shown] * feature_histograms.PROJECTIONS


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"\x80\x04N.", b"x" * 2_000_000], ids=["empty", "torn", "pickle", "huge"])
def test_a_foreign_file_is_refused_by_name(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(BrokenHistograms, match=r"a\.npz"):
        FeatureHistograms.load(tmp_path / "a.npz")


def test_a_torn_or_foreign_file_is_rejected(crops: npt.NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.npz"
    histograms(bins_of(seen(crops))).save(file)
    content, counts = file.read_bytes(), FeatureHistograms.load(file).counts
    for place in range(0, len(content), 3):
        file.write_bytes(content[:place])
        with pytest.raises(BrokenHistograms, match="holds no feature histograms"):
            FeatureHistograms.load(file)
        file.write_bytes(content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :])
        with contextlib.suppress(BrokenHistograms):  # or the byte does not count, as that of a date
            assert np.array_equal(FeatureHistograms.load(file).counts, counts)
    file.write_bytes(content)
    monkeypatch.setattr(feature_histograms, "FORMAT", "face-assets-sketch-3")
    with pytest.raises(BrokenHistograms, match="another version"):
        FeatureHistograms.load(file)
