import numpy as np
import pytest

from forgetcast.completion import ForgettingMatrix
from forgetcast.completion.exact_match.lost_cells import check_lost, exact_match_matrix
from forgetcast.errors import MatrixEmpty, NothingObserved, OutOfRange, WrongKind, WrongShape

BEFORE = np.array([1, 0, 1, 1, -1])
AFTER = np.array([[1, 1, 0, -1, 1], [0, 0, 1, 1, 0]])


def test_columns_are_what_the_base_model_reproduces_and_cells_what_is_lost():
    matrix = exact_match_matrix(
        BEFORE, AFTER, task_ids=["a", "b"], example_ids=list("vwxyz"), domains=list("mnmnm"), families=["f", None]
    )
    assert list(matrix.example_ids) == ["v", "x", "y"]
    assert matrix.domains == ("m", "m", "n")
    assert matrix.observed.tolist() == [[True, True, False], [True, True, True]]
    assert matrix.filled().tolist() == [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]


def test_without_ids_an_example_is_named_by_its_place_in_the_upstream_set():
    assert list(exact_match_matrix(BEFORE, AFTER).example_ids) == ["0", "2", "3"]


def test_truth_values_do_as_well():
    assert exact_match_matrix([True, True], [[True, False]]).filled().tolist() == [[0.0, 1.0]]


@pytest.mark.parametrize(
    ("before", "after", "error"),
    [
        ([0, 0], [[1, 1]], MatrixEmpty),
        ([1, 1], [[1, 2]], WrongKind),
        ([1, 1], [["yes", "no"]], WrongKind),
        ([1, 1], [1, 0], WrongShape),
        ([1, 1, 1], [[1, 0]], WrongShape),
        ([1, 1], [[-1, -1]], NothingObserved),
    ],
)
def test_wrong_flags_are_refused(before, after, error):
    with pytest.raises(error):
        exact_match_matrix(np.array(before), np.array(after))


@pytest.mark.parametrize("names", [{"example_ids": ["a"]}, {"domains": ["m", "n", "o"]}])
def test_names_of_another_number_of_examples_are_refused(names):
    with pytest.raises(WrongShape, match="for 2 examples"):
        exact_match_matrix([1, 1], [[1, 0]], **names)


def test_a_matrix_of_log_perplexities_is_refused_with_the_cell():
    matrix = ForgettingMatrix.from_arrays([[0.0, 1.0], [1.0, 0.03]], task_ids=["squad", "sst2"])
    with pytest.raises(OutOfRange, match=r"Task 'sst2' has 0\.03 for example '1'"):
        check_lost(matrix)
    with pytest.raises(WrongKind):
        check_lost([[0, 1]])


def test_a_cell_that_was_not_measured_may_hold_anything():
    check_lost(ForgettingMatrix.from_arrays([[0.0, 1.0], [1.0, 0.5]], observed=[[1, 1], [1, 0]]))
