"""Test photos without end: all are compared up to a number, and of more those of people who are drawn."""

from pathlib import Path

from face_assets.core.tables import write_rows
from face_assets.evaluation.labelled_photos import people_drawn, read_labelled
from face_assets.storage.artifacts import Artifact

PHOTOS = {f"Person {number}": number % 4 + 1 for number in range(200)}


def test_people_are_drawn_whole_and_stay_when_others_come() -> None:
    assert people_drawn(PHOTOS, sum(PHOTOS.values())) == PHOTOS.keys()
    drawn = people_drawn(PHOTOS, 100)
    assert 95 < sum(PHOTOS[name] for name in drawn) <= 100
    more = people_drawn({**PHOTOS, "Ann": 1, "Zoë": 2}, 100)
    assert len(set(drawn) - set(more)) <= 3
    assert len(people_drawn(PHOTOS, 1)) == 2, "nothing is measured on one person"


def test_a_split_beyond_the_limit_is_that_of_people_drawn(tmp_path: Path) -> None:
    rows = [
        (f"{name}/{number}.jpg", f"{name} {number}", name, "test" if place % 2 else "train", "face" if number else "no_face")
        for place, (name, count) in enumerate(PHOTOS.items())
        for number in range(count)
    ]
    write_rows(tmp_path / "faces.csv", ("path", "md5", "identity", "split", "status"), rows)
    aligned = Artifact("aligned_faces", "1", tmp_path, {})
    whole, drawn = read_labelled(aligned, "test"), read_labelled(aligned, "test", most=60)
    assert len(whole.paths) == sum(row[3] == "test" for row in rows) and (whole.of_photos, whole.of_people) == (0, 0)
    assert (drawn.of_photos, drawn.of_people) == (len(whole.paths), 100) and 50 < len(drawn.paths) <= 60
    assert {face.identity for face in drawn.faces} <= set(drawn.names)
    assert [drawn.paths[row] for row in drawn.rows] == [face.path for face in drawn.faces]
    assert all(drawn.identities.count(name) == PHOTOS[name] for name in drawn.names)
