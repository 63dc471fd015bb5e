"""What a page of tasks, a claim and a deletion cost where much is stored, beside a bare update in the same run.

    python -m benchmarks.large_tables [--database postgresql+psycopg://…] [--tasks 1000000]

Every task has a job: a fifth waits for hardware that nobody asks for, some for the hardware of the claims, the others
have ended. The page is asked for over HTTP, from a service in a process of its own. Everything is done in turn, so that
what else the machine does falls on all alike; the last column is the median over the rounds of the ratio to a
transaction that updates one row by its primary key.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import httpx2
import sqlalchemy as sa

from benchmarks import load_world
from benchmarks.load_world import World
from service.storage import jobs
from service.storage.database import Database
from service.storage.tables import Matrix, Task, UpstreamSet

LEASE = timedelta(minutes=1)
ROUNDS = 30
UPDATE = "bare update of one row"
SMALL = 2000  # tasks of the second matrix, each with a job that a claim may take

SERIES = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :size)",
    "postgresql": "WITH n(i) AS (SELECT generate_series(0, :size - 1))",
}
TASKS = """
    INSERT INTO task (id, matrix_id, measure, seed, row_version, n_measured, known, created_at)
    {series} SELECT :matrix || '-' || i, :matrix, 'full', 0, 0, 0, false, 0 FROM n
"""
JOBS = """
    INSERT INTO job (id, task_id, measure, hardware, priority, state, attempt, max_attempts, fence, not_before,
                     created_at)
    {series} SELECT 'job_' || :matrix || '-' || i, :matrix || '-' || i, 'full', :hardware, i % 3,
                    CASE WHEN i % :one_in = 0 THEN 'queued' ELSE 'succeeded' END, 0, 3, 0, 0, 0 FROM n
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", default="", help="SQLAlchemy URL; SQLite in a temporary folder without")
    parser.add_argument("--tasks", type=int, default=1_000_000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="forgetcast-large-") as folder:
        home = Path(folder)
        with load_world.database(chosen.database, home) as url:
            world = World(home, url, load_world.make_key(url))
            _fill(Database(url, patience=None), chosen.tasks)
            print(f"{chosen.tasks:,} tasks, {chosen.tasks // 5:,} jobs wait for other hardware", flush=True)
            with load_world.served(world), world.client() as client:
                _print(_steps(Database(url), client))


def _steps(database: Database, client: httpx2.Client) -> dict[str, Callable[[], object]]:
    def update() -> None:
        again = sa.update(Matrix).where(Matrix.id == "small").values(version=Matrix.version + 1)
        with database.transaction() as session:
            session.execute(again.execution_options(synchronize_session=False))

    def claim() -> None:
        with database.transaction() as session:
            assert jobs.claim(session, "worker", ["wanted"], LEASE) is not None

    def claim_nothing() -> None:
        with database.transaction() as session:
            assert jobs.claim(session, "worker", ["absent"], LEASE) is None

    def delete() -> None:
        with database.transaction() as session:
            assert session.execute(sa.delete(Task).where(Task.id == next(alone)).returning(Task.id)).first()

    def page(**asked: str) -> Callable[[], None]:
        def read() -> None:
            answer = client.get("/v1/tasks", params={"limit": 1000, **asked}).raise_for_status()
            assert len(answer.json()["data"]) == 1000

        return read

    alone = (f"alone-{number}" for number in range(SMALL))
    return {
        UPDATE: update,
        "claim behind jobs of other hardware": claim,
        "claim where nothing waits": claim_nothing,
        "delete a task": delete,
        "page of 1,000 tasks, over HTTP": page(),
        "page of 1,000 tasks of one matrix, over HTTP": page(matrix="small"),
    }


def _print(steps: dict[str, Callable[[], object]]) -> None:
    took: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step()  # connections, and statements compiled
    for _ in range(ROUNDS):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            took[name].append(1000 * (time.perf_counter() - start))
    print(f"{'':<46}{'median ms':>10}{'most ms':>10}   of a bare update")
    for name, each in took.items():
        ratio = statistics.median(one / bare for one, bare in zip(each, took[UPDATE], strict=True))
        print(f"{name:<46}{statistics.median(each):>10.1f}{max(each):>10.1f}{ratio:>14.1f}")


def _fill(database: Database, n_tasks: int) -> None:
    series = SERIES[database.engine.dialect.name]
    with database.transaction() as session:
        session.add(UpstreamSet(id="set", sha256="0" * 64, n_examples=1, n_held_out=0, has_texts=True, domains={}))
        session.flush()
        for matrix in ("large", "small", "alone"):
            session.add(Matrix(id=matrix, upstream_set_id="set", model="m", model_revision="r", recipe={}, setting={}))
        session.flush()
        for matrix, size in (("large", n_tasks), ("small", SMALL), ("alone", SMALL)):
            session.execute(sa.text(TASKS.format(series=series)), {"size": size, "matrix": matrix})
        for matrix, size, hardware, one_in in (("large", n_tasks, "other", 5), ("small", SMALL, "wanted", 1)):
            about = {"size": size, "matrix": matrix, "hardware": hardware, "one_in": one_in}
            session.execute(sa.text(JOBS.format(series=series)), about)
    if not database.is_sqlite:
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")


if __name__ == "__main__":
    main()
