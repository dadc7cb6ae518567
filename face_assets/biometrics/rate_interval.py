"""Interval of a rate."""

CONFIDENCE = 0.95


def rate_interval(rate: float, trials: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Interval of a rate by independent trials: Clopper and Pearson 1934; trials: number of them, which need not be whole.

    Where the photos of a person depend on each other, people are the trials, or as many as give the variance over people. Without an
    error in n trials it ends near 3 / n (rule of three, ISO/IEC 19795-1); without trials it is 0 to 1.
    """
    from scipy.stats import beta

    if not trials:
        return 0.0, 1.0
    errors, others, tail = rate * trials, (1 - rate) * trials, (1 - confidence) / 2
    low = float(beta.ppf(tail, errors, others + 1)) if errors > 0 else 0.0
    high = float(beta.ppf(1 - tail, errors + 1, others)) if others > 0 else 1.0
    return low, high
