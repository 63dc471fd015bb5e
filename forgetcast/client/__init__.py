"""The Python client of a Forgetcast service.

from pathlib import Path
from forgetcast import ForgetcastClient

with ForgetcastClient() as client:
    task = client.tasks.create(Path("my-task.jsonl"), matrix="smollm2-135m")
    task.wait(on_event=lambda event: print(event.message))
    for example in task.forgotten(20).data:
        print(example.example_id, example.forgetting, example.low, example.high)
    task.replay_set(ratio=1 / 32).write(Path("replay"), "messages")
"""

from __future__ import annotations

from datetime import timedelta
from typing import Self

import httpx2

from forgetcast.client.api_keys import ApiKeys
from forgetcast.client.connection import DEFAULT_URL, Connection
from forgetcast.client.datasets import Datasets
from forgetcast.client.jobs import Jobs
from forgetcast.client.matrices import Matrices
from forgetcast.client.replay_sets import ReplaySet
from forgetcast.client.task_handle import TaskHandle
from forgetcast.client.tasks import Tasks
from forgetcast.client.upstream_sets import UpstreamSets
from forgetcast.errors import UnexpectedAnswer
from forgetcast.schemas import Caller, Model, Queue, Ready, Worker

__all__ = ["DEFAULT_URL", "ForgetcastClient", "ReplaySet", "TaskHandle"]


class ForgetcastClient:
    """A service: `upstream_sets`, `matrices`, `datasets`, `tasks`, `jobs`, `api_keys`.

    Without `url` and `api_key` FORGETCAST_URL and FORGETCAST_API_KEY are taken, then what `forgetcast login` stored,
    then the embedded service on this machine. `timeout` is how long one call may wait for an answer and come back for
    it; waiting for a job has a timeout of its own.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        timeout: timedelta = timedelta(seconds=30),
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self._connection = Connection(url, api_key, timeout, transport)
        self.api_keys = ApiKeys(self._connection)
        self.upstream_sets = UpstreamSets(self._connection)
        self.matrices = Matrices(self._connection)
        self.datasets = Datasets(self._connection)
        self.jobs = Jobs(self._connection)
        self.tasks = Tasks(self._connection, self.datasets, self.jobs, self.matrices)

    @property
    def url(self) -> str:
        return self._connection.url

    def ready(self) -> Ready:
        """Whether the service can do its work, and what it misses."""
        return self._connection.read(Ready, "GET", "/readyz", accepted=(503,))

    def caller(self) -> Caller:
        """Who this client is to the service, and what it may do; needs the scope to read."""
        return self._connection.read(Caller, "GET", "/v1/caller")

    def version(self) -> str:
        """The service's version, which /openapi.json names."""
        try:
            return str(self._connection.request("GET", "/openapi.json").json()["info"]["version"])
        except (ValueError, KeyError, TypeError) as error:
            raise UnexpectedAnswer(f"{self.url}/openapi.json names no version; is it a Forgetcast service?") from error

    def queue(self) -> Queue:
        """What waits, what runs, and when the next job would start."""
        return self._connection.read(Queue, "GET", "/v1/queue")

    def workers(self) -> list[Worker]:
        """Workers seen lately, with what they work on."""
        return list(self._connection.pages(Worker, "/v1/workers"))

    def models(self) -> list[Model]:
        """Base models that tasks can be fine-tuned from, with their revisions."""
        return list(self._connection.pages(Model, "/v1/models"))

    def close(self) -> None:
        self._connection.http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
