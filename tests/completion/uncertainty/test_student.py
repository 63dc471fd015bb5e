from statistics import NormalDist

import pytest

from forgetcast.completion.uncertainty.student import central_quantile, student_quantile, two_sided_tail
from forgetcast.errors import OutOfRange


@pytest.mark.parametrize(
    ("probability", "freedom", "expected"),
    [
        (0.995, 1, 63.6567),
        (0.9995, 1, 636.619),
        (0.95, 2, 2.91999),
        (0.995, 3, 5.84091),
        (0.95, 5, 2.01505),
        (0.975, 30, 2.04227),
        (0.95, 1000, 1.64638),
    ],
)
def test_quantiles_are_those_of_the_tables(probability, freedom, expected):
    assert student_quantile(probability, freedom) == pytest.approx(expected, rel=1e-5)
    assert student_quantile(1 - probability, freedom) == pytest.approx(-expected, rel=1e-5)


@pytest.mark.parametrize("freedom", [0.5, 1, 2.5, 7, 100, 1e5])
@pytest.mark.parametrize("probability", [0.5001, 0.6, 0.9, 0.999, 0.99999])
def test_a_quantile_is_where_its_tail_begins(probability, freedom):
    value = student_quantile(probability, freedom)
    assert two_sided_tail(value, freedom) == pytest.approx(2 * (1 - probability), rel=1e-7)


def test_many_degrees_of_freedom_are_the_gaussian():
    assert student_quantile(0.95, 1e9) == pytest.approx(NormalDist().inv_cdf(0.95))
    assert central_quantile(0.9) == pytest.approx(NormalDist().inv_cdf(0.95))
    assert student_quantile(0.5, 3) == 0.0


@pytest.mark.parametrize(("probability", "freedom"), [(0, 3), (1, 3), (1.5, 3), (0.9, 0), (0.9, -1)])
def test_what_is_no_probability_or_no_freedom_is_refused(probability, freedom):
    with pytest.raises(OutOfRange):
        student_quantile(probability, freedom)
