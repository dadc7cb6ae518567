"""Choice of an engine's precision: the requested one, or the next more exact one if it loses too much."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from face_assets.biometrics.verification import Evaluation, Floats

EXACT = "f32"
FALLBACKS = {"int8": ("int8", "bf16", EXACT), "bf16": ("bf16", EXACT), EXACT: (EXACT,)}


class NotComputedError(Exception):
    """The precision is not available here; the message gives the reason."""


@dataclass(frozen=True)
class Trial:
    """The loss of a precision against f32 on the test identities, and the verdict.

    figure: TAR at the evaluation's FAR, or AUC if the impostor pairs are too few for that. loss: f32's figure minus this one's.
    cosines: with f32's embeddings of the same crops, least and mean.
    """

    precision: str
    accepted: bool
    reason: str
    figure: str = ""
    value: float | None = None
    loss: float | None = None
    auc: float | None = None
    min_cosine: float | None = None
    mean_cosine: float | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON-able values."""
        return asdict(self)


def try_precisions(
    asked: str, exact: Floats, vectors: Callable[[str], Floats], evaluate: Callable[[Floats], Evaluation], far: float, max_loss: float
) -> list[Trial]:
    """Tries the requested precision, its fallbacks, and f32 for comparison. The last trial is served.

    exact: float32 (n, d), f32's embeddings of the test crops. vectors: the same in a precision; raises NotComputedError if that is not
    available. evaluate: computes figures from embeddings.
    """
    reference = evaluate(exact)
    trials = []
    for precision in FALLBACKS[asked]:
        if precision == EXACT:
            trials.append(_exact(reference, far))
            break
        try:
            found = vectors(precision)
        except NotComputedError as error:
            trials.append(Trial(precision, False, str(error)))
            continue
        trials.append(_trial(precision, exact, found, reference, evaluate, far, max_loss))
        if trials[-1].accepted:
            trials.insert(0, _exact(reference, far))
            break
    return trials


def not_measurable(asked: str, reason: str) -> list[Trial]:
    """The trials where a loss cannot be measured: f32 is served."""
    return [Trial(name, name == EXACT, "the reference" if name == EXACT else reason) for name in FALLBACKS[asked]]


def _exact(reference: Evaluation, far: float) -> Trial:
    figure, value = _figure(reference, far)
    return Trial(EXACT, True, "the reference", figure, _rounded(value), 0.0, _rounded(reference.auc), 1.0, 1.0)


def _trial(
    precision: str,
    exact: Floats,
    found: Floats,
    reference: Evaluation,
    evaluate: Callable[[Floats], Evaluation],
    far: float,
    max_loss: float,
) -> Trial:
    if not np.isfinite(found).all():
        return Trial(precision, False, "its vectors are not finite")
    figures = evaluate(found)
    (figure, value), (_, exactly) = _figure(figures, far), _figure(reference, far)
    if value is None or exactly is None:
        return Trial(precision, False, "its loss is not measurable: nobody has two photos")
    loss = round(exactly - value, 6)
    cosines = (exact * found).sum(axis=1)
    accepted = loss <= max_loss
    reason = f"{figure} is {value:.5f}, {abs(loss):.5f} {'lower' if loss > 0 else 'higher'} than in f32"
    if not accepted:
        reason += f", more than export.max_tar_loss {max_loss:g}"
    return Trial(
        precision, accepted, reason, figure, round(value, 6), loss, _rounded(figures.auc),
        round(float(cosines.min()), 6), round(float(cosines.mean()), 6),
    )  # fmt: skip


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _figure(found: Evaluation, far: float) -> tuple[str, float | None]:
    tar = found.tar_at(far).tar
    return (f"TAR at FAR {far:g}", tar) if tar is not None else ("AUC", found.auc)
