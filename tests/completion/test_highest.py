import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forgetcast.completion.highest import highest
from forgetcast.errors import OutOfRange, WrongKind, WrongShape


@given(st.lists(st.integers(0, 4), max_size=12), st.integers(0, 15))
def test_the_highest_are_those_of_a_stable_sort(values, k):
    row = np.array(values, dtype=np.float64)
    assert highest(row, k).tolist() == np.argsort(-row, kind="stable")[:k].tolist()


def test_only_those_among_the_mask_are_chosen():
    row, among = np.array([5.0, 4.0, 3.0, 2.0]), np.array([False, True, False, True])
    assert highest(row, 3, among).tolist() == [1, 3]


@pytest.mark.parametrize(
    ("k", "among", "error"),
    [(-1, None, OutOfRange), (1.0, None, WrongKind), (1, np.ones(3, bool), WrongShape), (1, [0, 1], WrongKind)],
)
def test_wrong_arguments_are_refused(k, among, error):
    with pytest.raises(error):
        highest(np.array([1.0, 2.0]), k, among)
