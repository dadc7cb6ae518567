"""params.yaml: what is wrong is named by its key."""

import pytest

from face_assets.errors import UserError
from face_assets.params import Params, default_params_yaml, parse_params


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("train: {epoch: 3}", "unknown key `train.epoch`"),
        ("trian: {}", "unknown key `trian`"),
        ("train: {epochs: many}", "`train.epochs`"),
        ("train: {margin: 1.5}", "`train.margin`"),
        ("train: {learning_rate: .nan}", "`train.learning_rate`"),
        ("detector: {choose: prettiest}", "`detector.choose`"),
        ("split: {validation: 0.5, test: 0.5}", "split.validation + split.test leave nobody to train on"),
        ("export: {precision: int4}", "`export.precision`"),
        ("- a\n- b", "must be a mapping"),
        ("train: [", "is not YAML"),
        ("train: {flip: !!bool maybe}", "is not YAML: a value that does not fit its tag"),
        ('split: {seed: !!int ""}', "is not YAML: a value that does not fit its tag"),
        ("photos: !!timestamp never", "is not YAML: a value that does not fit its tag"),
        ("# " + "x" * 300_000, "is not YAML: it is longer than 262,144 bytes"),
        (r'embedder: {weights: "C:\new\001.pt"}', "`embedder.weights`: is no path (between double quotes YAML takes"),
        ("evaluation: {attributes: ''}", "`evaluation.attributes`: is no path"),
        ("train: 3", "`train`"),
    ],
)
def test_a_mistake_is_named(text: str, named: str) -> None:
    with pytest.raises(UserError) as raised:
        parse_params(text)
    assert named in str(raised.value)


def test_several_mistakes_are_all_named() -> None:
    with pytest.raises(UserError) as raised:
        parse_params("train: {epochs: -1, batch_size: 1}")
    assert "train.epochs" in str(raised.value)
    assert "train.batch_size" in str(raised.value)


def test_the_printed_defaults_are_the_defaults() -> None:
    assert parse_params(default_params_yaml()) == Params() == parse_params("")
