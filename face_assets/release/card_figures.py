"""The model card's figures: of all test people, at the gate's thresholds, at the served ones, by group, and on bad photos."""

from collections.abc import Mapping
from typing import Any

from face_assets.biometrics.rate_interval import rate_interval
from face_assets.core.outside_text import shown_in_markdown
from face_assets.evaluation.stress_table import ABOUT_STRESS, stress_markdown
from face_assets.release.card_facts import CardFacts, table
from face_assets.release.threshold_rows import HEADER, rate_text, threshold_rows

NOT_MEASURABLE = "not measurable"


def figure_lines(facts: CardFacts) -> list[str]:
    """The sections on figures, on figures by group, and on bad photos."""
    return [*_figures(facts), *_groups(facts), *_stress(facts)]


def _figures(facts: CardFacts) -> list[str]:
    fars = list(next(iter(facts.figures.values()))["tar"])
    header = ("embedder", "photos", "AUC", "10-fold accuracy", "EER", *(f"TAR at FAR {far}" for far in fars))
    rows = [
        (
            "starting weights, served" if name == "trained" and not facts.is_trained else name,
            f"{one['photos']:,}",
            _figure(one["auc"]),
            NOT_MEASURABLE if one["accuracy"] is None else f"{one['accuracy']:.4f} ± {one['accuracy_std']:.4f}",
            _figure(one["eer"]),
            *(_tar(one["tar"][far]) for far in fars),
        )
        for name, one in facts.figures.items()
        if name != "start" or facts.is_trained
    ]
    trained = facts.figures["trained"]
    found = facts.gallery["identification"]
    return [
        "## Figures",
        "",
        f"{_test_people(facts)}: {trained['genuine_pairs']:,} pairs of one person, {trained['impostor_pairs']:,} of two.",
        "",
        *table(header, rows),
        "",
        *_acquired(facts),
        *_recognition(facts),
        *_precisions(facts),
        *_verdict(facts),
        "Two photos are taken for one person, and a face for one of the "
        f"{facts.gallery['people']:,} enrolled, from these cosines on. Each holds the requested rate for people by whom it was not chosen, "
        "with the given confidence: with few people it is an upper bound, which more people lower. "
        f"TAR at the threshold for two photos: {rate_text(facts.verification['tar'])}.",
        "",
        *table(HEADER, threshold_rows(facts.verification, facts.gallery["identification_calibration"])),
        "",
        f"At the latter, fold by fold: {found['right']:,} right, {found['wrong']:,} wrong, {found['refused']:,} refused of "
        f"{found['enrolled']:,} photos of enrolled people; "
        f"{found['strangers_accepted']:,} of {found['strangers']:,} photos of strangers taken for somebody. {_fnir(found)}",
        "",
        *_index(facts.gallery.get("index")),
    ]


def _index(found: Mapping[str, Any] | None) -> list[str]:
    """The recall of the gallery's index; nothing where the search is exact."""
    if not found:
        return []
    rates = {"that find somebody": found["recall"], "of all": found["recall_of_all"]}
    recalls = [
        f"of {one['searches']:,} searches {which} **{one['value']:.2%}** ({one['low']:.2%} to {one['high']:.2%})"
        for which, one in rates.items()
        if one
    ]
    return [
        f"The gallery of {found['people']:,} people is searched by an index ({found['library']}, {found['searched_lists']:,} of "
        f"{found['lists']:,} lists). It finds the person whom an exact search finds in {'; '.join(recalls)}. The figures above are of "
        "exact searches. By the index no more strangers are taken for somebody; enrolled people are refused, or taken for another, in up "
        "to the rest of the share.",
        "",
    ]


def _test_people(facts: CardFacts) -> str:
    if facts.is_trained:
        return f"On {facts.test_people:,} people whom training never saw"
    return f"Nothing was trained on these photos, so that all {facts.test_people:,} people with a face are test people"


def _fnir(found: Mapping[str, Any]) -> str:
    """FNIR of searches by enrolled people, with its interval over them."""
    if not found["enrolled"]:
        return f"FNIR is {NOT_MEASURABLE}: no enrolled person has a photo besides those of the template."
    rate, people = 1 - found["right"] / found["enrolled"], found["enrolled_people"]
    low, high = rate_interval(rate, people)
    return f"FNIR is {rate:.1%}, by {people:,} people: with 95 % confidence {low:.1%} to {high:.1%}."


def _groups(facts: CardFacts) -> list[str]:
    if not facts.groups:
        return []
    return [
        "## Figures by group",
        "",
        "Of the test people of each group, with intervals in which 95 % of draws of its people lie. At the threshold above, accept_rate is "
        "how often two photos of one person are taken for one, and false_accept_rate how often those of two people are.",
        "",
        facts.groups,
    ]


def _stress(facts: CardFacts) -> list[str]:
    """The stress table, with that of production, and the losses with their intervals."""
    if not facts.stress.get("rows"):
        return []
    header = ("condition", "now", "before", "worse by")
    rows = [(one["name"], f"{one['now']:.4f}", f"{one['before']:.4f}", _interval(one["loss"])) for one in facts.stress.get("losses", ())]
    return [
        "## On bad photos",
        "",
        *(line for sentence in ABOUT_STRESS for line in (sentence, "")),
        stress_markdown(facts.stress["rows"], facts.far),
        "",
        *(["Beside production, with intervals that hold for all conditions together:", "", *table(header, rows), ""] if rows else []),
    ]


def _acquired(facts: CardFacts) -> list[str]:
    failures = {name: one["failures_to_acquire"] for name, one in facts.figures.items() if one.get("failures_to_acquire")}
    if not failures:
        return []
    named = ", ".join(f"{count:,} by {shown_in_markdown(name)}" for name, count in failures.items())
    return [f"Photos without a usable face, which count as missed in AUC, EER and TAR: {named}.", ""]


def _recognition(facts: CardFacts) -> list[str]:
    """Rates at the gate's thresholds, and the comparisons by which the gate judged."""
    found = facts.recognition.get("trained", {})
    lines: list[str] = []
    if found.get("fnir") is not None:
        lines = [
            f"In a gallery of the test people, each photo searched among the others: FNIR **{found['fnir']:.4f}** at the gate's threshold; "
            f"of strangers {found['fpir']:.2%} find somebody. In a template, a photo without a face counts as the worst that it could be.",
            "",
        ]
    header = ("beside", "figure", "this release", "that one", "worse by")
    rows = [
        (one["release"], name, f"{figure['now']:.4f}", f"{figure['before']:.4f}", _interval(figure["loss"]))
        for one in facts.recognition.get("beside", ())
        for name, figure in one["figures"].items()
    ]
    return lines + ([*table(header, rows), ""] if rows else [])


def _interval(found: Mapping[str, float]) -> str:
    return f"{found['value']:.4f} ({found['low']:.4f} to {found['high']:.4f})"


def _verdict(facts: CardFacts) -> list[str]:
    if facts.passed is None:
        return []
    return [f"The gate {'passed' if facts.passed else 'refused'} it.", *(f"- {shown_in_markdown(reason)}" for reason in facts.reasons), ""]


def _precisions(facts: CardFacts) -> list[str]:
    if not facts.precisions:
        return []
    rows = [
        (
            one["precision"],
            "none" if one["value"] is None else f"{one['figure']} {one['value']:.5f}",
            "" if one["min_cosine"] is None else f"{one['min_cosine']:.5f}, {one['mean_cosine']:.5f}",
            one["reason"],
        )
        for one in facts.precisions
    ]
    header = ("precision", "figure", "cosine with f32: least, mean", "")
    asked = facts.parameters["export"]["precision"]
    served = "is served" if facts.precision == asked else f"was asked for, {facts.precision} is served"
    return [f"Precision: {asked} {served}. The figures above are those of the engine that is served.", "", *table(header, rows), ""]


def _figure(value: float | None) -> str:
    return NOT_MEASURABLE if value is None else f"{value:.4f}"


def _tar(value: float | None) -> str:
    return "too few pairs" if value is None else f"{value:.4f}"
