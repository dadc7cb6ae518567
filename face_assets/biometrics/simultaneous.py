"""Losses in several figures at once, with intervals that hold for all of them together."""

from collections.abc import Sequence

import numpy as np

from face_assets.biometrics.paired_bootstrap import Counts, Interval, Scored, people_drawn


def simultaneous_losses(pairs: Sequence[tuple[Counts | Scored, Counts | Scored]], confidence: float, seed: int) -> list[Interval]:
    """Share of the first minus share of the second of each pair, with intervals whose low ends all hold with `confidence` together, and so
    do the high ends.

    All counts are of the same people, who are drawn with replacement; each draw weighs all of them alike. The deviations of all figures are
    divided by their standard errors, and the largest one of each draw decides: the single-step max-T method (Westfall and Young 1993;
    Romano and Wolf 2005), which needs less of a margin than Bonferroni's where figures depend on each other.
    """
    if not pairs:
        return []
    people = len(pairs[0][0].trials)
    values = np.array([one.share - other.share for one, other in pairs])
    parts = [
        np.stack([one.shares(weights, first) - other.shares(weights, first) for one, other in pairs])
        for first, weights in people_drawn(people, seed)
    ]
    if people < 2 or not parts:
        return [Interval(float(value), float(value), float(value)) for value in values]
    drawn = np.concatenate(parts, axis=1)
    errors = drawn.std(axis=1) * np.sqrt(people / (people - 1))
    varying = errors > 0
    if not varying.any():
        return [Interval(float(value), float(value), float(value)) for value in values]
    deviations = (drawn[varying] - values[varying, None]) / errors[varying, None]
    below, above = (float(np.quantile(one.max(axis=0), confidence)) for one in (deviations, -deviations))
    return [
        Interval(float(value), float(value - max(below, 0.0) * error), float(value + max(above, 0.0) * error))
        for value, error in zip(values, errors, strict=True)
    ]
