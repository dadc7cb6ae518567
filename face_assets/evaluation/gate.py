"""The gate: absolute floors, and no regression against production and the best release of its line."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from face_assets.biometrics.recognition import Recognition
from face_assets.core import params
from face_assets.core.outside_text import one_line
from face_assets.evaluation.regression import Comparison, Difference

FEWEST_PEOPLE = params.Split().min_test_people
NAMED = 10


@dataclass(frozen=True)
class Verdict:
    """The gate's verdict. Each reason against the embedder is a sentence with figures and the parameter's key.

    notes: requested conditions that could not be judged, and people lost within the bound.
    """

    passed: bool
    reasons: list[str]
    notes: list[str] = field(default_factory=list)


def judge(found: Recognition, comparisons: Sequence[Comparison], asked: params.Evaluation, fewest: int = FEWEST_PEOPLE) -> Verdict:
    """Judges a candidate by absolute floors and by the comparisons with releases.

    comparisons: with production first, then the best release of the line; empty without production. fewest: people with two photos from
    whom on the floors of AUC and accuracy are judged.
    """
    reasons, notes = _floors(found, asked, fewest)
    for compared in comparisons:
        reasons += [sentence for one in compared.differences if (sentence := _regression(compared, one, asked))]
    for compared in comparisons[:1]:
        lost, noted = _lost(compared, asked)
        reasons, notes = reasons + lost, notes + noted
        names = [one.name for one in compared.differences]
        if "AUC" in names:
            notes.append(f"compared by AUC: the calibration people make too few non-mated pairs for FAR {asked.far:g}")
        if not any(name.startswith("FNIR") for name in names):
            few = f"the calibration people make too few searches for FPIR {asked.fpir:g}; add people"
            notes.append(f"FNIR is not compared, and people lost are not counted: {few}")
    return Verdict(not reasons, reasons, notes)


def _floors(found: Recognition, asked: params.Evaluation, fewest: int) -> tuple[list[str], list[str]]:
    """Reasons and notes of the absolute floors."""
    reasons, notes = [], []
    if found.mated_people >= max(fewest, 1):
        floors = (("AUC", found.auc, "min_auc", asked.min_auc), ("accuracy", found.accuracy, "min_accuracy", asked.min_accuracy))
        reasons += [f"{name} is {value:.4f}, below evaluation.{key} {floor:g}" for name, value, key, floor in floors if value < floor]
    else:
        notes.append(
            f"AUC and accuracy are not judged: {found.mated_people:,} test people have two photos or more, and it takes {fewest:,} "
            "(split.min_test_people)"
        )
    if asked.min_tar > 0 and found.tar is None:
        reasons.append(
            f"TAR at FAR {asked.far:g} cannot be measured with so few people, so evaluation.min_tar {asked.min_tar:g} is not shown to be "
            "reached: add people, or choose a larger evaluation.far"
        )
    elif found.tar is not None and found.tar < asked.min_tar:
        reasons.append(f"TAR at FAR {asked.far:g} is {found.tar:.4f}, below evaluation.min_tar {asked.min_tar:g}")
    if reasons and found.failures:
        reasons[-1] += f"; {found.failures:,} of {found.photos:,} photos have no usable face and count as missed"
    return reasons, notes


def _regression(compared: Comparison, one: Difference, asked: params.Evaluation) -> str | None:
    """Reason where even the low end of the loss is more than the margin."""
    if one.loss.low <= asked.max_regression:
        return None
    missed, ours, theirs = "", *compared.failures
    if ours > theirs:
        missed = f"; it finds no face in {ours:,} of {compared.photos:,} photos, {compared.version} in {theirs:,}"
    return (
        f"{one.name} is {one.now:.4f} against {one.before:.4f} of {compared.version} on the same photos: worse by {one.loss.value:.4f} "
        f"({one.loss.low:.4f} to {one.loss.high:.4f} at evaluation.confidence {asked.confidence:g}), "
        f"more than evaluation.max_regression {asked.max_regression:g}{missed}"
    )


def _lost(compared: Comparison, asked: params.Evaluation) -> tuple[list[str], list[str]]:
    """Reason where the share of people lost is more than the bound and that is not chance, or else a note about them."""
    if not compared.lost:
        return [], []
    from scipy.stats import binomtest

    count, known = len(compared.lost), compared.recognized
    least = binomtest(count, known, alternative="greater").proportion_ci(asked.confidence).low
    more = f" and {count - NAMED:,} more" if count > NAMED else ""
    named = ", ".join(one_line(name) for name in compared.lost[:NAMED]) + more
    sentence = f"{count:,} of {known:,} people whom {compared.version} recognizes are recognized no longer"
    if least <= asked.max_people_lost:
        return [], [f"{sentence}: {named}"]
    bound = f"at least {least:.2%} at evaluation.confidence {asked.confidence:g}, more than evaluation.max_people_lost"
    return [f"{sentence} ({bound} {asked.max_people_lost:g}): {named}"], []
