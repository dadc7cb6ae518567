"""The manifest: splits by identity that nothing moves, duplicates across people, files that are no photos."""

import itertools
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from face_assets.core.errors import UserError
from face_assets.core.params import Split
from face_assets.dataset import duplicates
from face_assets.dataset.manifest import Manifest, Photo, make_manifest, moved, photo_rows
from face_assets.dataset.photo_folders import HIDDEN, SYSTEM, person_key

LEFT_BEHIND = [
    *("@eaDir/1.jpg/SYNOPHOTO_THUMB_XL.jpg", "@eaDir/1.jpg@SynoEAStream", "#recycle/1.jpg", "#snapshot/daily/1.jpg", "@Recycle/1.jpg"),
    *("$RECYCLE.BIN/S-1-5-18/1.jpg", "System Volume Information/1.jpg", "Thumbs.db", "desktop.ini", "THUMBS.DB", "1.jpg:Zone.Identifier"),
    *(".DS_Store", "._1.jpg", ".AppleDouble/1.jpg", ".Spotlight-V100/1.jpg", ".Trashes/1.jpg", ".fseventsd/1.jpg", "__MACOSX/._1.jpg"),
    *(".thumbnails/1.jpg", ".nomedia", ".trashed-1700000000-1.jpg", ".pending-1700000000-1.jpg", ".picasa.ini", "Picasa.ini"),
    *(".stfolder/1.jpg", ".stversions/1.jpg", "lost+found/1.jpg", "LOST.DIR/1.jpg", ".@__thumb/1.jpg", ".hidden/1.jpg"),
    *("1.xmp", "1.AAE", "1.MOV", "1.mp4", "1.jpg.json", "1.jpg.part", "1.jpg~", "notes.txt"),
]


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
    assert (manifest.misplaced, len(manifest.photos)) == (["stray.jpg"], 1)
    assert manifest.left_out == {HIDDEN: ["Ann/.DS_Store"], SYSTEM: ["Ann/Icon\r"]}
    for path in ("../Ann/1.jpg", "Ann/../../1.jpg", "/etc/1.jpg", ""):
        with pytest.raises(UserError, match="no file in its folder"):
            make_manifest([(path, "a")], Split())
    with pytest.raises(UserError, match="not UTF-8"):
        make_manifest([("Jos\udce9/1.jpg", "a")], Split())


@pytest.mark.parametrize("folder", ["", "Ann/", "Ann/2024/"])
@pytest.mark.parametrize("name", LEFT_BEHIND)
def test_what_systems_leave_is_nobody_and_hides_no_photo(folder: str, name: str) -> None:
    """Its bytes are those of Ann's photo, as a NAS keeps a small photo for its own thumbnail."""
    manifest = make_manifest([("Ann/1.jpg", "a"), ("Bob/2024/1.jpg", "b"), (f"{folder}{name}", "a")], Split())
    assert {photo.path: photo.identity for photo in manifest.photos} == {"Ann/1.jpg": "Ann", "Bob/2024/1.jpg": "Bob"}
    assert [paths for paths in manifest.left_out.values()] == [[f"{folder}{name}"]]
    assert not duplicates.exact(manifest.photos)


def test_pictures_that_cannot_be_used_count_as_photos() -> None:
    names = ["1.heic", "2.NEF", "3", "4.jpeg", "5.dng", "6.svg", "7.pdf"]
    assert len(make_manifest([(f"Ann/{name}", name) for name in names], Split()).photos) == len(names)


OTHER_SPELLINGS = ["ANN LEE", "Ann Lee ", " Ann Lee", "Ann  Lee", "Ann\u00a0Lee", "Ann\u200b Lee", "A\u200dnn Lee", "\u202eAnn Lee"]


@pytest.mark.parametrize("other", OTHER_SPELLINGS)
def test_spellings_of_a_name_are_one_person_and_are_listed(other: str) -> None:
    listed = [("Ann Lee/1.jpg", "a"), ("Ann Lee/2.jpg", "b"), (f"{other}/3.jpg", "a"), ("Strauß/1.jpg", "c"), ("Strauss/1.jpg", "d")]
    manifest = make_manifest(listed, Split())
    assert [photo.identity for photo in manifest.photos].count("Ann Lee") == 3
    assert len({photo.identity for photo in manifest.photos}) == 3
    assert manifest.spellings == {"Ann Lee": sorted(["Ann Lee", other])}
    assert len({photo.split for photo in manifest.photos if photo.identity == "Ann Lee"}) == 1
    assert not duplicates.exact(manifest.photos)
    alone = make_manifest([(f"{other}/3.jpg", "a")], Split(), known=["Ann Lee"])
    assert {photo.identity for photo in alone.photos} == {"Ann Lee"}, "a gallery names the people of the photos"


@pytest.mark.parametrize("name", ["Ann\nBob (0.99) [v9]", "Ann\x1b[2J", "Ann\x9b31m", "Ann\u2028Bob", "Ann\x00", " ", "\u200b", "x" * 256])
def test_a_name_that_no_person_can_have_is_refused_by_name(name: str) -> None:
    with pytest.raises(UserError, match="rename it") as raised:
        make_manifest([(f"{name}/1.jpg", "a")], Split())
    assert str(raised.value).isprintable()


@given(st.lists(st.tuples(st.text(max_size=12), st.text(max_size=12)), max_size=6))
def test_no_file_is_ever_dropped_in_silence(names: list[tuple[str, str]]) -> None:
    listed = sorted({f"{folder}/{name}" for folder, name in names})
    try:
        manifest = make_manifest([(path, path) for path in listed], Split())
    except UserError as error:
        assert str(error).isprintable()
        return
    found = [*(photo.path for photo in manifest.photos), *manifest.misplaced, *itertools.chain(*manifest.left_out.values())]
    assert sorted(found) == listed
    identities = {photo.identity for photo in manifest.photos}
    assert not any(unicodedata.category(character) == "Cc" for identity in identities for character in identity)
    assert len({person_key(identity) for identity in identities}) == len(identities)


def test_folders_without_a_photo_are_named() -> None:
    listed = [("Ann/1.jpg", "a"), ("Bob/1.mov", "b"), ("@eaDir/Ann.jpg", "c"), (".Trashes/1.jpg", "d"), ("Carl/.1.jpg", "e")]
    assert make_manifest(listed, Split()).without_photos == ["Bob", "Carl"]


def test_odd_names_survive_the_file(tmp_path: Path) -> None:
    manifest = make_manifest([('A, "B"/ü\n1.jpg', "a"), ("D/\r.jpg", "b"), ("F/1\r\n.jpg", "c")], Split())
    manifest.write(tmp_path / "manifest.csv")
    assert Manifest.read(tmp_path / "manifest.csv").photos == manifest.photos


def test_a_hundred_thousand_photos_survive_the_file(tmp_path: Path) -> None:
    make_manifest(files(20_000, 5), Split()).write(tmp_path / "manifest.csv")
    assert len(Manifest.read(tmp_path / "manifest.csv").photos) == 100_000


def photo(path: str, md5: str) -> Photo:
    return Photo(path, md5, path.partition("/")[0], "train")


def searched(hashes: Mapping[str, int], photos: Sequence[Photo], distance: int) -> duplicates.NearDuplicates:
    rows = photo_rows((one.path, one.md5, one.identity, one.split) for one in photos)
    return duplicates.search(rows, np.array([hashes[one.md5] for one in photos], np.uint64), distance)


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
    found = {(one.md5, other.md5, bits) for one, other, bits in searched(hashes, photos, distance).pairs}
    bits = {pair: (hashes[pair[0].md5] ^ hashes[pair[1].md5]).bit_count() for pair in itertools.combinations(photos, 2)}
    assert found == {(one.md5, other.md5, apart) for (one, other), apart in bits.items() if apart <= distance}
    assert found


@pytest.mark.parametrize("distance", [3, 16])
def test_many_photos_hide_no_near_duplicate(distance: int) -> None:
    random = np.random.default_rng(0)
    values = [int(value) for value in random.integers(2**64, size=8000, dtype=np.uint64)]
    values[-20:] = [value ^ 1 for value in values[:20]]
    photos = [photo(f"{number}/1.jpg", str(number)) for number in range(len(values))]
    found = searched(dict(zip((one.md5 for one in photos), values, strict=True)), photos, distance)
    planted = {frozenset((str(number), str(number + len(values) - 20))) for number in range(20)}
    assert planted <= {frozenset((one.md5, other.md5)) for one, other, _ in found.pairs}
    assert found.not_compared == 0


def test_a_burst_of_one_person_does_not_hide_a_stranger() -> None:
    photos = [*(photo(f"Ann/{number}.jpg", f"a{number}") for number in range(400)), photo("Bob/1.jpg", "b")]
    found = searched(dict.fromkeys((one.md5 for one in photos), 0x123456789ABCDEF0), photos, 3).pairs
    assert {(one.identity, other.identity) for one, other, _ in found} == {("Ann", "Bob")}
    assert len(found) == 400


def test_a_list_that_was_cut_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    photos = [photo(f"{number}/1.jpg", str(number)) for number in range(60)]
    hashes = dict.fromkeys((one.md5 for one in photos), 0x123456789ABCDEF0)
    assert (len(searched(hashes, photos, 0).pairs), searched(hashes, photos, 0).not_compared) == (1770, 0)
    monkeypatch.setattr(duplicates, "MOST_PAIRS", 100)
    assert 100 <= len(searched(hashes, photos, 0).pairs) < 200
    assert searched(hashes, photos, 0).not_compared > 0
    monkeypatch.setattr(duplicates, "MOST_COMPARISONS", 10)
    assert searched(hashes, photos, 0).not_compared == 1770


def test_flat_images_are_nobodys_duplicates() -> None:
    photos = [photo(f"{number}/1.jpg", str(number)) for number in range(50)]
    assert searched(dict.fromkeys((one.md5 for one in photos), 0), photos, 3).pairs == []
