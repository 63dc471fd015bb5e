"""What a fit for the gate knows beside a plain one: how numbers of drawn rows err."""

from __future__ import annotations

import numpy as np
import pytest

from forgetcast.completion import FittedMethod, ForgettingMatrix, fit
from forgetcast.completion.uncertainty.drawn_errors import USUAL, Kind, Move
from forgetcast.gate.fitting import fit_for_gate
from forgetcast.gate.judge import judge
from forgetcast.gate.metrics import Metric, Question
from forgetcast.gate.scores import corrected, moved, score
from tests.gate.world import DOMAIN_OF, fitted, forecast_of, made_rows, policy, subject


def test_forecasts_are_those_of_a_plain_fit():
    matrix = ForgettingMatrix.from_arrays(made_rows(12, seed=1), domains=DOMAIN_OF)
    plain, for_gate = fit(matrix), fit_for_gate(matrix)
    arrays = for_gate.to_arrays()
    assert all(np.array_equal(arrays[name], value) for name, value in plain.to_arrays().items())
    assert plain.drawn_errors is None
    assert for_gate.drawn_errors is not None


def test_what_was_learned_is_kept_with_the_fit():
    read = FittedMethod.from_arrays(fitted().to_arrays())
    there, here = fitted().drawn_errors, read.drawn_errors
    assert there is not None and here is not None
    for place in (0.5, 0.93):
        assert here.of(Kind.TAIL, 30, place) == there.of(Kind.TAIL, 30, place)


def test_rows_of_the_models_own_kind_need_less_than_the_usual_width():
    errors = fitted().drawn_errors
    assert errors is not None
    assert 1.0 <= errors.of(Kind.TAIL, 30, 0.95).width < USUAL[Kind.TAIL].width


@pytest.mark.parametrize("n_rows", [1, 3])
def test_where_no_row_can_be_left_out_the_usual_width_is_taken(n_rows):
    found = fit_for_gate(ForgettingMatrix.from_arrays(made_rows(n_rows, seed=1)))
    assert found.drawn_errors is not None
    assert found.drawn_errors.of(Kind.TAIL, 30, 0.95) == USUAL[Kind.TAIL]


def test_missing_cells_are_not_read():
    rows = made_rows(8, seed=1)
    observed = np.random.default_rng(0).random(rows.shape) < 0.7
    first, second = (
        fit_for_gate(ForgettingMatrix.from_arrays(np.where(observed, rows, hidden), observed=observed)).drawn_errors
        for hidden in (0.0, 5.0)
    )
    assert first is not None and second is not None
    assert first.of(Kind.TAIL, 30, 0.9) == second.of(Kind.TAIL, 30, 0.9)


def test_a_fit_that_learned_nothing_gives_the_wider_interval():
    row = forecast_of(made_rows(1, seed=5)[0])
    asked = policy({"metric": "quantile", "q": 0.95, "max": 0.2})
    widths = []
    for of in (fitted(), fit(ForgettingMatrix.from_arrays(made_rows(40, seed=1), domains=DOMAIN_OF))):
        found = judge(asked, subject(row, fitted=of)).assertions[0]
        assert found.low is not None and found.high is not None
        widths.append(found.high - found.low)
    assert widths[1] > 1.1 * widths[0]


@pytest.mark.parametrize(("truth", "found"), [(0.0, 0.0), (1.0, 1.0), (-1.5, -1.5), (4.0, 4.0)])
def test_a_score_is_the_place_among_the_draws(truth, found):
    drawn = np.random.default_rng(0).standard_normal(20_000)
    assert score(drawn, truth) == pytest.approx(found, abs=0.06)


def test_draws_all_alike_have_a_score_all_the_same():
    assert score(np.zeros(100), 0.0) == 0.0
    assert score(np.zeros(100), 0.1) > 100


def test_moved_draws_have_the_middle_and_the_width_that_were_asked_for():
    drawn = 3.0 + 2.0 * np.random.default_rng(0).standard_normal(20_000)
    found = moved(drawn, Move(0.5, 1.5, 1.0, 1.0))
    assert np.median(found) == pytest.approx(4.0, abs=0.05)
    assert found.std() == pytest.approx(3.0, abs=0.05)


def test_only_the_tail_of_a_side_is_stretched_and_the_order_stays():
    drawn = np.sort(np.random.default_rng(0).standard_normal(20_000))
    found = moved(drawn, Move(0.0, 1.0, 1.0, 2.0))
    assert np.quantile(found, 0.995) == pytest.approx(2 * 2.576, abs=0.15)
    assert np.allclose(found[:18_900], drawn[:18_900], atol=0.02)
    assert (np.diff(found) >= 0).all()


def test_counts_stay_within_what_they_can_be():
    errors = fit_for_gate(ForgettingMatrix.from_arrays(made_rows(3, seed=1))).drawn_errors
    assert errors is not None
    drawn = np.linspace(0, 10, 101)
    found = corrected(Question(Metric.COUNT_ABOVE, np.arange(10), 0.1), drawn, errors, 30, 240)
    assert (found.min(), found.max()) == (0.0, 10.0)
