"""The model card of a release: intended use, data, training, figures, limits."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from face_assets.biometrics.rate_interval import rate_interval
from face_assets.core.outside_text import one_line, shown_in_markdown
from face_assets.release.threshold_rows import HEADER, rate_text, threshold_rows


@dataclass(frozen=True)
class CardFacts:
    """Facts of the card. figures: name (trained, start, production) → headline figures of the evaluation.

    verification: the threshold for two photos and its rates, as the evaluation's summary has them.
    precisions: the trials, the served one last; empty if f32 was requested. passed, reasons: the gate's verdict, if known.
    groups: tables of the figures by group, as Markdown; empty without attributes. recognition: `trained`, figures at the
    gate's thresholds, and `beside`, the comparisons with releases of the line. compatible_with: versions with whose templates the
    embeddings compare; compatibility: the figures behind it, or why there are none.
    """

    commit: str
    dataset: Mapping[str, Any]
    aligned: Mapping[str, Any]
    audited: Mapping[str, Any]
    training: Mapping[str, Any]
    figures: Mapping[str, Mapping[str, Any]]
    test_people: int
    gallery: Mapping[str, Any]
    verification: Mapping[str, Any]
    precision: str
    precisions: Sequence[Mapping[str, Any]]
    parameters: Mapping[str, Any]
    passed: bool | None = None
    reasons: Sequence[str] = ()
    groups: str = ""
    recognition: Mapping[str, Any] = field(default_factory=dict)
    compatible_with: Sequence[str] = ()
    compatibility: str = ""


def model_card(facts: CardFacts) -> str:
    """The card as Markdown."""
    return "\n".join([*_head(facts), *_figures(facts), *_groups(facts), *_limits(facts), *_data(facts), *_training(facts)]) + "\n"


def _head(facts: CardFacts) -> list[str]:
    return [
        "# Face recognizer",
        "",
        "Finds faces (MTCNN), turns each into a unit vector (InceptionResnetV1, exported with its preprocessing) and looks it up among the",
        f"enrolled people. Arithmetic of the engine: {facts.precision}.",
        "",
        "**Intended use**: recognizing people who are enrolled with their consent, on the server of the team that keeps their photos. "
        "**Not for** deciding about people without a person's review, for finding people who were not asked, or for kinds of photos and "
        "people that the data below does not hold.",
        "",
    ]


def _data(facts: CardFacts) -> list[str]:
    dataset, aligned = facts.dataset, facts.aligned
    rows = [
        ("commit", f"`{facts.commit}`"),
        ("dataset version (DVC)", f"`{dataset['dataset_version']}`"),
        ("photos, people", f"{dataset['photos']:,}, {dataset['people']:,}"),
        *((f"people to {use}", f"{dataset['people_by_split'][split]:,}") for split, use in SPLITS.items()),
        ("photos with a usable face", f"{aligned['found']:,}"),
        (
            "photos without",
            f"{aligned['none']:,} no face, {aligned['unusable']:,} unreadable, {aligned['contradictions']:,} under two people",
        ),
        ("labels", _labels(facts.audited)),
    ]
    return ["## Data", "", *_table(("", ""), rows), ""]


def _labels(audited: Mapping[str, Any]) -> str:
    """The label audit in a line."""
    if audited["unable"]:
        return f"not judged: {audited['unable']}"
    return (
        f"{audited['wrong_person']:,} photos show another person, {audited['unlike']:,} are unlike theirs, {audited['two_names']:,} pairs "
        f"of names look like one person, {audited['people_mixed']:,} names hold two people; {audited['left_out']:,} photos left out; "
        f"{audited['people_seen_under_another_name']:,} people are in no figure, as an earlier split has them under another name"
    )


NOT_MEASURABLE = "not measurable"
SPLITS = {"train": "learn from", "validation": "watch while training", "test": "evaluate on (never seen)"}


def _training(facts: CardFacts) -> list[str]:
    return [
        "## Training",
        "",
        *_how_trained(facts),
        "",
        "<details><summary>Parameters</summary>",
        "",
        "```json",
        json.dumps(facts.parameters, indent=2, sort_keys=True, ensure_ascii=False),
        "```",
        "</details>",
        "",
    ]


def _how_trained(facts: CardFacts) -> list[str]:
    training = facts.training
    start = f"`{_code(training['weights'])}` (digest `{training['weights_fingerprint']}`)"
    if _is_trained(facts):
        return [
            *_age(training),
            f"From {start}, {training['epochs']} epochs over {training['photos']:,} photos of {training['people']:,} people, "
            f"seed {training['seed']}, CosFace loss{_pulled(training)}.",
        ]
    reason = facts.dataset.get("training", {}).get("reason", "for train.epochs was 0")  # artifacts of earlier versions have neither
    measured = training.get("measured")
    if not measured:
        return [f"None, {shown_in_markdown(reason)}.", "", f"These are {start}."]
    return [
        f"None, {shown_in_markdown(reason)}.",
        "",
        f"These are {start}. Measured on faces of {measured['people']:,} people and altered copies of them, when they were first served: "
        f"AUC {measured['auc']:.3f}, mean score of mated pairs {measured['gap']:.3f} above that of non-mated ones.",
    ]


def _age(training: Mapping[str, Any]) -> list[str]:
    """The age of the embedder, which may be that of an earlier commit."""
    kept = training.get("kept")
    if not kept:
        known = "trained_commit" in training  # artifacts of earlier versions do not record it
        return [f"For commit `{training['trained_commit']}` of {training['trained_time'][:10]}.", ""] if known else []
    return [
        f"Not for this commit: the embedder is that of {kept['release']}, trained for commit `{training['trained_commit']}` of "
        f"{training['trained_time'][:10]}. It has not learned from {kept['photos']:,} photos and {kept['people']:,} people to learn from "
        "that were added since. All photos that it learned from are still among the photos.",
        "",
    ]


def _pulled(training: Mapping[str, Any]) -> str:
    release = training.get("pulled_towards_release")
    return f", pulled towards the embeddings of {release}" if release else ""


def _figures(facts: CardFacts) -> list[str]:
    fars = list(next(iter(facts.figures.values()))["tar"])
    header = ("embedder", "photos", "AUC", "10-fold accuracy", "EER", *(f"TAR at FAR {far}" for far in fars))
    rows = [
        (
            "starting weights, served" if name == "trained" and not _is_trained(facts) else name,
            f"{one['photos']:,}",
            _figure(one["auc"]),
            NOT_MEASURABLE if one["accuracy"] is None else f"{one['accuracy']:.4f} ± {one['accuracy_std']:.4f}",
            _figure(one["eer"]),
            *(_tar(one["tar"][far]) for far in fars),
        )
        for name, one in facts.figures.items()
        if name != "start" or _is_trained(facts)
    ]
    trained = facts.figures["trained"]
    found = facts.gallery["identification"]
    return [
        "## Figures",
        "",
        f"{_test_people(facts)}: {trained['genuine_pairs']:,} pairs of one person, {trained['impostor_pairs']:,} of two.",
        "",
        *_table(header, rows),
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
        *_table(HEADER, threshold_rows(facts.verification, facts.gallery["identification_calibration"])),
        "",
        f"At the latter, fold by fold: {found['right']:,} right, {found['wrong']:,} wrong, {found['refused']:,} refused of "
        f"{found['enrolled']:,} photos of enrolled people; "
        f"{found['strangers_accepted']:,} of {found['strangers']:,} photos of strangers taken for somebody. {_fnir(found)}",
        "",
    ]


def _is_trained(facts: CardFacts) -> bool:
    return bool(facts.training["epochs"])


def _test_people(facts: CardFacts) -> str:
    if _is_trained(facts):
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
    return lines + ([*_table(header, rows), ""] if rows else [])


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
    return [f"Precision: {asked} {served}. The figures above are those of the engine that is served.", "", *_table(header, rows), ""]


def _figure(value: float | None) -> str:
    return NOT_MEASURABLE if value is None else f"{value:.4f}"


def _tar(value: float | None) -> str:
    return "too few pairs" if value is None else f"{value:.4f}"


def _limits(facts: CardFacts) -> list[str]:
    return [
        "## Limits",
        "",
        "- A rate is as good as the pairs behind it, and as the likeness of these people and photos to those it will meet.",
        f"- {facts.figures['trained']['impostor_pairs']:,} impostor pairs tell no false accept rate below "
        f"{1 / facts.figures['trained']['impostor_pairs']:.1g}.",
        _compatible(facts),
        "- Faces are biometric data: protect the gallery and the golden requests of this release like the photos.",
        f"- Made again by `face-assets run --commit {facts.commit[:12]}`.",
    ]


def _compatible(facts: CardFacts) -> str:
    """Sentence on the stored templates of earlier releases."""
    measured = f" ({shown_in_markdown(facts.compatibility)})" if facts.compatibility else ""
    if not facts.compatible_with:
        return f"- Templates of no earlier release were shown to compare with embeddings of this one{measured}: enrol people from photos."
    versions = ", ".join(facts.compatible_with)
    return (
        f"- Templates of {versions} compare with embeddings of this release{measured}; those of other releases do not, or were not "
        "compared. `compatible_with` in release.json lists them."
    )


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    lines = [header, tuple("---" for _ in header), *rows]
    return ["| " + " | ".join(cell if cell.startswith("`") else shown_in_markdown(cell) for cell in line) + " |" for line in lines]


def _code(text: str) -> str:
    """Text without backticks, for a code span."""
    return one_line(text).replace("`", "'")
