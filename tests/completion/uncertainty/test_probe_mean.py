import numpy as np
import pytest

from forgetcast.completion.uncertainty.probe_mean import mean_by_probes, share_by_probes

SKEWED = {
    "exponential": lambda generator, n: generator.exponential(1.0, n),
    "its mirror": lambda generator, n: -generator.exponential(1.0, n),
    "lognormal": lambda generator, n: np.exp(generator.standard_normal(n)),
    "its mirror again": lambda generator, n: -np.exp(generator.standard_normal(n)),
    "gaussian": lambda generator, n: generator.standard_normal(n),
    "a twenty-fifth far up": lambda generator, n: generator.standard_normal(n) + 4 * (generator.random(n) < 0.04),
}


def misses(make, n_probes, level, draws=400):
    """Share of draws whose interval lies wholly above the mean, and wholly below it."""
    generator = np.random.default_rng(n_probes)
    below = above = 0
    for _ in range(draws):
        row = make(generator, 1000)
        drawn = generator.choice(1000, n_probes, replace=False)
        # A forecast of 0 everywhere: the model says nothing.
        filled = np.zeros(1000)
        filled[drawn] = row[drawn]
        interval = mean_by_probes(float(filled.mean()), 1000 - n_probes, 1000, row[drawn], level)
        above += interval.low > row.mean()
        below += interval.high < row.mean()
    return above / draws, below / draws


@pytest.mark.parametrize("name", SKEWED)
@pytest.mark.parametrize(("n_probes", "least"), [(10, 0.85), (30, 0.88)])
def test_the_mean_is_covered_whatever_the_shape_of_the_row(name, n_probes, least):
    assert 1 - sum(misses(SKEWED[name], n_probes, 0.9)) >= least


def test_the_long_side_is_given_more_room():
    values = np.random.default_rng(0).exponential(1.0, 30)
    interval = mean_by_probes(0.0, 970, 1000, values, 0.9)
    assert interval.high - interval.mean > 1.2 * (interval.mean - interval.low)


def test_a_good_forecast_makes_the_interval_narrow_and_a_bad_one_does_not_make_it_wrong():
    generator = np.random.default_rng(0)
    truth = generator.standard_normal(500)
    drawn = generator.choice(500, 40, replace=False)
    for forecast, widest in ((truth + 0.1 * generator.standard_normal(500), 0.06), (0 * truth + 3.0, 0.6)):
        filled = forecast.copy()
        filled[drawn] = truth[drawn]
        residuals = truth[drawn] - forecast[drawn]
        interval = mean_by_probes(float(filled.mean()), 460, 500, residuals, 0.99)
        assert interval.low <= truth.mean() <= interval.high
        assert (interval.high - interval.low) / 2 < widest


def test_a_row_that_was_measured_whole_has_a_mean_and_no_doubt():
    assert mean_by_probes(0.25, 0, 50, np.array([0.1, -0.2]), 0.9) == (0.25, 0.25, 0.25)


def test_residuals_that_are_all_alike_give_a_mean_without_width():
    interval = mean_by_probes(0.0, 90, 100, np.full(10, 0.5), 0.9)
    assert interval == pytest.approx((0.45, 0.45, 0.45))


@pytest.mark.parametrize("share", [0.0, 0.02, 0.1, 0.5])
def test_a_share_is_covered_however_wrong_the_forecast_is(share):
    generator = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        row = generator.random(1000) < share
        drawn = generator.choice(1000, 15, replace=False)
        found = share_by_probes(
            int(row[drawn].sum()), 900.0, 985, 1000, row[drawn].astype(float), np.full(15, 0.9), 0.9
        )
        assert found.low <= found.mean <= found.high
        covered += found.low <= row.mean() <= found.high
    assert covered >= 0.88 * 200


def test_a_tail_that_no_probe_has_met_is_not_excluded():
    found = share_by_probes(0, 0.0, 985, 1000, np.zeros(15), np.zeros(15), 0.9)
    assert found.low == 0.0
    assert found.high > 0.15
