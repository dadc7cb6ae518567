"""The model card: it has the figures, and marks rates that were not shown."""

from dataclasses import replace

from face_assets.evaluation.group_figures import groups_markdown
from face_assets.release.card_facts import CardFacts
from face_assets.release.model_card import model_card

HEADLINE = {"auc": 0.99, "accuracy": 0.98, "accuracy_std": 0.01, "eer": 0.02, "genuine_pairs": 300, "impostor_pairs": 20_000, "photos": 80}
BOUND = {"value": 0.42, "estimate": 0.4, "rate": 0.001, "confidence": 0.95, "people": 20, "own_weight": 0.6, "basis": "20 people (60%)"}
RATE = {"value": 0.0006, "low": 0.0002, "high": 0.0013, "comparisons": 20_000, "effective": 900.0}
FACTS = CardFacts(
    commit="c" * 40,
    dataset={"dataset_version": "d.dir", "photos": 1200, "people": 90, "people_by_split": {"train": 60, "validation": 10, "test": 20}},
    audited={
        "unable": "",
        "wrong_person": 3,
        "unlike": 2,
        "two_names": 1,
        "people_mixed": 0,
        "left_out": 3,
        "people_seen_under_another_name": 1,
    },
    aligned={"found": 1190, "none": 6, "unusable": 3, "contradictions": 1},
    training={"weights": "my `odd`\nfile.pt", "weights_fingerprint": "abc", "epochs": 3, "photos": 800, "people": 60, "seed": 0},
    figures={"trained": {**HEADLINE, "tar": {"0.001": 0.91, "0.0001": None}}, "start": {**HEADLINE, "tar": {"0.001": 0.9, "0.0001": 0.8}}},
    test_people=20,
    gallery={
        "people": 90,
        "identification_threshold": 0.51,
        "identification_calibration": {"threshold": {**BOUND, "value": 0.51, "rate": 0.01}, "fpir": RATE, "strangers": 416},
        "identification": {
            "enrolled": 400,
            "enrolled_people": 80,
            "right": 390,
            "wrong": 1,
            "refused": 9,
            "strangers": 16,
            "strangers_accepted": 0,
        },
    },
    verification={"threshold": BOUND, "fmr": RATE, "tar": {**RATE, "value": 0.93, "low": 0.9, "high": 0.95}},
    precision="f32",
    precisions=[],
    parameters={"train": {"seed": 0}},
)

RATES = {"accept_rate": {"value": 0.9, "low": 0.8, "high": 0.95}, "tar_at_far_1e-05": {"value": None, "low": None, "high": None}}
DIM = {"people": 12, "with_pairs": 12, "photos": 40, "figures": RATES, "note": ""}


def test_the_card_says_the_figures_and_where_they_come_from() -> None:
    card = model_card(FACTS)
    for said in (
        "c" * 40,
        "d.dir",
        "| trained | 80 | 0.9900 |",
        "0.9100 | too few pairs |",
        "| two photos | 0.4200 | FMR ≤ 0.001 | 0.95 | FMR 0.060% (0.020% to 0.130%) of 20,000 | 20 people (60%) |",
        "| one face among the enrolled | 0.5100 | FPIR ≤ 0.01 |",
        "TAR at the threshold for two photos: 93.000% (90.000% to 95.000%)",
    ):
        assert said in card, said
    assert "from `my 'odd' file.pt`" in card.replace("From", "from")
    assert "production" not in card
    assert "The gate" not in card
    assert card.index("## Figures") < card.index("## Limits") < card.index("## Data") < card.index("Parameters")


def test_the_card_says_how_old_the_embedder_is() -> None:
    trained = {**FACTS.training, "trained_commit": "e" * 40, "trained_time": "2026-11-03T10:00:00+01:00"}
    assert f"For commit `{'e' * 40}` of 2026-11-03." in model_card(replace(FACTS, training={**trained, "kept": None}))
    kept = model_card(replace(FACTS, training={**trained, "kept": {"release": "v1.2.0", "photos": 1_050, "people": 7, "share": 0.1}}))
    assert f"the embedder is that of v1.2.0, trained for commit `{'e' * 40}` of 2026-11-03." in kept
    assert "It has not learned from 1,050 photos and 7 people" in kept


def test_photos_without_a_face_and_the_comparison_are_on_the_card() -> None:
    production = {**FACTS.figures["start"], "failures_to_acquire": 8}
    loss = {"value": 0.01, "low": -0.002, "high": 0.03}
    compared = {"release": "v1.0.0", "figures": {"FNIR at FPIR 0.01": {"now": 0.13, "before": 0.12, "loss": loss}}}
    recognition = {"trained": {"fnir": 0.13, "fpir": 0.011}, "beside": [compared]}
    card = model_card(replace(FACTS, figures={**FACTS.figures, "production": production}, recognition=recognition))
    assert "count as missed in AUC, EER and TAR: 8 by production." in card
    assert "FNIR **0.1300**" in card and "1.10% find somebody" in card
    assert "| v1.0.0 | FNIR at FPIR 0.01 | 0.1300 | 0.1200 | 0.0100 (-0.0020 to 0.0300) |" in card
    few = model_card(replace(FACTS, recognition={"trained": {"fnir": None, "fpir": None}, "beside": [compared]}))
    assert "| v1.0.0 | FNIR at FPIR 0.01 | 0.1300 |" in few and "FNIR **" not in few
    same = model_card(replace(FACTS, figures={**FACTS.figures, "production": FACTS.figures["start"]}))
    assert "without a usable face, which count" not in same


def test_figures_without_mated_pairs_are_not_measurable() -> None:
    nothing = dict.fromkeys(HEADLINE) | {"genuine_pairs": 0, "impostor_pairs": 1, "photos": 2, "tar": {"0.001": None}}
    card = model_card(replace(FACTS, figures={"trained": nothing}))
    assert "| trained | 2 | not measurable | not measurable | not measurable | too few pairs |" in card


def test_starting_weights_that_an_earlier_version_served_have_no_measure() -> None:
    card = model_card(replace(FACTS, training={**FACTS.training, "epochs": 0}))
    assert "None, for train.epochs was 0." in card and "(digest `abc`)." in card
    assert "altered copies" not in card


def test_the_card_says_what_a_precision_costs_and_what_was_refused() -> None:
    assert "Precision" not in model_card(FACTS)
    measured = {"figure": "TAR at FAR 0.001", "min_cosine": 0.98, "mean_cosine": 0.99}
    tried = [
        {"precision": "f32", "value": 0.9729, "reason": "the reference", **measured},
        {"precision": "int8", "value": 0.9515, "reason": "more than export.max_tar_loss 0.002", **measured},
        {"precision": "bf16", "value": 0.97275, "reason": "0.00015 lower than in f32", **measured},
    ]
    card = model_card(replace(FACTS, precision="bf16", precisions=tried, parameters={"export": {"precision": "int8"}}))
    assert "Precision: int8 was asked for, bf16 is served." in card
    assert "| int8 | TAR at FAR 0.001 0.95150 | 0.98000, 0.99000 | more than export.max_tar_loss 0.002 |" in card


def test_a_rate_that_was_not_measured_is_not_claimed() -> None:
    calibration = {**FACTS.gallery["identification_calibration"], "fpir": None, "strangers": 0}
    card = model_card(
        replace(
            FACTS, gallery={**FACTS.gallery, "identification_calibration": calibration}, verification={**FACTS.verification, "fmr": None}
        )
    )
    assert "FMR ≤ 0.001 | 0.95 | no such comparison |" in card
    assert "FPIR ≤ 0.01 | 0.95 | no such comparison |" in card


def test_the_recall_of_an_index_stands_in_the_card() -> None:
    assert "index" not in model_card(FACTS)
    recall = {"value": 0.9985, "low": 0.995, "high": 0.9997, "searches": 1200}
    index = {"library": "faiss 1.2", "people": 3_000_000, "lists": 4096, "searched_lists": 128, "recall": recall, "recall_of_all": None}
    card = model_card(replace(FACTS, gallery={**FACTS.gallery, "index": index}))
    assert "The gallery of 3,000,000 people is searched by an index (faiss 1.2, 128 of 4,096 lists)." in card
    assert "of 1,200 searches that find somebody **99.85%** (99.50% to 99.97%)." in card


def test_figures_by_group_stand_in_the_card_and_five_people_get_a_sentence() -> None:
    assert "by group" not in model_card(FACTS)
    groups = {"light": {"dim|dark": DIM, "few": {**DIM, "people": 5, "figures": {}, "note": "few: 5 test people, too few for a figure"}}}
    card = model_card(replace(FACTS, groups=groups_markdown(groups)))
    assert "| dim\\|dark | 12 | 0.9000 (0.8000 to 0.9500) | not measurable |\n\n- few: 5 test people, too few for a figure" in card
    assert "| few |" not in card


def test_the_stress_table_is_on_the_card_with_the_losses_beside_production() -> None:
    assert "On bad photos" not in model_card(FACTS)
    row = {"condition": "turned", "strength": 30.0, "photos": 51, "people": 51, "tar": 0.6433, "tar_low": 0.497, "tar_high": 0.772}
    row |= {"fta": 0.0, "fta_low": 0.0, "fta_high": 0.07, "fmr": None}
    loss = {"name": "turned 30", "now": 0.6433, "before": 0.7, "loss": {"value": 0.0567, "low": -0.02, "high": 0.1}}
    card = model_card(replace(FACTS, stress={"rows": {"production": [row], "trained": [row]}, "losses": [loss]}))
    cells = "64.3 % (50 to 77) | 0.0 % (0 to 7) | cannot be told"
    assert "| condition | photos | trained: TAR at FAR 0.001 | trained: FTA | trained: FMR | production: TAR" in card
    assert f"| turned 30 | 51 of 51 people | {cells} | {cells} |" in card
    assert "| turned 30 | 0.6433 | 0.7000 | 0.0567 (-0.0200 to 0.1000) |" in card


def test_the_verdict_stands_in_the_card_where_it_is_given() -> None:
    assert "The gate passed it." in model_card(replace(FACTS, passed=True))
    refused = model_card(replace(FACTS, passed=False, reasons=["AUC is 0.5, below evaluation.min_auc 0.9"]))
    assert "The gate refused it.\n- AUC is 0.5" in refused


def test_the_card_names_the_versions_whose_templates_compare() -> None:
    assert "Templates of no earlier release were shown to compare" in model_card(FACTS)
    card = model_card(replace(FACTS, compatible_with=("v1.0.0", "v1.1.0"), compatibility="v1.1.0: TAR 0.95 against 0.95"))
    assert "Templates of v1.0.0, v1.1.0 compare with embeddings of this release (v1.1.0: TAR 0.95 against 0.95)" in card
