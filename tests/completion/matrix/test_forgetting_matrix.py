from dataclasses import replace

import numpy as np
import pytest

from forgetcast.completion import ForgettingMatrix, Origin, RepeatedRow
from forgetcast.errors import (
    BeyondBelief,
    MatrixEmpty,
    NotFinite,
    NothingObserved,
    RepeatedExample,
    RepeatedTask,
    WrongKind,
    WrongRepeat,
    WrongShape,
)


def test_nan_is_a_missing_cell_when_no_mask_is_given():
    matrix = ForgettingMatrix.from_arrays([[0.1, np.nan], [0.2, 0.3]])
    assert matrix.observed.tolist() == [[True, False], [True, True]]
    assert matrix.filled()[0, 1] == 0.0


def test_what_an_unobserved_cell_holds_is_nobodys_business():
    values = np.array([[0.1, np.inf], [0.2, 0.3]])
    ForgettingMatrix.from_arrays(values, observed=[[True, False], [True, True]])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_measured_cell_that_is_no_number_is_refused_by_task_and_example(bad):
    with pytest.raises(NotFinite, match=r"'b'.*'t'"):
        ForgettingMatrix.from_arrays([[0.1, bad]], observed=[[True, True]], task_ids=["t"], example_ids=["a", "b"])


def test_repeated_ids_are_refused_by_name():
    with pytest.raises(RepeatedTask, match="'t'"):
        ForgettingMatrix.from_arrays(np.zeros((2, 1)), task_ids=["t", "t"])
    with pytest.raises(RepeatedExample, match="'e'"):
        ForgettingMatrix.from_arrays(np.zeros((1, 3)), example_ids=["e", "f", "e"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"task_ids": ["a"]},
        {"example_ids": ["a"]},
        {"domains": ["a"]},
        {"families": ["a"]},
        {"observed": np.ones((2, 2), dtype=bool)},
    ],
)
def test_lengths_that_disagree_are_refused(wrong):
    with pytest.raises(WrongShape):
        ForgettingMatrix.from_arrays(np.zeros((2, 3)), **wrong)


def test_a_row_of_numbers_is_not_a_matrix():
    with pytest.raises(WrongShape):
        ForgettingMatrix.from_arrays([0.1, 0.2])


@pytest.mark.parametrize("shape", [(0, 3), (3, 0)])
def test_an_empty_matrix_is_refused(shape):
    with pytest.raises(MatrixEmpty):
        ForgettingMatrix.from_arrays(np.zeros(shape))


def test_a_task_without_a_measured_cell_is_refused_by_name():
    with pytest.raises(NothingObserved, match="task-1"):
        ForgettingMatrix.from_arrays([[0.1, 0.2], [np.nan, np.nan]])


def test_leaving_tasks_out_keeps_ids_and_families_beside_their_rows():
    matrix = ForgettingMatrix.from_arrays(
        [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], task_ids=["a", "b", "c"], families=["x", None, "y"]
    )
    rest = matrix.without_tasks([0])
    assert rest.task_ids == ("b", "c")
    assert rest.families == (None, "y")
    assert rest.forgetting.tolist() == [[3.0, 4.0], [5.0, 6.0]]
    with pytest.raises(MatrixEmpty):
        matrix.without_tasks([0, 1, 2])


def test_domains_give_the_positions_of_their_examples():
    matrix = ForgettingMatrix.from_arrays(np.zeros((1, 3)), domains=["code", "law", "code"])
    assert {name: found.tolist() for name, found in matrix.domain_positions().items()} == {"code": [0, 2], "law": [1]}


def test_a_cell_under_a_mask_was_not_measured():
    """Under a mask numpy keeps whatever was there: here a number that looks measured, and one that is none."""
    masked = np.ma.masked_array([[0.1, 0.2], [np.inf, 0.4]], [[False, True], [True, False]], dtype=np.float32)
    matrix = ForgettingMatrix.from_arrays(masked)
    assert matrix.observed.tolist() == [[True, False], [False, True]]
    assert matrix.forgetting.dtype == np.float32
    assert not isinstance(matrix.forgetting, np.ma.MaskedArray)
    both = ForgettingMatrix.from_arrays(masked, observed=[[True, True], [False, True]])
    assert both.observed.tolist() == [[True, False], [False, True]]
    half = np.ma.masked_array([[True, True]], [[False, True]])
    assert ForgettingMatrix.from_arrays([[0.1, 0.2]], observed=half).observed.tolist() == [[True, False]]
    whole = np.ma.masked_array([[0.1, np.nan]], [[False, False]])
    assert ForgettingMatrix.from_arrays(whole).observed.tolist() == [[True, False]]


def test_the_constructor_itself_takes_no_masked_array():
    masked = np.ma.masked_array(np.zeros((1, 2)))
    with pytest.raises(WrongKind, match="from_arrays"):
        ForgettingMatrix(masked, np.ones((1, 2), dtype=bool), ["t"], ["a", "b"])


def test_bytes_are_texts_and_whole_numbers_are_their_decimals():
    matrix = ForgettingMatrix.from_arrays(
        np.zeros((2, 3)),
        task_ids=np.array([b"squad", "caf\u00e9".encode()]),
        example_ids=np.array([7, 8, 9], dtype=np.uint16),
        domains=np.array(["law", b"law", 3], dtype=object),
        families=[b"f", None],
    )
    assert matrix.task_ids == ("squad", "caf\u00e9")
    assert matrix.example_ids == ("7", "8", "9")
    assert matrix.domains == ("law", "law", "3")
    assert matrix.families == ("f", None)
    assert {type(name) for name in (*matrix.task_ids, *matrix.example_ids, *matrix.domains)} == {str}


def test_no_family_is_said_by_none_by_nothing_and_by_nan():
    matrix = ForgettingMatrix.from_arrays(np.zeros((4, 1)), families=[None, "", np.nan, "f"])
    assert matrix.families == (None, None, None, "f")


@pytest.mark.parametrize("bad", [1.0001e4, -1e19, np.float32(3e38)])
def test_a_value_beyond_belief_is_refused_by_task_and_example(bad):
    with pytest.raises(BeyondBelief, match=r"'b'.*'t'.*10,000"):
        ForgettingMatrix.from_arrays([[0.1, bad]], task_ids=["t"], example_ids=["a", "b"])
    ForgettingMatrix.from_arrays([[0.1, bad]], observed=[[True, False]])
    ForgettingMatrix.from_arrays([[0.1, 1e4, -1e4]])


def with_repeats():
    return ForgettingMatrix.from_arrays(
        [[0.1, 0.2, 0.3], [0.4, np.nan, 0.6], [0.7, 0.8, np.nan], [1.0, 1.1, 1.2]],
        task_ids=["a", "b", "a again", "c"],
        families=["f", None, "f", "g"],
        origins=[Origin(seed=1), Origin(seed=1), Origin(seed=2, dataset="0" * 64), Origin()],
        held_out=[1, 0, 0],
        repeat_of=["", None, "a", ""],
    )


def test_a_row_that_repeats_a_task_is_no_known_row_and_stands_beside_it():
    matrix = with_repeats()
    assert (matrix.n_tasks, matrix.task_ids, matrix.families) == (3, ("a", "b", "c"), ("f", None, "g"))
    (repeat,) = matrix.repeats
    assert (repeat.task_id, repeat.repeat_of, repeat.family) == ("a again", "a", "f")
    assert repeat.origin == Origin(seed=2, dataset="0" * 64)
    (pair,) = matrix.measured_twice()
    assert (pair.task_id, pair.first.tolist(), pair.second.tolist()) == ("a", [0.1, 0.2], [0.7, 0.8])


def test_the_constructor_takes_no_repeat_of_another_form():
    for repeat in ("a again", RepeatedRow("a again", "a", [0.1], [True])):  # type: ignore[arg-type]
        with pytest.raises(WrongKind, match="RepeatedRow"):
            replace(with_repeats(), repeats=(repeat,))


def test_a_repeat_goes_where_its_task_goes():
    matrix = with_repeats()
    assert [repeat.task_id for repeat in matrix.with_tasks([2, 0]).repeats] == ["a again"]
    assert matrix.without_tasks([0]).repeats == ()
    (narrow,) = matrix.with_examples([2, 1]).measured_twice()
    assert (narrow.first.tolist(), narrow.second.tolist()) == ([0.2], [0.8])
    assert matrix.with_examples([2]).repeats == ()
    assert matrix.held_out is not None and matrix.with_examples([2, 0]).held_out.tolist() == [False, True]


@pytest.mark.parametrize(
    ("repeat_of", "words"),
    [
        (["", "t1", ""], "'t1'.*repeat itself"),
        (["", "x", ""], "'x', which is no row"),
        (["", "t0", "t1"], "'t1', which repeats 't0'"),
        (["t1", "t2", "t0"], "which repeats"),
        (["t1", "t0", ""], "which repeats"),
    ],
    ids=["itself", "nothing", "a repeat", "in a circle of three", "each other"],
)
def test_a_repeat_of_anything_but_a_known_row_is_refused(repeat_of, words):
    with pytest.raises(WrongRepeat, match=words):
        ForgettingMatrix.from_arrays(np.zeros((3, 2)), task_ids=["t0", "t1", "t2"], repeat_of=repeat_of)


def test_a_repeat_with_the_id_of_another_row_is_refused():
    with pytest.raises(RepeatedTask, match="'a'"):
        ForgettingMatrix.from_arrays(np.zeros((2, 2)), task_ids=["a", "a"], repeat_of=["", "a"])


def test_a_matrix_says_in_one_line_what_it_is():
    assert (
        repr(ForgettingMatrix.from_arrays(np.zeros((2, 3)))) == "ForgettingMatrix(2 tasks x 3 examples, 100% measured)"
    )
    assert repr(with_repeats()) == ("ForgettingMatrix(3 tasks x 3 examples, 88.9% measured, 2 families, 1 repeats)")
    nearly = np.zeros((100, 100))
    nearly[0, 0] = np.nan
    domains = ["law", "code"] * 50
    assert repr(ForgettingMatrix.from_arrays(nearly, domains=domains)) == (
        "ForgettingMatrix(100 tasks x 100 examples, 99.9% measured, 2 domains)"
    )
