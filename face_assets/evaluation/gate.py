"""The gate: absolute floors, and no regression against production."""

from dataclasses import dataclass, field

from face_assets.biometrics.verification import Evaluation
from face_assets.core import params

FEWEST_PEOPLE = params.Split().min_test_people


@dataclass(frozen=True)
class Verdict:
    """The gate's verdict. Each reason against the embedder is a sentence with figures and the parameter's key.

    notes: requested conditions that could not be judged.
    """

    passed: bool
    reasons: list[str]
    notes: list[str] = field(default_factory=list)


def judge(
    trained: Evaluation, compared: tuple[Evaluation, Evaluation] | None, asked: params.Evaluation, fewest: int = FEWEST_PEOPLE
) -> Verdict:
    """Judges `trained` by absolute floors, and by its regression against production beyond the margin.

    compared: the trained embedder and production on the same pairs, which are fewer if production finds no face in some photos; None
    without production. fewest: people with two photos from whom on the floors of AUC and accuracy are judged; with fewer chance decides.
    """
    measured = trained.auc is not None and trained.mated_people >= fewest
    reasons = [
        f"{name} is {found:.4f}, below evaluation.{key} {floor:g}"
        for name, found, key, floor in (
            ("AUC", trained.auc, "min_auc", asked.min_auc),
            ("accuracy", trained.accuracy, "min_accuracy", asked.min_accuracy),
        )
        if measured and found is not None and found < floor
    ]
    reached = trained.tar_at(asked.far)
    if asked.min_tar > 0 and reached.tar is None:
        reasons.append(
            f"TAR at FAR {asked.far:g} cannot be told from {trained.impostor:,} impostor pairs, so evaluation.min_tar {asked.min_tar:g} "
            "is not shown to be reached: add test people, or choose a larger evaluation.far"
        )
    elif reached.tar is not None and reached.tar < asked.min_tar:
        reasons.append(f"TAR at FAR {asked.far:g} is {reached.tar:.4f}, below evaluation.min_tar {asked.min_tar:g}")
    notes = [] if measured else [_not_judged(trained, fewest)]
    if compared:
        reasons += _regression(*compared, asked)
        if compared[0].tar_at(asked.far).tar is None:
            notes.append(f"compared with production by AUC: {compared[0].impostor:,} impostor pairs cannot tell TAR at FAR {asked.far:g}")
    return Verdict(not reasons, reasons, notes)


def _not_judged(trained: Evaluation, fewest: int) -> str:
    return (
        f"AUC and accuracy are not judged: {trained.mated_people:,} of {trained.people:,} people have two photos or more, and it takes "
        f"{fewest:,} (split.min_test_people)"
    )


def _regression(trained: Evaluation, production: Evaluation, asked: params.Evaluation) -> list[str]:
    now, before = trained.tar_at(asked.far).tar, production.tar_at(asked.far).tar
    if now is not None and before is not None:
        name = f"TAR at FAR {asked.far:g}"
    else:
        name = f"AUC (TAR at FAR {asked.far:g} cannot be told from {trained.impostor:,} impostor pairs)"
        now, before = trained.auc, production.auc
    if now is None or before is None:
        return []
    if now >= before - asked.max_regression:
        return []
    margin = f"more than evaluation.max_regression {asked.max_regression:g} lower"
    return [f"{name} is {now:.4f} against {before:.4f} of production on the same pairs, {margin}"]
