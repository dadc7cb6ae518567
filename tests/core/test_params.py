"""params.yaml: what is wrong is named by its key."""

from itertools import pairwise

import pytest

from face_assets.core.errors import UserError
from face_assets.core.params import ROBUST, Params, current_names
from face_assets.core.params_yaml import _warn_once, default_params_yaml, parse_params

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{here}: &{here} [{', '.join([f'*{before}'] * 9)}]\n" for before, here in pairwise("abcdefghi")
)
"""Some 400 million letters, once its aliases are written out."""


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
        ('split: {seed: !!int ""}', "is not YAML: '' is no number that fits"),
        ("photos: !!timestamp never", "is not YAML: a value that does not fit its tag"),
        ("# " + "x" * 300_000, "is not YAML: it is longer than 262,144 bytes"),
        (r'embedder: {weights: "C:\new\001.pt"}', "`embedder.weights`: is no path (between double quotes YAML takes"),
        ("evaluation: {attributes: ''}", "`evaluation.attributes`: is no path"),
        ("train: 3", "`train`"),
        (
            "train: {epochs: 0x" + "f" * 5000 + "}",
            "`train.epochs`: Input should be less than or equal to 10000, found a number of thousands",
        ),
        ("train: {epochs: " + "9" * 5000 + "}", 'is no number that fits in "<unicode string>", line 1, column 17: train: {epochs: 9999'),
        ("train: {epochs: 1" + ":59" * 3000 + "}", "`train.epochs`"),
        ("train: {seed: 0x1ffffffffffffffffffff}", "`train.seed`: Input should be less than 9223372036854775808"),
        (
            "evaluation: {stress: {conditions: {fog: [1]}}}",
            "evaluation.stress.conditions: there is no condition 'fog'; there are resolution",
        ),
        ("evaluation: {stress: {conditions: {resolution: []}}}", "resolution needs a strength or several (pixels of the face, 4 to 100)"),
        ("evaluation: {stress: {conditions: {turned: [200]}}}", "turned 200 is out of bounds: degrees, 1 to 180"),
        ("evaluation: {stress: {conditions: {turned: [.nan]}}}", "`evaluation.stress.conditions.turned"),
        ("evaluation: {stress: {conditions: {mask: [1]}}}", "mask has no strength: write `mask: []`"),
        ("evaluation: {stress: {conditions: {noise: [5, 5.0]}}}", "noise names a strength twice"),
        ("evaluation: {stress: {conditions: {jpeg: [1, 2, 3, 4, 5, 6, 7, 8, 9]}}}", "jpeg has 9 strengths, and at most 8 are measured"),
        (
            "evaluation: {stress: {min_tar: {fog: 0.5}}}",
            "evaluation.stress.min_tar: there is no row 'fog' in the table; there are resolution 24",
        ),
        ("evaluation: {stress: {conditions: {}, min_tar: {mask: 0.5}}}", "there is no row 'mask' in the table; there are none"),
        (
            "evaluation: {stress: {min_tar: {resolution 24: 0.3, resolution 14: 0.5}}}",
            "resolution 14 is harder than resolution 24, and has the higher floor (0.5 and 0.3)",
        ),
        ("evaluation: {seed: -1}", "`evaluation.seed`"),
        ("train: {scale: .inf}", "`train.scale`"),
        ("serving: {queue_delay_us: 99999999999999999999}", "`serving.queue_delay_us`"),
        ("train: " + "{a: " * 90 + "1" + "}" * 90, "unknown key `train.a`"),
        ("[" * 5000, "a nest without end"),
        ("train: &a {epochs: *a}", "`train.epochs`: Input should be a valid integer"),
        (BOMB, "unknown key `a`"),
        (r'"k\e[31m\n": 1', r"unknown key `'k\x1b[31m\n'`"),
        ("\n".join(f"k{number}: 1" for number in range(5000)), "and 4990 more"),
        ("train: {epochs: 2024-01-01}", "found datetime.date(2024, 1, 1)"),
    ],
)
def test_a_mistake_is_named(text: str, named: str) -> None:
    with pytest.raises(UserError) as raised:
        parse_params(text)
    assert named in str(raised.value)
    assert str(raised.value).isprintable() and len(str(raised.value)) < 2000


def test_several_mistakes_are_all_named() -> None:
    with pytest.raises(UserError) as raised:
        parse_params("train: {epochs: -1, batch_size: 1}")
    assert "train.epochs" in str(raised.value)
    assert "train.batch_size" in str(raised.value)


def test_the_printed_defaults_are_the_defaults() -> None:
    assert parse_params(default_params_yaml()) == Params() == parse_params("")


def test_a_recipe_sets_what_is_not_stated_where_there_are_enough_people() -> None:
    default = parse_params("").train
    assert default.for_people(999) == default, "the robust recipe needs 1,000 people"
    robust = default.for_people(1000)
    assert (robust.unfreeze, robust.epochs, robust.degrade) == ("repeat_3", 4, {"camera": 3, "covered": 1})
    assert robust.fingerprint() != default.fingerprint()
    stated = parse_params("train: {unfreeze: block8}").train
    assert stated.for_people(5000) == stated, "auto is for who states none of what a recipe sets"
    asked = parse_params("train: {recipe: robust, epochs: 6, anchor: 2}").train.for_people(2)
    assert (asked.unfreeze, asked.epochs, asked.embedding_regularization) == ("repeat_3", 6, 2.0)
    clean = parse_params("train: {recipe: clean}").train
    assert clean.for_people(5000) == clean and clean.fingerprint() == default.fingerprint(), "the name of a recipe decides no result"
    assert not parse_params(default_params_yaml()).train.model_fields_set & set(ROBUST), "a new repository leaves them to the recipe"


def test_a_former_name_is_read_with_a_warning_and_changes_no_fingerprint(caplog: pytest.LogCaptureFixture) -> None:
    _warn_once.cache_clear()
    former = parse_params("train: {anchor: 2}\nserving: {probes: 3}\nmonitoring: {lasts: 2}")
    assert "`train.anchor` is now called `train.embedding_regularization`" in caplog.text
    assert "`serving.probes` is now called `serving.golden_requests`" in caplog.text
    assert "`monitoring.lasts` is now called `monitoring.consecutive_windows`" in caplog.text
    caplog.clear()
    today = parse_params("train: {embedding_regularization: 2}\nserving: {golden_requests: 3}\nmonitoring: {consecutive_windows: 2}")
    assert not caplog.text
    assert former == today and former.fingerprint() == today.fingerprint()
    assert today.train.fingerprint() == "551484ffe51e6148", "as before the rename, so that no embedder is trained anew"
    assert current_names({"serving": {"probes": 3, "max_batch": 1}}) == {"serving": {"golden_requests": 3, "max_batch": 1}}
    with pytest.raises(UserError, match=r"unknown key `serving.probes`"):
        parse_params("serving: {golden_requests: 3, probes: 4}")
