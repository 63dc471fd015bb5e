import numpy as np
import pytest

from forgetcast.completion import ForgettingMatrix
from forgetcast.completion.exact_match.fit_exact_match import FittedExactMatch, fit_exact_match
from forgetcast.completion.exact_match.methods import EXACT_MATCH_METHODS
from forgetcast.completion.exact_match.scores import auc, log_score
from forgetcast.errors import IncompatibleFit, OutOfRange, UnknownExample, UnknownMethod


@pytest.fixture(scope="module")
def known_and_new(make_lost):
    """Known rows, and rows of the same kind that no fit has seen."""
    lost, _ = make_lost(n_tasks=60, n_examples=200, rank=2, size=1.5, seed=3, lost=0.5)
    return ForgettingMatrix.from_arrays(lost[:40]), lost[40:]


@pytest.fixture(scope="module")
def fitted(known_and_new):
    return fit_exact_match(known_and_new[0])


def mean_scores(fitted, rows, n_probes):
    probes, others = np.arange(n_probes) * (200 // max(n_probes, 1)), np.arange(1, 200, 2)
    told = [(fitted.forecast(probes, row[probes]).probability[others], row[others]) for row in rows]
    return np.mean([log_score(*each) for each in told]), np.nanmean([auc(*each) for each in told])


def test_what_was_measured_is_told_as_measured(fitted, known_and_new):
    probes = np.array([3, 50, 199])
    forecast = fitted.forecast(probes, np.array([1, 0, 1]))
    assert forecast.probability[probes].tolist() == [1.0, 0.0, 1.0]
    assert np.flatnonzero(forecast.measured).tolist() == [3, 50, 199]
    others = forecast.probability[~forecast.measured]
    assert ((others > 0) & (others < 1)).all()


def test_probes_improve_the_forecast_and_factors_beat_the_shift_alone(fitted, known_and_new):
    known, rows = known_and_new
    additive = fit_exact_match(known, "additive")
    popularity = fit_exact_match(known, "popularity")
    scores = [mean_scores(fit, rows, 50)[0] for fit in (fitted, additive, popularity)]
    assert scores[0] < scores[1] < scores[2]
    assert scores[0] < mean_scores(fitted, rows, 0)[0]
    assert mean_scores(fitted, rows, 50)[1] > mean_scores(additive, rows, 50)[1]


@pytest.mark.parametrize("n_probes", [0, 10, 50])
def test_probabilities_come_true_on_rows_that_no_fit_has_seen(fitted, known_and_new, n_probes):
    probes = np.arange(n_probes) * (200 // max(n_probes, 1))
    others = np.arange(1, 200, 2)
    told = np.concatenate([fitted.forecast(probes, row[probes]).probability[others] for row in known_and_new[1]])
    lost = np.concatenate([row[others] for row in known_and_new[1]])
    for low, high in ((0.0, 0.3), (0.3, 0.7), (0.7, 1.0)):
        inside = (told >= low) & (told < high)
        assert told[inside].mean() == pytest.approx(lost[inside].mean(), abs=0.1)


def test_baselines_rank_every_task_alike(known_and_new):
    known, rows = known_and_new
    for method in ("additive", "popularity"):
        fit = fit_exact_match(known, method)
        probes = np.arange(5)
        among = np.arange(200) >= 5
        first, second = (fit.forecast(probes, row[probes]).top(20, among) for row in rows[:2])
        assert fit.method.ranks_alike
        chance = fit.model.intercept  # columns that are lost as often are in either order
        assert chance[first] == pytest.approx(chance[second])


def test_the_highest_are_the_most_probable(fitted, known_and_new):
    forecast = fitted.forecast(np.arange(10), known_and_new[1][0][:10])
    top = forecast.top(15)
    assert (np.diff(forecast.probability[top]) <= 0).all()
    assert forecast.probability[top[-1]] >= np.delete(forecast.probability, top).max()


def test_the_share_lost_is_covered_by_its_interval(fitted, known_and_new):
    covered = []
    for number, row in enumerate(known_and_new[1]):
        probes = np.random.default_rng(number).permutation(200)[:30]
        share = fitted.forecast(probes, row[probes]).share_lost()
        covered.append(share.low <= row.mean() <= share.high)
    assert np.mean(covered) >= 0.8
    assert fitted.forecast(np.array([1]), np.array([1])).share_lost() is None
    few = fitted.forecast(np.arange(30), known_and_new[1][0][:30])
    assert few.share_lost(np.arange(28, 60)) is None
    assert few.share_lost(np.arange(60)) is not None


def test_a_fit_in_a_file_gives_the_same_forecasts(fitted, known_and_new):
    again = FittedExactMatch.from_arrays(fitted.to_arrays())
    probes, row = np.arange(0, 200, 9), known_and_new[1][1]
    assert (again.forecast(probes, row[probes]).probability == fitted.forecast(probes, row[probes]).probability).all()
    with pytest.raises(IncompatibleFit):
        FittedExactMatch.from_arrays(fitted.to_arrays() | {"exact_match_version": np.array(99)})
    with pytest.raises(IncompatibleFit):
        FittedExactMatch.from_arrays({"model_version": np.array(4)})


def test_the_same_seed_gives_the_same_fit(known_and_new, fitted):
    again = fit_exact_match(known_and_new[0])
    assert again.share == fitted.share
    assert (again.model.loadings == fitted.model.loadings).all()


@pytest.mark.parametrize("design", ["random", "mixed", "optimal"])
def test_probes_are_distinct_and_eligible(fitted, design):
    eligible = np.arange(200) % 2 == 0
    probes = fitted.probes(12, design=design, seed=1, eligible=eligible)
    assert len(set(probes.positions.tolist())) == 12
    assert eligible[probes.positions].all()


@pytest.mark.parametrize("method", EXACT_MATCH_METHODS)
@pytest.mark.parametrize("n_tasks", [1, 2, 3])
def test_few_known_rows_are_enough_to_say_something(make_lost, method, n_tasks):
    lost, _ = make_lost(n_tasks=n_tasks + 1)
    fit = fit_exact_match(ForgettingMatrix.from_arrays(lost[:-1]), method)
    assert np.isfinite(fit.forecast(np.arange(10), lost[-1, :10]).probability).all()


@pytest.mark.parametrize("method", EXACT_MATCH_METHODS)
@pytest.mark.parametrize("cell", [0.0, 1.0])
def test_rows_that_lose_all_or_nothing_are_fitted(method, cell):
    fit = fit_exact_match(ForgettingMatrix.from_arrays(np.full((6, 30), cell)), method)
    probability = fit.forecast(np.arange(3), np.full(3, cell)).probability
    assert np.abs(probability - cell).max() < 0.35


def test_wrong_input_is_refused(known_and_new, fitted):
    known, _ = known_and_new
    with pytest.raises(UnknownMethod, match="logistic, additive, popularity"):
        fit_exact_match(known, "blend")
    with pytest.raises(OutOfRange, match="exact_match holds 1"):
        fit_exact_match(ForgettingMatrix.from_arrays([[0.1, 0.2], [0.0, 1.0]]))
    with pytest.raises(OutOfRange, match="seed"):
        fit_exact_match(known, seed=-1)
    with pytest.raises(UnknownExample):
        fitted.forecast(np.array([200]), np.array([1]))
    with pytest.raises(OutOfRange, match="random probes must be some"):
        fitted.forecast(np.array([1, 2]), np.array([1, 0]), random_probes=np.array([3]))
    with pytest.raises(OutOfRange, match="Level"):
        fitted.forecast(np.arange(5), np.ones(5)).share_lost(level=1.5)
