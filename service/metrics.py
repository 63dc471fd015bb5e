"""What Prometheus reads of this process: names, units and labels in one place. Values of labels come from a short list.

Counters count what this process did; add them up over all processes. What the database knows (queue, workers) is asked
when `/metrics` of an API process is read: every replica says the same there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.metadata import version
from threading import Lock

import prometheus_client as prometheus
from prometheus_client import Counter, Gauge, Histogram

from forgetcast.schemas import Queue, Worker

CONTENT_TYPE = prometheus.CONTENT_TYPE_PLAIN_0_0_4
VERSION = version("forgetcast")
OTHER = "other"
MOST_VALUES = 64  # of one label
LONG = (1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200)  # seconds of GPU work
SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)  # seconds of a request
MIDDLE = (0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 15, 30, 60, 300, 900)  # seconds of a fit

prometheus.disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series beside each counter
REGISTRY = prometheus.CollectorRegistry()
prometheus.ProcessCollector(registry=REGISTRY)
prometheus.GCCollector(registry=REGISTRY)

BUILD = Gauge("forgetcast_build_info", "1, with the version as a label.", ("version",), registry=REGISTRY)
BUILD.labels(VERSION).set(1)

REQUESTS = Counter(
    "http_requests_total", "Requests answered, by route template.", ("method", "handler", "status"), registry=REGISTRY
)
REQUEST_SECONDS = Histogram(
    "http_request_duration_seconds",
    "From a request's first byte to the last of its answer; waiting and event streams included.",
    ("method", "handler"),
    buckets=SHORT,
    registry=REGISTRY,
)
JOBS = Counter(
    "forgetcast_jobs_total",
    "Changes of jobs' states that this process wrote, with the code of the error that led there.",
    ("status", "code"),
    registry=REGISTRY,
)
JOB_SECONDS = Histogram(
    "forgetcast_job_duration_seconds",
    "Seconds of a succeeded attempt, by phase.",
    ("kind", "phase"),
    buckets=LONG,
    registry=REGISTRY,
)
PROBED = Counter(
    "forgetcast_probe_examples_total", "Upstream examples measured after fine-tuning.", ("kind",), registry=REGISTRY
)
RENEWALS = Counter(
    "forgetcast_lease_renewals_total",
    "Renewals of a job's lease: held, cancel (was asked), lost (another worker's by now), unavailable (no database).",
    ("outcome",),
    registry=REGISTRY,
)
REAPED = Counter(
    "forgetcast_jobs_reaped_total",
    "Jobs that this process took from silent workers, or ended past their deadline.",
    registry=REGISTRY,
)
COMPLETION_SECONDS = Histogram(
    "forgetcast_completion_duration_seconds",
    "Folding a row's measured cells into a fit, intervals included; rows already in memory are not counted.",
    ("method",),
    buckets=SHORT,
    registry=REGISTRY,
)
FIT_SECONDS = Histogram(
    "forgetcast_fit_duration_seconds", "Fitting one matrix version.", buckets=MIDDLE, registry=REGISTRY
)
BACKTEST_SECONDS = Histogram(
    "forgetcast_backtest_duration_seconds", "Back-testing one matrix version.", buckets=MIDDLE, registry=REGISTRY
)
FIT_FAILURES = Counter(
    "forgetcast_fit_failures_total",
    "Fits and back-tests that this worker saw fail, with the error's code.",
    ("kind", "code"),
    registry=REGISTRY,
)
WORKER_UP = Gauge("forgetcast_worker_up", "1 while this process works on jobs or waits for them.", registry=REGISTRY)
WORKER_SEEN = Gauge(
    "forgetcast_worker_last_heartbeat_timestamp_seconds",
    "When this worker last wrote its row into the database.",
    registry=REGISTRY,
)


class ShortList:
    """Keeps the values of a label few: what comes beyond the first 64 is `other`."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._lock = Lock()

    def __call__(self, value: str) -> str:
        with self._lock:
            if value in self._known or len(self._known) < MOST_VALUES:
                self._known.add(value)
                return value
        return OTHER


_codes, _phases = ShortList(), ShortList()


def count_request(method: str, route: str, status: int, seconds: float) -> None:
    """A request was answered; all three labels come from short lists."""
    requests, observed = _request_series(method, route, status)
    requests.inc()
    observed.observe(seconds)


@lru_cache(1024)
def _request_series(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    """Looked up once: finding them by their labels costs more than the counting."""
    return REQUESTS.labels(method, route, str(status)), REQUEST_SECONDS.labels(method, route)


def count_job(status: str, code: str | None) -> None:
    """A job has reached a state; `code` is the error that led there."""
    JOBS.labels(status, _codes(code) if code else "").inc()


def count_fit_failure(kind: str, code: str) -> None:
    """A fit or a back-test has failed and waits."""
    FIT_FAILURES.labels(kind, _codes(code)).inc()


def observe_measurement(kind: str, n_examples: int, seconds: Mapping[str, float]) -> None:
    """A job has ended with a measurement of so many examples; seconds by phase."""
    PROBED.labels(kind).inc(n_examples)
    for phase, took in seconds.items():
        JOB_SECONDS.labels(kind, _phases(phase)).observe(took)


class QueueGauges:
    """What the database knows, as gauges of their own: made anew for every reading of the page."""

    def __init__(self) -> None:
        self.registry = prometheus.CollectorRegistry()
        self._database_up = self._gauge("forgetcast_database_up", "Whether the database has answered within 2 s.")

    def fill(self, queue: Queue, workers: Sequence[Worker], failed_fits: int) -> None:
        """Hardware classes that no worker takes are `other`: whoever orders a job may name any."""
        self._database_up.set(1)
        self._gauge(
            "forgetcast_fits_failed", "Fits and back-tests that failed and wait to be tried again; `doctor` names them."
        ).set(failed_fits)
        known = {name for worker in workers for name in worker.hardware} | {"any"}
        depth = self._gauge("forgetcast_queue_depth", "Jobs that wait.", "hardware")
        oldest = self._gauge("forgetcast_queue_oldest_age_seconds", "How long the oldest has waited.", "hardware")
        for hardware in {*known, OTHER}:
            waiting = [
                jobs for jobs in queue.waiting if (jobs.hardware if jobs.hardware in known else OTHER) == hardware
            ]
            depth.labels(hardware).set(sum(jobs.n_jobs for jobs in waiting))
            oldest.labels(hardware).set(max((jobs.oldest_age_s for jobs in waiting), default=0.0))
        self._gauge("forgetcast_jobs_running", "Jobs that run.").set(queue.n_running)
        there = self._gauge(
            "forgetcast_workers", "Workers by what they do; silent: not seen within one lease.", "state"
        )
        for state in ("idle", "busy", "silent"):
            there.labels(state).set(sum(_state(worker) == state for worker in workers))

    def _gauge(self, name: str, words: str, *labels: str) -> Gauge:
        return Gauge(name, words, labels, registry=self.registry)


def _state(worker: Worker) -> str:
    if not worker.alive:
        return "silent"
    return "idle" if worker.job is None else "busy"


def exposition(*more: prometheus.CollectorRegistry) -> bytes:
    """Everything in the text form that Prometheus reads."""
    return b"".join(prometheus.generate_latest(registry) for registry in (REGISTRY, *more))


def serve_metrics(host: str, port: int) -> None:
    """Answer `/metrics` from a thread of this process; for workers, which serve nothing else. Raises OSError."""
    prometheus.start_http_server(port, addr=host, registry=REGISTRY)
