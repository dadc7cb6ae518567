"""The threshold for two photos by the test people, its rates on people who did not choose it, and whether it serves anybody."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from face_assets.biometrics.cross_fit import verification_rates
from face_assets.biometrics.impostor_scores import impostor_scores
from face_assets.biometrics.score_blocks import score_blocks
from face_assets.biometrics.thresholds import shortfall, verification_threshold
from face_assets.core.params import Evaluation


def threshold_figures(embeddings: np.ndarray, identities: Sequence[str], asked: Evaluation, weights: str) -> dict[str, Any]:
    """JSON-able facts on the served threshold: `threshold`, `fmr` and `tar` with intervals (None without comparisons), and `shortfall`.

    embeddings: float32 (n, d) of unit length, of people whom training never saw. weights: key of the starting weights in
    known_weights.json.
    shortfall: sentence about a threshold that would serve nobody, with the number of people that are needed; else None.
    """
    known = impostor_scores(weights)
    blocks = score_blocks(embeddings, np.array(identities, dtype=object).astype(str))
    threshold = verification_threshold(blocks, asked.far, asked.threshold_confidence, known)
    rates = verification_rates(blocks, asked.far, asked.threshold_confidence, known)
    tar = rates.tar.value if rates.tar else None
    return {
        "threshold": threshold.to_json(),
        "fmr": rates.fmr.to_json() if rates.fmr else None,
        "tar": rates.tar.to_json() if rates.tar else None,
        "shortfall": shortfall(threshold, tar, rates.median or 0.0, known),
        "weights": weights,
    }
