"""Any order of statements, with the stale fences of zombies among them, against a model of five lines a rule."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise

import hypothesis
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule, run_state_machine_as_test

from forgetcast.errors import JobEnded
from forgetcast.schemas import JobState
from service.storage import jobs
from service.storage.attempts import list_attempts
from service.storage.database import Database, now
from service.storage.events import list_events
from service.storage.jobs import Beat, Claimed
from service.storage.tables import Event, Job, JobAttempt
from tests.storage.rows import add_job

LEASE = timedelta(hours=1)
TERMINAL = {"succeeded", "failed", "cancelled"}
LEGAL = {
    ("queued", "running"),
    ("queued", "cancelled"),
    ("running", "queued"),
    ("running", "succeeded"),
    ("running", "failed"),
    ("running", "cancelled"),
}


@dataclass
class Expected:
    """What the model knows of a job."""

    priority: int
    state: str = "queued"
    attempt: int = 0
    fence: int = 0
    cancel: bool = False
    path: list[str] = field(default_factory=lambda: ["queued"])

    def move(self, state: str) -> None:
        self.state = state
        self.path.append(state)

    def end_attempt(self, *, permanent: bool = False) -> str:
        spent = permanent or self.attempt >= 3
        self.move("cancelled" if self.cancel else "failed" if spent else "queued")
        return self.state


class JobMachine(RuleBasedStateMachine):
    """Every claim ever made may still beat, finish or release: the fence must tell the living from the dead."""

    submitted = Bundle("submitted")
    claims = Bundle("claims")

    def __init__(self, database: Database) -> None:
        super().__init__()
        self.database = database
        self.expected: dict[str, Expected] = {}
        self.touched: str | None = None
        with database.transaction() as session:
            session.execute(sa.delete(Event))
            session.execute(sa.delete(JobAttempt))
            session.execute(sa.delete(Job))

    def holds(self, claim: Claimed) -> Expected | None:
        self.touched = claim.job_id
        found = self.expected[claim.job_id]
        return found if found.state == "running" and found.fence == claim.fence else None

    @rule(target=submitted, priority=st.integers(0, 1))
    def submit(self, priority):
        with self.database.transaction() as session:
            job_id = add_job(session, priority=priority).id
        self.expected[job_id] = Expected(priority)
        self.touched = job_id
        return job_id

    @rule(target=claims)
    def claim(self):
        with self.database.transaction() as session:
            claim = jobs.claim(session, "worker", ["any"], LEASE)
        waiting = [(-job.priority, job_id) for job_id, job in self.expected.items() if job.state == "queued"]
        if claim is None:
            assert not waiting
            return multiple()
        assert claim.job_id == min(waiting)[1]
        self.touched = claim.job_id
        job = self.expected[claim.job_id]
        job.attempt, job.fence = job.attempt + 1, job.fence + 1
        job.move("running")
        assert (claim.attempt, claim.fence) == (job.attempt, job.fence)
        return claim

    @rule(claim=claims)
    def beat(self, claim):
        with self.database.transaction() as session:
            verdict = jobs.beat(session, claim.job_id, claim.fence, LEASE, None)
        job = self.holds(claim)
        assert verdict is (Beat.LOST if job is None else Beat.CANCEL if job.cancel else Beat.HELD)

    @rule(claim=claims)
    def finish(self, claim):
        with self.database.transaction() as session:
            finished = jobs.finish(session, claim.job_id, claim.fence, {})
        job = self.holds(claim)
        assert finished == (job is not None and not job.cancel)
        if finished and job is not None:
            job.move("succeeded")

    @rule(claim=claims, permanent=st.booleans())
    def release(self, claim, permanent):
        error = {"code": "io", "detail": "disk"}
        with self.database.transaction() as session:
            state = jobs.release(session, claim.job_id, claim.fence, error, permanent=permanent)
        job = self.holds(claim)
        assert state == (None if job is None else job.end_attempt(permanent=permanent))

    @rule(claim=claims)
    def give_back(self, claim):
        with self.database.transaction() as session:
            state = jobs.give_back(session, claim.job_id, claim.fence)
        job = self.holds(claim)
        if job is not None:
            job.attempt -= not job.cancel
            job.move("cancelled" if job.cancel else "queued")
        assert state == (None if job is None else job.state)

    @rule(job_id=submitted)
    def cancel(self, job_id):
        self.touched = job_id
        job = self.expected[job_id]
        with self.database.transaction() as session:
            if job.state in TERMINAL:
                with pytest.raises(JobEnded):
                    jobs.cancel(session, job_id)
                return
            jobs.cancel(session, job_id)
        job.cancel = True
        if job.state == "queued":
            job.move("cancelled")

    @rule(job_id=submitted)
    def a_lease_passes_and_the_reaper_comes(self, job_id):
        self.touched = job_id
        with self.database.transaction() as session:
            session.execute(sa.update(Job).where(Job.id == job_id).values(lease_until=now() - 1))
            reaped = jobs.reap(session)
        job = self.expected[job_id]
        assert reaped == ([job_id] if job.state == "running" else [])
        if reaped:
            job.fence += 1
            job.end_attempt()

    @invariant()
    def the_job_is_as_expected_and_every_step_was_legal_and_told(self):
        if self.touched is not None:
            self.check(self.touched)

    def teardown(self):
        """At the end every job, for a statement may have changed another one than it was asked to."""
        for job_id in self.expected:
            self.check(job_id)

    def check(self, job_id):
        expected = self.expected[job_id]
        with self.database.read() as session:
            found = jobs.get_job(session, job_id)
            events = list_events(session, job_id, 0, 1000)
            outcomes = [entry.outcome for entry in list_attempts(session, job_id)]
        assert (found.state, found.attempt, found.fence) == (expected.state, expected.attempt, expected.fence)
        assert found.attempt <= found.max_attempts
        assert (found.finished_at is not None) == JobState(found.state).terminal
        path = [event.data["state"] for event in events if event.type == "state"]
        assert path == expected.path
        assert set(pairwise(path)) <= LEGAL
        assert len(outcomes) == path.count("running")
        assert outcomes.count(None) == (expected.state == "running")
        assert outcomes.count("succeeded") == (expected.state == "succeeded")


def run_machine(database: Database, *, max_examples: int, steps: int, seed: int | None = None) -> None:
    """So many runs of so many steps; the same ones for the same seed."""

    def machine() -> JobMachine:
        return JobMachine(database)

    chosen = settings(
        max_examples=max_examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    factory = machine if seed is None else hypothesis.seed(seed)(machine)
    run_state_machine_as_test(factory, settings=chosen)  # type: ignore[arg-type]  # any factory will do


def test_no_order_of_statements_breaks_a_job(database):
    run_machine(database, max_examples=10, steps=30)
