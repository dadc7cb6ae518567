"""Interval of a rate that was measured on few people."""

CONFIDENCE = 0.95


def rate_interval(rate: float, people: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Interval of a rate over people whose photos agree with each other at worst: Clopper and Pearson 1934, with people as trials.

    Without an error among n people it ends near 3 / n (rule of three, ISO/IEC 19795-1); without people it is 0 to 1.
    """
    from scipy.stats import beta

    if not people:
        return 0.0, 1.0
    errors, tail = rate * people, (1 - confidence) / 2
    low = float(beta.ppf(tail, errors, people - errors + 1)) if errors else 0.0
    high = float(beta.ppf(1 - tail, errors + 1, people - errors)) if errors < people else 1.0
    return low, high
