"""The model card of a release: intended use, data, training, figures, limits."""

import json
from collections.abc import Mapping
from typing import Any

from face_assets.core.outside_text import one_line, shown_in_markdown
from face_assets.release.card_facts import CardFacts, table
from face_assets.release.card_figures import figure_lines


def model_card(facts: CardFacts) -> str:
    """The card as Markdown."""
    return "\n".join([*_head(facts), *figure_lines(facts), *_limits(facts), *_data(facts), *_training(facts)]) + "\n"


def _head(facts: CardFacts) -> list[str]:
    return [
        "# Face recognizer",
        "",
        f"Finds faces ({facts.detector}), turns each into a unit vector ({facts.embedder}, exported with its preprocessing) and "
        "looks it up among the",
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
    return ["## Data", "", *table(("", ""), rows), ""]


def _labels(audited: Mapping[str, Any]) -> str:
    """The label audit in a line."""
    if audited["unable"]:
        return f"not judged: {audited['unable']}"
    return (
        f"{audited['wrong_person']:,} photos show another person, {audited['unlike']:,} are unlike theirs, {audited['two_names']:,} pairs "
        f"of names look like one person, {audited['people_mixed']:,} names hold two people; {audited['left_out']:,} photos left out; "
        f"{audited['people_seen_under_another_name']:,} people are in no figure, as an earlier split has them under another name"
    )


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
    if facts.is_trained:
        return [
            *_age(training),
            f"From {start}, {training['epochs']} epochs over {training['photos']:,} photos of {training['people']:,} people, "
            f"seed {training['seed']}, CosFace loss{_learned(training)}{_pulled(training)}.",
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


def _learned(training: Mapping[str, Any]) -> str:
    """The trained blocks and views, where they are more than the head and clean photos; artifacts of earlier versions do not record it."""
    block, views = training.get("unfreeze", "head"), training.get("degrade") or {}
    trained = "" if block == "head" else ", all blocks" if block == "all" else f", from block {block} on"
    learned = ", ".join(f"{count} {kind}" for kind, count in views.items())
    return f"{trained}, from each photo as it is and from degraded views ({learned})" if learned else trained


def _pulled(training: Mapping[str, Any]) -> str:
    release = training.get("pulled_towards_release")
    return f", pulled towards the embeddings of {release}" if release else ""


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


def _code(text: str) -> str:
    """Text without backticks, for a code span."""
    return one_line(text).replace("`", "'")
