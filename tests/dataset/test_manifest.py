"""The manifest: splits by identity that nothing moves, duplicates across people, files that are no photos."""

import itertools
import time
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from face_assets.dataset import duplicates
from face_assets.dataset.manifest import Manifest, Photo, make_manifest, moved
from face_assets.errors import UserError
from face_assets.params import Split


def files(people: int, photos: int = 2) -> list[tuple[str, str]]:
    return [(f"person {person}/{photo}.jpg", f"{person:04d}{photo:04d}") for person in range(people) for photo in range(photos)]


def splits(manifest: Manifest) -> dict[str, str]:
    return {photo.identity: photo.split for photo in manifest.photos}


def test_nobody_moves_when_people_and_photos_are_added() -> None:
    before = splits(make_manifest(files(200), Split()))
    after = splits(make_manifest(files(400, 5), Split()))
    assert moved(before, after) == []
    assert {identity: after[identity] for identity in before} == before
    assert moved(before, splits(make_manifest(files(200), Split(seed=1))))


def test_the_shares_are_about_as_asked() -> None:
    manifest = make_manifest(files(3000, 1), Split(validation=0.1, test=0.2))
    assert 0.17 < len(manifest.identities("test")) / 3000 < 0.23
    assert 0.08 < len(manifest.identities("validation")) / 3000 < 0.12


def test_a_name_written_on_two_systems_is_one_person() -> None:
    composed, decomposed = (unicodedata.normalize(form, "Zoë Müller") for form in ("NFC", "NFD"))
    manifest = make_manifest([(f"{composed}/1.jpg", "a"), (f"{decomposed}/2.jpg", "b")], Split())
    assert {photo.identity for photo in manifest.photos} == {composed}


def test_what_is_no_photo_of_a_person_is_told_apart() -> None:
    manifest = make_manifest([("stray.jpg", "a"), ("Ann/.DS_Store", "b"), ("Ann/Icon\r", "c"), ("Ann/1.jpg", "d")], Split())
    assert (manifest.misplaced, manifest.ignored, len(manifest.photos)) == (["stray.jpg"], 2, 1)
    for path in ("../Ann/1.jpg", "Ann/../../1.jpg", "/etc/1.jpg", ""):
        with pytest.raises(UserError, match="no file in its folder"):
            make_manifest([(path, "a")], Split())
    with pytest.raises(UserError, match="not UTF-8"):
        make_manifest([("Jos\udce9/1.jpg", "a")], Split())


def test_odd_names_survive_the_file(tmp_path: Path) -> None:
    manifest = make_manifest([('A, "B"\nC/ü 1.jpg', "a"), ("D\rE/1.jpg", "b"), ("F\r\n/1.jpg", "c")], Split())
    manifest.write(tmp_path / "manifest.csv")
    assert Manifest.read(tmp_path / "manifest.csv").photos == manifest.photos


def test_a_hundred_thousand_photos_take_little(tmp_path: Path) -> None:
    started = time.monotonic()
    make_manifest(files(20_000, 5), Split()).write(tmp_path / "manifest.csv")
    assert len(Manifest.read(tmp_path / "manifest.csv").photos) == 100_000
    assert time.monotonic() - started < 30


def photo(path: str, md5: str) -> Photo:
    return Photo(path, md5, path.partition("/")[0], "train")


def test_the_same_file_under_two_people_is_found_and_under_one_is_not() -> None:
    photos = [photo("Ann/1.jpg", "a"), photo("Ann/2.jpg", "a"), photo("Ann/3.jpg", "b"), photo("Bob/1.jpg", "b")]
    assert [[one.path for one in group] for group in duplicates.exact(photos)] == [["Ann/3.jpg", "Bob/1.jpg"]]


@pytest.mark.parametrize("distance", [0, 3, 8, 16])
def test_near_duplicates_are_those_that_comparing_all_finds(distance: int) -> None:
    random = np.random.default_rng(0)
    base = [int(value) for value in random.integers(2**64, size=300, dtype=np.uint64)]
    noisy = [value ^ sum(1 << int(bit) for bit in random.choice(64, int(random.integers(0, 20)), replace=False)) for value in base]
    photos = [photo(f"{name}{number}/1.jpg", f"{name}{number:03d}") for name in "ab" for number in range(300)]
    hashes = dict(zip((one.md5 for one in photos), [*base, *noisy], strict=True))
    found = {(one.md5, other.md5, bits) for one, other, bits in duplicates.near(hashes, photos, distance)}
    bits = {pair: (hashes[pair[0].md5] ^ hashes[pair[1].md5]).bit_count() for pair in itertools.combinations(photos, 2)}
    assert found == {(one.md5, other.md5, apart) for (one, other), apart in bits.items() if apart <= distance}
    assert found


@pytest.mark.parametrize("distance", [3, 16])
def test_many_photos_hide_no_near_duplicate(distance: int) -> None:
    random = np.random.default_rng(0)
    values = [int(value) for value in random.integers(2**64, size=8000, dtype=np.uint64)]
    values[-20:] = [value ^ 1 for value in values[:20]]
    photos = [photo(f"{number}/1.jpg", str(number)) for number in range(len(values))]
    found = duplicates.search(dict(zip((one.md5 for one in photos), values, strict=True)), photos, distance)
    planted = {frozenset((str(number), str(number + len(values) - 20))) for number in range(20)}
    assert planted <= {frozenset((one.md5, other.md5)) for one, other, _ in found.pairs}
    assert found.not_compared == 0


def test_a_burst_of_one_person_does_not_hide_a_stranger() -> None:
    photos = [*(photo(f"Ann/{number}.jpg", f"a{number}") for number in range(400)), photo("Bob/1.jpg", "b")]
    found = duplicates.near(dict.fromkeys((one.md5 for one in photos), 0x123456789ABCDEF0), photos, 3)
    assert {(one.identity, other.identity) for one, other, _ in found} == {("Ann", "Bob")}
    assert len(found) == 400


def test_a_list_that_was_cut_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    photos = [photo(f"{number}/1.jpg", str(number)) for number in range(60)]
    hashes = dict.fromkeys((one.md5 for one in photos), 0x123456789ABCDEF0)
    assert (len(duplicates.search(hashes, photos, 0).pairs), duplicates.search(hashes, photos, 0).not_compared) == (1770, 0)
    monkeypatch.setattr(duplicates, "MOST_PAIRS", 100)
    assert 100 <= len(duplicates.search(hashes, photos, 0).pairs) < 200
    assert duplicates.search(hashes, photos, 0).not_compared > 0
    monkeypatch.setattr(duplicates, "MOST_COMPARISONS", 10)
    assert duplicates.search(hashes, photos, 0).not_compared == 1770


def test_flat_images_are_nobodys_duplicates() -> None:
    photos = [photo(f"{number}/1.jpg", str(number)) for number in range(50)]
    assert duplicates.near(dict.fromkeys((one.md5 for one in photos), 0), photos, 3) == []
