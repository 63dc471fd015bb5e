import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forgetcast.completion import METHODS, FittedMethod, ForgettingMatrix, design_probes, fit, random_probes
from forgetcast.errors import IncompatibleFit, OutOfRange, UnknownMethod
from tests.completion.conftest import make_forgetting

NO_PROBES = (np.zeros(0, dtype=np.intp), np.zeros(0))


def known_and_new(n_tasks=14, n_examples=60, seed=0, rank=2):
    """Known rows and one new row of the same kind."""
    forgetting = make_forgetting(n_tasks + 1, n_examples, rank, seed)
    return ForgettingMatrix.from_arrays(forgetting[:-1]), forgetting[-1]


@pytest.mark.parametrize("method", METHODS)
def test_measured_cells_are_returned_as_measured(method):
    known, new = known_and_new()
    probes = random_probes(60, 12, 0)
    forecast = fit(known, method).forecast(probes, new[probes])
    assert forecast.mean[probes].tolist() == new[probes].tolist()
    assert forecast.low[probes].tolist() == forecast.high[probes].tolist() == new[probes].tolist()
    assert np.flatnonzero(forecast.measured).tolist() == sorted(probes.tolist())


@pytest.mark.parametrize("method", METHODS)
def test_all_cells_measured_give_the_row_itself_and_a_certain_mean(method):
    known, new = known_and_new()
    forecast = fit(known, method).forecast(np.arange(60), new)
    assert forecast.mean.tolist() == new.tolist()
    assert forecast.row_mean.low == pytest.approx(new.mean())
    assert forecast.row_mean.high == pytest.approx(new.mean())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n_tasks", [1, 2, 3, 4, 5, 8])
@pytest.mark.parametrize("n_probes", [0, 1, 5, 20])
def test_few_rows_and_any_number_of_probes_are_answered_sanely(method, n_tasks, n_probes):
    known, new = known_and_new(n_tasks=n_tasks, n_examples=20)
    forecast = fit(known, method).forecast(np.arange(n_probes), new[:n_probes])
    spread = np.ptp(known.forgetting)
    assert np.isfinite(forecast.mean).all()
    assert (forecast.sd[n_probes:] > 0).all()
    assert (forecast.sd < 3 * spread).all()
    assert np.abs(forecast.mean - forecast.mean.mean()).max() < 3 * spread


@pytest.mark.parametrize("method", METHODS)
def test_without_probes_the_forecast_ranks_as_popularity_does_and_is_no_more_marked(method):
    """The pattern of column means is in part the noise of few known rows: it is forecast less marked than it is."""
    known, _ = known_and_new()
    forecast = fit(known, method).forecast(*NO_PROBES)
    mean = known.forgetting.mean(axis=0)
    assert np.argsort(forecast.mean).tolist() == np.argsort(mean).tolist()
    assert forecast.mean.mean() == pytest.approx(mean.mean())
    assert 0.5 < np.std(forecast.mean) / np.std(mean) <= 1 + 1e-12
    assert forecast.unlike_known is None


def test_popularity_ignores_the_probes_and_additive_ranks_every_task_alike():
    known, new = known_and_new()
    probes = random_probes(60, 12, 0)
    others = np.setdiff1d(np.arange(60), probes)
    mean = known.forgetting.mean(axis=0)
    assert fit(known, "popularity").forecast(probes, new[probes]).mean[others] == pytest.approx(mean[others])
    additive = fit(known, "additive").forecast(probes, new[probes]).mean
    assert np.ptp((additive - mean)[others]) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("method", ["blend", "factor"])
def test_the_models_beat_the_baselines_where_there_are_factors(method):
    known, new = known_and_new(n_tasks=20, n_examples=200)

    def error(name):
        fitted = fit(known, name)
        draws = [random_probes(200, 30, seed) for seed in range(5)]
        return np.mean([np.mean((fitted.forecast(probes, new[probes]).mean - new) ** 2) for probes in draws])

    assert error(method) < 0.5 * error("additive")
    assert error(method) < 0.5 * error("popularity")


def test_intervals_cover_new_rows_of_the_same_kind_as_often_as_they_say():
    cells, row_means = [], []
    for seed in (4, 5, 6):
        forgetting = make_forgetting(n_tasks=70, n_examples=150, rank=2, seed=seed)
        fitted = fit(ForgettingMatrix.from_arrays(forgetting[:30]))
        for i, row in enumerate(forgetting[30:]):
            probes = random_probes(150, 20, i)
            forecast = fitted.forecast(probes, row[probes])
            others = ~forecast.measured
            cells.append(np.mean((forecast.low <= row)[others] & (row <= forecast.high)[others]))
            row_means.append(forecast.row_mean.low <= row.mean() <= forecast.row_mean.high)
    assert 0.86 < np.mean(cells) < 0.95
    assert np.mean(row_means) > 0.8


def test_a_higher_level_gives_wider_intervals():
    known, new = known_and_new()
    fitted = fit(known)
    probes = random_probes(60, 12, 0)
    widths = [
        np.ptp(fitted.forecast(probes, new[probes], level=level).row_mean[1:]) for level in (0.2, 0.5, 0.9, 0.999)
    ]
    assert widths == sorted(widths)
    halves = [fitted.forecast(probes, new[probes], level=level).high for level in (0.2, 0.5, 0.9, 0.999)]
    assert all((a <= b).all() for a, b in itertools.pairwise(halves))


@pytest.mark.parametrize("level", [0.0, 1.0, -1.0, np.nan])
def test_a_level_outside_zero_to_one_is_refused(level):
    known, _ = known_and_new(n_tasks=3)
    with pytest.raises(OutOfRange):
        fit(known).forecast(*NO_PROBES, level=level)


def test_a_row_that_scatters_more_than_the_known_ones_gets_wider_intervals_and_a_flag():
    known, new = known_and_new(n_tasks=20)
    fitted = fit(known)
    probes = random_probes(60, 20, 0)
    wild = new + np.random.default_rng(0).normal(0, 0.5, 60)
    usual, strange = fitted.forecast(probes, new[probes]), fitted.forecast(probes, wild[probes])
    assert strange.unlike_known
    assert not usual.unlike_known
    others = ~strange.measured
    assert (strange.sd[others] > 2 * usual.sd[others]).all()
    assert strange.calibrated.tolist() == strange.measured.tolist()
    assert usual.calibrated.all()


def test_only_random_probes_tell_how_far_a_row_strays():
    known, new = known_and_new(n_tasks=20)
    fitted = fit(known)
    probes = random_probes(60, 20, 0)
    values = new[probes].copy()
    values[10:] += np.random.default_rng(0).normal(0, 0.025, 10)
    designed, drawn = (fitted.forecast(probes, values, random_probes=part) for part in (probes[:10], probes[10:]))
    assert not designed.unlike_known and not drawn.unlike_known
    assert designed.scale.typical < drawn.scale.typical


def test_treating_cells_as_independent_would_be_narrower_than_the_row_mean_interval():
    known, _ = known_and_new()
    forecast = fit(known).forecast(*NO_PROBES)
    independent = np.sqrt(np.sum(forecast.sd**2)) / 60
    assert (forecast.row_mean.high - forecast.row_mean.low) / 2 > 2 * independent


def test_summary_gives_every_group_its_mean_and_skips_empty_ones():
    known, new = known_and_new()
    forecast = fit(known).forecast(np.arange(5), new[:5])
    groups = {"first": np.arange(5), "rest": np.arange(5, 60), "none": np.zeros(0, dtype=np.intp)}
    summary = forecast.summary(groups)
    assert set(summary) == {"first", "rest"}
    assert summary["first"] == pytest.approx((new[:5].mean(),) * 3)
    assert summary["rest"].low < summary["rest"].mean < summary["rest"].high
    assert summary["rest"].mean == pytest.approx(forecast.mean[5:].mean())


def test_top_is_ordered_by_mean_with_ties_by_position():
    known = ForgettingMatrix.from_arrays([[0.2, 0.5, 0.2, 0.5, 0.1]])
    forecast = fit(known).forecast(*NO_PROBES)
    assert forecast.top(4).tolist() == [1, 3, 0, 2]
    assert forecast.top(1).tolist() == [1]
    assert forecast.top(9).tolist() == [1, 3, 0, 2, 4]
    assert forecast.top(2, among=np.array([True, False, True, False, True])).tolist() == [0, 2]
    assert forecast.top(0).tolist() == []
    with pytest.raises(OutOfRange):
        forecast.top(-1)


@pytest.mark.parametrize("method", METHODS)
def test_stored_and_read_back_a_fit_forecasts_the_same(method, tmp_path):
    known, new = known_and_new()
    fitted = fit(known, method)
    np.savez(tmp_path / "fit.npz", allow_pickle=False, **fitted.to_arrays())
    with np.load(tmp_path / "fit.npz", allow_pickle=False) as file:
        again = FittedMethod.from_arrays(dict(file))
    first, second = (f.forecast(np.arange(8), new[:8], level=0.8) for f in (fitted, again))
    assert first.mean.tolist() == second.mean.tolist()
    assert first.low.tolist() == second.low.tolist()
    assert first.row_mean == second.row_mean
    assert first.unlike_known == second.unlike_known


def test_a_fit_of_another_model_version_is_refused():
    arrays = fit(known_and_new(n_tasks=3)[0]).to_arrays() | {"model_version": np.array(-1)}
    with pytest.raises(IncompatibleFit):
        FittedMethod.from_arrays(arrays)


def test_an_unknown_method_is_refused_by_name():
    with pytest.raises(UnknownMethod, match="magic"):
        fit(known_and_new(n_tasks=3)[0], "magic")


def test_the_same_seed_gives_the_same_fit():
    known, _ = known_and_new()
    first, second = fit(known, seed=5).to_arrays(), fit(known, seed=5).to_arrays()
    assert all(first[name].tolist() == second[name].tolist() for name in first)


@pytest.mark.parametrize("poison", [np.nan, 1e300])
def test_unobserved_entries_are_never_read(make_matrix, poison):
    matrix = make_matrix(n_tasks=8, n_examples=30, missing=0.3)
    values = np.where(matrix.observed, matrix.forgetting, poison)
    poisoned = ForgettingMatrix.from_arrays(values, observed=matrix.observed)
    first, second = fit(matrix).to_arrays(), fit(poisoned).to_arrays()
    assert all(first[name].tolist() == second[name].tolist() for name in first)


def test_the_usual_probes_and_the_variance_they_leave_are_kept_with_the_fit():
    known, new = known_and_new(n_examples=80)
    fitted = FittedMethod.from_arrays(fit(known).to_arrays())
    drawn = design_probes(fitted.factors, 30)
    assert fitted.probes().positions.tolist() == drawn.positions.tolist()
    assert fitted.probes(10).at_random.tolist() == drawn.at_random[:10].tolist()
    assert fitted.probes(40).positions[:30].tolist() == drawn.positions.tolist()
    assert fitted.probes(30, seed=1).positions.tolist() != drawn.positions.tolist()
    shuffled = drawn.positions[::-1]
    kept = fitted.forecast(shuffled, new[shuffled])
    computed = replace(fitted, default=None).forecast(shuffled, new[shuffled])
    assert kept.low == pytest.approx(computed.low, rel=1e-12, abs=1e-15)  # sums in another order
    assert kept.row_mean == pytest.approx(computed.row_mean, rel=1e-12)


def forecast_of(forgetting, new, probes, method="factor"):
    return fit(ForgettingMatrix.from_arrays(forgetting), method).forecast(probes, new[probes])


@pytest.mark.parametrize("method", METHODS)
@given(constant=st.floats(-5, 5), factor=st.floats(0.01, 100))
@settings(max_examples=5, deadline=None)
def test_adding_a_constant_and_scaling_act_on_every_prediction_alike(method, constant, factor):
    forgetting = make_forgetting(9, 25)
    probes = random_probes(25, 8, 0)
    before = forecast_of(forgetting[:-1], forgetting[-1], probes, method)
    after = forecast_of(factor * forgetting[:-1] + constant, factor * forgetting[-1] + constant, probes, method)
    assert after.mean == pytest.approx(factor * before.mean + constant, abs=1e-5 * factor)
    assert after.sd == pytest.approx(factor * before.sd, rel=1e-4)


def test_permuting_examples_permutes_the_forecast():
    forgetting = make_forgetting(9, 25)
    probes = random_probes(25, 8, 0)
    order = np.random.default_rng(0).permutation(25)
    known, moved = (fit(ForgettingMatrix.from_arrays(rows[:-1])) for rows in (forgetting, forgetting[:, order]))
    assert known.local is not None
    assert moved.local is not None
    same = replace(moved, local=moved.local.with_noise_share(known.local.noise_share))
    before = known.forecast(probes, forgetting[-1, probes]).mean
    after = same.forecast(np.argsort(order)[probes], forgetting[-1, probes]).mean
    assert after == pytest.approx(before[order], abs=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_permuting_tasks_changes_nothing_but_rounding(method):
    """Choices and widths included: which cells play the probes of a left-out task is decided by its id."""
    forgetting = make_forgetting(40, 25)
    ids = [f"task {row}" for row in range(39)]
    probes = random_probes(25, 8, 0)
    order = np.random.default_rng(0).permutation(39)
    before, after = (
        fit(ForgettingMatrix.from_arrays(forgetting[rows], task_ids=[ids[row] for row in rows]), method).forecast(
            probes, forgetting[-1, probes]
        )
        for rows in (np.arange(39), order)
    )
    assert after.mean == pytest.approx(before.mean, abs=1e-9)
    assert after.low == pytest.approx(before.low, abs=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_constant_zero_duplicated_and_huge_data_stay_finite(method):
    usual = make_forgetting(9, 25)
    huge, constant = usual.copy(), usual.copy()
    huge[:, 3] = 5e3 * (1 + usual[:, 3])
    constant[:, 4] = 0.25
    duplicated = np.concatenate([usual[:4], usual[:4], usual[-1:]])
    for forgetting in (huge, constant, duplicated, np.zeros((9, 25)), np.ones((9, 25)), usual * 1e-150, usual * 1e4):
        forecast = forecast_of(forgetting[:-1], forgetting[-1], random_probes(25, 8, 0), method)
        assert np.isfinite(forecast.mean).all()
        assert np.isfinite(forecast.sd).all()
        assert (forecast.low <= forecast.high).all()
