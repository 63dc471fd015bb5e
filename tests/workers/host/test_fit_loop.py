"""Fits beside jobs, each in a process of its own: whatever one does, the worker and the other fits go on."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from forgetcast.errors import DatabaseUnavailable
from service.operations.fits import read_failure
from service.storage.database import Database
from service.storage.tables import Fit, FitWork, Matrix
from tests.operations.test_fit_work import matrices as matrices  # the fixture
from tests.workers.processes import alive
from tests.workers.supervised import eventually
from workers.host.fit_loop import FitLimits, Fitting, available_memory, start_fit_loop

SHORT = FitLimits(lease=timedelta(seconds=2), time=timedelta(seconds=60))
SAYS_WHO = (
    "import os, pathlib, sys; pathlib.Path(sys.argv[2]).parent.parent.joinpath('pid').write_text(str(os.getpid()))"
)


def program(text: str) -> tuple[str, ...]:
    """A child that does something else than fitting."""
    return sys.executable, "-c", text


HANGS = program(f"{SAYS_WHO}; import time; time.sleep(600)")


@pytest.fixture
def database(sqlite_database: Database) -> Database:
    """Claims are the same on Postgres: tests/operations/test_fit_work.py."""
    return sqlite_database


@pytest.fixture
def good(matrices: Database) -> Database:
    """One matrix that is due, and can be fitted."""
    with matrices.transaction() as session:
        session.execute(sa.update(Matrix).where(Matrix.id == "bad").values(changed_at=1e12))
        session.execute(sa.update(Matrix).where(Matrix.id == "good").values(changed_at=1.0))
    return matrices


def turn(database: Database, folder: Path, **parts: Any) -> bool:
    limits = parts.pop("limits", SHORT)
    return Fitting(database, folder / "fitting", limits, **parts).turn(threading.Event())


def failed(database: Database) -> tuple[str, str]:
    with database.read() as session:
        found = read_failure(session, "good", 4)
    assert found is not None
    return found.code, found.detail


def child_of(folder: Path) -> int:
    written = folder / "pid"
    return int(eventually(lambda: written.exists() and written.read_text()))


def work(database: Database) -> list[tuple[str | None, int]]:
    with database.read() as session:
        return [(row.token, row.n_failed) for row in session.scalars(sa.select(FitWork))]


def test_a_fit_and_its_back_test_are_made_in_processes_of_their_own(matrices: Database, tmp_path: Path) -> None:
    assert turn(matrices, tmp_path)  # the bad one
    assert turn(matrices, tmp_path) and turn(matrices, tmp_path)
    assert not turn(matrices, tmp_path)
    with matrices.read() as session:
        [fit] = session.scalars(sa.select(Fit)).all()
        assert (fit.matrix_id, fit.tested, fit.analysis["n_tasks"]) == ("good", True, 4)  # type: ignore[index]
        bad = read_failure(session, "bad", 4)
        assert bad is not None and bad.code == "matrix_empty"
    assert list((tmp_path / "fitting").iterdir()) == []


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("import os; os.kill(os.getpid(), 9)", "host_oom"),
        ("import os; os.abort()", "internal"),
        ("raise SystemExit(3)", "internal"),
        ("pass", "io"),
    ],
)
def test_a_fit_that_ends_without_a_result_is_a_failure(good: Database, tmp_path: Path, text: str, code: str) -> None:
    assert turn(good, tmp_path, command=program(text))
    assert failed(good)[0] == code
    assert not turn(good, tmp_path)


def test_a_fit_that_takes_too_much_memory_says_so(good: Database, tmp_path: Path) -> None:
    eats = (
        "import numpy; from workers.host import fitting; fitting.work_in = lambda _: numpy.ones(1 << 30); "
        "fitting.main()"
    )
    limits = FitLimits(memory=1 << 30)
    assert turn(good, tmp_path, limits=limits, command=program(f"import sys; {eats}; sys.exit(1)"))
    assert failed(good) == ("host_oom", "it needs more than the 1.1 GB of memory that it may take")
    assert available_memory() > 1 << 28


def test_a_fit_that_hangs_is_ended_and_its_claim_is_renewed_till_then(good: Database, tmp_path: Path) -> None:
    limits = FitLimits(lease=timedelta(seconds=1), time=timedelta(seconds=3))
    others = []
    watching = threading.Timer(2, lambda: others.append(turn(good, tmp_path, limits=limits)))
    watching.start()
    assert turn(good, tmp_path, limits=limits, command=HANGS)
    watching.join()
    assert others == [False]
    assert failed(good) == ("fit_timeout", "it took longer than 0:00:03")
    assert not alive(child_of(tmp_path))


def test_a_worker_that_is_stopped_gives_its_fit_back(good: Database, tmp_path: Path) -> None:
    stop = threading.Event()
    thread = start_fit_loop(Fitting(good, tmp_path / "fitting", SHORT, HANGS), stop)
    pid = child_of(tmp_path)
    stop.set()
    thread.join(5)
    assert not thread.is_alive() and not alive(pid)
    assert work(good) == [(None, 0)]
    assert turn(good, tmp_path)


WORKER = """
import sys, threading
from pathlib import Path
from service.storage.database import Database
from tests.workers.host.test_fit_loop import HANGS, SHORT
from workers.host.fit_loop import Fitting
Fitting(Database(sys.argv[1]), Path(sys.argv[2]) / "fitting", SHORT, HANGS).turn(threading.Event())
"""


def test_a_worker_that_is_killed_takes_its_fit_with_it_and_another_makes_it(good: Database, tmp_path: Path) -> None:
    url = good.url.render_as_string(hide_password=False)
    worker = subprocess.Popen([sys.executable, "-c", WORKER, url, str(tmp_path)])
    pid = child_of(tmp_path)
    assert not turn(good, tmp_path)
    worker.kill()
    worker.wait()
    eventually(lambda: not alive(pid), 10)
    eventually(lambda: turn(good, tmp_path), 20)
    with good.read() as session:
        assert session.scalars(sa.select(Fit.matrix_id)).all() == ["good"]


def test_a_fit_whose_claim_is_lost_is_thrown_away(good: Database, tmp_path: Path) -> None:
    ended = []
    thread = threading.Thread(target=lambda: ended.append(turn(good, tmp_path, command=HANGS)))
    thread.start()
    pid = child_of(tmp_path)
    with good.transaction() as session:
        session.execute(sa.update(FitWork).values(token="somebody else's"))
    thread.join(10)
    assert ended == [True] and not alive(pid)
    assert work(good) == [("somebody else's", 0)]


def test_a_database_that_is_away_is_no_failure_of_the_fit(
    good: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> bool:
        raise DatabaseUnavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr("workers.host.fit_loop.keep", away)
        assert not turn(good, tmp_path)
    assert work(good) == [(None, 0)]
    assert turn(good, tmp_path)


def test_the_loop_goes_on_whatever_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.host.fit_loop.LOOK_AGAIN_AFTER", 0.01)
    tried, stop = threading.Semaphore(0), threading.Event()

    class Broken(Fitting):
        def turn(self, stop: threading.Event) -> bool:
            tried.release()
            raise ValueError("broken")

    thread = start_fit_loop(Broken(Database(f"sqlite:///{tmp_path / 'x.db'}"), tmp_path), stop)
    assert all(tried.acquire(timeout=5) for _ in range(3))
    stop.set()
    thread.join(5)
    assert not thread.is_alive()
