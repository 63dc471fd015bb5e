"""`forgetcast worker` on a database that is not ready, and on one that is."""

import json
import signal
from datetime import timedelta

import httpx2
import pytest
from click.testing import CliRunner

from service.settings import Settings
from service.storage import jobs
from service.storage.database import Database
from service.storage.schema import migrate
from tests.storage.rows import add_job
from tests.test_end_to_end import forgetcast, free_port
from tests.workers.supervised import eventually
from workers.commands import ANY_HARDWARE, worker
from workers.host.running import stop_on_signal


@pytest.fixture
def home(tmp_path, monkeypatch):
    for name in ("FORGETCAST_DATABASE_URL", "FORGETCAST_REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FORGETCAST_HOME", str(tmp_path))
    monkeypatch.setenv("FORGETCAST_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("workers.host.gpu.LIST_GPUS", ("no-such-tool",))
    return tmp_path


@pytest.fixture(autouse=True)
def signal_handlers():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_the_command_line_and_the_jobs_mean_the_same_hardware():
    assert ANY_HARDWARE == jobs.ANY_HARDWARE


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


@pytest.mark.parametrize(
    ("gpus", "devices", "said"),
    [("all", 3, "does not divide the 4 GPUs"), ("any", 5, "needs as many GPUs, and there are 4")],
)
def test_devices_that_there_are_not_are_refused_in_one_line(home, monkeypatch, gpus, devices, said):
    monkeypatch.setenv("FORGETCAST_SIMULATED_GPUS", "4")
    database = Database(Settings().database)
    migrate(database)
    database.close()
    ended = CliRunner().invoke(worker, ["--gpus", gpus, "--devices", str(devices)])
    assert ended.exit_code == 1
    assert said in ended.output and len(ended.output.splitlines()) == 1


def test_gpus_are_shared_out_to_workers_by_as_many_as_a_job_has(home, monkeypatch):
    monkeypatch.setenv("FORGETCAST_SIMULATED_GPUS", "4")
    database = Database(Settings().database)
    migrate(database)
    database.close()
    started = []
    monkeypatch.setattr("workers.host.running.Member", lambda gpu, arguments: started.append((gpu, arguments)))
    monkeypatch.setattr("workers.host.running.run_fleet", lambda members, stop, **how: 0)
    assert CliRunner().invoke(worker, ["--gpus", "all", "--devices", "2"]).exit_code == 0
    assert [gpu for gpu, _arguments in started] == ["SIMULATED-0,SIMULATED-1", "SIMULATED-2,SIMULATED-3"]
    assert all(arguments[arguments.index("--devices") + 1] == "2" for _gpu, arguments in started)


def test_a_signal_stops_the_worker_and_a_second_ctrl_c_ends_it():
    stop = stop_on_signal()
    signal.raise_signal(signal.SIGTERM)
    assert stop.is_set()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_a_worker_without_jobs_puts_back_what_dead_ones_left_and_leaves_the_rest(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'forgetcast.db'}")
    migrate(database)
    with database.transaction() as session:
        lost = add_job(session).id
        claimed = jobs.claim(session, "dead", ["any"], timedelta(0))
        assert claimed is not None and claimed.job_id == lost
        waiting = add_job(session).id

    def states():
        with database.read() as session:
            return [jobs.get_job(session, job_id).state for job_id in (lost, waiting)]

    port = str(free_port())
    arguments = ("worker", "--no-jobs", "--poll", "0.1", "--metrics-port", port)
    with forgetcast(tmp_path, *arguments, FORGETCAST_LEASE="PT1S") as process:
        eventually(lambda: states() == ["queued", "queued"])
        page = httpx2.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
        assert process.poll() is None
    assert "forgetcast_jobs_reaped_total 1.0" in page
    assert 'forgetcast_jobs_total{code="worker_lost",status="queued"} 1.0' in page
    lines = [json.loads(line) for line in (tmp_path / "worker.log").read_text().splitlines()]
    (change,) = [line for line in lines if "state" in line]
    assert (change["event"], change["job_id"], change["code"]) == ("job queued", lost, "worker_lost")
    assert process.returncode == 0
    with database.read() as session:
        assert jobs.get_job(session, lost).attempt == 1  # nobody has begun a second
    database.close()


def test_one_job_and_no_jobs_exclude_each_other(home):
    ended = CliRunner().invoke(worker, ["--once", "--no-jobs"])
    assert ended.exit_code == 2 and "leave one of them out" in ended.output
