"""Servers, proxies and deployments for the fault tests, and the table fault -> test -> result."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from service.storage.database import Database
from tests.faults.deployment import Deployment, closing, make_home, make_world
from tests.faults.proxy import FaultProxy
from tests.faults.servers import Postgres, Redis, ServerMissing, stop_all

HERE = Path(__file__).parent
_results: dict[str, tuple[tuple[int, ...], str, float]] = {}


@dataclass(frozen=True)
class Servers:
    """The servers of this run, each behind its proxy, and a database on Postgres that the others are copied from."""

    postgres: Postgres
    redis: Redis
    to_postgres: FaultProxy
    to_redis: FaultProxy
    home: Path


@pytest.fixture(scope="session")
def own_servers() -> Iterator[Servers]:
    folder = Path(tempfile.mkdtemp(prefix="forgetcast-faults-"))
    folder.chmod(0o711)  # Postgres runs as another user
    servers: list[Postgres | Redis] = []
    try:
        postgres, redis = Postgres(folder), Redis(folder)
        servers += [postgres, redis]
        for server in servers:
            server.start()
        home = make_home(folder / "home")
        postgres.execute("CREATE DATABASE world")
        database = Database(postgres.url("world"))
        make_world(database, home)
        database.close()
        yield Servers(postgres, redis, FaultProxy(postgres.port), FaultProxy(redis.port), home)
    except ServerMissing as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(str(missing))
        pytest.skip(str(missing))
    finally:
        stop_all(*servers)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def servers(own_servers: Servers) -> Iterator[Servers]:
    """The servers, up and reachable; whatever a test did to them is undone after it."""
    yield own_servers
    for proxy in (own_servers.to_postgres, own_servers.to_redis):
        proxy.heal()
    own_servers.postgres.start()
    own_servers.redis.start()
    client = own_servers.redis.client()
    client.flushall()
    client.close()


@pytest.fixture
def deployment(servers: Servers, tmp_path: Path) -> Iterator[Deployment]:
    """A fresh database on Postgres, and a Redis; every process reaches both by way of the proxies."""
    name = f"fault_{uuid.uuid4().hex[:12]}"
    servers.postgres.execute(f"CREATE DATABASE {name} TEMPLATE world")
    made = Deployment(
        home=copied_home(servers, tmp_path),
        database_url=servers.postgres.url(name, servers.to_postgres.port),
        database=Database(servers.postgres.url(name)),
        redis_url=servers.redis.url(servers.to_redis.port),
    )
    with closing(made):
        yield made


@pytest.fixture
def embedded(own_servers: Servers, tmp_path: Path) -> Iterator[Deployment]:
    """A fresh SQLite database and no queue."""
    home = copied_home(own_servers, tmp_path)
    url = f"sqlite:///{home / 'forgetcast.db'}"
    database = Database(url)
    make_world(database, home)
    with closing(Deployment(home=home, database_url=url, database=database)) as made:
        yield made


def copied_home(servers: Servers, folder: Path) -> Path:
    home = folder / "home"
    home.mkdir()
    shutil.copy(servers.home / "models.toml", home)
    return home


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("faults")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    numbers = tuple(number for mark in item.iter_markers("fault") for number in mark.args)
    if report.when == "call" or (report.when == "setup" and not report.passed):
        reason = f": {report.longrepr[2]}" if isinstance(report.longrepr, tuple) else ""
        outcome = report.outcome + reason
        _results[item.name] = (numbers, outcome, report.duration)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _results:
        return
    terminalreporter.section("fault -> test -> result")
    rows = sorted((numbers or (999,), name, outcome, took) for name, (numbers, outcome, took) in _results.items())
    for numbers, name, outcome, took in rows:
        shown = " ".join(map(str, numbers)).replace("999", "-")
        terminalreporter.write_line(f"{shown:>8}  {name:<96}  {outcome}, {took:.1f} s")
