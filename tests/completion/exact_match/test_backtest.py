import numpy as np
import pytest

from forgetcast.completion import ForgettingMatrix
from forgetcast.completion.exact_match import backtest as module
from forgetcast.completion.exact_match.backtest import backtest_exact_match
from forgetcast.completion.exact_match.gradient_descent import REFITTED, paper_additive, paper_logistic
from forgetcast.completion.exact_match.scores import auc, f1, log_score, reliability, top_precision
from forgetcast.errors import OutOfRange, TooFewRows, UnknownMethod, WrongKind


@pytest.fixture
def matrix(make_lost):
    lost, _ = make_lost(n_tasks=18, n_examples=60, rank=1, size=2.0, seed=6)
    return ForgettingMatrix.from_arrays(lost, families=[f"family-{i // 3}" for i in range(18)])


def test_every_method_is_scored_and_the_default_is_better_than_the_columns_alone(matrix):
    seen = []
    report = backtest_exact_match(matrix, n_probes=15, draws=1, on_progress=lambda *done: seen.append(done))
    assert report.left_out == "families"
    assert list(report.methods) == ["logistic", "additive", "popularity", "paper_logistic", "paper_additive"]
    assert report.methods["logistic"].log_score < report.methods["popularity"].log_score
    own, columns = report.methods["logistic"].auc, report.methods["popularity"].auc
    assert own is not None
    assert columns is not None
    assert own > columns
    pair = report.paired["popularity"]
    assert pair.low <= pair.difference <= pair.high < 0
    assert seen[-1] == (30, 30)
    cells = sum(found.n_cells for found in report.methods["logistic"].reliability)
    assert cells == 18 * 60  # two folds score every cell once


def test_a_method_beside_itself_differs_by_nothing(matrix, monkeypatch):
    monkeypatch.setitem(REFITTED, "paper_logistic", lambda lost, seen: np.full(lost.shape, 0.5))
    monkeypatch.setitem(REFITTED, "paper_additive", lambda lost, seen: np.full(lost.shape, 0.5))
    report = backtest_exact_match(matrix, draws=2, methods=["paper_logistic", "paper_additive"])
    pair = report.paired["paper_additive"]
    assert (pair.difference, pair.low, pair.high) == (0.0, 0.0, 0.0)
    assert report.methods["paper_logistic"].log_score == pytest.approx(np.log(2))


def test_a_family_is_never_among_the_rows_that_its_own_are_forecast_from(matrix, monkeypatch):
    known = []

    def fit(rows, *_):
        known.append(rows.families)
        return _NoFit()

    monkeypatch.setattr(module, "fit_exact_match", fit)
    backtest_exact_match(matrix, draws=1, methods=["logistic"])
    assert [sorted(set(matrix.families) - set(families)) for families in known] == [[f"family-{i}"] for i in range(6)]


class _NoFit:
    def forecast(self, probes, lost):
        class Forecast:
            probability = np.full(60, 0.5)

        return Forecast()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"methods": ["blend"]}, UnknownMethod),
        ({"methods": "logistic"}, WrongKind),
        ({"methods": []}, OutOfRange),
        ({"draws": 0}, OutOfRange),
        ({"n_probes": 3.5}, WrongKind),
        ({"seed": -1}, OutOfRange),
    ],
)
def test_wrong_arguments_are_refused(matrix, arguments, error):
    with pytest.raises(error):
        backtest_exact_match(matrix, **arguments)


def test_two_rows_are_too_few():
    with pytest.raises(TooFewRows):
        backtest_exact_match(ForgettingMatrix.from_arrays([[0, 1.0], [1.0, 0]]))


def test_scores_of_small_rows_are_those_counted_by_hand():
    probability, lost = np.array([0.9, 0.8, 0.6, 0.2]), np.array([1.0, 0.0, 1.0, 0.0])
    assert f1(probability, lost) == pytest.approx(4 / 5)  # two found of two, one called in vain
    assert auc(probability, lost) == pytest.approx(3 / 4)
    assert log_score(probability, lost) == pytest.approx(-np.mean(np.log([0.9, 0.2, 0.6, 0.8])))
    assert top_precision(probability, lost) == 1.0
    assert auc(np.array([0.5, 0.5]), np.array([1.0, 0.0])) == 0.5
    assert np.isnan(auc(probability, np.ones(4)))
    assert np.isnan(f1(np.zeros(3), np.zeros(3)))
    tenths = reliability(np.array([0.05, 0.95, 1.0]), np.array([0.0, 1.0, 0.0]))
    assert [(found.n_cells, found.came_true) for found in tenths] == [(1, 0.0), (2, 0.5)]


@pytest.mark.parametrize("method", [paper_logistic, paper_additive])
def test_the_papers_methods_find_the_pattern_and_never_read_an_unseen_cell(make_lost, method):
    lost, chance = make_lost(n_tasks=40, n_examples=50, rank=1, seed=8)
    seen = np.random.default_rng(0).random(lost.shape) < 0.7
    first, second = (method(np.where(seen, lost, other), seen, steps=1500) for other in (0.0, 1.0))
    assert first == pytest.approx(second)
    assert np.corrcoef(first[~seen], chance[~seen])[0, 1] > 0.5
