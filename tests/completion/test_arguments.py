"""What public functions of the completion refuse, and in which words: one table for all of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from forgetcast.completion import (
    ForgettingMatrix,
    Origin,
    Repeat,
    analyse,
    backtest,
    default_max_weight,
    design_probes,
    draw_replay_set,
    expected_error,
    fit,
    random_probes,
)
from forgetcast.completion.methods.knn import knn_mean
from forgetcast.completion.methods.matrix_factorisation import mf_mean
from forgetcast.completion.models.factor_model import fold_in
from forgetcast.completion.selection.probes import spread_probes
from forgetcast.errors import (
    BeyondBelief,
    NotFinite,
    OutOfRange,
    RepeatedExample,
    RepeatedTask,
    TooManyExamplesAsked,
    UnknownExample,
    UnknownMethod,
    WrongKind,
    WrongShape,
)
from tests.completion.conftest import make_forgetting

N = 30
Z = make_forgetting(8, N)
MATRIX = ForgettingMatrix.from_arrays(Z)
FITTED = fit(MATRIX, "additive")
PROBES, VALUES = np.array([3, 1, 7]), np.array([0.1, 0.2, 0.3])
FORECAST = FITTED.forecast(PROBES, VALUES)

MAKE = partial(ForgettingMatrix.from_arrays, Z)
CALLS: dict[str, Callable[..., Any]] = {
    "from_arrays": ForgettingMatrix.from_arrays,
    "matrix": MAKE,
    "with_tasks": MATRIX.with_tasks,
    "without_tasks": MATRIX.without_tasks,
    "with_examples": MATRIX.with_examples,
    "row": MATRIX.row,
    "origin": Origin,
    "repeat": partial(Repeat, "task"),
    "random": partial(random_probes, n_examples=N, size=3, seed=0),
    "spread": partial(spread_probes, FITTED.factors.noise, size=3, seed=0),
    "design": partial(design_probes, FITTED.factors, 3),
    "design_size": partial(design_probes, FITTED.factors),
    "expected_error": partial(expected_error, FITTED.factors),
    "probes": FITTED.probes,
    "fit": fit,
    "fit_matrix": partial(fit, MATRIX, "additive"),
    "analyse": analyse,
    "forecast": partial(FITTED.forecast, PROBES, VALUES),
    "forecast_of": FITTED.forecast,
    "mean_of": FITTED.mean,
    "fold_in": partial(fold_in, FITTED.factors),
    "knn": partial(knn_mean, Z, MATRIX.observed),
    "mf": partial(mf_mean, Z, MATRIX.observed),
    "mf_seed": partial(mf_mean, Z, MATRIX.observed, PROBES, VALUES),
    "top": FORECAST.top,
    "summary": FORECAST.summary,
    "replay": partial(draw_replay_set, FORECAST.mean, 5),
    "replay_of": draw_replay_set,
    "default_max_weight": default_max_weight,
    "backtest_of": backtest,
    "backtest": partial(backtest, MATRIX, n_probes=3, draws=1, methods=["popularity"]),
}

NOT_WHOLE: list[Any] = [2.0, True, np.bool_(True), "2", None, [2], np.array([2])]
NO_NUMBERS: list[Any] = ["0.5", True, None, [0.5], 1j]
NO_MASKS: list[Any] = [np.ones(N), np.ones(N, dtype=int), np.arange(N), ["yes"] * N]
BAD_CELLS: list[tuple[type[Exception], Any, Any]] = [
    (WrongKind, [1.0, 2.0], [0.1, 0.2]),
    (WrongKind, [True, False], [0.1, 0.2]),
    (WrongKind, ["example-1"], [0.1]),
    (WrongKind, [1, 2], ["0.1", "0.2"]),
    (WrongKind, [1, 2], [True, False]),
    (WrongKind, [1, 2], [0.1, None]),
    (WrongKind, [1, 2], np.ma.masked_array([0.1, 0.2], [False, True])),
    (WrongShape, [1, 2], [0.1]),
    (WrongShape, [1, 2], [[0.1, 0.2]]),
    (WrongShape, [[1], [2]], [0.1, 0.2]),
    (WrongShape, 1, 0.1),
    (UnknownExample, [N], [0.1]),
    (UnknownExample, [-1], [0.1]),
    (RepeatedExample, [2, 2], [0.1, 0.1]),
    (NotFinite, [1], [np.nan]),
    (NotFinite, [1], [np.inf]),
    (BeyondBelief, [1], [1.1e4]),
    (BeyondBelief, [1], np.array([-1e19], dtype=np.float32)),
]

REFUSED: list[tuple[type[Exception], str, tuple[Any, ...], dict[str, Any]]] = [
    # matrices
    (WrongKind, "from_arrays", ([["0.1", "0.2"]],), {}),
    (WrongKind, "from_arrays", ([[True, False]],), {}),
    (WrongKind, "from_arrays", ([[0.1, None]],), {}),
    (WrongKind, "from_arrays", (np.array([[0.1, 0.2]], dtype=object),), {}),
    (WrongKind, "from_arrays", ([[0.1 + 1j]],), {}),
    (WrongShape, "from_arrays", ([[0.1, 0.2], [0.3]],), {}),
    (WrongShape, "from_arrays", ([0.1],), {}),
    *((WrongKind, "matrix", (), {"observed": mask}) for mask in (Z, np.full(Z.shape, "yes"), np.full(Z.shape, 2))),
    (WrongShape, "matrix", (), {"observed": np.ones(N, dtype=bool)}),
    *(
        (WrongKind, "matrix", (), {name: [bad] * n})
        for name, n in (("task_ids", 8), ("example_ids", N), ("domains", N))
        for bad in (1.5, None, True, b"\xff", float("nan"), ("a", "b"), "a\0")
    ),
    *((WrongKind, "matrix", (), {name: "abcdefgh"}) for name in ("task_ids", "families", "repeat_of")),
    (WrongKind, "matrix", (), {"families": [1.5] * 8}),
    (WrongKind, "matrix", (), {"origins": [3] * 8}),
    (WrongShape, "matrix", (), {"origins": [Origin()]}),
    (WrongKind, "matrix", (), {"held_out": ["no"] * N}),
    (WrongKind, "matrix", (), {"held_out": np.arange(N)}),
    (WrongShape, "matrix", (), {"held_out": np.zeros(N - 1, dtype=bool)}),
    (WrongShape, "matrix", (), {"repeat_of": ["task-1"]}),
    (RepeatedTask, "matrix", (), {"task_ids": [1, "1", *range(2, 8)]}),
    *((OutOfRange, name, ([8],), {}) for name in ("with_tasks", "without_tasks")),
    *((OutOfRange, name, ([-1],), {}) for name in ("with_tasks", "without_tasks")),
    *((WrongKind, name, ([1.0],), {}) for name in ("with_tasks", "without_tasks", "with_examples")),
    *((WrongKind, name, (np.ones(8, dtype=bool),), {}) for name in ("with_tasks", "without_tasks", "with_examples")),
    (RepeatedTask, "with_tasks", ([1, 1],), {}),
    (RepeatedExample, "with_examples", ([1, 1],), {}),
    (UnknownExample, "with_examples", ([N],), {}),
    (OutOfRange, "row", (-1,), {}),
    *((WrongKind, "origin", (), {name: bad}) for name in ("seed", "n_examples") for bad in (1.0, True, "1")),
    (OutOfRange, "origin", (), {"seed": -1}),
    (OutOfRange, "origin", (), {"n_examples": 0}),
    (WrongKind, "origin", (), {"dataset": ""}),
    (WrongShape, "repeat", (VALUES, VALUES[:2]), {}),
    (WrongShape, "repeat", ([], []), {}),
    (NotFinite, "repeat", (VALUES, VALUES * np.nan), {}),
    # probes
    *((WrongKind, "random", (), {name: bad}) for name in ("n_examples", "size", "seed") for bad in NOT_WHOLE),
    *((WrongKind, "spread", (), {name: bad}) for name in ("size", "seed") for bad in NOT_WHOLE),
    *((WrongKind, "design", (), {"seed": bad}) for bad in NOT_WHOLE),
    *((WrongKind, "design_size", (bad,), {}) for bad in NOT_WHOLE),
    *((WrongKind, "probes", (bad,), {}) for bad in NOT_WHOLE),
    *((WrongKind, "probes", (3,), {"seed": bad}) for bad in NOT_WHOLE),
    *((OutOfRange, "random", (), {name: -1}) for name in ("n_examples", "size", "seed")),
    *((OutOfRange, name, (-1,), {}) for name in ("design_size", "probes")),
    *((OutOfRange, "probes", (3,), {"seed": -1}) for _ in range(1)),
    *((TooManyExamplesAsked, name, (N + 1,), {}) for name in ("design_size", "probes")),
    *((WrongKind, name, (), {"eligible": mask}) for name in ("random", "spread", "design") for mask in NO_MASKS),
    *((WrongShape, name, (), {"eligible": np.ones(N - 1, dtype=bool)}) for name in ("random", "spread", "design")),
    *((WrongShape, "design", (), {"importance": np.ones(shape)}) for shape in (N - 1, (N, 1))),
    *((WrongKind, "design", (), {"importance": ["1"] * N}) for _ in range(1)),
    *((OutOfRange, "design", (), {"importance": np.full(N, bad)}) for bad in (-1.0, np.nan, np.inf)),
    *((WrongKind, "expected_error", (bad,), {}) for bad in ([1.0], ["a"], [True, False])),
    (UnknownExample, "expected_error", ([N],), {}),
    (RepeatedExample, "expected_error", ([1, 1],), {}),
    (UnknownMethod, "design", (), {"design": None}),
    # fits and forecasts
    *((WrongKind, name, (bad,), {}) for name in ("fit", "analyse", "backtest_of") for bad in (Z, None, "rows.npz")),
    *((WrongKind, name, (), {"seed": bad}) for name in ("fit_matrix", "mf_seed") for bad in NOT_WHOLE),
    *((OutOfRange, name, (), {"seed": -1}) for name in ("fit_matrix", "mf_seed")),
    *((WrongKind, "forecast", (), {"level": bad}) for bad in NO_NUMBERS),
    *((OutOfRange, "forecast", (), {"level": bad}) for bad in (0, 1, -0.1, 90, np.nan, np.inf)),
    *((WrongKind, "forecast", (), {"random_probes": bad}) for bad in ([True, False, True], [1.0], ["a"])),
    *((OutOfRange, "forecast", (), {"random_probes": [5]}) for _ in range(1)),
    *(
        (error, name, (probes, values), {})
        for name in ("forecast_of", "mean_of", "fold_in", "knn", "mf")
        for error, probes, values in BAD_CELLS
    ),
    *((WrongKind, "top", (bad,), {}) for bad in NOT_WHOLE),
    (OutOfRange, "top", (-1,), {}),
    *((WrongKind, "top", (3, mask), {}) for mask in NO_MASKS),
    (WrongShape, "top", (3, np.ones(N - 1, dtype=bool)), {}),
    *((WrongKind, "summary", ({"law": bad},), {}) for bad in ([1.0], [True] * N)),
    (UnknownExample, "summary", ({"law": [N]},), {}),
    # replay sets
    *((WrongKind, "replay_of", (FORECAST.mean, bad), {}) for bad in NOT_WHOLE),
    *((WrongKind, "replay", (), {name: bad}) for name in ("seed", "min_per_domain") for bad in NOT_WHOLE),
    *((OutOfRange, "replay", (), {name: -3}) for name in ("seed", "min_per_domain")),
    *((WrongKind, "replay", (), {"temperature": bad}) for bad in NO_NUMBERS),
    *((OutOfRange, "replay", (), {"temperature": bad}) for bad in (0, -1, np.nan, np.inf)),
    *((WrongKind, "replay", (), {"max_weight": bad}) for bad in NO_NUMBERS if bad is not None),
    *((OutOfRange, "replay", (), {"max_weight": bad}) for bad in (0, -1, 2, np.nan)),
    *((WrongKind, "replay", (), {"eligible": mask}) for mask in NO_MASKS),
    *(
        (WrongShape, "replay", (), {"domains": ["law"] * n, "min_per_domain": k})
        for n in (N - 1, N + 1)
        for k in (0, 1)
    ),
    (WrongKind, "replay", (), {"domains": "x" * N}),
    (OutOfRange, "replay", (), {"min_per_domain": 1}),
    *((WrongKind, "replay_of", (bad, 1), {}) for bad in (["0.1"], [True], [None], np.ma.masked_array([0.1], [True]))),
    (WrongShape, "replay_of", (0.1, 1), {}),
    *((WrongKind, "default_max_weight", (bad,), {}) for bad in NOT_WHOLE),
    # back-tests
    *((WrongKind, "backtest", (), {name: bad}) for name in ("n_probes", "draws", "seed") for bad in NOT_WHOLE),
    *((OutOfRange, "backtest", (), {name: -1}) for name in ("n_probes", "draws", "seed")),
    (OutOfRange, "backtest", (), {"draws": 0}),
    *((WrongKind, "backtest", (), {"level": bad}) for bad in NO_NUMBERS),
    *((OutOfRange, "backtest", (), {"level": bad}) for bad in (0, 1, np.nan)),
    *(
        (WrongKind, "backtest", (), {name: bad})
        for name in ("train", "test")
        for bad in ([1.0], np.ones(8, dtype=bool))
    ),
    *((OutOfRange, "backtest", (), {name: bad}) for name in ("train", "test") for bad in ([-1], [8], [1, 1], [])),
    (WrongKind, "backtest", (), {"methods": "blend"}),
    (OutOfRange, "backtest", (), {"methods": []}),
]


@pytest.mark.parametrize(
    ("error", "call", "positional", "named"), REFUSED, ids=[f"{case[1]}-{place}" for place, case in enumerate(REFUSED)]
)
def test_what_means_nothing_is_refused_in_words(error, call, positional, named):
    with pytest.raises(error, match=r"\w+ \w+.*\.$"):
        CALLS[call](*positional, **named)


ALIKE: list[tuple[str, tuple[Any, ...], tuple[Any, ...]]] = [
    ("forecast_of", ([3, 1, 7], [0.1, 0.2, 0.3]), (PROBES, VALUES)),
    ("forecast_of", ((3, 1), (1, 0)), (np.array([3, 1], dtype=np.uint8), np.array([1, 0], dtype=np.float32))),
    ("forecast_of", ([], []), (np.zeros(0, dtype=np.intp), np.zeros(0))),
    ("forecast_of", (PROBES, np.ma.masked_array(VALUES, [False] * 3)), (PROBES, VALUES)),
]


@pytest.mark.parametrize(("call", "given", "usual"), ALIKE)
def test_lists_and_other_numbers_mean_what_arrays_do(call, given, usual):
    one, other = CALLS[call](*given), CALLS[call](*usual)
    assert one.mean.tolist() == other.mean.tolist()
    assert one.high.tolist() == other.high.tolist()


def test_numbers_of_numpy_are_numbers():
    drawn = CALLS["random"](n_examples=np.int64(N), size=np.uint8(3), seed=np.int32(5))
    assert drawn.tolist() == random_probes(N, 3, 5).tolist()
    assert CALLS["forecast"](level=np.float32(0.5)).level == 0.5


def test_rows_of_a_back_test_may_be_an_array():
    report = CALLS["backtest"](train=np.arange(6), test=np.arange(6, 8))
    assert [task.task for task in report.methods["popularity"].tasks] == ["task-6", "task-7"]


@pytest.mark.parametrize("missing", [False, True], ids=["complete", "missing cells"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e4, 1e-8, 1e-15, 1e-22, 1e-30, 1e-44])
def test_no_magnitude_ends_in_a_warning_or_in_linear_algebra(scale, dtype, missing):
    values = (np.clip(make_forgetting(8, N), -1, 1) * scale).astype(dtype)
    if missing:
        values[::3, ::4] = np.nan
    matrix = ForgettingMatrix.from_arrays(values)
    analyse(matrix)
    backtest(matrix, test=[1], n_probes=3, draws=1)
    forecast = fit(matrix).forecast(PROBES, VALUES * scale)
    assert np.isfinite(forecast.mean).all() and np.isfinite(forecast.sd).all()
    assert forecast.mean[PROBES].tolist() == (VALUES * scale).tolist()
