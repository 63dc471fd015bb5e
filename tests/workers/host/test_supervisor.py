"""The supervisor over real child processes that need no model."""

import io
import json
import logging
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from forgetcast.errors import DatabaseUnavailable, ModelMismatch, WriteConflict
from service.logs import formatter
from service.operations.job_material import store_result
from service.storage import jobs
from service.storage.attempts import list_attempts
from service.storage.database import now
from service.storage.events import list_events
from service.storage.tables import BaseValues, Job, KnownRow, Measurement
from service.storage.workers import list_workers
from tests.storage.rows import N_EXAMPLES, add_job
from tests.workers.processes import alive
from tests.workers.supervised import SHORT, child_pids, eventually, make_supervisor


def submit(database, **wanted):
    with database.transaction() as session:
        return add_job(session, **wanted).id


def row(database, job_id):
    with database.read() as session:
        return jobs.get_job(session, job_id)


def events(database, job_id):
    with database.read() as session:
        return list(list_events(session, job_id, 0, 100))


def cancel(database, job_id):
    with database.transaction() as session:
        jobs.cancel(session, job_id)


def measured(database):
    with database.read() as session:
        return list(session.scalars(sa.select(Measurement)))


def attempts(database, job_id):
    with database.read() as session:
        return list(list_attempts(session, job_id))


def take_away(session, job_id):
    """What happens to a worker that was cut off: its lease runs out, and another's reaper comes."""
    session.execute(sa.update(Job).where(Job.id == job_id).values(lease_until=now() - 1))
    assert jobs.reap(session) == [job_id]


@contextmanager
def running(supervisor):
    """The supervisor's loop in a thread; stopped at the end."""
    stop = threading.Event()
    thread = threading.Thread(target=supervisor.run, args=(stop,))
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


def run_once(supervisor):
    supervisor.run(threading.Event(), once=True)


def left_over(tmp_path):
    return list((tmp_path / "jobs").glob("*"))


def test_a_job_that_succeeds_leaves_its_measurement_and_nothing_else(database, tmp_path):
    job_id = submit(database)
    run_once(make_supervisor(database, tmp_path, "succeed"))
    job = row(database, job_id)
    assert (job.state, job.attempt, job.error) == ("succeeded", 1, None)
    assert job.report is not None and job.report["seconds"] == {"measure": 0.1}
    (measurement,) = measured(database)
    assert np.frombuffer(measurement.forgetting, "<f4").tolist() == [0.5] * N_EXAMPLES
    with database.read() as session:
        assert session.scalars(sa.select(KnownRow)).one().row_version == 1
        assert np.frombuffer(session.scalars(sa.select(BaseValues)).one().log_perplexity, "<f4").tolist() == [1.0] * 3
    assert left_over(tmp_path) == []


def test_what_the_child_says_becomes_events(database, tmp_path):
    job_id = submit(database)
    run_once(make_supervisor(database, tmp_path, "succeed"))
    told = events(database, job_id)
    assert [(event.level, event.message) for event in told if event.type == "message"] == [
        ("warn", "one line is left out")
    ]
    progress = [event.data for event in told if event.type == "progress"]
    assert progress[-1] == {"phase": "measure", "step": 2, "total": 2, "loss": None, "eta_s": 0.0, "attempt": 1}
    assert row(database, job_id).progress["phase"] == "measure"
    assert told[-1].data == {"state": "succeeded", "attempt": 1}


def test_an_error_that_the_child_names_fails_the_job_at_once_when_it_is_permanent(sqlite_database, tmp_path):
    job_id = submit(sqlite_database)
    run_once(make_supervisor(sqlite_database, tmp_path, "fail:bad_dataset"))
    job = row(sqlite_database, job_id)
    assert (job.state, job.error) == ("failed", {"code": "bad_dataset", "detail": "as told"})
    assert measured(sqlite_database) == [] and left_over(tmp_path) == []


def test_a_child_that_gets_no_further_is_stopped_though_it_is_alive_and_its_lease_renewed(sqlite_database, tmp_path):
    timing = replace(SHORT, stall=timedelta(seconds=1))
    for behaviour in ("hang", "chatter"):
        job_id = submit(sqlite_database)
        run_once(make_supervisor(sqlite_database, tmp_path, behaviour, timing=timing))
        job = row(sqlite_database, job_id)
        assert (job.state, job.error["code"]) == ("queued", "stalled")
        assert "phase 'fine_tune'" in job.error["detail"]
        cancel(sqlite_database, job_id)


def test_a_full_gpu_is_tried_once_more(sqlite_database, tmp_path):
    job_id = submit(sqlite_database)
    supervisor = make_supervisor(sqlite_database, tmp_path, "fail:gpu_oom")
    run_once(supervisor)
    assert row(sqlite_database, job_id).state == "queued"
    run_once(supervisor)
    job = row(sqlite_database, job_id)
    assert (job.state, job.attempt, job.error["code"]) == ("failed", 2, "gpu_oom")


def test_the_attempt_after_a_full_gpu_splits_its_batches_also_when_another_failure_lies_between(
    sqlite_database, tmp_path
):
    submit(sqlite_database)
    seen = []
    for behaviour in ("fail:gpu_oom", "fail:io", "succeed"):
        run_once(make_supervisor(sqlite_database, tmp_path, behaviour))
        seen.append(json.loads((tmp_path / "order.json").read_bytes())["split"])
    assert seen == [1, 2, 2]


@pytest.mark.parametrize(
    ("behaviour", "code", "status"),
    [
        ("die:SIGKILL", "host_oom", -9),
        ("die:SIGSEGV", "internal", -11),
        ("exit:3", "internal", 3),
        ("truncate", "io", 0),
    ],
)
def test_a_child_that_dies_is_tried_again(sqlite_database, tmp_path, behaviour, code, status):
    job_id = submit(sqlite_database)
    run_once(make_supervisor(sqlite_database, tmp_path, behaviour))
    job = row(sqlite_database, job_id)
    assert (job.state, job.attempt, job.error["code"]) == ("queued", 1, code)
    (attempt,) = attempts(sqlite_database, job_id)
    assert attempt.outcome == code and attempt.exit_status == status and attempt.max_rss > 1_000_000
    assert measured(sqlite_database) == []


def test_a_job_that_always_kills_its_child_ends_and_the_worker_goes_on(sqlite_database, tmp_path):
    poison = submit(sqlite_database)
    supervisor = make_supervisor(sqlite_database, tmp_path, "die:SIGKILL")
    for _ in range(3):
        run_once(supervisor)
    job = row(sqlite_database, poison)
    assert (job.state, job.attempt, job.error["code"]) == ("failed", 3, "attempts_exhausted")
    assert "host_oom" in job.error["detail"]
    other = submit(sqlite_database)
    run_once(supervisor)
    assert row(sqlite_database, other).attempt == 1


def test_a_model_that_has_changed_starts_no_child(sqlite_database, tmp_path):
    def changed(model, revision):
        raise ModelMismatch("other files")

    job_id = submit(sqlite_database)
    run_once(make_supervisor(sqlite_database, tmp_path, "succeed", model_folder=changed))
    assert row(sqlite_database, job_id).error == {"code": "model_mismatch", "detail": "other files"}
    assert not (tmp_path / "pids").exists()


def test_a_cancelled_job_ends_within_five_seconds_with_all_its_processes(database, tmp_path):
    job_id = submit(database)
    with running(make_supervisor(database, tmp_path, "family")):
        pids = child_pids(tmp_path)
        assert len(pids) == 2 and all(map(alive, pids))
        cancel(database, job_id)
        eventually(lambda: row(database, job_id).state == "cancelled", 5)
        assert not any(map(alive, pids))
    assert measured(database) == []


def test_a_child_that_ignores_sigterm_is_killed_after_the_grace_time(sqlite_database, tmp_path):
    job_id = submit(sqlite_database)
    with running(make_supervisor(sqlite_database, tmp_path, "stubborn")):
        (pid,) = child_pids(tmp_path)
        cancel(sqlite_database, job_id)
        asked = time.monotonic()
        eventually(lambda: row(sqlite_database, job_id).state == "cancelled")
        assert time.monotonic() - asked >= SHORT.stop_grace.total_seconds()
        assert not alive(pid)


def test_a_job_that_runs_into_its_deadline_is_stopped_and_fails(sqlite_database, tmp_path):
    with sqlite_database.read() as session:
        time_now = session.scalar(sa.select(now()))
    job_id = submit(sqlite_database, deadline=time_now + 2)
    run_once(make_supervisor(sqlite_database, tmp_path, "hang"))
    job = row(sqlite_database, job_id)
    assert (job.state, job.error["code"]) == ("failed", "deadline")
    assert left_over(tmp_path) == []


def test_a_worker_that_lost_its_lease_kills_its_child(database, tmp_path):
    job_id = submit(database)
    with running(make_supervisor(database, tmp_path, "hang")):
        (pid,) = child_pids(tmp_path)
        with database.transaction() as session:
            take_away(session, job_id)
            heir = jobs.claim(session, "heir", ["any"], SHORT.lease)
        eventually(lambda: not alive(pid), 5)
    job = row(database, job_id)
    assert heir is not None
    assert (job.state, job.lease_owner, job.fence) == ("running", "heir", heir.fence)


def test_a_result_that_comes_after_the_lease_was_lost_is_thrown_away(database, tmp_path):
    job_id = submit(database)

    def lose_the_lease(model, revision):
        with database.transaction() as session:
            take_away(session, job_id)
        return tmp_path

    run_once(make_supervisor(database, tmp_path, "succeed", model_folder=lose_the_lease))
    assert row(database, job_id).state == "queued"
    assert measured(database) == []
    assert [folder.name for folder in left_over(tmp_path)] == [job_id]  # for the next attempt here


def test_a_cancel_that_comes_before_the_result_wins(sqlite_database, tmp_path):
    job_id = submit(sqlite_database)

    def cancelled_meanwhile(model, revision):
        cancel(sqlite_database, job_id)
        return tmp_path

    run_once(make_supervisor(sqlite_database, tmp_path, "succeed", model_folder=cancelled_meanwhile))
    assert row(sqlite_database, job_id).state == "cancelled"
    assert measured(sqlite_database) == []


def test_jobs_of_one_task_are_told_the_same_place_for_its_fine_tuned_weights(sqlite_database, tmp_path):
    def place(timing):
        run_once(make_supervisor(sqlite_database, tmp_path, "succeed", timing=timing))
        return Path(json.loads((tmp_path / "order.json").read_bytes())["weights_folder"])

    kept = replace(SHORT, keep_weights=timedelta(hours=1))
    with sqlite_database.transaction() as session:
        task_id = add_job(session).task_id
    first = place(kept)
    assert first.parent == tmp_path / "weights"
    with sqlite_database.transaction() as session:
        jobs.insert_job(session, task_id=task_id, measure="full", positions=None)
    assert place(kept) == first
    with sqlite_database.transaction() as session:
        job_id = jobs.insert_job(session, task_id=task_id, measure="full", positions=None).id
    assert place(SHORT) == tmp_path / "jobs" / job_id / "weights"  # gone with the job


def test_base_values_are_kept_before_the_job_ends_and_however_it_does(database, tmp_path):
    job_id = submit(database)

    def base_values():
        with database.read() as session:
            kept = session.scalars(sa.select(BaseValues)).first()
            return None if kept is None else np.frombuffer(kept.log_perplexity, "<f4").tolist()

    with running(make_supervisor(database, tmp_path, "base_only")):
        assert eventually(base_values) == [1.0] * N_EXAMPLES
        assert row(database, job_id).state == "running"
        cancel(database, job_id)
        eventually(lambda: row(database, job_id).state == "cancelled")
    assert base_values() == [1.0] * N_EXAMPLES and measured(database) == []


def test_an_outage_of_the_database_costs_a_running_job_nothing(sqlite_database, tmp_path, monkeypatch):
    job_id = submit(sqlite_database)
    go, transaction = tmp_path / "go", sqlite_database.transaction

    def away():
        raise DatabaseUnavailable("away")

    with running(make_supervisor(sqlite_database, tmp_path, f"wait_for:{go}")):
        child_pids(tmp_path)
        monkeypatch.setattr(sqlite_database, "transaction", away)
        go.touch()
        time.sleep(1.5)
        assert row(sqlite_database, job_id).state == "running"
        monkeypatch.setattr(sqlite_database, "transaction", transaction)
        eventually(lambda: row(sqlite_database, job_id).state == "succeeded")
    assert row(sqlite_database, job_id).attempt == 1
    assert len(measured(sqlite_database)) == 1


@pytest.mark.parametrize("passing", [DatabaseUnavailable("it takes no writes just now"), WriteConflict()])
def test_a_result_that_cannot_be_written_just_now_is_written_later(sqlite_database, tmp_path, monkeypatch, passing):
    job_id = submit(sqlite_database)
    refused: list[int] = []

    def once(*arguments):
        if not refused:
            refused.append(1)
            raise passing
        return store_result(*arguments)

    monkeypatch.setattr("workers.host.supervisor.store_result", once)
    run_once(make_supervisor(sqlite_database, tmp_path, "succeed"))
    assert refused and (row(sqlite_database, job_id).state, row(sqlite_database, job_id).attempt) == ("succeeded", 1)


def test_a_job_that_cannot_be_read_just_now_is_given_back(sqlite_database, tmp_path, monkeypatch):
    job_id = submit(sqlite_database)

    def away(*arguments):
        raise DatabaseUnavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr("workers.host.supervisor.read_job_material", away)
        run_once(make_supervisor(sqlite_database, tmp_path, "succeed"))
    assert [entry.outcome for entry in attempts(sqlite_database, job_id)] == ["given_back"]
    run_once(make_supervisor(sqlite_database, tmp_path, "succeed"))
    assert (row(sqlite_database, job_id).state, row(sqlite_database, job_id).attempt) == ("succeeded", 1)


def test_the_folder_of_a_job_that_ended_on_another_host_goes_soon(sqlite_database, tmp_path):
    job_id = submit(sqlite_database)
    with running(make_supervisor(sqlite_database, tmp_path, "save")):  # gives it back, and keeps what it has saved
        eventually((tmp_path / "ready").exists)
    with sqlite_database.transaction() as session:
        claimed = jobs.claim(session, "another host", ["any"], timedelta(minutes=1))
        assert claimed is not None and claimed.job_id == job_id
    timing = replace(SHORT, sweep=timedelta(seconds=0.3))
    with running(make_supervisor(sqlite_database, tmp_path, "exit:3", timing=timing)):
        time.sleep(1)
        assert [folder.name for folder in left_over(tmp_path)] == [job_id]
        with sqlite_database.transaction() as session:
            assert jobs.finish(session, job_id, claimed.fence, {})
        eventually(lambda: left_over(tmp_path) == [], 10)


def test_a_result_that_finds_no_database_survives_the_worker(sqlite_database, tmp_path, monkeypatch):
    """Written by the next worker on this host under the same fence: no child, and no attempt more."""
    job_id = a_result_that_was_left(sqlite_database, tmp_path, monkeypatch)
    assert row(sqlite_database, job_id).state == "running"
    run_once(make_supervisor(sqlite_database, tmp_path, "exit:3"))
    job = row(sqlite_database, job_id)
    assert (job.state, job.attempt) == ("succeeded", 1)
    assert len(measured(sqlite_database)) == 1 and left_over(tmp_path) == []
    assert [entry.outcome for entry in attempts(sqlite_database, job_id)] == ["succeeded"]


def test_a_result_that_was_left_behind_is_taken_up_by_the_next_attempt(sqlite_database, tmp_path, monkeypatch):
    job_id = a_result_that_was_left(sqlite_database, tmp_path, monkeypatch)
    with sqlite_database.transaction() as session:
        take_away(session, job_id)
    run_once(make_supervisor(sqlite_database, tmp_path, "exit:3"))
    job = row(sqlite_database, job_id)
    assert (job.state, job.attempt) == ("succeeded", 2)
    assert len(measured(sqlite_database)) == 1 and left_over(tmp_path) == []


def test_a_result_that_was_damaged_on_the_disk_is_made_again(sqlite_database, tmp_path, monkeypatch):
    job_id = a_result_that_was_left(sqlite_database, tmp_path, monkeypatch)
    (tmp_path / "jobs" / job_id / "blocks" / "after-00000.npy").write_bytes(b"half")
    with sqlite_database.transaction() as session:
        take_away(session, job_id)
    run_once(make_supervisor(sqlite_database, tmp_path, "succeed"))
    assert row(sqlite_database, job_id).state == "succeeded" and (tmp_path / "pids").exists()


def a_result_that_was_left(database, tmp_path, monkeypatch):
    """A job whose child has finished while the database was away, and whose worker was stopped then."""
    job_id = submit(database)
    go, transaction = tmp_path / "go", database.transaction

    def away():
        raise DatabaseUnavailable("away")

    with running(make_supervisor(database, tmp_path, f"wait_for:{go}")) as stop:
        child_pids(tmp_path)
        monkeypatch.setattr(database, "transaction", away)
        go.touch()
        eventually((tmp_path / "jobs" / job_id / "result.json").exists)
        stop.set()
    monkeypatch.setattr(database, "transaction", transaction)
    (tmp_path / "pids").unlink()
    return job_id


def test_a_worker_that_is_cut_off_for_too_long_lets_its_child_save_and_gives_the_job_back(
    sqlite_database, tmp_path, monkeypatch
):
    job_id = submit(sqlite_database)
    transaction = sqlite_database.transaction

    def away():
        raise DatabaseUnavailable("away")

    timing = replace(SHORT, max_outage=timedelta(seconds=1))
    with running(make_supervisor(sqlite_database, tmp_path, "save", timing=timing)):
        eventually((tmp_path / "ready").exists)
        monkeypatch.setattr(sqlite_database, "transaction", away)
        eventually((tmp_path / "jobs" / job_id / "saved").exists)
        monkeypatch.setattr(sqlite_database, "transaction", transaction)
        # The state may be missed: the same worker claims the job again at once.
        eventually(lambda: "given_back" in [entry.outcome for entry in attempts(sqlite_database, job_id)])


def test_a_result_that_cannot_be_stored_fails_the_attempt_and_not_the_worker(sqlite_database, tmp_path, monkeypatch):
    def broken(*arguments):
        raise RuntimeError("no")

    monkeypatch.setattr("service.operations.job_material.record_measurement", broken)
    job_id = submit(sqlite_database)
    run_once(make_supervisor(sqlite_database, tmp_path, "succeed"))
    job = row(sqlite_database, job_id)
    assert (job.state, job.error["code"], job.report) == ("queued", "internal", None)


@contextmanager
def supervisor_process(url, folder, behaviour):
    command = [sys.executable, "-m", "tests.workers.supervised", url, str(folder), behaviour]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_supervisor_that_is_killed_takes_its_child_and_what_that_started_along(sqlite_database, tmp_path):
    submit(sqlite_database)
    url = sqlite_database.url.render_as_string()
    with supervisor_process(url, tmp_path, "family") as process:
        pids = child_pids(tmp_path)
        assert len(pids) == 2 and all(map(alive, pids))
        process.kill()
        eventually(lambda: not any(map(alive, pids)), 2)


def test_a_killed_supervisors_job_is_run_again_by_another(database, tmp_path):
    job_id = submit(database)
    url = database.url.render_as_string(hide_password=False)
    with supervisor_process(url, tmp_path, "hang") as process:
        child_pids(tmp_path)
        process.kill()
    with running(make_supervisor(database, tmp_path, "succeed")):
        eventually(lambda: row(database, job_id).state == "succeeded", 4 * SHORT.lease.total_seconds())
    assert row(database, job_id).attempt == 2
    assert "worker_lost" in [event.data.get("code") for event in events(database, job_id)]
    assert len(measured(database)) == 1


def test_sigterm_gives_the_job_back_without_costing_an_attempt(database, tmp_path):
    job_id = submit(database)
    url = database.url.render_as_string(hide_password=False)
    with supervisor_process(url, tmp_path, "hang") as process:
        (pid,) = child_pids(tmp_path)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert not alive(pid)
    job = row(database, job_id)
    assert (job.state, job.attempt, job.error) == ("queued", 0, None)


def test_a_worker_that_is_stopped_lets_its_child_save_what_it_has(sqlite_database, tmp_path):
    job_id = submit(sqlite_database)
    with running(make_supervisor(sqlite_database, tmp_path, "save")):
        eventually((tmp_path / "ready").exists)
    assert (row(sqlite_database, job_id).state, row(sqlite_database, job_id).attempt) == ("queued", 0)
    assert (tmp_path / "jobs" / job_id / "saved").exists()
    (attempt,) = attempts(sqlite_database, job_id)
    assert (attempt.outcome, attempt.exit_status) == ("given_back", 75)


def test_a_child_that_ends_within_the_grace_time_of_its_worker_has_done_its_job(sqlite_database, tmp_path):
    job_id = submit(sqlite_database)
    with running(make_supervisor(sqlite_database, tmp_path, "finish_when_asked")):
        eventually((tmp_path / "ready").exists)
    assert row(sqlite_database, job_id).state == "succeeded"
    assert len(measured(sqlite_database)) == 1


def test_a_child_that_does_not_leave_is_killed_after_the_grace_time(sqlite_database, tmp_path):
    job_id = submit(sqlite_database)
    with running(make_supervisor(sqlite_database, tmp_path, "deaf")):
        (pid,) = child_pids(tmp_path)
    assert not alive(pid)
    assert (row(sqlite_database, job_id).state, row(sqlite_database, job_id).attempt) == ("queued", 0)


def test_a_worker_is_listed_while_it_lives_and_with_its_job(database, tmp_path):
    def listed():
        with database.read() as session:
            return [seen.worker for seen in list_workers(session, SHORT.lease)]

    go = tmp_path / "go"
    with running(make_supervisor(database, tmp_path, f"wait_for:{go}", hardware=["a100"])):
        (idle,) = eventually(listed)
        assert idle.job_id is None and idle.hardware == ["a100", "any"]
        job_id = submit(database)
        eventually(lambda: listed()[0].job_id == job_id)
        go.touch()
        eventually(lambda: row(database, job_id).state == "succeeded")
        eventually(lambda: listed()[0].job_id is None)
    assert listed() == []


@pytest.fixture
def log_lines():
    """The log of this process as a worker would write it, each line as its fields."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(formatter(as_json=True))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    root.removeHandler(handler)
    root.setLevel(level)


def test_every_change_of_a_job_is_one_log_line_with_its_ids_and_its_error(sqlite_database, tmp_path, log_lines):
    job_id = submit(sqlite_database)
    run_once(make_supervisor(sqlite_database, tmp_path, "fail:bad_dataset"))
    changes = [line for line in log_lines() if "state" in line]
    assert [(line["event"], line["attempt"], line.get("code")) for line in changes] == [
        ("job queued", 0, None),
        ("job running", 1, None),
        ("job failed", 1, "bad_dataset"),
    ]
    assert {line["job_id"] for line in changes} == {job_id}
    assert {line["task_id"] for line in changes} == {row(sqlite_database, job_id).task_id}
    assert changes[-1]["level"] == "error"
    assert "as told" not in json.dumps(log_lines())  # an error's detail may quote the user's data
