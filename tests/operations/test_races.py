"""What is asked for at the same moment: made once, nothing lost, and no two transactions that wait for each other."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from functools import partial
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from forgetcast import ForgettingMatrix, schemas
from forgetcast.errors import JobActive, RowKnown, RowNotFound, TaskExists, VersionChanged
from service.operations.fit_files import in_memory
from service.operations.job_material import store_result
from service.operations.matrices import create_matrix
from service.operations.matrix_import import Limits, import_matrix
from service.operations.measurements import post_measurements
from service.operations.rows import RowOrigin, import_row, parse_json_row, remove_row
from service.operations.tasks import create_job, read_task, register_task
from service.operations.upstream_sets import create_upstream_set
from service.storage import idempotency, jobs, matrices, workers
from service.storage.attempts import ChildEnd
from service.storage.database import Database, Session, now
from service.storage.fit_requests import MOST_ASKED, ask_for_fit
from service.storage.tables import BaseValues, FitRequest, Idempotency, Job, KnownRow, Matrix, Task, Worker
from service.storage.tasks import read_cells
from tests.operations.at_once import Act, at_once, raised
from tests.operations.test_fit_files import packed
from tests.operations.test_job_material import Result
from tests.storage.rows import N_EXAMPLES, add_task

RECIPE: dict[str, Any] = {"method": "full", "learning_rate": 1e-4, "steps": 10, "batch_size": 8, "max_tokens": 64}
SETTING = schemas.Setting()
ROUNDS = 3


@pytest.fixture
def dataset(database: Database) -> str:
    """A matrix `m` with a set of texts; the sha256 of a data set."""
    with database.transaction() as session:
        sha256 = add_task(session).dataset_sha256
        session.execute(sa.update(Matrix).values(setting=SETTING.model_dump(mode="json")))
    assert sha256 is not None
    return sha256


def count(database: Database, table: type[Any], *where: sa.ColumnElement[bool]) -> int:
    with database.read() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(table).where(*where)) or 0


def ordering(dataset: str | None, **fields: Any) -> Act:
    wanted = schemas.TaskCreate(matrix="m", dataset=dataset, **{"size": 2, **fields})
    return lambda session: register_task(session, wanted)


def ordering_next(task_id: str, **fields: Any) -> Act:
    order = schemas.JobCreate(**fields)
    return lambda session: create_job(session, task_id, order).id


def claimed_job(database: Database) -> jobs.Claimed:
    with database.transaction() as session:
        claimed = jobs.claim(session, "worker", ["any"], timedelta(minutes=1))
    assert claimed is not None
    return claimed


def finishing(claimed: jobs.Claimed, n_examples: int) -> Act:
    result = Result(np.ones(n_examples, np.float32), np.full(n_examples, 1.5, np.float32), {})
    return lambda session: store_result(session, claimed.job_id, claimed.fence, result, ChildEnd(0))


def importing(task_id: str, value: float) -> Act:
    values = np.full(N_EXAMPLES, value, np.float32)
    return lambda session: import_row(session, "m", task_id, values, RowOrigin(), 100)


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_the_same_order_at_once_is_one_task_and_one_job(database: Database, dataset: str, seed: int) -> None:
    ended = at_once(database, *[ordering(dataset, seed=seed)] * 6)
    assert raised(ended) == []
    assert len({one.task.id for one in ended}) == 1
    assert sorted(one.is_new for one in ended) == [False] * 5 + [True]
    assert count(database, Job) == 1


def test_the_same_order_under_other_ids_attaches_to_the_job_at_work(database: Database, dataset: str) -> None:
    ended = at_once(database, *[ordering(dataset, id=f"task-{number}") for number in range(4)])
    assert raised(ended) == []
    assert count(database, Job) == 1
    claimed = claimed_job(database)
    later = at_once(database, ordering(dataset, id="later"))[0]
    assert {one.task.job for one in (*ended, later)} == {claimed.job_id}
    assert (later.is_new, later.job_id) == (True, claimed.job_id)
    assert at_once(database, finishing(claimed, 2)) == [True]
    with database.read() as session:
        for one in (*ended, later):
            task = read_task(session, one.task.id)
            assert (task.n_measured, task.row_version, task.job) == (2, 1, claimed.job_id)
            assert read_cells(session, task.id, 1, None).forgetting.tolist() == [0.5, 0.5]
            assert task.design == "random"


def test_a_task_that_attaches_while_the_job_ends_gets_its_cells_too(database: Database, dataset: str) -> None:
    for seed in range(ROUNDS):
        at_once(database, ordering(dataset, id=f"first-{seed}", seed=seed))
        claimed = claimed_job(database)
        ended = at_once(database, finishing(claimed, 2), ordering(dataset, id=f"second-{seed}", seed=seed))
        assert raised(ended) == []
        with database.read() as session:
            assert read_task(session, f"second-{seed}").n_measured == 2


def test_an_attached_task_has_an_active_job_until_that_ends(database: Database, dataset: str) -> None:
    at_once(database, ordering(dataset, id="first"))
    at_once(database, ordering(dataset, id="second"))
    further = ordering_next("second", measure="full")
    [refused] = at_once(database, further)
    assert isinstance(refused, JobActive)
    claimed = claimed_job(database)
    error = {"code": "gpu_oom", "detail": "no memory"}
    at_once(database, lambda session: jobs.release(session, claimed.job_id, claimed.fence, error, permanent=True))
    [ordered] = at_once(database, further)
    with database.read() as session:
        assert read_task(session, "second").job == ordered != claimed.job_id


def test_another_measure_does_not_attach(database: Database, dataset: str) -> None:
    at_once(database, ordering(dataset, id="first"))
    at_once(database, ordering(dataset, id="second", size=1))
    assert count(database, Job) == 2


def test_the_end_of_a_full_job_beside_changes_of_its_row(database: Database, dataset: str) -> None:
    """A job that ends takes the matrix, then the task, as whoever imports or removes a row does."""
    at_once(database, ordering(dataset, id="t", measure="full"))
    at_once(database, finishing(claimed_job(database), N_EXAMPLES))
    for number in range(ROUNDS):
        at_once(database, ordering_next("t", measure="full"))
        with database.read() as session:
            removing = partial(remove_row, matrix_id="m", task_id="t", row_version=read_task(session, "t").row_version)
        finish = finishing(claimed_job(database), N_EXAMPLES)
        ended = at_once(database, finish, removing, importing("other", 0.1 * number))
        assert raised(ended, RowNotFound, VersionChanged) == []
        assert ended[0] is True


def test_the_end_of_a_job_beside_the_order_of_the_next(database: Database, dataset: str) -> None:
    """Both change the index of active jobs, so both take the task first."""
    at_once(database, ordering(dataset, id="t"))
    for number in range(ROUNDS):
        order_next = ordering_next("t", measure="examples", examples=[f"e{number % N_EXAMPLES}"])
        finish = finishing(claimed_job(database), 2 if number == 0 else 1)
        assert raised(at_once(database, finish, order_next, order_next), JobActive) == []
        if count(database, Job, Job.state == "queued") == 0:
            at_once(database, order_next)
        assert count(database, Job, Job.state == "queued") == 1


def test_every_row_that_is_imported_at_once_gets_a_version_of_its_own(database: Database, dataset: str) -> None:
    """Also when the body names examples, so that the matrix is read before it is locked."""

    def row(number: int, session: Session) -> Any:
        lines = [json.dumps({"example_id": f"e{i}", "forgetting": number + i}) for i in range(N_EXAMPLES)]
        values = parse_json_row(session, "m", io.BytesIO("\n".join(lines).encode()))
        return import_row(session, "m", f"row-{number}", values, RowOrigin(), 100)

    ended = at_once(database, *[partial(row, number) for number in range(6)])
    assert raised(ended) == []
    with database.read() as session:
        assert session.get_one(Matrix, "m").version == 6
        assert sorted(session.scalars(sa.select(KnownRow.since))) == [1, 2, 3, 4, 5, 6]


def test_a_row_beside_cells_of_the_same_task(database: Database, dataset: str) -> None:
    cells = [schemas.Cell(example_id="e0", forgetting=0.5)]
    posted = schemas.MeasurementsCreate(setting=SETTING, recipe=schemas.Recipe(**RECIPE), cells=cells)
    for number in range(ROUNDS):
        task_id = f"t{number}"
        at_once(database, ordering(None, id=task_id, measure="none"))
        post = partial(post_measurements, task_id=task_id, posted=posted)
        assert raised(at_once(database, importing(task_id, 0.1), post, post), RowKnown) == []


def test_one_id_for_a_row_and_for_tasks_is_one_thing(database: Database, dataset: str) -> None:
    for number in range(ROUNDS):
        task_id = f"t{number}"
        ended = at_once(
            database,
            importing(task_id, 0.1),
            ordering(dataset, id=task_id, seed=number),
            ordering(None, id=task_id, measure="none"),
        )
        assert raised(ended, TaskExists) == []
        assert count(database, Task, Task.id == task_id) == 1


def test_one_id_for_sets_and_matrices_is_one_thing(database: Database, dataset: str) -> None:
    wanted = schemas.MatrixCreate(id="one", upstream_set="u", model="tiny", recipe=schemas.Recipe(**RECIPE))
    ended = at_once(
        database,
        *[lambda session: create_matrix(session, wanted, TinyModels, 1000)] * 3,  # type: ignore[arg-type]
        *[lambda session: create_upstream_set(session, schemas.UpstreamSetCreate(id="one"))] * 3,
    )
    assert raised(ended) == []
    assert [sum(is_new for _, is_new in ended[:3]), sum(is_new for _, is_new in ended[3:])] == [1, 1]


class TinyModels:
    def revision(self, model_id: str) -> str:
        return "r"


def test_examples_that_are_found_to_be_unmeasurable_beside_changes_of_the_rows(
    database: Database, dataset: str
) -> None:
    """They give matrices a new version, so the end of a job that finds them takes the matrices first."""
    at_once(database, importing("known", 0.1))
    for number in range(ROUNDS):
        at_once(database, *[ordering(dataset, id=f"{number}-{name}", seed=10 * number + at, **{"measure": "full"})
                            for at, name in enumerate("ab")])  # fmt: skip
        with database.transaction() as session:
            session.execute(sa.delete(BaseValues))
            version = session.get_one(Matrix, "m").version
        before = np.array([np.inf, *[1.0] * (N_EXAMPLES - 1)], np.float32)
        ends = []
        for _ in range(2):
            claimed, after = claimed_job(database), np.where(np.isinf(before), before, np.float32(1.5))
            ends.append(_ending(claimed, Result(before, after, {})))
        ended = at_once(database, *ends, importing("known", 0.2 + number), importing(f"other-{number}", 0.1))
        assert raised(ended) == []
        with database.read() as session:
            assert session.get_one(Matrix, "m").version >= version + 5  # four rows, and the mark once or twice


def _ending(claimed: jobs.Claimed, result: Result) -> Act:
    return lambda session: store_result(session, claimed.job_id, claimed.fence, result, ChildEnd(0))


def test_whole_matrices_that_are_imported_beside_rows_and_each_other(database: Database, dataset: str) -> None:
    wanted = schemas.MatrixCreate(id="whole", upstream_set="ids", model="tiny", recipe=schemas.Recipe(**RECIPE))
    known = ForgettingMatrix.from_arrays(np.ones((3, 2)), task_ids=["a", "b", "c"], example_ids=["x", "y"])

    def whole(session: Session) -> Any:
        return import_matrix(session, known, wanted, TinyModels, Limits(1000, 100, 100))  # type: ignore[arg-type]

    for _ in range(ROUNDS):
        ended = at_once(database, whole, whole, importing("c", 0.1), importing("a", 0.2), ordering(dataset, id="b"))
        assert raised(ended, TaskExists) == []
        assert len({task.matrix_id for task in _tasks(database, "a", "b", "c")}) >= 1


def _tasks(database: Database, *ids: str) -> list[Task]:
    with database.read() as session:
        return list(session.scalars(sa.select(Task).where(Task.id.in_(ids))))


def test_readers_that_ask_for_several_old_versions_at_once(database: Database, dataset: str) -> None:
    for _ in range(ROUNDS):
        asking = [partial(ask_for_fit, matrix_id="m", matrix_version=version) for version in (1, 2, 3, 4, 5)]
        assert raised(at_once(database, *asking)) == []
        assert count(database, FitRequest) == MOST_ASKED


def test_the_same_fit_that_is_kept_at_once_and_others_that_make_room(database: Database, dataset: str) -> None:
    """Two matrices with the same rows have the same bytes, which go with the last fit that needs them."""
    with database.transaction() as session:
        session.add(Matrix(id="n", upstream_set_id="u", model="tiny", model_revision="r", recipe={}, setting={}))
    for version in range(1, 8):

        def keep(matrix: str, session: Session, version: int = version) -> None:
            matrices.put_fit(session, matrix, version, 1, packed({"a": np.ones(version)}))

        assert raised(at_once(database, *[partial(keep, matrix) for matrix in ("m", "m", "n")])) == []
    with database.read() as session:
        for matrix in ("m", "n"):
            kept = matrices.newest_fit(session, matrix, 1, None)
            assert kept is not None and in_memory(session, kept.arrays_sha256)["a"].size == 7


def test_keys_that_are_kept_while_expired_ones_are_dropped(database: Database) -> None:
    def keep(key: str, session: Session) -> None:
        idempotency.take(session, "owner", key)
        idempotency.keep(session, "owner", key, "0" * 64, 200, {}, None)

    for _ in range(ROUNDS):
        assert raised(at_once(database, *[partial(keep, f"key-{number}") for number in range(6)])) == []
        with database.transaction() as session:
            session.execute(sa.update(Idempotency).values(created_at=now() - 2 * idempotency.KEPT.total_seconds()))
    assert count(database, Idempotency) == 6


def test_workers_that_come_back_and_forget_each_other(database: Database) -> None:
    def live(worker_id: str, session: Session) -> None:
        about = {"host": "h", "hardware": ["any"], "gpu": None, "version": "1", "job_id": None}
        workers.note_worker(session, worker_id, **about)  # type: ignore[arg-type]
        workers.forget_silent_workers(session, timedelta(seconds=1))

    names = [f"worker-{number}" for number in range(6)]
    for _ in range(ROUNDS):
        assert raised(at_once(database, *[partial(live, name) for name in names])) == []
        with database.transaction() as session:
            session.execute(sa.update(Worker).values(seen_at=0.0))
    assert count(database, Worker) <= 6
