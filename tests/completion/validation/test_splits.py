from forgetcast.completion import ForgettingMatrix
from forgetcast.completion.validation.splits import families, leaves_families_out, left_out_together
from tests.completion.conftest import make_forgetting


def matrix_of(given):
    return ForgettingMatrix.from_arrays(make_forgetting(len(given), 12), families=given)


def test_families_are_left_out_together_and_a_task_without_one_alone():
    matrix = matrix_of(["a", None, "a", "b", None, "c"])
    assert left_out_together(matrix) == [[0, 2], [1], [3], [4], [5]]
    assert leaves_families_out(matrix)


def test_without_families_every_task_is_left_out_alone():
    matrix = ForgettingMatrix.from_arrays(make_forgetting(4, 12))
    assert left_out_together(matrix) == [[0], [1], [2], [3]]
    assert not leaves_families_out(matrix)


def test_two_families_are_too_few_to_stand_for_the_matrix():
    matrix = matrix_of(["a", "a", "a", "b", "b"])
    assert families(matrix) == [[0, 1, 2], [3, 4]]
    assert left_out_together(matrix) == [[0], [1], [2], [3], [4]]


def test_a_task_whose_id_is_the_name_of_a_family_is_no_member_of_it():
    matrix = ForgettingMatrix.from_arrays(
        make_forgetting(4, 12), task_ids=["a", "x", "y", "z"], families=[None, "a", "b", "c"]
    )
    assert left_out_together(matrix) == [[0], [1], [2], [3]]
