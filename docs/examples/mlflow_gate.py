"""A gate for models in MLflow's registry: a new model version is judged, and the verdict becomes a tag of it.

    export MLFLOW_TRACKING_URI=http://mlflow:5000        # and MLFLOW_TRACKING_TOKEN, where it asks for one
    export FORGETCAST_URL=http://forgetcast:8000 FORGETCAST_API_KEY=…
    export MLFLOW_WEBHOOK_SECRET=…                       # the webhook's own
    python mlflow_gate.py --policy forgetting.yml --data /srv/data --port 8900

Register it once: `MlflowClient().create_webhook(name="forgetcast", url="http://this-host:8900/", secret=…,
events=["model_version.created"])`. MLflow sends to private addresses only with MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS=true.

A version says by its own tags what is to be judged:

    forgetcast.task      a task that is measured already, best by `forgetcast score TASK --weights FOLDER`
    forgetcast.dataset   or the file of its fine-tuning data, a path below --data; forgetcast.matrix where there are
                         several. The task is submitted and waited for

and is answered by tags: forgetcast.verdict (pass, warn, fail, inconclusive, error), forgetcast.gate (its id) and
forgetcast.reason. It needs `forgetcast[gate]`, and of MLflow one call over HTTP.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import logging
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2

from forgetcast.client import ForgetcastClient
from forgetcast.errors import ForgetcastError
from forgetcast.gate.policy import Policy
from forgetcast.gate.policy_files import read_policy

TOLERANCE = 300.0  # seconds that a delivery may be old, or ahead
MOST_BYTES = 1 << 20
REMEMBERED = 10_000  # deliveries, each of which is taken once; MLflow repeats what was not answered
PREFIX = "forgetcast."

log = logging.getLogger("mlflow_gate")


def is_signed(body: bytes, headers: Mapping[str, str], secret: str, now: float) -> bool:
    """Whether MLflow sent this, and lately: HMAC-SHA256 over `delivery id.timestamp.body`, as `v1,<base64>`."""
    delivery, sent = headers.get("X-MLflow-Delivery-Id", ""), headers.get("X-MLflow-Timestamp", "")
    given = headers.get("X-MLflow-Signature", "")
    if not (delivery and sent.isascii() and sent.isdigit() and given.isascii() and given.startswith("v1,")):
        return False
    if abs(now - int(sent)) > TOLERANCE:
        return False
    digest = hmac.new(secret.encode(), f"{delivery}.{sent}.".encode() + body, hashlib.sha256).digest()
    return hmac.compare_digest(base64.b64encode(digest).decode(), given.removeprefix("v1,"))


class Judge:
    """Judges model versions, one after the other, in a thread of its own."""

    def __init__(self, client: ForgetcastClient, policy: Policy, data: Path | None, tag: Callable[..., None]) -> None:
        """`tag` is called with the name and the version of a model, and a tag's key and value."""
        self._client, self._policy, self._data, self._tag = client, policy, data, tag
        self._waiting: queue.Queue[Mapping[str, Any]] = queue.Queue()
        threading.Thread(target=self._run, daemon=True).start()

    def take(self, version: Mapping[str, Any]) -> None:
        """A model version as MLflow's event has it: name, version, tags."""
        self._waiting.put(version)

    def finish(self) -> None:
        """Wait until everything that was taken is judged."""
        self._waiting.join()

    def _run(self) -> None:
        while True:
            version = self._waiting.get()
            try:
                self._judge(version)
            except Exception:  # the next version is another matter
                log.exception("the version %s of %s has no verdict", version.get("version"), version.get("name"))
            finally:
                self._waiting.task_done()

    def _judge(self, version: Mapping[str, Any]) -> None:
        said = {"verdict": "error"}
        try:
            kept = self._client.tasks.gate(self._task(version), self._policy)
            open_ones = [one.reason or one.result for one in kept.verdict.assertions if one.result != "pass"]
            said = {"verdict": str(kept.verdict.verdict), "gate": kept.id, "reason": "; ".join(map(str, open_ones))}
        except (ForgetcastError, ValueError) as error:
            said["reason"] = str(error)
        for key, value in said.items():
            self._tag(str(version["name"]), str(version["version"]), PREFIX + key, value[:5000])

    def _task(self, version: Mapping[str, Any]) -> str:
        """The task that is to be judged, measured. Raises ValueError where the version does not name one."""
        tags = version.get("tags") or {}
        if PREFIX + "task" in tags:
            return str(tags[PREFIX + "task"])
        if PREFIX + "dataset" not in tags:
            raise ValueError(f"the version has neither a tag {PREFIX}task nor {PREFIX}dataset")
        matrix = tags.get(PREFIX + "matrix")
        if matrix is None:
            matrices = [one.id for one in self._client.matrices.list()]
            if len(matrices) != 1:
                raise ValueError(f"name one of the {len(matrices)} matrices by the tag {PREFIX}matrix")
            matrix = matrices[0]
        task = self._client.tasks.create(self._file(str(tags[PREFIX + "dataset"])), matrix=matrix)
        if not task.task.n_measured:
            task.wait()
        return task.id

    def _file(self, name: str) -> Path:
        """A file below --data, and no other. Raises ValueError."""
        if self._data is None:
            raise ValueError(f"{PREFIX}dataset needs a folder of data: --data")
        folder = self._data.resolve()
        path = (folder / name).resolve()
        if not path.is_relative_to(folder) or not path.is_file():
            raise ValueError(f"there is no file {name!r} below the folder of data")
        return path


def server(address: tuple[str, int], secret: str, judge: Judge) -> ThreadingHTTPServer:
    """Answers deliveries: 202 taken, 200 nothing to do, 400 no event, 401 not signed, 413 too large."""
    seen: deque[str] = deque(maxlen=REMEMBERED)

    class Handler(BaseHTTPRequestHandler):
        timeout = 30

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            if not length.isdigit() or int(length) > MOST_BYTES:
                self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
                return
            body = self.rfile.read(int(length))
            if not is_signed(body, self.headers, secret, time.time()):
                self._answer(HTTPStatus.UNAUTHORIZED)
                return
            try:
                event = json.loads(body)
                version = event["data"]
                is_new = (event["entity"], event["action"]) == ("model_version", "created")
                named = {"name", "version"} <= version.keys()
            except (ValueError, KeyError, TypeError, AttributeError):
                self._answer(HTTPStatus.BAD_REQUEST)
                return
            delivery = str(self.headers["X-MLflow-Delivery-Id"])
            if not is_new or not named or delivery in seen:
                self._answer(HTTPStatus.OK)
                return
            seen.append(delivery)
            judge.take(version)
            self._answer(HTTPStatus.ACCEPTED)

        def _answer(self, status: HTTPStatus) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: Any) -> None:
            log.info(format, *arguments)

    return ThreadingHTTPServer(address, Handler)


def tag_in_mlflow(url: str, token: str | None) -> Callable[[str, str, str, str], None]:
    """Sets tags of model versions in a registry, by its REST API."""

    def tag(name: str, version: str, key: str, value: str) -> None:
        sent = {"name": name, "version": version, "key": key, "value": value}
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        path = f"{url.rstrip('/')}/api/2.0/mlflow/model-versions/set-tag"
        httpx2.post(path, json=sent, headers=headers, timeout=30.0).raise_for_status()

    return tag


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="folder that forgetcast.dataset is a path in")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8900)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    secret = os.environ.get("MLFLOW_WEBHOOK_SECRET", "")
    if not secret:
        parser.error("MLFLOW_WEBHOOK_SECRET is not set; deliveries without a signature are not taken")
    registry = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not registry.startswith(("http://", "https://")):
        parser.error("MLFLOW_TRACKING_URI must be the http or https URL of MLflow")
    tag = tag_in_mlflow(registry, os.environ.get("MLFLOW_TRACKING_TOKEN"))
    with ForgetcastClient() as client:
        judge = Judge(client, read_policy(options.policy), options.data, tag)
        server((options.host, options.port), secret, judge).serve_forever()


if __name__ == "__main__":
    main()
