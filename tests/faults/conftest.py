"""Servers, proxies and deployments for the fault tests, and the table fault -> test -> result."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from service.storage.database import Database
from tests.faults.deployment import Deployment, closing, make_world
from tests.faults.faults import FAULTS
from tests.faults.servers import ServerMissing
from tests.faults.stage import Servers, own_servers

HERE = Path(__file__).parent
_results: dict[str, tuple[tuple[int, ...], str, float]] = {}


@pytest.fixture(scope="session")
def session_servers() -> Iterator[Servers]:
    try:
        with own_servers() as servers:
            yield servers
    except ServerMissing as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(str(missing))
        pytest.skip(str(missing))


@pytest.fixture
def servers(session_servers: Servers) -> Iterator[Servers]:
    """The servers, up and reachable; whatever a test did to them is undone after it."""
    yield session_servers
    session_servers.heal()


@pytest.fixture
def deployment(servers: Servers, tmp_path: Path) -> Iterator[Deployment]:
    """A fresh database on Postgres, and a Redis; every process reaches both by way of the proxies."""
    with closing(servers.deploy(tmp_path)) as made:
        yield made


@pytest.fixture
def embedded(session_servers: Servers, tmp_path: Path) -> Iterator[Deployment]:
    """A fresh SQLite database and no queue."""
    (tmp_path / "embedded").mkdir()
    home = session_servers.home_in(tmp_path / "embedded")
    url = f"sqlite:///{home / 'forgetcast.db'}"
    database = Database(url)
    make_world(database, home)
    with closing(Deployment(home=home, database_url=url, database=database)) as made:
        yield made


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
    for number, fault in FAULTS.items():
        found = [(name, outcome, took) for name, (numbers, outcome, took) in _results.items() if number in numbers]
        if found:
            terminalreporter.write_line(f"{number:>2}  {fault}")
        for name, outcome, took in found:
            terminalreporter.write_line(
                f"      {name.removeprefix('test_').replace('_', ' ')}: {outcome}, {took:.1f} s"
            )
