"""A deployment of real processes over one database: API replicas and workers, and a way to submit jobs to them."""

from __future__ import annotations

import io
import itertools
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import httpx2
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from forgetcast import schemas
from forgetcast.start_token import token_file
from service.app import create_app
from service.operations.datasets import store_dataset
from service.operations.tasks import register_task
from service.queue import NoQueue
from service.settings import Settings
from service.storage.database import Database
from service.storage.schema import migrate
from tests.faults.servers import free_port
from tests.workers.processes import alive
from tests.workers.supervised import eventually

LEASE = timedelta(seconds=3)
N_EXAMPLES, N_PROBES = 20, 5
RECIPE: dict[str, Any] = {"method": "full", "learning_rate": 1e-3, "steps": 10, "batch_size": 4, "max_tokens": 64}
SETTING: dict[str, Any] = {"scored": "all", "max_tokens": 64, "dtype": "float32"}
CHECKOUT = Path(__file__).parents[2]
STARTS_WITHIN = 60.0


class Running:
    """A process with a log of its own."""

    metrics_url = ""

    def __init__(self, command: Sequence[str], log: Path, environment: dict[str, str]) -> None:
        self.log_file = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, cwd=CHECKOUT
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    @property
    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def failures(self) -> list[tuple[str, int, str]]:
        """Job, attempt and error code of each change of a job's state that was logged with an error."""
        lines = (json.loads(line) for line in self.log.splitlines() if line.startswith("{"))
        return [
            (line["job_id"], line["attempt"], line["code"])
            for line in lines
            if {"job_id", "state", "code"} <= line.keys()
        ]

    def counted(self) -> Counter[str]:
        """Changes of jobs' states by error code, as Prometheus reads them."""
        found: Counter[str] = Counter()
        for family in text_string_to_metric_families(httpx2.get(self.metrics_url, timeout=10).text):
            for sample in family.samples:
                if sample.name == "forgetcast_jobs_total" and sample.labels["code"]:
                    found[sample.labels["code"]] += int(sample.value)
        return found

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self, seconds: float = 30.0) -> int:
        """SIGTERM; the exit status, which has to come within `seconds`."""
        self.process.terminate()
        return self.process.wait(seconds)


class Api(Running):
    """An API process, and requests to it."""

    url = ""
    key = ""
    token_file = Path()  # of the start-up token, which takes the place of a key while there is none

    def request(
        self, method: str, path: str, *, timeout: float = 10.0, headers: Mapping[str, str] | None = None, **given: Any
    ) -> httpx2.Response:
        headers = {**self.credentials(), **(headers or {})}
        return httpx2.request(method, self.url + path, timeout=timeout, headers=headers, **given)

    def credentials(self) -> dict[str, str]:
        key = self.key or (self.token_file.read_text() if self.token_file.is_file() else "")
        return {"Authorization": f"Bearer {key}"} if key else {}

    def get(self, path: str, **given: Any) -> httpx2.Response:
        return self.request("GET", path, **given)

    def post_task(self, behaviour: str, *, headers: dict[str, str] | None = None, **fields: Any) -> httpx2.Response:
        """Order a task whose child will do as told."""
        return self.send_task(dataset(behaviour), headers=headers, **fields)

    def put_dataset(self, behaviour: str) -> str:
        """Send a data set; its sha256."""
        content = dataset(behaviour)
        digest = sha256(content).hexdigest()
        assert self.request("PUT", f"/v1/datasets/{digest}", content=content).status_code == 201
        return digest

    def send_task(self, content: bytes, *, headers: dict[str, str] | None = None, **fields: Any) -> httpx2.Response:
        """Send a data set and order a task on it, as a user does."""
        digest = sha256(content).hexdigest()
        sent = self.request("PUT", f"/v1/datasets/{digest}", content=content)
        if sent.status_code not in (200, 201):
            return sent
        body = {"matrix": "m", "dataset": digest, "size": N_PROBES, **fields}
        return self.request("POST", "/v1/tasks", json=body, headers=headers)

    def cancel(self, job_id: str) -> httpx2.Response:
        return self.request("POST", f"/v1/jobs/{job_id}/cancel")


R = TypeVar("R", bound=Running)


@dataclass
class Deployment:
    """One database with a small world in it, and the processes that were started on it."""

    home: Path
    database_url: str  # as the processes see it, by way of a proxy or not
    database: Database  # as the test sees it
    redis_url: str = ""
    started: list[Running] = field(default_factory=list)

    @property
    def starts_file(self) -> Path:
        return self.home / "starts.jsonl"

    def starts(self, job_id: str | None = None) -> list[dict[str, Any]]:
        """Every child that was started, in order: job, attempt, pid, and the pids of its job's others alive then."""
        if not self.starts_file.exists():
            return []
        lines = map(json.loads, self.starts_file.read_text().splitlines())
        return [start for start in lines if job_id in (None, start["job"])]

    def child(self, job_id: str, attempt: int = 1) -> int:
        """The pid of a job's child, once it runs."""
        pids: list[int] = eventually(
            lambda: [start["pid"] for start in self.starts(job_id) if start["attempt"] == attempt]
        )
        return pids[-1]

    def submit(self, behaviour: str, **fields: Any) -> str:
        """Register a task straight in the database; the id of its job."""
        content = dataset(behaviour)
        wanted = {"matrix": "m", "dataset": sha256(content).hexdigest(), "size": N_PROBES, **fields}
        with self.database.transaction() as session:
            store_dataset(session, wanted["dataset"], io.BytesIO(content), 10)
            job_id = register_task(session, schemas.TaskCreate.model_validate(wanted)).job_id
        assert job_id is not None
        return job_id

    def worker(self, *options: str, host: str = "a", before: Sequence[str] = (), **settings: str) -> Running:
        """A worker over children without a model. Workers of one `host` share a cache folder; `before` its command."""
        command = [*before, sys.executable, "-m", "tests.faults.worker", str(self.starts_file), "--poll", "0.5"]
        settings = {"FORGETCAST_CACHE_DIR": str(self.home / f"cache-{host}"), **settings}
        worker = self._start(
            Running, [*command, "--metrics-port", str(port := free_port()), *options], "worker", settings
        )
        worker.metrics_url = "" if before else f"http://127.0.0.1:{port}/metrics"
        return worker

    def api(self, *options: str, **where: Any) -> Api:
        """An API replica that answers."""
        api = self.start_api(*options, **where)
        eventually(lambda: _answers(api), STARTS_WITHIN)
        return api

    def start_api(
        self, *options: str, before: Sequence[str] = (), host: str = "127.0.0.1", port: int = 0, **settings: str
    ) -> Api:
        """An API replica, on a free port when none is named; it may not answer yet."""
        port = port or free_port(host)
        command = [*before, *FORGETCAST, "serve", "--host", host, "--port", str(port), *options]
        api = self._start(Api, command, "api", settings)
        api.url = f"http://{host}:{port}"
        api.token_file = token_file(self.home, port)
        return api

    def command(self, *arguments: str, **settings: str) -> Running:
        """Any other command of `forgetcast`."""
        return self._start(Running, [*FORGETCAST, *arguments], arguments[0], settings)

    def close(self) -> None:
        """Kill what still runs; children die with their workers."""
        for process in self.started:
            if process.running:
                process.send(signal.SIGCONT)
                process.kill()
        for start in self.starts():
            eventually(partial(_is_gone, start["pid"]), 20)
        self.database.close()

    def _start(self, kind: type[R], command: Sequence[str], name: str, settings: dict[str, str]) -> R:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("FORGETCAST_")}
        own = {
            "FORGETCAST_HOME": str(self.home),
            "FORGETCAST_CACHE_DIR": str(self.home / "cache"),
            "FORGETCAST_DATABASE_URL": self.database_url,
            "FORGETCAST_REDIS_URL": self.redis_url,
            "FORGETCAST_LEASE": f"PT{LEASE.total_seconds()}S",
            "OPENBLAS_NUM_THREADS": "1",
        }
        log = self.home / f"{name}-{len(self.started)}.log"
        process = kind(command, log, inherited | own | settings)
        self.started.append(process)
        return process


FORGETCAST = (sys.executable, "-m", "forgetcast.cli")
_nonces = itertools.count()


def dataset(behaviour: str) -> bytes:
    """A data set that tells the child what to do, and that no other task has."""
    return json.dumps({"text": f"{behaviour} #{next(_nonces)}"}).encode() + b"\n"


def make_home(folder: Path) -> Path:
    """A state folder with one registered model, whose files nobody loads."""
    model = folder / "model"
    model.mkdir(parents=True)
    (model / "model.safetensors").write_bytes(b"not real weights, but bytes with a revision")
    (folder / "models.toml").write_text(f'[models.tiny]\nfolder = "{model}"\n')
    return folder


def make_world(database: Database, home: Path) -> None:
    """Tables, a sealed upstream set with texts, and a matrix."""
    migrate(database)
    lines = [{"id": f"example-{i}", "text": f"text number {i}", "domain": "d"} for i in range(N_EXAMPLES)]
    matrix = {"id": "m", "upstream_set": "set", "model": "tiny", "recipe": RECIPE, "setting": SETTING}
    with TestClient(create_app(Settings(home=home, cache_dir=home / "cache"), database, NoQueue())) as client:
        answers = [
            client.post("/v1/upstream-sets", json={"id": "set"}),
            client.put("/v1/upstream-sets/set/examples", content="\n".join(map(json.dumps, lines))),
            client.post("/v1/matrices", json=matrix),
        ]
    assert [answer.status_code for answer in answers] == [201, 200, 201], [answer.text for answer in answers]


@contextmanager
def closing(deployment: Deployment) -> Iterator[Deployment]:
    try:
        yield deployment
    finally:
        deployment.close()


def _is_gone(pid: int) -> bool:
    return not alive(pid)


def _answers(api: Api) -> bool:
    assert api.running, api.log
    try:
        return api.get("/healthz", timeout=2).status_code == 200
    except httpx2.TransportError:
        return False
