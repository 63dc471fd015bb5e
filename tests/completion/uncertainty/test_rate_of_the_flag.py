"""How often rows are called unlike the known ones, also between the numbers of probes that bars are learned at."""

from __future__ import annotations

import numpy as np
import pytest

from forgetcast.completion import FittedMethod, ForgettingMatrix, fit
from forgetcast.completion.selection.probes import random_probes
from forgetcast.completion.types import Floats

N_EXAMPLES, N_MATRICES, N_NEW = 80, 8, 25  # new rows for each of several matrices: a bar learned from one is rough
LOADINGS = np.random.default_rng(99).normal(size=(2, N_EXAMPLES))


def rows_like_the_known_ones(n: int, seed: int) -> Floats:
    draws = np.random.default_rng(seed)
    return 0.05 + 0.05 * draws.normal(size=(n, 2)) @ LOADINGS + 0.005 * draws.normal(size=(n, N_EXAMPLES))


@pytest.fixture(scope="module")
def several_known() -> list[FittedMethod]:
    return [fit(ForgettingMatrix.from_arrays(rows_like_the_known_ones(24, seed))) for seed in range(N_MATRICES)]


def share_flagged(several_known: list[FittedMethod], rows: Floats, n_probes: int) -> float:
    flags = []
    for draw, row in enumerate(rows):
        probes = random_probes(N_EXAMPLES, n_probes, draw)
        flags.append(several_known[draw % N_MATRICES].forecast(probes, row[probes]).unlike_known is True)
    return float(np.mean(flags))


@pytest.mark.parametrize("n_probes", [3, 5, 10, 20, 30])
def test_rows_like_the_known_ones_are_seldom_flagged_at_any_number_of_probes(several_known, n_probes):
    like = rows_like_the_known_ones(N_MATRICES * N_NEW, seed=99)
    assert share_flagged(several_known, like, n_probes) < 0.10  # 8% at most are meant, and 200 rows tell it to 2%


@pytest.mark.parametrize("n_probes", [5, 10, 20, 30])
def test_rows_without_their_pattern_are_flagged_at_any_number_of_probes_from_five(several_known, n_probes):
    unlike = 0.07 * np.random.default_rng(2).normal(size=(N_MATRICES * N_NEW, N_EXAMPLES))
    assert share_flagged(several_known, unlike, n_probes) > 0.95


@pytest.mark.parametrize("n_tasks", [1, 3])
def test_with_too_few_rows_to_leave_one_out_nobody_can_say(n_tasks):
    known = fit(ForgettingMatrix.from_arrays(rows_like_the_known_ones(n_tasks, seed=0)))
    probes = random_probes(N_EXAMPLES, 20, 0)
    assert known.forecast(probes, np.full(20, 3.0)).unlike_known is None
