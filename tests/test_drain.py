"""SIGTERM to the API: what is in flight is answered, what only waits is let go, nothing new is taken."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import httpx2
import pytest

from forgetcast.start_token import read_token
from service.storage.database import Database
from service.storage.schema import migrate
from tests.storage.rows import add_job
from tests.test_end_to_end import forgetcast, free_port
from tests.workers.supervised import eventually

LINES = [b'{"text": "one"}\n', b'{"text": "two"}\n']
SOON = 15.0  # seconds; without draining an event stream ends never, and `?wait=30` after 30


@pytest.fixture
def job_id(tmp_path: Path) -> str:
    """A job in a migrated database that nobody works on."""
    database = Database(f"sqlite:///{tmp_path / 'forgetcast.db'}")
    migrate(database)
    with database.transaction() as session:
        job = add_job(session)
    database.close()
    return job.id


def test_sigterm_turns_readyz_503_answers_what_is_in_flight_and_lets_go_of_what_waits(
    tmp_path: Path, job_id: str
) -> None:
    port = str(free_port())
    with (
        forgetcast(tmp_path, "serve", "--port", port, FORGETCAST_DRAIN_DELAY="PT600S") as process,
        httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client,
        ThreadPoolExecutor() as threads,
    ):
        eventually(lambda: answers(client))
        client.headers["Authorization"] = f"Bearer {read_token(int(port))}"

        def body() -> Iterator[bytes]:
            yield LINES[0]
            process.send_signal(signal.SIGTERM)
            eventually(lambda: client.get("/readyz").status_code == 503)
            process.send_signal(signal.SIGTERM)  # ends the delay, in which it was still served
            yield LINES[1]

        def follow() -> str:
            with client.stream("GET", f"/v1/jobs/{job_id}/events", headers={"Accept": "text/event-stream"}) as stream:
                return "".join(stream.iter_text())

        waiting = threads.submit(client.get, f"/v1/jobs/{job_id}?wait=30")
        following = threads.submit(follow)
        time.sleep(0.5)  # both are on their way; if not, they only find less to do
        began = time.monotonic()
        stored = client.put(f"/v1/datasets/{sha256(b''.join(LINES)).hexdigest()}", content=body())
        assert stored.status_code == 201 and stored.json()["n_lines"] == 2
        answered = waiting.result(SOON)
        assert answered.status_code == 200 and answered.json()["state"] == "queued"
        told = following.result(SOON)
        assert "queued" in told and "event: done" not in told
        process.wait(SOON)
        assert time.monotonic() - began < 2 * SOON
        with pytest.raises(httpx2.ConnectError):
            client.get("/healthz")
    log = (tmp_path / "serve.log").read_text()
    assert "graceful shutdown exceeded" not in log and "Traceback" not in log


def answers(client: httpx2.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx2.TransportError:
        return False
