"""One contract over SQLite and Postgres: the six statements, each alone and against each other."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from forgetcast.errors import JobActive, JobEnded, JobNotFound, WriteConflict
from forgetcast.schemas import JobState
from service.storage import jobs
from service.storage.attempts import ChildEnd, list_attempts
from service.storage.database import Database, now
from service.storage.events import list_events
from service.storage.jobs import Beat, Claimed
from service.storage.tables import Job
from tests.storage.rows import add_job, add_task

LEASE = timedelta(seconds=60)
ERROR = {"code": "io", "detail": "the disk is full"}
PROGRESS = {"phase": "measure", "step": 1, "total": 2, "loss": None, "eta_s": None}


def submit(database: Database, **wanted) -> str:
    with database.transaction() as session:
        return add_job(session, **wanted).id


def claim(database: Database, *hardware: str) -> Claimed | None:
    with database.transaction() as session:
        return jobs.claim(session, "worker", hardware, LEASE)


def claimed(database: Database, **wanted) -> Claimed:
    submit(database, **wanted)
    found = claim(database)
    assert found is not None
    return found


def release(database: Database, job: Claimed, error=ERROR, *, permanent=False, backoff=timedelta(0)) -> JobState | None:
    with database.transaction() as session:
        return jobs.release(session, job.job_id, job.fence, error, permanent=permanent, backoff=backoff)


def finish(database: Database, job: Claimed) -> bool:
    with database.transaction() as session:
        return jobs.finish(session, job.job_id, job.fence, {"seconds": {"measure": 1.0}})


def beat(database: Database, job: Claimed, progress=None) -> Beat:
    with database.transaction() as session:
        return jobs.beat(session, job.job_id, job.fence, LEASE, progress)


def cancel(database: Database, job_id: str) -> JobState:
    with database.transaction() as session:
        return jobs.cancel(session, job_id)


def reap(database: Database) -> list[str]:
    with database.transaction() as session:
        return jobs.reap(session)


def expire(database: Database, job_id: str) -> None:
    """Let more than one lease pass for this job."""
    with database.transaction() as session:
        session.execute(sa.update(Job).where(Job.id == job_id).values(lease_until=now() - 1))


def row(database: Database, job_id: str) -> Job:
    with database.read() as session:
        return jobs.get_job(session, job_id)


def states(database: Database, job_id: str) -> list[str]:
    with database.read() as session:
        events = list_events(session, job_id, 0, 100)
    return [event.data["state"] for event in events if event.type == "state"]


def test_a_job_runs_from_queued_to_succeeded_and_every_step_is_an_event(database):
    job = claimed(database)
    assert beat(database, job, PROGRESS) is Beat.HELD
    assert finish(database, job)
    ended = row(database, job.job_id)
    assert (ended.state, ended.attempt, ended.lease_owner) == ("succeeded", 1, None)
    assert ended.report == {"seconds": {"measure": 1.0}} and ended.progress == PROGRESS and ended.error is None
    assert ended.started_at is not None and ended.finished_at is not None
    assert ended.created_at <= ended.started_at <= ended.finished_at
    assert states(database, job.job_id) == ["queued", "running", "succeeded"]


def test_a_task_has_one_active_job(database):
    with database.transaction() as session:
        task = add_task(session)
        order: dict[str, Any] = {"task_id": task.id, "measure": "full", "positions": None}
        first = jobs.insert_job(session, **order)
        with pytest.raises(JobActive, match=first.id):
            jobs.insert_job(session, **order)
        jobs.cancel(session, first.id)
        second = jobs.insert_job(session, **order)
    assert row(database, second.id).state == "queued"


def test_a_job_of_an_unknown_task_is_no_active_job(database):
    with pytest.raises(WriteConflict), database.transaction() as session:
        jobs.insert_job(session, task_id="absent", measure="full", positions=None)


def test_an_unknown_job_is_not_found(database):
    with pytest.raises(JobNotFound):
        row(database, "job_0")
    with pytest.raises(JobNotFound):
        cancel(database, "job_0")


def test_claimers_never_get_the_same_job(database):
    wanted = {submit(database) for _ in range(12)}
    found: list[str] = []

    def work() -> None:
        while (job := claim(database)) is not None:
            found.append(job.job_id)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(found) == 12 and set(found) == wanted


def test_the_higher_priority_goes_first_and_then_the_older_job(database):
    low, first, second = (submit(database, priority=priority) for priority in (-1, 5, 5))
    assert [job.job_id for job in (claim(database), claim(database), claim(database)) if job] == [first, second, low]
    assert claim(database) is None


def test_a_job_waits_for_its_hardware_and_any_runs_anywhere(database):
    special, common = submit(database, hardware="a100"), submit(database)
    job = claim(database, "cpu")
    assert job is not None and job.job_id == common
    assert claim(database, "any") is None
    job = claim(database, "cpu", "a100")
    assert job is not None and job.job_id == special


def test_a_released_job_waits_for_its_time(database):
    job = claimed(database)
    assert release(database, job, backoff=timedelta(minutes=1)) == "queued"
    assert claim(database) is None
    with database.transaction() as session:
        session.execute(sa.update(Job).values(not_before=now() - 1))
    again = claim(database)
    assert again is not None and (again.attempt, again.fence, again.past) == (2, 2, ("io",))


def test_a_failed_attempt_is_tried_again_until_attempts_are_exhausted(database):
    job = claimed(database)
    assert release(database, job) == "queued"
    for attempt in (2, 3):
        again = claim(database)
        assert again is not None and again.attempt == attempt
        ended = release(database, again)
    assert ended == "failed"
    error = row(database, job.job_id).error
    assert error is not None and error["code"] == "attempts_exhausted" and error["last_code"] == "io"
    assert "io: the disk is full" in error["detail"]
    assert claim(database) is None


def test_a_permanent_error_is_not_tried_again(database):
    job = claimed(database)
    assert release(database, job, permanent=True) == "failed"
    assert row(database, job.job_id).error == ERROR


def test_a_job_given_back_has_lost_no_attempt(database):
    job = claimed(database)
    with database.transaction() as session:
        assert jobs.give_back(session, job.job_id, job.fence) == "queued"
    again = claim(database)
    assert again is not None and (again.attempt, again.fence) == (1, 2)
    assert beat(database, job) is Beat.LOST


def test_an_expired_lease_is_reaped_and_the_zombie_changes_nothing(database):
    zombie = claimed(database)
    assert reap(database) == []
    expire(database, zombie.job_id)
    assert reap(database) == [zombie.job_id]
    reaped = row(database, zombie.job_id)
    assert reaped.state == "queued" and reaped.fence > zombie.fence
    assert reaped.error is not None and reaped.error["code"] == "worker_lost"
    for _ in range(2):  # first while the job waits, then while another worker has it
        assert beat(database, zombie, PROGRESS) is Beat.LOST
        assert not finish(database, zombie)
        assert release(database, zombie) is None
        with database.transaction() as session:
            assert jobs.give_back(session, zombie.job_id, zombie.fence) is None
        heir = claim(database)
    assert heir is None
    assert row(database, zombie.job_id).state == "running"
    assert row(database, zombie.job_id).progress is None
    assert states(database, zombie.job_id) == ["queued", "running", "queued", "running"]


def test_a_beat_keeps_the_lease(database):
    job = claimed(database)
    expire(database, job.job_id)
    assert beat(database, job) is Beat.HELD
    assert reap(database) == []


def test_a_job_whose_workers_die_ends_after_its_last_attempt(database):
    job_id = submit(database)
    for _ in range(3):
        assert claim(database) is not None
        expire(database, job_id)
        assert reap(database) == [job_id]
    error = row(database, job_id).error
    assert error is not None and error["code"] == "attempts_exhausted" and "worker_lost" in error["detail"]


def test_cancel_of_a_waiting_job_is_immediate(database):
    job_id = submit(database)
    assert cancel(database, job_id) == "cancelled"
    assert claim(database) is None
    assert row(database, job_id).finished_at is not None


def test_cancel_of_a_running_job_reaches_its_worker_and_wins_over_its_result(database):
    job = claimed(database)
    assert cancel(database, job.job_id) == "running"
    assert cancel(database, job.job_id) == "running"
    assert beat(database, job) is Beat.CANCEL
    assert not finish(database, job)
    assert release(database, job) == "cancelled"
    assert row(database, job.job_id).error is None


def test_cancel_of_a_dead_workers_job_is_done_by_the_reaper(database):
    job = claimed(database)
    cancel(database, job.job_id)
    expire(database, job.job_id)
    assert reap(database) == [job.job_id]
    assert row(database, job.job_id).state == "cancelled"


def test_cancel_wins_over_giving_back(database):
    job = claimed(database)
    cancel(database, job.job_id)
    with database.transaction() as session:
        assert jobs.give_back(session, job.job_id, job.fence) == "cancelled"


def test_an_ended_job_stays_as_it_is(database):
    succeeded = claimed(database)
    assert finish(database, succeeded)
    failed = claimed(database)
    release(database, failed, permanent=True)
    cancelled = claimed(database)
    cancel(database, cancelled.job_id)
    release(database, cancelled)
    for job, state in ((succeeded, "succeeded"), (failed, "failed"), (cancelled, "cancelled")):
        with pytest.raises(JobEnded, match=state):
            cancel(database, job.job_id)
        assert beat(database, job) is Beat.LOST
        assert not finish(database, job)
        assert release(database, job) is None
        assert row(database, job.job_id).state == state
    assert reap(database) == [] and claim(database) is None


def test_a_job_past_its_deadline_is_not_started_and_fails(database):
    with database.read() as session:
        time = session.scalar(sa.select(now()))
    assert time is not None
    late, early = submit(database, deadline=time - 1), submit(database, deadline=time + 60)
    job = claim(database)
    assert job is not None and job.job_id == early
    assert job.seconds_left is not None and 50 < job.seconds_left <= 60
    assert reap(database) == [late]
    error = row(database, late).error
    assert error is not None and error["code"] == "deadline"


def test_events_are_read_on_from_any_of_them(database):
    job = claimed(database)
    beat(database, job, PROGRESS)
    with database.read() as session:
        first, second, third = list_events(session, job.job_id, 0, 10)
        assert [event.id for event in list_events(session, job.job_id, first.id, 1)] == [second.id]
        assert list_events(session, job.job_id, third.id, 10) == []
    assert third.type == "progress" and third.data == {**PROGRESS, "attempt": 1}


def test_every_claim_is_one_entry_in_the_log_of_attempts_that_says_how_it_ended(database):
    job = claimed(database)
    release(database, job)
    with database.transaction() as session:
        again = jobs.claim(session, "other", [], LEASE, gpu="GPU-1")
        assert again is not None and jobs.give_back(session, job.job_id, again.fence) == "queued"
    assert claim(database) is not None
    expire(database, job.job_id)
    reap(database)
    last = claim(database)
    assert last is not None
    with database.transaction() as session:
        assert jobs.finish(session, last.job_id, last.fence, {}, child=ChildEnd(0, 1 << 30))
        log = list_attempts(session, job.job_id)
    assert [(entry.attempt, entry.worker, entry.gpu, entry.outcome) for entry in log] == [
        (1, "worker", None, "io"),
        (2, "other", "GPU-1", "given_back"),
        (2, "worker", None, "worker_lost"),
        (3, "worker", None, "succeeded"),
    ]
    assert (log[0].detail, log[3].exit_status, log[3].max_rss) == ("the disk is full", 0, 1 << 30)
    assert all(entry.ended_at is not None and entry.started_at <= entry.ended_at for entry in log)


def test_a_message_with_bytes_that_postgres_refuses_is_stored(database):
    job = claimed(database)
    assert release(database, job, {"code": "internal", "detail": "a\0b\ud800c"}, permanent=True) == "failed"


def test_transactions_at_once_do_not_pass_the_cap_of_waiting_jobs(database):
    begun = threading.Barrier(8)

    def order(_):
        begun.wait(30)
        with database.transaction() as session:
            may = jobs.may_queue(session, "key", 3)
            if may:
                add_job(session, submitted_by="key")
            return may

    with database.transaction() as session:
        add_task(session)  # the matrix, which several at once would each make
    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(order, range(8))) == 3
