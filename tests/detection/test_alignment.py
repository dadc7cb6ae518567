"""Alignment and synthetic people: found faces, listed failures, the same by one process as by two."""

import errno
import hashlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from face_assets.core.errors import UserError
from face_assets.dataset import rgb
from face_assets.dataset.file_kinds import NOW_READ
from face_assets.dataset.inspection import inspect_photos
from face_assets.demo.synthetic import draw, write_people
from face_assets.demo.traits import name_of
from face_assets.detection import alignment
from face_assets.detection.contact_sheet import caption_font, contact_sheet, wrapped
from face_assets.detection.crop_keys import crop_keys
from face_assets.detection.detector import DetectorConfig
from face_assets.detection.mtcnn import Detector
from face_assets.storage.content_store import ContentStore, Entry


def nothing(done: int, whole: int) -> None:
    """No progress to show."""


@pytest.fixture
def photos(tmp_path: Path) -> dict[str, Path]:
    write_people(tmp_path / "people", 3, 2)
    found = sorted((tmp_path / "people").rglob("*.jpg"))
    (tmp_path / "truncated.jpg").write_bytes(found[0].read_bytes()[:2000])
    draw(0, 0).crop((0, 200, 250, 250)).save(tmp_path / "faceless.png")
    return {md5_of(path): path for path in (*found, tmp_path / "truncated.jpg", tmp_path / "faceless.png")}


def md5_of(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def good(photos: dict[str, Path]) -> dict[str, Path]:
    return {md5: path for md5, path in photos.items() if path.parent.parent.name == "people"}


@pytest.mark.parametrize(("workers", "worth_processes"), [(1, 1), (2, 1), (2, 200)])
def test_a_photo_that_cannot_be_used_does_not_stop_the_rest(
    photos: dict[str, Path], networks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int, worth_processes: int
) -> None:
    monkeypatch.setattr(alignment, "WORTH_PROCESSES", worth_processes)
    store = ContentStore(tmp_path / "crops.sqlite")
    alignment.align_photos(photos, store, networks, DetectorConfig(), 100.0, workers, nothing)
    entries = {entry.key: entry for entry in store.entries(photos)}
    named = {path.name: entries[md5] for md5, path in photos.items()}
    assert named["truncated.jpg"].facts["status"] == "unusable"
    assert named["truncated.jpg"].facts["reason"] == "truncated"
    assert named["faceless.png"].facts["status"] == "no_face"
    faces = [entries[md5] for md5 in good(photos)]
    assert sum(entry.facts["status"] == "face" and len(entry.blob or b"") == 160 * 160 * 3 for entry in faces) >= 5


def test_a_photo_that_was_refused_for_a_format_that_is_read_now_is_looked_at_again(tmp_path: Path) -> None:
    store = ContentStore(tmp_path / "crops.sqlite")
    store.put([Entry("heic", {"status": "unusable", "reason": NOW_READ[0]}), Entry("raw", {"status": "unusable", "reason": "RAW"})])
    assert alignment.unaligned(store, ["heic", "raw"], 100.0)[0] == ["heic"]


def test_the_limit_in_force_decides_whatever_was_aligned_before(photos: dict[str, Path], networks: Path, tmp_path: Path) -> None:
    """Photos of 0.0625 megapixels: refused under 0.05, found under 0.1, refused again under 0.05."""
    store = ContentStore(tmp_path / "crops.sqlite")
    wanted = good(photos)

    def align(limit: float) -> dict[str, str]:
        files = {key: wanted[key] for key in alignment.unaligned(store, wanted, limit)[0]}
        alignment.align_photos(files, store, networks, DetectorConfig(), limit, 1, nothing)
        return {key: fact["status"] for key, fact in alignment.within(store.facts(wanted), limit).items()}

    refused = dict.fromkeys(wanted, "unusable")
    assert align(0.05) == refused
    found = align(0.1)
    assert list(found.values()).count("face") >= 5
    assert align(0.05) == refused
    assert alignment.within(store.facts(wanted), 0.05)[min(wanted)]["reason"] == "0.1 megapixels, more than 0.1"
    assert align(0.1) == found and not store.missing(wanted)


def test_every_face_has_a_crop_and_the_first_one_s_is_as_before(photos: dict[str, Path], networks: Path, tmp_path: Path) -> None:
    """A store that was filled with first choices alone is completed by the photos with several faces, and only by those."""
    first, every = ContentStore(tmp_path / "first.sqlite"), ContentStore(tmp_path / "every.sqlite")
    group = Image.new("RGB", (460, 300), (90, 110, 130))
    for place, size in ((20, 180), (220, 220)):
        group.paste(draw(place, 0).resize((size, size)), (place, 30))
    group.save(tmp_path / "group.png")
    wanted = {**good(photos), (two := md5_of(tmp_path / "group.png")): tmp_path / "group.png"}
    alignment.align_photos(wanted, first, networks, DetectorConfig(), 100.0, 1, nothing)
    before = {entry.key: entry for entry in first.entries(wanted)}
    assert alignment.unaligned(first, wanted, 100.0)[0] == []
    several, _ = alignment.unaligned(first, wanted, 100.0, every_face=wanted)
    assert two in several and all(before[md5].facts["faces"] > 1 for md5 in several)
    done: list[tuple[int, int]] = []
    for store, some in ((every, wanted), (first, {md5: wanted[md5] for md5 in several})):
        alignment.align_photos(some, store, networks, DetectorConfig(), 100.0, 1, lambda *now: done.append(now), wanted)
        assert done[-1] == (len(some), len(some))
        assert alignment.unaligned(store, wanted, 100.0, every_face=wanted)[0] == []
        assert {entry.key: entry for entry in store.entries(wanted)} == before
        small, large = (found for key in crop_keys(two, 2)[::-1] for found in store.entries([key]))
        assert large == before[two] and len(small.blob or b"") == 160 * 160 * 3 and small.facts["faces"] == 2
        assert small.facts["box"][0] < large.facts["box"][0] and small.facts["status"] == "face"


def test_inspection_lists_problems_by_photo(photos: dict[str, Path], tmp_path: Path) -> None:
    store = ContentStore(tmp_path / "inspections.sqlite")
    inspect_photos(photos, store, 100.0, 2, nothing)
    facts = {photos[md5].name: fact for md5, fact in store.facts(photos).items()}
    assert facts["truncated.jpg"] == {"problem": "truncated"}
    assert (facts["faceless.png"]["format"], facts["faceless.png"]["width"]) == ("PNG", 250)


@pytest.mark.parametrize("trouble", [OSError(errno.EIO, "Input/output error"), MemoryError(), RuntimeError("OpenVINO: no resources")])
def test_what_fails_for_a_moment_marks_no_photo(
    photos: dict[str, Path], networks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    crops, inspections = ContentStore(tmp_path / "crops.sqlite"), ContentStore(tmp_path / "inspections.sqlite")
    wanted = good(photos)

    def fails(*_: object) -> None:
        raise trouble

    with monkeypatch.context() as patched:
        place: tuple[Any, str] = (Path, "read_bytes") if isinstance(trouble, OSError) else (rgb, "_converted")
        owner, name = (Detector, "detect_all") if isinstance(trouble, RuntimeError) else place
        patched.setattr(owner, name, fails)
        with pytest.raises(type(trouble)):
            alignment.align_photos(wanted, crops, networks, DetectorConfig(), 100.0, 1, nothing)
        if not isinstance(trouble, RuntimeError):
            with pytest.raises(type(trouble)):
                inspect_photos(wanted, inspections, 100.0, 2, nothing)
    assert crops.missing(wanted) == inspections.missing(wanted) == list(wanted)
    alignment.align_photos(wanted, crops, networks, DetectorConfig(), 100.0, 1, nothing)
    assert [fact["status"] for fact in crops.facts(wanted).values()].count("face") >= 5


def test_a_cache_s_damaged_file_is_named_and_is_no_verdict_on_the_photo(photos: dict[str, Path], networks: Path, tmp_path: Path) -> None:
    store = ContentStore(tmp_path / "store.sqlite")
    md5, path = next(iter(good(photos).items()))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=f"{path.name} is damaged"):
        inspect_photos({md5: path}, store, 100.0, 1, nothing)
    with pytest.raises(UserError, match=f"{path.name} is damaged"):
        alignment.align_photos({md5: path}, store, networks, DetectorConfig(), 100.0, 1, nothing)
    assert store.missing([md5]) == [md5]


def test_synthetic_people_are_the_same_every_time_and_have_names_of_their_own(tmp_path: Path) -> None:
    write_people(tmp_path / "one", 2, 2)
    write_people(tmp_path / "two", 2, 2)
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / name).rglob("*.jpg")} for name in ("one", "two"))
    assert one == two
    assert len(one) == len(set(one.values())) == 4
    assert len({name_of(number) for number in range(500)}) == 500


def test_the_detector_finds_synthetic_people(networks: Path) -> None:
    detector = Detector(networks, DetectorConfig())
    found = [len(detector.detect(np.asarray(draw(person, photo))).boxes) for person in range(25) for photo in range(2)]
    assert sum(count == 1 for count in found) >= 0.94 * len(found)


def test_a_contact_sheet_is_small_and_has_the_colours_of_its_photos() -> None:
    images = [(np.asarray(draw(number % 5, number)), "A very long caption\nthat must be cut " * 200) for number in range(40)]
    sheet = contact_sheet(images)
    assert len(sheet) < 200_000
    assert len(Image.open(BytesIO(sheet)).getcolors(1 << 24) or []) > 1000
    assert contact_sheet([])


@pytest.mark.parametrize(
    "caption", ["", "Ann", "Alexandra_Gonzalez", "photo_0001.jpg: the same file stands twice under this person", "W" * 200]
)
def test_a_caption_fits_its_picture_and_shows_both_ends(caption: str) -> None:
    font = caption_font()
    lines = wrapped(caption, 94, font)
    assert ("…" in "".join(lines)) == (len(caption) > 20)
    assert len(lines) <= 2
    assert all(font.getlength(line) <= 94 for line in lines)
    assert "".join(lines)[:5] == caption[:5]
    assert "".join(lines)[-5:] == caption[-5:]
