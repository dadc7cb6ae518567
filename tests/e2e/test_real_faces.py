"""The main job on about forty real people, starting from real weights; needs FACE_ASSETS_REAL_DATA."""

import shutil
from pathlib import Path
from typing import Any

import pytest

PEOPLE, PHOTOS = 40, 6
PARAMS = """
split: {{validation: 0.1, test: 0.3, min_test_people: 5}}
detector: {{choose: most_central}}
embedder: {{weights: {weights}, whitening: per_image}}
train: {{epochs: 10, min_people: 2}}
evaluation: {{far: 0.01, fpir: 0.05, max_regression: 0.02, stress: {{conditions: {{resolution: [12], sunglasses: []}}, photos: 12}}}}
serving: {{golden_requests: 8, max_latency_ms: 5000}}
"""

pytestmark = [pytest.mark.slow, pytest.mark.real]


def test_real_people_are_recognized_and_strangers_refused(cli: Any, real_data: Path) -> None:
    people = [folder for folder in sorted((real_data / "lfw").iterdir()) if PHOTOS < len(list(folder.iterdir())) <= 20]
    enrolled, strangers = people[:PEOPLE], people[PEOPLE : PEOPLE + 10]
    for folder in enrolled:
        (cli.folder / "photos" / folder.name).mkdir(parents=True)
        for photo in sorted(folder.iterdir())[:PHOTOS]:
            shutil.copyfile(photo, cli.folder / "photos" / folder.name / photo.name)
    (cli.folder / "params.yaml").write_text(PARAMS.format(weights=real_data / "weights" / "inception_resnet_v1_msceleb_128d.pt"))
    cli("init", "data", "--photos", "photos", "--params", "params.yaml")
    report = cli.json("run", "--repo", "data")
    figures = report["assets"]["embedder_evaluation"]["figures"]
    assert figures["trained"]["auc"] > 0.98
    assert figures["trained"]["tar"]["0.01"] >= figures["start"]["tar"]["0.01"] - 0.02
    rows = {row["condition"]: row for row in report["assets"]["embedder_evaluation"]["stress"]["rows"]["trained"]}
    assert list(rows) == ["clean", "resolution", "sunglasses"] and {row["photos"] for row in rows.values()} == {12}
    assert rows["clean"]["tar"] > 0.8 and rows["resolution"]["tar"] < rows["clean"]["tar"] - 0.2
    assert report["assets"]["exported_embedder"]["parity"]["openvino"]["min"] > 0.9999

    unseen = {sorted(folder.iterdir())[PHOTOS]: folder.name for folder in enrolled}
    said = [answer["faces"] for answer in cli.json("identify", *unseen)]
    found = [max(faces, key=lambda face: face["score"])["identity"] for faces in said]
    wrong = [name for name, identity in zip(unseen.values(), found, strict=True) if identity not in (None, name)]
    right = [name for name, identity in zip(unseen.values(), found, strict=True) if identity == name]
    assert len(wrong) <= 1, wrong
    assert len(right) >= 0.7 * PEOPLE

    others = [sorted(folder.iterdir())[0] for folder in strangers]
    accepted = [answer for answer in cli.json("identify", *others) if any(face["accepted"] for face in answer["faces"])]
    assert len(accepted) <= 1

    first, second = (cli.folder / "data" / "photos" / folder.name for folder in enrolled[:2])
    first.rename(first.with_name("aside"))
    second.rename(first)
    first.with_name("aside").rename(second)
    cli("commit", "--repo", "data", "-m", "Swap two people")
    refused = cli("run", "--repo", "data", status=3)
    assert f"Acknowledge-Person: {first.name}" in refused and f"Acknowledge-Person: {second.name}" in refused
    assert cli.json("status")["server"]["live"] == "v1.0.0"
