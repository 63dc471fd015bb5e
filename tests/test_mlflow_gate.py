"""The receiver of MLflow's webhooks: only signed deliveries, a verdict for each new version, as a tag of it."""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import importlib.util
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx2
import pytest

from forgetcast.client import ForgetcastClient
from forgetcast.gate.policy_files import check_policy
from tests.cli.test_gate import kept
from tests.cli.world import Service
from tests.client.answers import a_task, ok

EXAMPLE = Path(__file__).parents[1] / "docs" / "examples" / "mlflow_gate.py"
SECRET = "s3cret"
POLICY = check_policy({"assertions": [{"metric": "mean_forgetting", "max": 0.05}]})


def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mlflow_gate", EXAMPLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


gate = example()


def signed(body: bytes, *, secret: str = SECRET, delivery: str = "d1", sent: int | None = None) -> dict[str, str]:
    """Headers as mlflow/webhooks/delivery.py makes them."""
    at = int(time.time()) if sent is None else sent
    digest = hmac.new(secret.encode(), f"{delivery}.{at}.".encode() + body, hashlib.sha256).digest()
    return {
        "X-MLflow-Delivery-Id": delivery,
        "X-MLflow-Timestamp": str(at),
        "X-MLflow-Signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def created(**tags: str) -> bytes:
    data = {"name": "support-bot", "version": "7", "source": "s3://models/7", "run_id": "r", "tags": tags}
    event = {"entity": "model_version", "action": "created", "timestamp": "2026-11-25T10:00:00+00:00", "data": data}
    return json.dumps(event).encode()


class Receiver:
    """The example on a free port, before a service that is a table of answers and a registry that keeps tags."""

    def __init__(self, data: Path) -> None:
        self.service = Service()
        self.service.answers["POST", "/v1/tasks/t/gate"] = ok(kept("fail"), 201)
        self.tags: dict[str, str] = {}
        registry, registry_url = _serving(
            ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Registry, self.tags))
        )
        client = ForgetcastClient(url="http://forgetcast", transport=httpx2.MockTransport(self.service))
        self.judge = gate.Judge(client, POLICY, data, gate.tag_in_mlflow(registry_url, "token"))
        receiver, self.url = _serving(gate.server(("127.0.0.1", 0), SECRET, self.judge))
        self._servers = [registry, receiver]

    def send(self, body: bytes, headers: dict[str, str]) -> int:
        status = httpx2.post(self.url, content=body, headers=headers, timeout=10.0).status_code
        self.judge.finish()
        return status

    def close(self) -> None:
        for one in self._servers:
            one.shutdown()
            one.server_close()


class _Registry(BaseHTTPRequestHandler):
    def __init__(self, tags: dict[str, str], *arguments: Any) -> None:
        self.tags = tags
        super().__init__(*arguments)

    def do_POST(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked = (self.path, self.headers["Authorization"], sent["name"], sent["version"])
        assert asked == ("/api/2.0/mlflow/model-versions/set-tag", "Bearer token", "support-bot", "7")
        self.tags[sent["key"]] = sent["value"]
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing."""


def _serving(server: ThreadingHTTPServer) -> tuple[ThreadingHTTPServer, str]:
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_address[1]}"


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.jsonl").write_text('{"text": "one"}\n')
    (tmp_path / "secret.jsonl").write_text('{"text": "not below the folder"}\n')
    found = Receiver(tmp_path / "data")
    yield found
    found.close()


def test_a_measured_task_is_judged_and_the_verdict_is_a_tag(receiver: Receiver) -> None:
    body = created(**{"forgetcast.task": "t"})
    assert receiver.send(body, signed(body)) == 202
    assert (receiver.tags["forgetcast.verdict"], receiver.tags["forgetcast.gate"]) == ("fail", "gate_1")
    sent = receiver.service.sent("POST", "/v1/tasks/t/gate")
    assert sent["policy"]["assertions"][0]["max"] == 0.05


def test_a_data_set_is_submitted_waited_for_and_judged(receiver: Receiver) -> None:
    receiver.service.answers["POST", "/v1/tasks"] = ok(a_task(n_measured=0), 202)
    body = created(**{"forgetcast.dataset": "train.jsonl"})
    assert receiver.send(body, signed(body)) == 202
    assert receiver.service.sent("POST", "/v1/tasks")["matrix"] == "m"
    assert receiver.service.asked("GET", "/v1/jobs/job_1")
    assert receiver.tags["forgetcast.verdict"] == "fail"


@pytest.mark.parametrize(
    "headers",
    [
        lambda body: {},
        lambda body: signed(body, secret="another"),
        lambda body: signed(body + b" "),
        lambda body: signed(body) | {"X-MLflow-Delivery-Id": "another"},
        lambda body: signed(body) | {"X-MLflow-Timestamp": str(int(time.time()) + 1)},
        lambda body: signed(body, sent=int(time.time()) - 400),
        lambda body: signed(body, sent=int(time.time()) + 400),
        lambda body: signed(body) | {"X-MLflow-Timestamp": "now"},
        lambda body: signed(body) | {"X-MLflow-Signature": "v1,"},
        lambda body: {**(found := signed(body)), "X-MLflow-Signature": found["X-MLflow-Signature"].replace("v1", "v0")},
    ],
)
def test_what_is_not_signed_by_the_secret_is_not_taken(receiver: Receiver, headers: Any) -> None:
    body = created(**{"forgetcast.task": "t"})
    assert receiver.send(body, headers(body)) == 401
    assert (receiver.tags, receiver.service.requests) == ({}, [])


def test_a_delivery_that_is_repeated_is_judged_once(receiver: Receiver) -> None:
    body = created(**{"forgetcast.task": "t"})
    assert [receiver.send(body, signed(body)) for _ in range(2)] == [202, 200]
    assert len(receiver.service.asked("POST", "/v1/tasks/t/gate")) == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (json.dumps({"entity": "model_version_tag", "action": "set", "data": {"name": "a", "version": "1"}}), 200),
        (json.dumps({"entity": "model_version", "action": "created", "data": {"name": "a"}}), 200),
        (json.dumps({"entity": "model_version", "action": "created"}), 400),
        (json.dumps([1]), 400),
        ("no json", 400),
        ("x" * ((1 << 20) + 1), 413),
    ],
)
def test_other_events_and_what_is_none_are_answered_and_do_nothing(receiver: Receiver, body: str, status: int) -> None:
    assert receiver.send(body.encode(), signed(body.encode())) == status
    assert (receiver.tags, receiver.service.requests) == ({}, [])


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({}, "neither a tag"),
        ({"forgetcast.dataset": "nothing.jsonl"}, "no file"),
        ({"forgetcast.dataset": "../secret.jsonl"}, "no file"),
        ({"forgetcast.dataset": "/etc/passwd"}, "no file"),
        ({"forgetcast.task": "nobody"}, "no task has this id"),
    ],
)
def test_what_cannot_be_judged_is_an_error_and_never_a_pass(
    receiver: Receiver, tags: dict[str, str], said: str
) -> None:
    body = created(**tags)
    assert receiver.send(body, signed(body)) == 202
    assert receiver.tags["forgetcast.verdict"] == "error"
    assert said in receiver.tags["forgetcast.reason"]
    assert receiver.service.asked("POST", "/v1/tasks") == []
