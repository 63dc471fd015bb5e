"""Minutes of random kills while jobs are submitted; at the end the ledger has to balance.

python -m tests.faults.soak --seconds 1800 --seed 1

Every 20 to 40 s one of two API replicas, three workers, Postgres and Redis is killed with SIGKILL, and started again
within 3 s, as a service manager does. Each submission is repeated under its own id until it is accepted.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from operator import methodcaller
from pathlib import Path
from statistics import median
from typing import Any

import httpx2
import psutil
import sqlalchemy as sa

from forgetcast.errors import DatabaseUnavailable
from service.storage.tables import Job, Measurement
from tests.faults.deployment import Api, Deployment, Running, closing, dataset
from tests.faults.ledger import TERMINAL
from tests.faults.servers import free_port
from tests.faults.stage import Servers, own_servers

BETWEEN_KILLS = (20.0, 40.0)  # seconds
DOWN = (0.3, 3.0)  # seconds until a killed component is started again
SUBMIT_EVERY = (0.5, 2.5)
SAMPLE_EVERY = 5.0
STANDSTILL = 300.0  # seconds in which, after the last submission, at least one job has to end
MOST_WAITING = 20  # jobs; beyond this nothing is submitted, so that a slow machine can follow
LEASE = {"FORGETCAST_LEASE": "PT15S"}
# What the children do, with how many in a hundred tasks.
BEHAVIOURS = {"slow:0.2": 60, "slow:2": 20, "slow:6": 10, "family": 3, "die:SIGKILL": 4, "fail:bad_dataset": 3}
NEVER_END = {"family"}  # these are cancelled
GROWTH = 1.25  # the last third of the time may need so much more than the middle third


@dataclass
class Component:
    """One process that a service manager keeps alive."""

    name: str
    start: Callable[[], Running]
    process: Running
    start_at: float = 0.0

    def kill(self, down: float) -> None:
        self.process.kill()
        self.start_at = time.monotonic() + down

    def keep_alive(self) -> None:
        if self.process.running:
            self.start_at = 0.0
        elif not self.start_at:  # it ended by itself: its database was down when it started
            self.start_at = time.monotonic() + 1
        elif time.monotonic() >= self.start_at:
            self.process, self.start_at = self.start(), 0.0


@dataclass
class Ledger:
    """What was submitted, what was asked to be cancelled, and what was seen meanwhile."""

    accepted: dict[str, str] = field(default_factory=dict)  # task -> behaviour
    answers: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    samples: list[dict[str, float]] = field(default_factory=list)


def soak(seconds: float, seed: int) -> dict[str, Any]:
    """Run for so long; a report. AssertionError: what did not hold."""
    with (
        own_servers() as servers,
        tempfile.TemporaryDirectory() as folder,
        closing(servers.deploy(Path(folder), proxied=False)) as deployment,
    ):
        ledger = _run(servers, deployment, seconds, seed)
        return _balance(deployment, ledger) | {"seconds": seconds, "seed": seed, "load": psutil.getloadavg()}


def _run(servers: Servers, deployment: Deployment, seconds: float, seed: int) -> Ledger:
    chance, ledger, stop = random.Random(seed), Ledger(), threading.Event()
    components = _start(deployment)
    submitting = ThreadPoolExecutor(1).submit(_submit, deployment, components, ledger, stop, random.Random(seed + 1))
    began = time.monotonic()
    kill_at, sample_at = began + chance.uniform(*BETWEEN_KILLS), began
    while time.monotonic() < began + seconds and not submitting.done():
        time.sleep(0.2)
        if time.monotonic() >= kill_at:
            _kill(chance, servers, components, ledger)
            kill_at = time.monotonic() + chance.uniform(*BETWEEN_KILLS)
        for component in components:
            component.keep_alive()
        if time.monotonic() >= sample_at:
            sample_at = time.monotonic() + SAMPLE_EVERY
            _sample(deployment, components, ledger)
    stop.set()
    while not submitting.done():
        time.sleep(0.2)
        for component in components:
            component.keep_alive()
    submitting.result()
    _settle(deployment, components)
    return ledger


def _start(deployment: Deployment) -> list[Component]:
    starts: dict[str, Callable[[], Running]] = {}
    for name in ("api-a", "api-b"):
        starts[name] = partial(deployment.start_api, port=free_port(), **LEASE)
    for name in ("worker-a", "worker-b", "worker-c"):
        starts[name] = partial(deployment.worker, host=name, **LEASE)
    return [Component(name, start, start()) for name, start in starts.items()]


def _kill(chance: random.Random, servers: Servers, components: list[Component], ledger: Ledger) -> None:
    name = chance.choice([*(component.name for component in components), "postgres", "redis"])
    ledger.kills[name] += 1
    down = chance.uniform(*DOWN)
    if name in ("postgres", "redis"):
        server = servers.postgres if name == "postgres" else servers.redis
        server.kill()
        time.sleep(down)
        server.start()
    else:
        next(component for component in components if component.name == name).kill(down)


def _submit(
    deployment: Deployment, components: list[Component], ledger: Ledger, stop: threading.Event, chance: random.Random
) -> None:
    number = 0
    while not stop.is_set():
        with suppress(DatabaseUnavailable):
            if _active(deployment) >= MOST_WAITING:
                stop.wait(1)
                continue
        number += 1
        behaviour = chance.choices(list(BEHAVIOURS), list(BEHAVIOURS.values()))[0]
        task = _accepted(components, ledger, chance, f"task-{number}", behaviour)
        if behaviour in NEVER_END:
            stop.wait(2)
            _insist(components, ledger, chance, methodcaller("cancel", task["job"]), {202, 409})
        stop.wait(chance.uniform(*SUBMIT_EVERY))


def _accepted(
    components: list[Component], ledger: Ledger, chance: random.Random, name: str, behaviour: str
) -> dict[str, Any]:
    content = dataset(behaviour)
    measure = "full" if chance.random() < 0.05 else "probe"
    answer = _insist(
        components, ledger, chance, lambda api: api.send_task(content, id=name, measure=measure), {200, 202}
    )
    ledger.accepted[name] = behaviour
    task: dict[str, Any] = answer.json()
    return task


def _insist(
    components: list[Component],
    ledger: Ledger,
    chance: random.Random,
    ask: Callable[[Api], httpx2.Response],
    wanted: set[int],
) -> httpx2.Response:
    """Ask one replica or the other until the answer is a wanted one; only an outage may stand in between."""
    while True:
        api = chance.choice(components[:2]).process
        assert isinstance(api, Api)
        try:
            answer = ask(api)
        except httpx2.TransportError as error:
            ledger.answers[type(error).__name__] += 1
        else:
            ledger.answers[str(answer.status_code)] += 1
            if answer.status_code in wanted:
                return answer
            assert answer.status_code in (429, 503), answer.text
        time.sleep(chance.uniform(0.1, 0.5))


def _sample(deployment: Deployment, components: list[Component], ledger: Ledger) -> None:
    """Descriptors and memory of the kinds of process, and the connections that Postgres holds."""
    seen: dict[str, float] = {}
    for component in components:
        kind = component.name.partition("-")[0]
        try:
            process = psutil.Process(component.process.pid)
            seen[f"{kind} descriptors"] = max(seen.get(f"{kind} descriptors", 0), process.num_fds())
            seen[f"{kind} MiB"] = max(seen.get(f"{kind} MiB", 0), process.memory_info().rss / 2**20)
        except psutil.Error:
            continue
    try:
        with deployment.database.read() as session:
            connections = sa.text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
            seen["connections"] = session.scalar(connections) or 0
    except DatabaseUnavailable:
        pass
    ledger.samples.append(seen)


def _settle(deployment: Deployment, components: list[Component]) -> None:
    """Wait until every job has ended."""
    left, changed_at = -1, time.monotonic()
    while left:
        for component in components:
            component.keep_alive()
        found = _active(deployment)
        if found != left:
            left, changed_at = found, time.monotonic()
        assert time.monotonic() < changed_at + STANDSTILL, f"{left} jobs do not end"
        time.sleep(0.5)


def _active(deployment: Deployment) -> int:
    with deployment.database.read() as session:
        active = sa.select(sa.func.count()).select_from(Job).where(Job.state.not_in(TERMINAL))
        return session.scalar(active) or 0


def _balance(deployment: Deployment, ledger: Ledger) -> dict[str, Any]:
    with deployment.database.read() as session:
        jobs = list(session.scalars(sa.select(Job)))
        measured = Counter(session.scalars(sa.select(Measurement.job_id)))
    assert {job.task_id for job in jobs} == set(ledger.accepted) and len(jobs) == len(ledger.accepted)
    assert measured == Counter(job.id for job in jobs if job.state == "succeeded")
    unlucky = []
    for job in jobs:
        assert job.state in TERMINAL and job.attempt <= job.max_attempts
        code, behaviour = (job.error or {}).get("code"), ledger.accepted[job.task_id]
        expected = {
            "die:SIGKILL": ("failed", "attempts_exhausted"),
            "fail:bad_dataset": ("failed", "bad_dataset"),
            "family": ("cancelled", None),
        }.get(behaviour, ("succeeded", None))
        if (job.state, code) != expected:
            unlucky.append(f"{job.task_id} {behaviour}: {job.state} {code}, expected {expected[0]}")
    beside = [start for start in deployment.starts() if start["beside"]]
    assert beside == [], beside
    return {
        "jobs": dict(Counter(job.state for job in jobs)),
        "attempts": dict(sorted(Counter(job.attempt for job in jobs).items())),
        "otherwise_than_told": unlucky,
        "kills": dict(ledger.kills),
        "answers": dict(ledger.answers),
        "growth": _growth(ledger.samples),
    }


def _growth(samples: list[dict[str, float]]) -> dict[str, list[float]]:
    """Median of each thing in the middle and in the last third of the time. AssertionError when it grows."""
    third = len(samples) // 3
    grown = {}
    for name in sorted({name for sample in samples for name in sample}):
        middle, last = (
            median(sample[name] for sample in part if name in sample)
            for part in (samples[third : 2 * third], samples[2 * third :])
        )
        grown[name] = [round(middle, 1), round(last, 1)]
        assert last <= GROWTH * middle + 2, f"{name} grew from {middle} to {last}"
    return grown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1800)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    json.dump(soak(chosen.seconds, chosen.seed), sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
