"""A Postgres that is silent, and a pool that has no connection left."""

import threading
import time
from contextlib import ExitStack
from datetime import timedelta

import pytest
import sqlalchemy as sa

from forgetcast.errors import DatabaseUnavailable, WriteConflict
from service.storage.database import Database

PATIENCE = timedelta(seconds=1)


@pytest.fixture
def impatient(postgres_tables):
    database = Database(postgres_tables, pool_size=1, patience=PATIENCE)
    yield database
    database.close()


def test_a_silent_server_is_given_up_and_the_next_connection_is_a_new_one(impatient):
    with impatient.read() as session:
        first = session.scalar(sa.text("SELECT pg_backend_pid()"))
    with pytest.raises(DatabaseUnavailable, match="no answer within 1 s"), impatient.read() as session:
        session.execute(sa.text("SELECT pg_sleep(60)"))
    with impatient.read() as session:
        assert session.scalar(sa.text("SELECT pg_backend_pid()")) != first


def test_a_server_that_goes_on_talking_may_take_longer(impatient):
    rows = sa.text("SELECT repeat('x', 100000) || pg_sleep(0.05)::text FROM generate_series(1, 40)")
    began = time.monotonic()
    with impatient.read() as session:
        assert len(session.execute(rows).all()) == 40
    assert time.monotonic() - began > PATIENCE.total_seconds()


def test_a_wait_for_a_free_connection_ends(impatient):
    with ExitStack() as held, pytest.raises(DatabaseUnavailable, match="every connection"):
        for _ in range(20):
            held.enter_context(impatient.read())
    with impatient.read() as session:
        assert session.scalar(sa.text("SELECT 1")) == 1


def test_without_a_limit_a_migration_takes_as_long_as_it_takes(postgres_tables):
    database = Database(postgres_tables, patience=None)
    with database.read() as session:
        assert session.scalar(sa.text("SELECT 1 FROM pg_sleep(0.2)")) == 1
    database.close()


def test_the_victim_of_a_deadlock_is_told_to_try_again(postgres_database):
    begun = threading.Barrier(2)
    victims = []

    def lock(first, second):
        try:
            with postgres_database.transaction() as session:
                session.execute(sa.select(sa.func.pg_advisory_xact_lock(first)))
                begun.wait(30)
                session.execute(sa.select(sa.func.pg_advisory_xact_lock(second)))
        except WriteConflict as error:
            victims.append(error.retryable)

    threads = [threading.Thread(target=lock, args=order) for order in ((7001, 7002), (7002, 7001))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert victims == [True]
