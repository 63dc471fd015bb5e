import numpy as np
import pytest

from forgetcast.completion import ForgettingMatrix, load_npz
from forgetcast.errors import (
    MatrixEmpty,
    NotFinite,
    NothingObserved,
    RepeatedExample,
    RepeatedTask,
    UnreadableMatrix,
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


def test_tasks_of_a_family_are_left_out_together_and_the_others_one_by_one():
    matrix = ForgettingMatrix.from_arrays(np.zeros((4, 1)), families=["x", None, "x", None])
    assert matrix.left_out_together() == [[0, 2], [1], [3]]
    assert ForgettingMatrix.from_arrays(np.zeros((2, 1))).left_out_together() == [[0], [1]]


def test_domains_give_the_positions_of_their_examples():
    matrix = ForgettingMatrix.from_arrays(np.zeros((1, 3)), domains=["code", "law", "code"])
    assert {name: found.tolist() for name, found in matrix.domain_positions().items()} == {"code": [0, 2], "law": [1]}


def test_npz_file_comes_back_with_ids_domains_and_families(tmp_path):
    path = tmp_path / "matrix.npz"
    np.savez(
        path,
        forgetting=np.array([[0.5, np.nan], [0.25, 1.0]], dtype=np.float32),
        task=np.array(["a", "b"]),
        example=np.array(["x", "y"]),
        domain=np.array(["code", "law"]),
        family=np.array(["", "f"]),
    )
    matrix = load_npz(path)
    assert matrix.forgetting.dtype == np.float32  # as it is stored
    assert matrix.observed.tolist() == [[True, False], [True, True]]
    assert (matrix.task_ids, matrix.example_ids) == (("a", "b"), ("x", "y"))
    assert (matrix.domains, matrix.families) == (("code", "law"), (None, "f"))


def test_an_npz_of_python_objects_is_never_unpickled(tmp_path):
    path = tmp_path / "matrix.npz"
    np.savez(path, forgetting=np.array([[object()]], dtype=object), allow_pickle=True)
    with pytest.raises(UnreadableMatrix):
        load_npz(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04broken", b"\x93NUMPY"])
def test_a_broken_file_is_refused(tmp_path, content):
    path = tmp_path / "matrix.npz"
    path.write_bytes(content)
    with pytest.raises(UnreadableMatrix):
        load_npz(path)


def test_a_file_without_forgetting_or_no_file_at_all_is_refused(tmp_path):
    np.savez(tmp_path / "other.npz", something=np.zeros((2, 2)))
    with pytest.raises(UnreadableMatrix, match="forgetting"):
        load_npz(tmp_path / "other.npz")
    with pytest.raises(UnreadableMatrix):
        load_npz(tmp_path / "absent.npz")


def test_nobody_is_told_to_unpickle_a_file(tmp_path):
    path = tmp_path / "rows.npz"
    path.write_text("forgetting")
    with pytest.raises(UnreadableMatrix) as raised:
        load_npz(path)
    assert "pickle" not in str(raised.value)
