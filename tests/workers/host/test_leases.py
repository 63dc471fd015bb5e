"""Leases: held through an outage of the database, and reaped only when live workers had the time to renew."""

from contextlib import contextmanager
from datetime import timedelta

import pytest
import sqlalchemy as sa

from forgetcast.errors import DatabaseUnavailable
from forgetcast.schemas import Progress
from service.operations.reaping import Reaper
from service.storage import jobs
from service.storage.database import now, seconds_up, takes_writes
from service.storage.events import list_events
from service.storage.jobs import Beat
from service.storage.tables import Job
from tests.storage.rows import add_job
from tests.workers.supervised import eventually
from workers.host.child import Message
from workers.host.leases import MOST_MESSAGES, Heartbeat

LEASE = timedelta(seconds=60)


@pytest.fixture
def claimed(sqlite_database):
    with sqlite_database.transaction() as session:
        add_job(session)
        return jobs.claim(session, "worker", ["any"], LEASE)


def hold(database, claimed, tick=0.05):
    return Heartbeat(database, claimed, lease=LEASE, every=timedelta(seconds=0.1), tick=timedelta(seconds=tick))


def row(database, job_id):
    with database.read() as session:
        return jobs.get_job(session, job_id)


def told(database, job_id, kind):
    with database.read() as session:
        return [event for event in list_events(session, job_id, 0, 1000) if event.type == kind]


@contextmanager
def away(database, monkeypatch):
    def unavailable():
        raise DatabaseUnavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(database, "transaction", unavailable)
        yield


def progress(step):
    return Progress(phase="measure", step=step, total=100)


def test_the_lease_is_renewed_until_the_end(sqlite_database, claimed):
    first = row(sqlite_database, claimed.job_id).lease_until
    with hold(sqlite_database, claimed):
        eventually(lambda: row(sqlite_database, claimed.job_id).lease_until > first)


def test_the_last_news_is_written_before_the_end(sqlite_database, claimed):
    with hold(sqlite_database, claimed, tick=60) as heartbeat:
        for step in range(10):
            heartbeat.tell(progress(step))
        heartbeat.tell(Message("warn", "look"))
    assert [event.data["step"] for event in told(sqlite_database, claimed.job_id, "progress")] == [9]
    assert [event.message for event in told(sqlite_database, claimed.job_id, "message")] == ["look"]


def test_news_of_an_outage_is_written_after_it(sqlite_database, claimed, monkeypatch):
    with hold(sqlite_database, claimed) as heartbeat:
        with away(sqlite_database, monkeypatch):
            heartbeat.tell(Message("info", "during"))
            heartbeat.tell(progress(1))
            heartbeat._ended.wait(0.3)
        eventually(lambda: told(sqlite_database, claimed.job_id, "message"))
        assert heartbeat.verdict is Beat.HELD
    assert row(sqlite_database, claimed.job_id).progress["step"] == 1


def test_news_that_cannot_be_stored_does_not_stop_the_heartbeat(sqlite_database, claimed, monkeypatch):
    def broken(*arguments):
        raise RuntimeError("no")

    first = row(sqlite_database, claimed.job_id).lease_until
    monkeypatch.setattr("workers.host.leases.append_event", broken)
    with hold(sqlite_database, claimed) as heartbeat:
        heartbeat.tell(Message("info", "poison"))
        eventually(lambda: row(sqlite_database, claimed.job_id).lease_until > first)


@pytest.mark.parametrize("broken", ["_cancel_was_asked", "_between", "_renew"])
def test_no_error_ends_the_heartbeat(sqlite_database, claimed, monkeypatch, broken):
    """Whoever is not renewed and still believes to hold its job would work on for nothing."""
    raised = []

    def fail(*arguments):
        raised.append(1)
        raise RuntimeError("no")

    with hold(sqlite_database, claimed) as heartbeat:
        with monkeypatch.context() as patched:
            patched.setattr(heartbeat, broken, fail)
            eventually(lambda: len(raised) > 2)
        first = row(sqlite_database, claimed.job_id).lease_until
        eventually(lambda: row(sqlite_database, claimed.job_id).lease_until > first)
        assert heartbeat.verdict is Beat.HELD


def test_a_child_that_talks_too_much_is_cut_short(sqlite_database, claimed):
    with hold(sqlite_database, claimed, tick=60) as heartbeat:
        for number in range(MOST_MESSAGES + 50):
            heartbeat.tell(Message("info", str(number)))
    assert len(told(sqlite_database, claimed.job_id, "message")) == MOST_MESSAGES


def test_cancel_and_loss_are_noticed(sqlite_database, claimed):
    with hold(sqlite_database, claimed) as heartbeat:
        with sqlite_database.transaction() as session:
            jobs.cancel(session, claimed.job_id)
        eventually(lambda: heartbeat.verdict is Beat.CANCEL)
        with sqlite_database.transaction() as session:
            error = {"code": "io", "detail": ""}
            jobs.release(session, claimed.job_id, claimed.fence, error, permanent=False)
        eventually(lambda: heartbeat.verdict is Beat.LOST)


def test_a_cancel_is_noticed_long_before_the_next_renewal_of_a_silent_child(sqlite_database, claimed, monkeypatch):
    monkeypatch.setattr("workers.host.leases.LOOK_FOR_CANCEL", 0.1)
    with Heartbeat(
        sqlite_database, claimed, lease=LEASE, every=timedelta(hours=1), tick=timedelta(seconds=0.05)
    ) as heartbeat:
        with sqlite_database.transaction() as session:
            jobs.cancel(session, claimed.job_id)
        eventually(lambda: heartbeat.verdict is Beat.CANCEL)


@pytest.fixture
def clock(monkeypatch):
    """The worker's own clock, moved by hand; it asks every second."""

    class Clock:
        time = 1000.0

        def pass_by(self, seconds, reaper):
            for _ in range(int(seconds)):
                self.time += 1
                reaper.turn()

    clock = Clock()
    monkeypatch.setattr("workers.host.leases.time.monotonic", lambda: clock.time)
    return clock


@pytest.fixture
def dead(sqlite_database, claimed):
    """A job whose worker is dead: its lease ran out."""
    with sqlite_database.transaction() as session:
        session.execute(sa.update(Job).values(lease_until=now() - 1))
    return claimed.job_id


def test_nothing_is_reaped_within_one_lease_after_the_start(sqlite_database, dead, clock):
    reaper = Reaper(sqlite_database, LEASE)
    clock.pass_by(58, reaper)
    assert row(sqlite_database, dead).state == "running"
    clock.pass_by(10, reaper)
    assert row(sqlite_database, dead).state == "queued"


def test_nothing_is_reaped_within_one_lease_after_an_outage(sqlite_database, dead, clock, monkeypatch):
    reaper = Reaper(sqlite_database, LEASE)
    clock.pass_by(50, reaper)
    with away(sqlite_database, monkeypatch):
        clock.pass_by(20, reaper)
    clock.pass_by(58, reaper)
    assert row(sqlite_database, dead).state == "running"
    clock.pass_by(15, reaper)
    assert row(sqlite_database, dead).state == "queued"


def test_nothing_is_reaped_within_one_lease_after_the_database_has_started(sqlite_database, dead, clock, monkeypatch):
    monkeypatch.setattr("service.operations.reaping.seconds_up", lambda session: clock.time - 1060)
    reaper = Reaper(sqlite_database, LEASE)
    clock.pass_by(110, reaper)
    assert row(sqlite_database, dead).state == "running"
    clock.pass_by(20, reaper)
    assert row(sqlite_database, dead).state == "queued"


def test_nothing_is_reaped_within_one_lease_after_a_time_without_writes(sqlite_database, dead, clock, monkeypatch):
    reaper = Reaper(sqlite_database, LEASE)
    clock.pass_by(40, reaper)
    with monkeypatch.context() as patched:
        patched.setattr("service.operations.reaping.takes_writes", lambda session: False)
        clock.pass_by(10, reaper)
    clock.pass_by(58, reaper)
    assert row(sqlite_database, dead).state == "running"
    clock.pass_by(15, reaper)
    assert row(sqlite_database, dead).state == "queued"


def test_a_database_that_is_written_says_so(database):
    with database.transaction() as session:
        assert takes_writes(session)


def test_the_server_says_how_long_it_runs(database):
    with database.read() as session:
        assert seconds_up(session) > 0


def test_a_worker_that_was_frozen_knows_nothing_of_that_time(sqlite_database, dead, clock):
    reaper = Reaper(sqlite_database, LEASE)
    clock.pass_by(50, reaper)
    clock.time += 300
    clock.pass_by(50, reaper)
    assert row(sqlite_database, dead).state == "running"
