import numpy as np

from forgetcast.completion import ForgettingMatrix
from forgetcast.completion.matrix.known_rows import known_rows
from forgetcast.completion.models.factor_model import condition, fit_factor_model
from forgetcast.completion.uncertainty.novelty import novelty
from forgetcast.completion.uncertainty.row_scale import ScalePrior
from tests.completion.conftest import far_rows, make_forgetting, share_outside

PRIOR = ScalePrior(0.0, 0.3, 1.0)


def novelty_of(forgetting, row, probes):
    model = fit_factor_model(known_rows(ForgettingMatrix.from_arrays(forgetting), 4), 4)
    return novelty(model, condition(model, probes, row[probes]), PRIOR)


def known_and_like(seed=0):
    rows = make_forgetting(41, 300, rank=3, seed=seed)
    return rows[:-1], rows[-1]


def test_a_row_without_the_pattern_of_the_known_ones_is_novel_and_one_with_it_is_not():
    known, like = known_and_like()
    far = far_rows(known, 1, scale=2.0, seed=1)[0]
    assert share_outside(known, far) > 0.8
    probes = np.random.default_rng(0).choice(300, 20, replace=False)
    assert novelty_of(known, far, probes) > 0 > novelty_of(known, like, probes)


def test_a_row_of_the_known_pattern_and_twice_the_size_is_less_novel_than_one_without_it():
    known, like = known_and_like()
    mean = known.mean(axis=0)
    large = mean + 2 * (like - mean)
    far = far_rows(known, 1, scale=1.5, seed=2)[0]
    probes = np.random.default_rng(1).choice(300, 20, replace=False)
    assert novelty_of(known, large, probes) < novelty_of(known, far, probes)


def test_more_probes_say_it_more_surely():
    known, like = known_and_like()
    far = far_rows(known, 1, scale=2.0, seed=3)[0]
    probes = np.random.default_rng(2).choice(300, 40, replace=False)
    assert novelty_of(known, far, probes) > novelty_of(known, far, probes[:5])
    assert novelty_of(known, like, probes) < novelty_of(known, like, probes[:5])
