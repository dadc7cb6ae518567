"""`face-assets init`: what it is given is looked at before anything is made, and the weights get the input normalization they want."""

import re
from pathlib import Path
from typing import get_args

import pytest
import torch
from click.testing import CliRunner, Result

from face_assets.cli.main import main
from face_assets.cli.new_repository import _with_embedder
from face_assets.core.errors import UserError
from face_assets.core.params_yaml import default_params_yaml, parse_params
from face_assets.demo.synthetic import write_people
from face_assets.embedding.network import TRUNK, InputNormalization
from face_assets.embedding.normalization_choice import choose_normalization
from face_assets.embedding.weights import load_embedder

SMALL = "detector: {image_size: 80, margin: 16, align: upright}\n"


def init(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["init", *map(str, arguments)])


def test_weights_that_do_not_exist_or_do_not_fit_make_nothing(photos: Path, home: Path, tmp_path: Path) -> None:
    page, other = tmp_path / "page.pt", tmp_path / "other.pt"
    page.write_text("<html>404</html>")
    torch.save({"layer.weight": torch.zeros(2)}, other)
    for weights, found in (
        ("vggface3", "there is no file"),
        (page, "is neither a state_dict of PyTorch nor an HDF5 file"),
        (other, "does not fit InceptionResnetV1"),
    ):
        done = init(tmp_path / "data", "--photos", photos, "--weights", weights)
        assert done.exit_code == 1
        assert found in done.output
    assert not (tmp_path / "data").exists()


def test_too_few_people_are_named_and_a_flat_folder_makes_nothing(photos: Path, home: Path, tmp_path: Path) -> None:
    done = init(tmp_path / "data", "--photos", photos)
    assert done.exit_code == 0, done.output
    assert re.search(r"photos: nothing is trained: \d people to train on .* all 3 people are test people", done.output)
    scratch = init(tmp_path / "scratch", "--photos", photos, "--weights", "scratch")
    assert re.search(r"photos: 3 people, of whom \d with two photos .* Have some 65 people with two photos each", scratch.output)
    flat = init(tmp_path / "flat", "--photos", photos / "Ann")
    assert flat.exit_code == 1
    assert "in no person's folder" in flat.output
    assert not (tmp_path / "flat").exists()


@pytest.mark.slow
def test_the_weights_are_measured_unless_params_say_what_they_want(home: Path, tmp_path: Path) -> None:
    write_people(tmp_path / "photos", 12, 2)
    torch.save(load_embedder("scratch", 32, seed=0).state_dict(), tmp_path / "weights.pt")
    (tmp_path / "small.yaml").write_text(SMALL)
    done = init(
        tmp_path / "data", "--photos", tmp_path / "photos", "--params", tmp_path / "small.yaml", "--weights", tmp_path / "weights.pt"
    )
    assert done.exit_code == 0, done.output
    said = re.search(
        r"embedder.whitening: (\w+), measured on 1[0-2] people: .*: (-?[\d.]+) with fixed and (-?[\d.]+) with per_image", done.output
    )
    assert said
    embedder = parse_params((tmp_path / "data" / "params.yaml").read_text(), "params.yaml").embedder
    assert embedder.whitening == said[1] == ("fixed" if float(said[2]) >= float(said[3]) else "per_image")
    assert embedder.weights == str(tmp_path / "weights.pt")

    (tmp_path / "stated.yaml").write_text(f"{SMALL}embedder: {{weights: {tmp_path}/weights.pt, whitening: per_image}}\n")
    done = init(tmp_path / "other", "--photos", tmp_path / "photos", "--params", tmp_path / "stated.yaml")
    assert done.exit_code == 0, done.output
    assert "measured on" not in done.output
    assert parse_params((tmp_path / "other" / "params.yaml").read_text(), "params.yaml").embedder.whitening == "per_image"


class Pixels(torch.nn.Module):
    """In place of a network: a crop's coarse pixels, if they are normalized as it wants, and else the same for everybody."""

    def __init__(self, wanted: str) -> None:
        super().__init__()
        for name in (*TRUNK, "last_linear", "last_bn"):
            self.add_module(name, torch.nn.AdaptiveAvgPool2d(6) if name == "avgpool_1a" else torch.nn.Identity())
        self.get_submodule("conv2d_1a").register_forward_hook(lambda module, images, output: self.seen(output, wanted))

    @staticmethod
    def seen(images: torch.Tensor, wanted: str) -> torch.Tensor:
        is_centred = bool((images.mean((1, 2, 3)).abs() < 1e-3).all())
        return images if is_centred == (wanted == "per_image") else torch.ones_like(images)


def test_the_normalization_that_the_weights_want_is_chosen_by_copies_where_few_have_two_photos(tmp_path: Path, networks: Path) -> None:
    write_people(tmp_path / "photos", 14, 2)
    files = sorted(file.relative_to(tmp_path / "photos") for file in (tmp_path / "photos").rglob("*.jpg"))
    params = parse_params(SMALL, "params.yaml")
    for wanted in get_args(InputNormalization):
        chosen = choose_normalization(Pixels(wanted), tmp_path / "photos", files, networks, params, 1)
        assert chosen
        assert (chosen.normalization, chosen.copies) == (wanted, False)
        assert chosen.separation[wanted] > 0.3
    few = choose_normalization(Pixels("fixed"), tmp_path / "photos", files[::2][:4], networks, params, 1)
    assert few and few.copies and 2 <= few.people <= 4
    assert few.normalization == max(few.separation, key=lambda name: few.separation[name])
    assert choose_normalization(Pixels("fixed"), tmp_path / "photos", files[:2], networks, params, 1) is None


@pytest.mark.parametrize(
    "text",
    [
        default_params_yaml(),
        "",
        "train: {epochs: 1}\n",
        "embedder:\n  embedding_size: 128  # small\n",
        "embedder: {whitening: fixed, embedding_size: 128}\n",
        "embedder: {embedding_size: 128}\n",
        "embedder: {embedding_size: 128, whitening: fixed}\n",
    ],
)
def test_a_parameter_is_set_whatever_the_layout(text: str) -> None:
    before = parse_params(text, "params.yaml")
    changed = parse_params(_with_embedder(_with_embedder(text, "whitening", "per_image"), "weights", "/a: b #c.pt"), "params.yaml")
    assert (changed.embedder.whitening, changed.embedder.weights) == ("per_image", "/a: b #c.pt")
    assert changed.embedder.embedding_size == before.embedder.embedding_size
    assert changed.train == before.train


def test_a_layout_that_is_not_understood_is_an_error() -> None:
    with pytest.raises(UserError, match="write `whitening: per_image` into its section"):
        _with_embedder("embedder:\n    whitening: fixed\n", "whitening", "per_image")
