"""The queue as an operator or a waiting user sees it: what waits, what runs, and when the next job would start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from statistics import median

from forgetcast import schemas
from service.storage import waiting as storage
from service.storage.database import Session
from service.storage.jobs import ANY_HARDWARE
from service.storage.waiting import Group
from service.storage.workers import list_workers


@dataclass
class Place:
    """A live worker: what it takes, and in how many seconds it is free."""

    hardware: frozenset[str]
    free_in: float


def read_queue(session: Session, lease: timedelta) -> schemas.Queue:
    """The queue now. Starts are estimated: every job is taken to last as long as the median of the recent ones."""
    groups = storage.queued_groups(session)
    running = storage.running_jobs(session)
    durations = storage.recent_durations(session)
    job_seconds = median(durations) if durations else None
    places = _places(session, lease, {job.id: seconds for job, seconds in running}, job_seconds or 0.0)
    starts = [None] * len(groups) if job_seconds is None else estimate_starts(groups, places, job_seconds)
    return schemas.Queue(
        n_queued=sum(group.n_jobs for group in groups),
        n_running=len(running),
        oldest_age_s=max((group.oldest_age for group in groups), default=None),
        job_s=job_seconds,
        waiting=[
            schemas.WaitingJobs(
                hardware=group.hardware,
                priority=group.priority,
                n_jobs=group.n_jobs,
                oldest_age_s=group.oldest_age,
                starts_in_s=starts_in,
            )
            for group, starts_in in zip(groups, starts, strict=True)
        ],
        running=[
            schemas.RunningJob(
                job=job.id,
                task=job.task_id,
                hardware=job.hardware,
                worker=job.lease_owner or "",
                attempt=job.attempt,
                running_s=seconds,
                progress=None if job.progress is None else schemas.Progress.model_validate(job.progress),
            )
            for job, seconds in running
        ],
    )


def estimate_starts(groups: Sequence[Group], places: Sequence[Place], job_seconds: float) -> list[float | None]:
    """Seconds until one more job of each group would start; None where no live worker takes its hardware class.

    Groups are served in their order, each by the workers that are free first, as many at once as there are. `places`
    is used up: their `free_in` moves on.
    """
    starts: list[float | None] = []
    for group in groups:
        able = [place for place in places if group.hardware == ANY_HARDWARE or group.hardware in place.hardware]
        if not able:
            starts.append(None)
            continue
        level = _filled([place.free_in for place in able], group.n_jobs * job_seconds)
        for place in able:
            place.free_in = max(place.free_in, level)
        starts.append(min(place.free_in for place in able))
    return starts


def _filled(free_in: list[float], work: float) -> float:
    """Up to which time workers are busy when so many seconds of work are poured over those that are free first."""
    level, n_busy = 0.0, 0
    for time in sorted(free_in):
        room = (time - level) * n_busy
        if n_busy and room >= work:
            break
        work, level, n_busy = work - room, time, n_busy + 1
    return level + work / n_busy


def _places(session: Session, lease: timedelta, running: dict[str, float], job_seconds: float) -> list[Place]:
    places = []
    for seen in list_workers(session, lease):
        if seen.silent > lease.total_seconds():
            continue
        since = None if seen.worker.job_id is None else running.get(seen.worker.job_id)
        free_in = 0.0 if since is None else max(0.0, job_seconds - since)
        places.append(Place(frozenset(seen.worker.hardware), free_in))
    return places
