"""`forgetcast worker` on a database that is not ready, and on one that is."""

import signal

import pytest
from click.testing import CliRunner

from service.settings import Settings
from service.storage.database import Database
from service.storage.schema import migrate
from workers.commands import stop_on_signal, worker


@pytest.fixture
def home(tmp_path, monkeypatch):
    for name in ("FORGETCAST_DATABASE_URL", "FORGETCAST_REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FORGETCAST_HOME", str(tmp_path))
    monkeypatch.setenv("FORGETCAST_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("workers.commands.take_gpu", lambda: None)
    return tmp_path


@pytest.fixture(autouse=True)
def signal_handlers():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_database_without_tables_is_refused_in_one_line(home):
    ended = CliRunner().invoke(worker, ["--once"])
    assert ended.exit_code == 1
    assert "forgetcast migrate" in ended.output and len(ended.output.splitlines()) == 1


def test_a_worker_without_work_ends_when_asked_for_one_turn(home):
    database = Database(Settings().database)
    migrate(database)
    database.close()
    ended = CliRunner().invoke(worker, ["--once", "--hardware", "a100", "--hardware", "any", "--poll", "0.1"])
    assert ended.exit_code == 0, ended.output


def test_a_signal_stops_the_worker_and_a_second_ctrl_c_ends_it():
    stop = stop_on_signal()
    signal.raise_signal(signal.SIGTERM)
    assert stop.is_set()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
