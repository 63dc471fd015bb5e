"""How many jobs are claimed and how many heartbeats are written per second, beside bare statements in the same run.

python -m benchmarks.jobs [--database postgresql+psycopg://…] [--rounds 10] [--processes 1,2,4] [--waiting 10000,100000]

Each process has one connection and does one thing as often as it can. Bare statements are the measure: `select 1`, and
a transaction that updates one row of its own by primary key, through the same engine, pool and commit. Everything is
done in turn in slices of 0.2 s, so that whatever else the machine does falls on all alike; the ratio is the median over
the rounds. Postgres is used in a schema that is made for the run and dropped; without --database it is SQLite, in the
folder for temporary files.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from service.storage import jobs
from service.storage.database import Database
from service.storage.schema import migrate
from service.storage.tables import Job, Matrix, Task, UpstreamSet

LEASE = timedelta(minutes=1)
ANY = (jobs.ANY_HARDWARE,)
PROGRESS = {"phase": "fine_tune", "step": 1, "total": 100, "loss": 2.5, "eta_s": 60.0}
SLICE = 0.2  # seconds
UPDATE = "bare update of one row"
Step = Callable[[], bool]
together: Barrier  # of the processes that measure at once


class Measured(NamedTuple):
    """Calls by step, round and process; seconds of every call by step."""

    counts: dict[str, list[list[int]]]
    took: dict[str, NDArray[np.float64]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", default="", help="URL of a Postgres database")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--processes", default="1,2,4")
    parser.add_argument("--waiting", default="10000,100000", help="jobs that wait while others are claimed")
    chosen = parser.parse_args()
    print(f"{_machine()}; {chosen.rounds} rounds of {SLICE:g} s for each\n{_server(chosen.database)}")
    for n_waiting in map(int, chosen.waiting.split(",")):
        for n_processes in map(int, chosen.processes.split(",")):
            with _schema(chosen.database) as url:
                _fill(url, n_processes, n_waiting)
                _print(n_waiting, n_processes, _measure(url, n_processes, chosen.rounds))


def _print(n_waiting: int, n_processes: int, measured: Measured) -> None:
    print(f"\n{n_waiting} jobs wait, {n_processes} processes   per second   median ms   p99 ms   of bare updates")
    per_second = {name: [sum(counts) / SLICE for counts in rounds] for name, rounds in measured.counts.items()}
    for name, took in measured.took.items():
        ratios = np.array(per_second[name]) / np.maximum(1e-9, per_second[UPDATE])
        milliseconds = np.quantile(took, (0.5, 0.99)) * 1000
        rate = np.median(per_second[name])
        print(f"{name:<36}{rate:>10.0f}{milliseconds[0]:>13.2f}{milliseconds[1]:>9.1f}{np.median(ratios):>14.2f}")


# What a process does


def _bare_read(database: Database, _place: int) -> Step:
    def step() -> bool:
        with database.read() as session:
            return session.scalar(sa.select(1)) == 1

    return step


def _bare_update(database: Database, place: int) -> Step:
    mine = sa.update(Matrix).where(Matrix.id == f"m{place}").values(version=Matrix.version + 1)

    def step() -> bool:
        with database.transaction() as session:
            session.execute(mine.execution_options(synchronize_session=False))
            return True

    return step


def _claim(database: Database, place: int) -> Step:
    def step() -> bool:
        with database.transaction() as session:
            return jobs.claim(session, f"worker {place}", ANY, LEASE) is not None

    return step


def _beat(database: Database, place: int, progress: dict[str, Any] | None = None) -> Step:
    with database.transaction() as session:
        claimed = jobs.claim(session, f"worker {place}", ANY, LEASE)
    assert claimed is not None

    def step() -> bool:
        with database.transaction() as session:
            return jobs.beat(session, claimed.job_id, claimed.fence, LEASE, progress) is jobs.Beat.HELD

    return step


def _beat_with_progress(database: Database, place: int) -> Step:
    return _beat(database, place, PROGRESS)


def _reap_nothing(database: Database, _place: int) -> Step:
    def step() -> bool:
        with database.transaction() as session:
            return jobs.reap(session) == []

    return step


STEPS: dict[str, Callable[[Database, int], Step]] = {
    "bare `select 1`": _bare_read,
    UPDATE: _bare_update,
    "claim a job": _claim,
    "heartbeat": _beat,
    "heartbeat with progress (an event)": _beat_with_progress,
    "look for jobs to reap": _reap_nothing,
}


# How it is measured


def _measure(url: str, n_processes: int, n_rounds: int) -> Measured:
    context = get_context("spawn")
    barrier = context.Barrier(n_processes)
    with ProcessPoolExecutor(n_processes, context, initializer=_meet_at, initargs=(barrier,)) as processes:
        places = [processes.submit(_repeat, url, place, n_rounds) for place in range(n_processes)]
        found = [place.result() for place in places]
    counts = {name: [[len(one[name][n]) for one in found] for n in range(n_rounds)] for name in STEPS}
    took = {name: np.concatenate([took for one in found for took in one[name]]) for name in STEPS}
    return Measured(counts, took)


def _meet_at(barrier: Barrier) -> None:
    global together
    together = barrier


def _repeat(url: str, place: int, n_rounds: int) -> dict[str, list[list[float]]]:
    """Every step in turn, together with the other processes; seconds of each call by step and round."""
    database = Database(url)
    steps = {name: make(database, place) for name, make in STEPS.items()}
    took: dict[str, list[list[float]]] = {name: [] for name in STEPS}
    try:
        for step in steps.values():
            step()  # the connection, and statements compiled
        for _ in range(n_rounds):
            for name, step in steps.items():
                together.wait()
                took[name].append(_slice(name, step))
    except BaseException:
        together.abort()
        raise
    database.close()
    return took


def _slice(name: str, step: Step) -> list[float]:
    took = []
    began = now = time.perf_counter()
    while now - began < SLICE:
        if not step():
            raise RuntimeError(f"{name}: nothing left to do; give more --waiting")
        took.append(-now + (now := time.perf_counter()))
    return took


def _fill(url: str, n_processes: int, n_waiting: int) -> None:
    """As many waiting jobs as asked for, and a row of its own for every process."""
    database = Database(url)
    migrate(database)
    with database.transaction() as session:
        session.add(UpstreamSet(id="u", sha256="0" * 64, n_examples=1, n_held_out=0, has_texts=True, domains={}))
        session.flush()
        for place in range(n_processes):
            session.add(
                Matrix(id=f"m{place}", upstream_set_id="u", model="m", model_revision="r", recipe={}, setting={})
            )
        session.flush()
        tasks = [{"id": f"t{n}", "matrix_id": "m0", "measure": "full", "seed": 0} for n in range(n_waiting)]
        session.execute(sa.insert(Task), tasks)
        waiting = [
            {
                "id": f"job_{n:08}",
                "task_id": f"t{n}",
                "measure": "full",
                "hardware": "any",
                "priority": n % 3,
            }
            for n in range(n_waiting)
        ]
        session.execute(sa.insert(Job), waiting)
    if not database.is_sqlite:
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE job")
    database.close()


@contextmanager
def _schema(url: str) -> Iterator[str]:
    if not url:
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite:///{folder}/jobs.db"
        return
    name = f"forgetcast_benchmark_{uuid.uuid4().hex[:12]}"
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.schema.CreateSchema(name))
    own = sa.make_url(url).update_query_dict({"options": f"-csearch_path={name}"})
    try:
        yield own.render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.execute(sa.schema.DropSchema(name, cascade=True))
        engine.dispose()


def _server(url: str) -> str:
    database = Database(url or "sqlite://")
    with database.read() as session:
        if database.is_sqlite:
            return f"SQLite {session.scalar(sa.text('select sqlite_version()'))}, WAL, synchronous=full"
        names = ("server_version", "fsync", "synchronous_commit")
        found = [f"{name} {session.scalar(sa.text(f'show {name}'))}" for name in names]
        return f"Postgres: {', '.join(found)}"


def _machine() -> str:
    processor = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    return f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores ({processor}), Python {platform.python_version()}"


if __name__ == "__main__":
    main()
