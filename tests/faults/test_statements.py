"""The job statements in any order, at length: 5 seeds of 2,000 steps on either database."""

import pytest

from tests.storage.test_jobs_machine import run_machine

RUNS, STEPS = 40, 50


@pytest.mark.fault(7)
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", ["embedded", "deployment"], ids=["sqlite", "postgres"])
def test_no_order_of_statements_breaks_a_job(request, kind, seed):
    run_machine(request.getfixturevalue(kind).database, max_examples=RUNS, steps=STEPS, seed=seed)
