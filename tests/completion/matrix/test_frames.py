"""DataFrames as matrices."""

from __future__ import annotations

import numpy as np
import pytest

from forgetcast.completion import ForgettingMatrix
from forgetcast.errors import RepeatedExample, WrongKind, WrongShape

pandas = pytest.importorskip("pandas")


def frame(**columns):
    return pandas.DataFrame(columns or {"law-1": [0.5, np.nan], "law-2": [0.25, 1.0]}, index=["squad", "glue"])


def test_tasks_are_the_index_examples_the_columns_and_nan_is_missing():
    matrix = ForgettingMatrix.from_pandas(frame())
    assert (matrix.task_ids, matrix.example_ids) == (("squad", "glue"), ("law-1", "law-2"))
    assert matrix.observed.tolist() == [[True, True], [False, True]]
    assert matrix.filled().tolist() == [[0.5, 0.25], [0.0, 1.0]]


def test_numbers_keep_their_width_and_a_default_index_is_its_decimals():
    matrix = ForgettingMatrix.from_pandas(pandas.DataFrame(np.zeros((2, 3), dtype=np.float32)))
    assert matrix.forgetting.dtype == np.float32
    assert (matrix.task_ids, matrix.example_ids) == (("0", "1"), ("0", "1", "2"))
    assert ForgettingMatrix.from_pandas(frame(a=[1, 2])).forgetting.dtype == np.float64


def test_a_missing_value_of_pandas_own_is_a_missing_cell():
    matrix = ForgettingMatrix.from_pandas(frame().astype("Float64"))
    assert matrix.observed.tolist() == [[True, True], [False, True]]


def test_domains_and_families_come_in_order_or_by_id():
    for domains, families in (
        (["code", "law"], [None, "f"]),
        ({"law-2": "law", "law-1": "code"}, {"glue": "f"}),
        (pandas.Series(["law", "code"], ["law-2", "law-1"]), pandas.Series([np.nan, "f"], ["squad", "glue"])),
    ):
        matrix = ForgettingMatrix.from_pandas(frame(), domains=domains, families=families)
        assert (matrix.domains, matrix.families) == (("code", "law"), (None, "f"))


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (frame(task=["a", "b"], law=[0.1, 0.2]), WrongKind, "'task'.*index"),
        (frame(law=[True, False]), WrongKind, "'law'"),
        (frame(law=pandas.to_datetime(["2026-01-01", "2026-01-02"])), WrongKind, "'law'"),
        (np.zeros((2, 2)), WrongKind, "from_arrays"),
        (pandas.DataFrame([[0.1, 0.2]], columns=["law", "law"]), RepeatedExample, "'law'"),
        (pandas.DataFrame([[0.1]], columns=[0.5]), WrongKind, "0.5"),
        (pandas.DataFrame([[0.1]], columns=pandas.MultiIndex.from_tuples([("law", "1")])), WrongKind, "law"),
    ],
)
def test_a_frame_that_is_no_matrix_is_refused(given, error, words):
    with pytest.raises(error, match=words):
        ForgettingMatrix.from_pandas(given)


def test_a_frame_among_arrays_would_lose_its_names_and_is_refused():
    with pytest.raises(WrongKind, match="from_pandas"):
        ForgettingMatrix.from_arrays(frame())


def test_an_example_without_a_domain_is_refused_by_name():
    with pytest.raises(WrongShape, match="'law-2'"):
        ForgettingMatrix.from_pandas(frame(), domains={"law-1": "code"})
