"""The API under load: reads beside a bare `def` route, uploads and downloads, submissions, overload.

    python -m benchmarks.load [--database postgresql+psycopg://…]

The service runs as in production, with API keys, in a process of its own; the generator and the bare routes share its
cores. Ratios are medians over pairs of slices of half a second, taken in turn, so that what else the machine does
reaches both; beside each stands the ratio of processor time per request, which a crowded machine does not change.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import psutil

from benchmarks import load_generator as load
from benchmarks import load_world
from benchmarks.load_world import World

LINKS = 8
K = (5, 10, 20, 30, 40, 50, 60, 70, 80, 100)
SLICE = 0.5  # seconds
SUBMISSIONS = 2000
CELL_POSTS = 50
N_STREAMS = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", default="", help="SQLAlchemy URL; SQLite in a temporary folder without")
    parser.add_argument("--examples", type=int, default=141_816)
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--tasks", type=int, default=50)
    parser.add_argument("--pairs", type=int, default=12, help="pairs of slices of each ratio")
    parser.add_argument("--overload", type=float, default=60.0, help="seconds")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="forgetcast-load-") as folder:
        home = Path(folder)
        with load_world.database(chosen.database, home) as url:
            world = World(home, url, load_world.make_key(url))
            with load_world.served(world):
                load_world.build(world, chosen.examples, chosen.rows, chosen.tasks)
                _print_building(world)
            with load_world.served(world):  # again, so that nothing is in memory
                _print_cold(world)
                _print_downloads(world)
                _print_ratios(world, chosen.pairs)
                _print_rate(world)
                _print_cells(world, chosen.examples)
                _print_submissions(world)
                _print_streams(world)
                _print_overload(world, chosen.overload)


def _print_building(world: World) -> None:
    for what, seconds in world.seconds.items():
        print(f"{what}: {seconds:.1f} s")
    print(f"memory of the service after the upload: {world.peaks['upload'] >> 20} MiB at most", flush=True)


def _print_cold(world: World) -> None:
    """Each task's first read in this process."""
    tally = load.all_of(world.port, iter([_forgotten(world, task, 20) for task in world.tasks]), links=1)
    _say("cold, first read of each task", tally)


def _print_downloads(world: World) -> None:
    before = world.memory()
    with world.client() as client:
        for path in ("forgetting.npy", "forgetting.parquet", "forgetting.jsonl"):
            start = time.perf_counter()
            with client.stream("GET", f"/v1/tasks/{world.tasks[0]}/{path}") as answer:
                n_bytes = sum(len(chunk) for chunk in answer.iter_bytes())
            print(f"{path}: {time.perf_counter() - start:.2f} s, {n_bytes / 1e6:.1f} MB")
        start = time.perf_counter()
        with client.stream("GET", "/v1/matrices/matrix/rows.npy") as answer:
            n_bytes = sum(len(chunk) for chunk in answer.iter_bytes())
        print(f"rows.npy: {time.perf_counter() - start:.2f} s, {n_bytes / 1e6:.1f} MB")
    print(f"memory of the service: {before >> 20} MiB before, {world.peak() >> 20} MiB at most", flush=True)


def _print_cells(world: World, n_examples: int) -> None:
    """Thirty cells for a task without any, each time another; the answer is its forecast, computed anew."""
    draws, body, process = random.Random(1), {"setting": {}, "recipe": load_world.RECIPE}, _process(world)
    took, spent = [], []
    with world.client() as client:
        for number in range(CELL_POSTS):
            task = {"id": f"cells-{number}", "matrix": "matrix", "measure": "none"}
            client.post("/v1/tasks", json=task).raise_for_status()
            cells = [
                {"example_id": f"dolma/{place:06d}", "forgetting": draws.gauss(0.05, 0.05)}
                for place in draws.sample(range(n_examples), load_world.N_PROBES)
            ]
            before, start = sum(process.cpu_times()[:2]), time.perf_counter()
            client.post(f"/v1/tasks/cells-{number}/measurements", json={**body, "cells": cells}).raise_for_status()
            took.append(1000 * (time.perf_counter() - start))
            spent.append(1000 * (sum(process.cpu_times()[:2]) - before))
    print(
        f"{load_world.N_PROBES} posted cells: median {statistics.median(took):.1f} ms, most {max(took):.1f} ms; "
        f"processor time {statistics.mean(spent):.1f} ms",
        flush=True,
    )


def _print_streams(world: World) -> None:
    """Reads beside a thousand streams of jobs that wait, and beside as many of a bare route, both open all the time."""
    port = load_world.free_port()
    with world.client() as client:
        page = client.get("/v1/tasks", params={"limit": 1000}).json()["data"]
    jobs = [task["job"] for task in page if task["job"] is not None]
    events = "text/event-stream"
    streams = _repeated([load.get(f"/v1/jobs/{job}/events", world.key, accept=events) for job in jobs])
    bare_streams = _repeated([load.get("/stream", accept=events)])
    command = [sys.executable, "-m", "benchmarks.bare", str(port), str(world.home / "bodies")]
    with load_world.running(command, port, "/unchanged"):
        ours, bare = load.beside_streams(
            [
                (world.port, _reads(world), streams),
                (port, _repeated([load.get(f"/same/{k}") for k in K]), bare_streams),
            ],
            n_streams=N_STREAMS,
            per_second=100,
            seconds=5,
            turns=4,
        )
    _say(f"warm at 100 a second beside {N_STREAMS} streams of {len(jobs)} jobs", ours)
    _say(f"  a bare route beside {N_STREAMS} bare streams", bare)
    print(f"  p99 is {ours.milliseconds(0.99) / bare.milliseconds(0.99):.2f} times that of the bare route", flush=True)


def _print_ratios(world: World, n_pairs: int) -> None:
    bodies, port, etag = world.home / "bodies", load_world.free_port(), ""
    bodies.mkdir()
    with world.client() as client:
        for k in K:
            answer = client.get(f"/v1/tasks/{world.tasks[0]}/forgotten?k={k}", headers={"Accept-Encoding": "identity"})
            (bodies / str(k)).write_bytes(answer.content)
            etag = answer.headers["etag"]
    load.as_fast_as_answered(world.port, _reads(world), links=LINKS, seconds=6 * SLICE)  # every answer is in memory
    with load_world.running(
        [sys.executable, "-m", "benchmarks.bare", str(port), str(bodies)], port, "/unchanged"
    ) as bare:
        bare_process = psutil.Process(bare.pid)
        for what, ours, theirs in (
            ("warm `forgotten`", lambda: _reads(world), lambda: _repeated([load.get(f"/same/{k}") for k in K])),
            ("ETag hit", lambda: _reads(world, etag), lambda: _repeated([load.get("/unchanged")])),
        ):
            _print_pairs(what, n_pairs, (world.port, _process(world), ours), (port, bare_process, theirs))


Side = tuple[int, psutil.Process, Callable[[], Iterator[bytes]]]


def _print_pairs(what: str, n_pairs: int, ours: Side, theirs: Side) -> None:
    rates: list[tuple[float, float]] = []
    costs: list[tuple[float, float]] = []
    statuses: Counter[int] = Counter()
    for _ in range(n_pairs):
        (rate, cost, seen), (bare_rate, bare_cost, _seen) = _slice(ours), _slice(theirs)
        rates.append((rate, bare_rate))
        costs.append((cost, bare_cost))
        statuses += seen
    ratio = statistics.median(own / bare for own, bare in rates)
    cost_ratio = statistics.median(bare / own for own, bare in costs)
    print(
        f"{what}: {ratio:.0%} of a bare route's requests per second "
        f"({statistics.median(own for own, _ in rates):.0f} of {statistics.median(bare for _, bare in rates):.0f}); "
        f"processor time {1e6 * statistics.median(own for own, _ in costs):.0f} us a request, "
        f"bare {1e6 * statistics.median(bare for _, bare in costs):.0f} us ({cost_ratio:.0%}); {dict(statuses)}",
        flush=True,
    )


def _slice(side: Side) -> tuple[float, float, Counter[int]]:
    """Requests per second, processor seconds a request, statuses."""
    port, process, requests = side
    before = process.cpu_times()
    tally = load.as_fast_as_answered(port, requests(), links=LINKS, seconds=SLICE)
    after = process.cpu_times()
    spent = after.user + after.system - before.user - before.system
    return tally.rate, spent / len(tally.latencies), tally.statuses


def _print_rate(world: World) -> None:
    _say("warm at 100 a second", load.at_rate(world.port, _reads(world), per_second=100, seconds=20))


def _print_submissions(world: World) -> None:
    content = b'{"text": "one line of a data set"}\n'
    digest = sha256(content).hexdigest()
    with world.client() as client:
        client.put(f"/v1/datasets/{digest}", content=content).raise_for_status()
        wanted = [{"id": f"job-{n}", "matrix": "matrix", "dataset": digest, "seed": n} for n in range(SUBMISSIONS)]
        posts = (load.post("/v1/tasks", json.dumps(task).encode(), world.key) for task in wanted)
        _say(f"{SUBMISSIONS} submissions from {LINKS} clients", load.all_of(world.port, posts, links=LINKS))
        stored, cursor = set(), None
        while True:
            page = client.get("/v1/tasks", params={"limit": 1000, **({"cursor": cursor} if cursor else {})}).json()
            stored |= {task["id"] for task in page["data"] if task["job"] is not None}
            cursor = page["next_cursor"]
            if cursor is None:
                break
    print(f"  lost: {SUBMISSIONS - len(stored & {task['id'] for task in wanted})}", flush=True)


def _print_overload(world: World, seconds: float) -> None:
    """Forecasts at levels nobody asked for before, so each is computed; five times as many as can be."""
    capacity = load.as_fast_as_answered(world.port, _computed(world), links=LINKS, seconds=5).rate
    tally = load.at_rate(world.port, _computed(world), per_second=5 * capacity, seconds=seconds)
    _say(f"overload, {5 * capacity:.0f} forecasts a second where {capacity:.0f} can be computed", tally)
    time.sleep(5)
    _say("  5 s later, warm at 100 a second", load.at_rate(world.port, _reads(world), per_second=100, seconds=5))
    print(f"  memory of the service: {world.peak() >> 20} MiB at most", flush=True)


def _say(what: str, tally: load.Tally) -> None:
    print(
        f"{what}: p50 {tally.milliseconds(0.5):.1f} ms, p99 {tally.milliseconds(0.99):.1f} ms, "
        f"{tally.rate:.0f}/s, {dict(tally.statuses)}",
        flush=True,
    )


def _reads(world: World, etag: str = "") -> Iterator[bytes]:
    draws = random.Random(0)
    requests = [_forgotten(world, task, k, etag) for task in world.tasks for k in K]
    while True:
        yield draws.choice(requests)


def _computed(world: World) -> Iterator[bytes]:
    draws = random.Random()
    while True:
        level = draws.uniform(0.5, 0.99)
        yield load.get(f"/v1/tasks/{draws.choice(world.tasks)}/forgotten?k=20&level={level}", world.key)


def _repeated(requests: list[bytes]) -> Iterator[bytes]:
    draws = random.Random(0)
    while True:
        yield draws.choice(requests)


def _forgotten(world: World, task: str, k: int, etag: str = "") -> bytes:
    return load.get(f"/v1/tasks/{task}/forgotten?k={k}", world.key, etag)


def _process(world: World) -> psutil.Process:
    assert world.process is not None
    return world.process


if __name__ == "__main__":
    main()
