"""Databases and queues for tests: SQLite always, Postgres and Redis where they answer; with CI=true they must."""

from __future__ import annotations

import gc
import os
import uuid
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest
import redis
import sqlalchemy as sa

from service.queue import NoQueue, RedisQueue
from service.storage.database import Database
from service.storage.tables import Audit, Table

POSTGRES = os.environ.get("FORGETCAST_TEST_DATABASE_URL", "postgresql+psycopg://127.0.0.1:5432/test")
REDIS = os.environ.get("FORGETCAST_TEST_REDIS_URL", "redis://127.0.0.1:6379/15")
TESTS = Path(__file__).parent
OF_PROCESSES = {TESTS, TESTS / "workers"}


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """The collector of garbage leaves alone what the imports have made, which lasts until the end.

    It is 650,000 objects: a look through them took 0.4 to 1 s, and every fine-tuning of a test had one made.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of whole processes come first: a file of them takes up to a minute, and what ends last should be short."""
    items.sort(key=lambda item: item.path.parent not in OF_PROCESSES)


def _absent(what: str, error: Exception) -> NoReturn:
    reason = f"{what} does not answer: {str(error).splitlines()[0]}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A schema of its own for this run of the tests, without tables."""
    with empty_schema() as url:
        yield url


@pytest.fixture
def empty_postgres() -> Iterator[str]:
    """A schema of its own for one test, without tables."""
    with empty_schema() as url:
        yield url


@contextmanager
def empty_schema() -> Iterator[str]:
    schema = f"forgetcast_test_{uuid.uuid4().hex[:12]}"
    engine = sa.create_engine(POSTGRES, connect_args={"connect_timeout": 3}, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(sa.schema.CreateSchema(schema))
    except sa.exc.OperationalError as error:
        engine.dispose()
        _absent("Postgres", error)
    url = sa.make_url(POSTGRES).update_query_dict({"options": f"-csearch_path={schema}"})
    yield url.render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(sa.schema.DropSchema(schema, cascade=True))
    engine.dispose()


@pytest.fixture(scope="session")
def postgres_tables(postgres_url: str) -> str:
    """The same schema with its tables."""
    database = Database(postgres_url)
    Table.metadata.create_all(database.engine)
    database.close()
    return postgres_url


@pytest.fixture
def postgres_database(postgres_tables: str) -> Iterator[Database]:
    """Empty tables on Postgres. Emptied rather than rolled back, for several connections must see each other."""
    database = Database(postgres_tables)
    empty(database)
    yield database
    database.close()


def empty(database: Database) -> None:
    """Delete all rows on Postgres. TRUNCATE takes a hundred times as long: it makes the files of every table anew."""
    with database.transaction() as session:
        if session.scalar(sa.exists(sa.select(Audit)).select()):
            session.execute(sa.text("TRUNCATE audit"))  # whose triggers refuse to delete a row
        for table in reversed(Table.metadata.sorted_tables):
            session.execute(table.delete())


@pytest.fixture
def sqlite_database(tmp_path: Path) -> Iterator[Database]:
    """Empty tables on SQLite."""
    database = Database(f"sqlite:///{tmp_path / 'forgetcast.db'}")
    Table.metadata.create_all(database.engine)
    yield database
    database.close()


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> Database:
    """Either database: what runs on one must run on the other."""
    found: Database = request.getfixturevalue(f"{request.param}_database")
    return found


@pytest.fixture(scope="session")
def redis_url() -> str:
    client = redis.Redis.from_url(REDIS, socket_timeout=3, socket_connect_timeout=3)
    try:
        client.ping()
    except redis.RedisError as error:
        _absent("Redis", error)
    finally:
        client.close()
    return REDIS


@pytest.fixture
def redis_queue(redis_url: str) -> Iterator[RedisQueue]:
    """A queue under a prefix of its own; what is left in it goes away with the test."""
    prefix = f"forgetcast-test-{uuid.uuid4().hex[:12]}:"
    queue = RedisQueue(redis_url, prefix)
    yield queue
    queue.close()
    client = redis.Redis.from_url(redis_url)
    for key in client.scan_iter(f"{prefix}*"):
        client.delete(key)
    client.close()


@pytest.fixture(params=["none", "redis"])
def queue(request: pytest.FixtureRequest) -> NoQueue | RedisQueue:
    """No queue and Redis, which a worker must not tell apart."""
    if request.param == "none":
        return NoQueue()
    found: RedisQueue = request.getfixturevalue("redis_queue")
    return found
