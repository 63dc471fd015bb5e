"""The database: SQLite or Postgres behind `read()` and `transaction()`, one commit at the edge."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar, overload

import psycopg
import sqlalchemy as sa
from psycopg.conninfo import make_conninfo
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session as Session  # re-exported: the layers above name it, and import no SQLAlchemy
from sqlalchemy.sql.functions import FunctionElement

from forgetcast.errors import ConfigurationError, DatabaseUnavailable
from service.storage.failures import first_line, is_read_only, meaning, unstorable
from service.storage.postgres import ImpatientConnection, with_limit

BUSY_SECONDS = 10.0  # for which a writer of SQLite waits for another
WRITES = {"forgetcast_writes": True}
AFTER_COMMIT = "forgetcast_after_commit"

POSTGRES = "postgresql+psycopg"
SPOKEN = {"postgres": POSTGRES, "postgresql": POSTGRES}  # as platforms hand them out
SQLITE = b"SQLite format 3\0"  # how the file begins
NAME_A_FILE = (
    "name a file that can be made or is a database (FORGETCAST_DATABASE_URL, or FORGETCAST_HOME for its folder)"
)
FORMS = "write postgresql+psycopg://USER:PASSWORD@HOST:5432/DATABASE or sqlite:////FOLDER/FILE.db"
Row = TypeVar("Row", bound=object)


class Database:
    """An engine and the ways into it. Threads may share it; sessions they may not."""

    def __init__(self, url: str, *, pool_size: int = 20, patience: timedelta | None = timedelta(seconds=10)) -> None:
        """`patience`: how long Postgres may be silent, and a connection be waited for; None: as long as it takes.

        Raises ConfigurationError for a URL that names no database which Forgetcast can use.
        """
        self.url = _usable(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.patience = patience
        self._writing = Lock()
        if self.is_sqlite:
            self.engine = _sqlite_engine(self.url)
        else:
            self.engine = _postgres_engine(self.url, pool_size, patience)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session for reading; whatever it changed is rolled back."""
        with self._session({}) as session:
            yield session

    @contextmanager
    def statement(self) -> Iterator[sa.Connection]:
        """A connection for one statement that reads, without what a session costs."""
        with self._connection({}) as connection:
            yield connection

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A session whose changes are committed together at the end, or not at all when anything is raised."""
        with self._turn(), self._session(WRITES) as session:
            yield session
            session.commit()
            for act in session.info.pop(AFTER_COMMIT, ()):
                act()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One writer of SQLite at a time, for its own waiting sleeps and looks again, whoever came first.

        Eight threads that wrote at once did 186 transactions a second, the slowest in 2.4 s; in turn 883 and 0.2 s.
        """
        if not self.is_sqlite:
            yield
            return
        if not self._writing.acquire(timeout=BUSY_SECONDS):
            raise DatabaseUnavailable("another transaction is writing", retry_after=1)
        try:
            yield
        finally:
            self._writing.release()

    @contextmanager
    def _session(self, options: dict[str, Any]) -> Iterator[Session]:
        with (
            self._connection(options) as connection,
            Session(connection, expire_on_commit=False) as session,
        ):
            yield session

    @contextmanager
    def _connection(self, options: dict[str, Any]) -> Iterator[sa.Connection]:
        try:
            with answering(), self.engine.connect().execution_options(**options) as connection:
                yield connection
        except (OverflowError, UnicodeEncodeError) as error:  # before it came to the database
            raise unstorable() from error

    def close(self) -> None:
        self.engine.dispose()


def insert(session: Session, row: Row) -> Row:
    """Add a row, and read what the database fills in by itself: its clock, defaults."""
    session.add(row)
    session.flush()
    session.refresh(row)
    return row


def after_commit(session: Session, act: Callable[[], None]) -> None:
    """Call `act`, which must not fail, once this session's transaction is committed; never when it is rolled back."""
    session.info.setdefault(AFTER_COMMIT, []).append(act)


@contextmanager
def answering() -> Iterator[None]:
    """Raises what a driver's error means, and DatabaseUnavailable where the pool has given up on the driver."""
    try:
        yield
    except DBAPIError as error:
        told = meaning(error)
        if told is None:
            raise
        raise told from error
    except sa.exc.TimeoutError as error:
        raise DatabaseUnavailable("every connection to the database is in use", retry_after=1) from error


def _usable(text: str) -> sa.URL:
    """The URL with the driver that is installed. No error quotes it, nor is chained to one: it may hold a password."""
    try:
        url = sa.make_url(text)
        url = url.set(drivername=SPOKEN.get(url.drivername, url.drivername))
        if url.drivername not in (POSTGRES, "sqlite"):
            raise ConfigurationError(f"FORGETCAST_DATABASE_URL begins with {url.drivername}://; {FORMS}")
        arguments = url.get_dialect()().create_connect_args(url)[1]
        if url.drivername == POSTGRES:
            make_conninfo(**arguments)
    except (sa.exc.ArgumentError, ValueError):
        raise ConfigurationError(f"FORGETCAST_DATABASE_URL is no URL of a database; {FORMS}") from None
    except psycopg.ProgrammingError as error:
        raise ConfigurationError(f"FORGETCAST_DATABASE_URL: {first_line(error)}; {FORMS}") from None
    return url


def _postgres_engine(url: sa.URL, pool_size: int, patience: timedelta | None) -> sa.Engine:
    seconds = None if patience is None else patience.total_seconds()
    engine = sa.create_engine(
        url,
        pool_size=pool_size,
        pool_pre_ping=True,
        pool_timeout=seconds,
        isolation_level="READ COMMITTED",
        hide_parameters=True,  # of a failed statement: they hold what users sent, and errors are logged
    )

    @sa.event.listens_for(engine, "handle_error")
    def _leave(context: Any) -> None:
        # Who was the primary is none any more; the URL, or whatever stands behind it, leads to the one that is.
        context.is_disconnect = context.is_disconnect or is_read_only(context.original_exception)

    @sa.event.listens_for(engine, "do_connect")
    def _connect(_dialect: Any, _record: Any, arguments: list[Any], given: dict[str, Any]) -> ImpatientConnection:
        connection = ImpatientConnection.connect(*arguments, **with_limit(given, seconds))
        connection.patience = seconds
        return connection

    return engine


def _sqlite_engine(url: sa.URL) -> sa.Engine:
    file = sqlite_file(url)
    if file is not None:
        _check_file(file)
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_SECONDS}, hide_parameters=True)

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver would begin transactions late, and never IMMEDIATE
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute(f"PRAGMA busy_timeout={1000 * BUSY_SECONDS:.0f}")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        # IMMEDIATE: a transaction that reads first and writes later fails at once when another has written meanwhile.
        writes = connection.get_execution_options().get("forgetcast_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def sqlite_file(url: sa.URL) -> Path | None:
    """The file of a SQLite database; None of one in memory, and of Postgres."""
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return None
    return None if url.database.startswith("file:") else Path(url.database)


def _check_file(file: Path) -> None:
    """Make the file's folder. Raises ConfigurationError, saying what to do, for a path that can be no database."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.is_dir():
            raise ConfigurationError(f"{file} is a folder; {NAME_A_FILE}")
        with suppress(FileNotFoundError), file.open("rb") as opened:
            if opened.read(len(SQLITE)) not in (SQLITE, b""):
                raise ConfigurationError(f"{file} is no SQLite database; {NAME_A_FILE}")
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be the database: {error.strerror}; {NAME_A_FILE}") from error


class now(FunctionElement[float]):
    """Seconds since 1970 by the database's clock: the only clock that leases are measured on."""

    type = sa.Double()
    inherit_cache = True


@compiles(now, "sqlite")
def _now_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(now, "postgresql")
def _now_postgres(element: Any, compiler: Any, **options: Any) -> str:
    return "extract(epoch from clock_timestamp())::double precision"


def seconds_up(session: Session) -> float:
    """How long the database server has been running; SQLite has none that could be restarted."""
    if session.get_bind().dialect.name == "sqlite":
        return math.inf
    up = sa.text("SELECT extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())::double precision")
    return float(session.scalar(up) or 0.0)


def seconds_now(session: Session) -> float:
    """Seconds since 1970 by the database's clock."""
    return float(session.scalar(sa.select(now())) or 0.0)


def takes_writes(session: Session) -> bool:
    """Whether the database could be written just now; a standby, or one that is being promoted, is only read."""
    if session.get_bind().dialect.name == "sqlite":
        return True
    return bool(session.scalar(sa.text("SELECT current_setting('transaction_read_only') = 'off'")))


@overload
def moment(seconds: float) -> datetime: ...
@overload
def moment(seconds: None) -> None: ...
@overload
def moment(seconds: float | None) -> datetime | None: ...
def moment(seconds: float | None) -> datetime | None:
    """A stored time as a UTC datetime."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
