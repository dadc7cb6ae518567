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
    manifest = make_manifest([("stray.jpg", "a"), ("Ann/.DS_Store", "b"), ("Ann/Thumbs.db", "c"), ("Ann/1.jpg", "d")], Split())
    assert (manifest.misplaced, manifest.ignored, len(manifest.photos)) == (["stray.jpg"], 2, 1)
    for path in ("../Ann/1.jpg", "/etc/1.jpg"):
        with pytest.raises(UserError, match="leaves its folder"):
            make_manifest([(path, "a")], Split())


def test_odd_names_survive_the_file(tmp_path: Path) -> None:
    manifest = make_manifest([('A, "B"\nC/ü 1.jpg', "a"), ("D/1.jpg", "b")], Split())
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


def test_near_duplicates_are_those_that_comparing_all_finds() -> None:
    random = np.random.default_rng(0)
    base = [int(value) for value in random.integers(2**63, size=300)]
    noisy = [value ^ sum(1 << int(bit) for bit in random.choice(63, int(random.integers(1, 6)), replace=False)) for value in base]
    photos = [photo(f"{name}{number}/1.jpg", f"{name}{number}") for name in "ab" for number in range(300)]
    hashes = dict(zip((one.md5 for one in photos), [*base, *noisy], strict=True))
    found = {(one.md5, other.md5) for one, other, _ in duplicates.near(hashes, photos, 3)}
    expected = {
        (one.md5, other.md5) for one, other in itertools.combinations(photos, 2) if (hashes[one.md5] ^ hashes[other.md5]).bit_count() <= 3
    }
    assert found == expected
    assert expected


def test_flat_images_are_nobodys_duplicates() -> None:
    photos = [photo(f"{number}/1.jpg", str(number)) for number in range(50)]
    assert duplicates.near(dict.fromkeys((one.md5 for one in photos), 0), photos, 3) == []
