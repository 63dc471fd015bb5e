"""Memory of completed rows and answers: bounded in bytes, each made once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
import pytest

from forgetcast import schemas
from forgetcast.completion import ForgettingMatrix, RowForecast, fit
from service.operations.forecast_cache import Completed, ForecastCache
from service.storage.upstream_sets import UpstreamColumns

N_EXAMPLES = 1000


NO_EXAMPLES = np.zeros(0, np.intp)


@pytest.fixture(scope="module")
def row() -> RowForecast:
    known = np.random.default_rng(0).normal(size=(6, N_EXAMPLES))
    return fit(ForgettingMatrix.from_arrays(known), "additive").forecast(np.arange(3), np.zeros(3))


def completed(task_id: str, row: RowForecast) -> Completed:
    versions = schemas.Versions(matrix_version=1, row_version=1, model_version=1)
    columns = UpstreamColumns(("a",) * N_EXAMPLES, ("",) * N_EXAMPLES, np.zeros(N_EXAMPLES, np.bool_))
    return Completed(task_id, "m", "s", None, versions, "additive", 6, True, None, True, columns, row, NO_EXAMPLES)


def kept(cache: ForecastCache, one: Completed) -> bool:
    """Whether the cache gives this back without making it."""
    made: list[Completed] = []

    def make() -> Completed:
        made.append(one)
        return one

    cache.row(one.key, make)
    return not made


def keep(cache: ForecastCache, one: Completed) -> None:
    cache.row(one.key, lambda: one)


def test_rows_take_no_more_than_their_bytes(row, tmp_path):
    size = completed("t", row).n_bytes
    assert 3 * 8 * N_EXAMPLES < size < 20 * 8 * N_EXAMPLES
    cache = ForecastCache(tmp_path, size * 4)  # of which an eighth is for answers
    for number in range(6):
        keep(cache, completed(f"task-{number}", row))
    assert [kept(cache, completed(f"task-{number}", row)) for number in (5, 4, 3)] == [True] * 3
    assert not kept(cache, completed("task-0", row))


def test_a_row_larger_than_the_memory_is_answered_and_not_kept(row, tmp_path):
    cache, one = ForecastCache(tmp_path, 1000), completed("t", row)
    keep(cache, one)
    assert not kept(cache, one)


def test_answers_are_bounded_on_their_own(tmp_path):
    cache = ForecastCache(tmp_path, 8000)
    for number in range(5):
        cache.keep_answer(number, b"x" * 300)
    assert [cache.answer(number) is not None for number in range(5)] == [False, False, True, True, True]


def test_many_who_ask_at_once_wait_for_one_making(row, tmp_path):
    cache, one = ForecastCache(tmp_path, 1 << 20), completed("t", row)
    begun, go = Event(), Event()
    made: list[int] = []

    def make() -> Completed:
        begun.set()
        assert go.wait(60)
        made.append(1)
        return one

    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(cache.row, one.key, make)
        assert begun.wait(60)
        others = [pool.submit(cache.row, one.key, make) for _ in range(7)]
        go.set()
        assert all(asked.result(60) is one for asked in [first, *others])
    assert made == [1]


def test_what_could_not_be_made_is_tried_again(row, tmp_path):
    cache, one = ForecastCache(tmp_path, 1 << 20), completed("t", row)
    with pytest.raises(ZeroDivisionError):
        cache.row(one.key, _failing())
    assert cache.row(one.key, lambda: one) is one


def _failing() -> Callable[[], Completed]:
    def make() -> Completed:
        raise ZeroDivisionError

    return make
