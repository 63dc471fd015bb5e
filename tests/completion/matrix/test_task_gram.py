import numpy as np
import pytest

from forgetcast.completion.matrix import task_gram
from forgetcast.completion.matrix.task_gram import measure_gram
from tests.completion.conftest import make_forgetting


def test_products_are_those_of_the_deviations_from_the_column_means():
    forgetting = make_forgetting(7, 40) + 3.0
    gram = measure_gram(forgetting)
    deviations = forgetting - forgetting.mean(axis=0)
    assert gram.deviations() == pytest.approx(deviations @ deviations.T)
    assert gram.row_shifts() == pytest.approx(deviations.mean(axis=1))


@pytest.mark.parametrize("changed", ["one more", "one fewer", "one replaced", "another order", "all others"])
def test_rows_known_before_keep_their_products(changed):
    forgetting = make_forgetting(9, 40)
    after = {
        "one more": forgetting,
        "one fewer": forgetting[2:8],
        "one replaced": np.concatenate([forgetting[:4], forgetting[8:], forgetting[5:8]]),
        "another order": forgetting[:8][::-1],
        "all others": forgetting + 1.0,
    }[changed]
    earlier, fresh = measure_gram(forgetting[:8]), measure_gram(after)
    taken_over = measure_gram(after, earlier)
    assert taken_over.deviations() == pytest.approx(fresh.deviations(), abs=1e-12)
    assert taken_over.row_shifts() == pytest.approx(fresh.row_shifts(), abs=1e-12)


def test_one_row_more_is_multiplied_with_the_others_and_the_others_are_not_with_each_other(monkeypatch):
    forgetting = make_forgetting(9, 40)
    earlier = measure_gram(forgetting[:8])
    multiplied = []
    monkeypatch.setattr(task_gram, "_measure_all", lambda *_: pytest.fail("every row was multiplied again"))
    against = task_gram._against_all

    def noting(values, new, reference):
        multiplied.extend(new)
        return against(values, new, reference)

    monkeypatch.setattr(task_gram, "_against_all", noting)
    measure_gram(forgetting, earlier)
    assert multiplied == [8]
