"""The interval of a rate on few people."""

import pytest
from scipy.stats import binomtest

from face_assets.biometrics.rate_interval import rate_interval


@pytest.mark.parametrize(("errors", "people"), [(0, 8), (1, 8), (8, 8), (3, 200)])
def test_it_is_that_of_clopper_and_pearson(errors: int, people: int) -> None:
    expected = binomtest(errors, people).proportion_ci(0.95)
    assert rate_interval(errors / people, people) == pytest.approx((expected.low, expected.high))


def test_nobody_shows_nothing_and_no_error_among_n_people_about_3_in_n() -> None:
    assert rate_interval(0.0, 0) == (0.0, 1.0)
    assert rate_interval(0.0, 300)[1] == pytest.approx(3.7 / 300, rel=0.02)
