"""`.npz` files of matrices: what is read, what is refused by name, and that nothing is lost on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from forgetcast.completion import ForgettingMatrix, Origin
from forgetcast.errors import NotFinite, UnreadableMatrix, WrongKind, WrongRepeat, WrongShape

Z = np.array([[0.5, np.nan], [0.25, 1.0]], dtype=np.float32)


def write(path, **arrays: Any) -> None:
    np.savez(path, allow_pickle=False, **arrays)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "matrix.npz"


def test_ids_domains_and_families_stand_beside_the_rows(path):
    write(path, forgetting=Z, task=["a", "b"], example=["x", "y"], domain=["code", "law"], family=["", "f"])
    matrix = ForgettingMatrix.load(path)
    assert matrix.forgetting.dtype == np.float32  # as it is stored
    assert matrix.observed.tolist() == [[True, False], [True, True]]
    assert (matrix.task_ids, matrix.example_ids) == (("a", "b"), ("x", "y"))
    assert (matrix.domains, matrix.families) == (("code", "law"), (None, "f"))


def test_the_names_that_people_use_mean_the_same(path):
    observed = np.array([[1, 0], [1, 1]], dtype=np.uint8)
    filled = np.nan_to_num(Z)
    names = {"task_ids": ["a", "b"], "example_ids": [b"x", b"y"], "domains": ["code", "law"], "families": ["", "f"]}
    write(path, forgetting=filled, observed=observed, **names)
    matrix = ForgettingMatrix.load(path)
    assert matrix.observed.tolist() == [[True, False], [True, True]]
    assert (matrix.task_ids, matrix.example_ids) == (("a", "b"), ("x", "y"))
    assert (matrix.domains, matrix.families) == (("code", "law"), (None, "f"))


def test_a_cell_said_to_be_observed_that_has_no_value_is_refused(path):
    write(path, forgetting=Z, observed=np.ones((2, 2), dtype=bool))
    with pytest.raises(NotFinite, match=r"'1'.*'task-0'"):
        ForgettingMatrix.load(path)


@pytest.mark.parametrize("name", ["tasks", "ids", "Task", "mask", "Z", "weights", "arr_0"])
def test_an_array_whose_name_says_nothing_is_refused_by_name(path, name):
    write(path, forgetting=Z, **{name: np.array(["a", "b"])})
    with pytest.raises(UnreadableMatrix, match=rf"'{name}'.*task_ids"):
        ForgettingMatrix.load(path)


def test_two_names_for_one_thing_are_refused(path):
    write(path, forgetting=Z, task=["a", "b"], task_ids=["c", "d"])
    with pytest.raises(UnreadableMatrix, match="'task' and 'task_ids'"):
        ForgettingMatrix.load(path)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_was_saved_comes_back_to_the_last_bit(path, dtype):
    generator = np.random.default_rng(0)
    values = generator.normal(size=(6, 9)).astype(dtype)
    values[1, 2] = values[5, 3] = np.nan
    origins = [Origin(seed=row, n_examples=None if row else 640, dataset=f"{row:064x}") for row in range(5)]
    saved = ForgettingMatrix.from_arrays(
        values,
        task_ids=[f"t\u00e2che {row}" for row in range(6)],
        example_ids=range(9),
        domains=["law", "code", ""] * 3,
        families=["f", None, "f", None, "f", None],
        held_out=np.arange(9) < 2,
        origins=[*origins, Origin()],
        repeat_of=["", "", "t\u00e2che 0", "", "", "t\u00e2che 1"],
    )
    saved.save(path)
    loaded = ForgettingMatrix.load(path)
    assert loaded.forgetting.dtype == dtype
    for name in ("task_ids", "example_ids", "domains", "families", "origins"):
        assert getattr(loaded, name) == getattr(saved, name), name
    assert loaded.held_out is not None and loaded.held_out.tolist() == [True, True] + [False] * 7
    assert np.array_equal(loaded.observed, saved.observed)
    assert np.array_equal(loaded.forgetting, saved.forgetting, equal_nan=True)
    for one, other in zip(loaded.repeats, saved.repeats, strict=True):
        assert (one.task_id, one.repeat_of, one.family, one.origin) == (
            other.task_id,
            other.repeat_of,
            other.family,
            other.origin,
        )
        assert np.array_equal(one.observed, other.observed)
        assert np.array_equal(one.forgetting, other.forgetting, equal_nan=True)
    assert repr(loaded) == repr(saved)


def test_what_an_unobserved_cell_holds_is_not_saved(path):
    hidden = ForgettingMatrix.from_arrays([[0.5, 1e300]], observed=[[True, False]])
    hidden.save(path)
    assert np.isnan(ForgettingMatrix.load(path).forgetting[0, 1])


def test_a_file_is_named_as_it_was_asked(tmp_path):
    ForgettingMatrix.from_arrays(Z).save(str(tmp_path / "rows"))
    assert ForgettingMatrix.load(tmp_path / "rows").n_tasks == 2


def test_a_repeat_in_a_file_of_itself_or_of_nothing_is_refused(path):
    for repeated in ("b", "c"):
        write(path, forgetting=np.ones((2, 3)), task=["a", "b"], repeat_of=["", repeated])
        with pytest.raises(WrongRepeat, match=f"'{repeated}'"):
            ForgettingMatrix.load(path)


@pytest.mark.parametrize(
    ("name", "array", "error"),
    [
        ("repeat_of", ["a"], WrongShape),
        ("seed", [1], WrongShape),
        ("dataset", [["a"], ["b"]], WrongShape),
        ("seed", [1.0, 2.0], WrongKind),
        ("n_examples", ["1", "2"], WrongKind),
        ("observed", [[0.5, 1.0], [1.0, 1.0]], WrongKind),
        ("task", [0.5, 1.5], WrongKind),
        ("example", [True, False], WrongKind),
        ("task", "ab", WrongKind),
    ],
)
def test_an_array_of_another_length_or_kind_is_refused(path, name, array, error):
    write(path, forgetting=np.ones((2, 2)), **{name: np.array(array)})
    with pytest.raises(error):
        ForgettingMatrix.load(path)


def test_an_npz_of_python_objects_is_never_unpickled(path):
    np.savez(path, forgetting=np.array([[object()]], dtype=object), allow_pickle=True)
    with pytest.raises(UnreadableMatrix):
        ForgettingMatrix.load(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04broken", b"\x93NUMPY"])
def test_a_broken_file_is_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(UnreadableMatrix):
        ForgettingMatrix.load(path)


def test_a_file_without_forgetting_or_no_file_at_all_is_refused(tmp_path):
    write(tmp_path / "other.npz", task=["a", "b"])
    with pytest.raises(UnreadableMatrix, match="forgetting"):
        ForgettingMatrix.load(tmp_path / "other.npz")
    with pytest.raises(UnreadableMatrix):
        ForgettingMatrix.load(tmp_path / "absent.npz")


def test_nobody_is_told_to_unpickle_a_file(path):
    path.write_text("forgetting")
    with pytest.raises(UnreadableMatrix) as raised:
        ForgettingMatrix.load(path)
    assert "pickle" not in str(raised.value)
