"""A whole task through a client that openapi-python-client generated as `forgetcast_api`; run where it is installed.

python drive_generated_client.py URL TOKEN
"""

import hashlib
import io
import json
import math
import random
import sys
import time
from typing import Any

from forgetcast_api import AuthenticatedClient as Client
from forgetcast_api.api.data_sets import put_dataset
from forgetcast_api.api.forecasts import read_forecast, read_forgotten
from forgetcast_api.api.jobs import read_job
from forgetcast_api.api.matrices import create_matrix, read_matrix
from forgetcast_api.api.replay_sets import read_replay_set
from forgetcast_api.api.rows import put_row
from forgetcast_api.api.tasks import read_task, register_task
from forgetcast_api.api.upstream_sets import create_upstream_set, put_examples
from forgetcast_api.models import MatrixCreate, TaskCreate, UpstreamSetCreate
from forgetcast_api.types import File

N_EXAMPLES, N_KNOWN = 40, 4
RECIPE = {"method": "full", "learning_rate": 1e-3, "steps": 2, "batch_size": 2, "max_tokens": 64, "dtype": "float32"}
SETTING = {"scored": "all", "max_tokens": 64, "dtype": "float32"}


def main(url: str, token: str) -> None:
    with Client(base_url=url, token=token, raise_on_unexpected_status=True, timeout=60.0) as client:
        register_matrix(client)
        data = b"".join(b'{"text": "a task of its own, line %d"}\n' % line for line in range(8))
        sha256 = hashlib.sha256(data).hexdigest()
        put_dataset.sync(sha256, client=client, body=a_file(data))
        wanted = TaskCreate.from_dict({"id": "mine", "matrix": "m", "dataset": sha256, "size": 6, "design": "random"})
        task = register_task.sync(client=client, body=wanted)
        job = read_job.sync(task.job, client=client, wait=25)
        while not job.terminal:
            job = read_job.sync(task.job, client=client, wait=25)
        while read_matrix.sync("m", client=client).fitted_version is None:
            time.sleep(0.2)
        forecast = read_forecast.sync("mine", client=client)
        forgotten = read_forgotten.sync("mine", client=client, k=5)
        replay_set = read_replay_set.sync("mine", client=client, size=5, strategy="top")
        unknown = read_task.sync_detailed("unknown", client=client)
        print(
            json.dumps(
                {
                    "job": job.to_dict(),
                    "forecast": forecast.to_dict(),
                    "forgotten": [cell.example_id for cell in forgotten.data],
                    "replay_set": replay_set.to_dict(),
                    "unknown": [int(unknown.status_code), unknown.parsed.code],
                }
            )
        )


def register_matrix(client: Client) -> None:
    """An upstream set with texts, a matrix on the tiny model, and some known rows."""
    lines = [{"id": f"é-{place}", "text": f"upstream text number {place}"} for place in range(N_EXAMPLES)]
    create_upstream_set.sync(client=client, body=UpstreamSetCreate.from_dict({"id": "s"}))
    put_examples.sync("s", client=client, body=a_file(b"".join(json.dumps(line).encode() + b"\n" for line in lines)))
    definition = {"id": "m", "upstream_set": "s", "model": "tiny", "recipe": RECIPE, "setting": SETTING}
    create_matrix.sync(client=client, body=MatrixCreate.from_dict(definition))
    generator = random.Random(0)
    for task in range(N_KNOWN):
        cells: list[dict[str, Any]] = [
            {"example_id": line["id"], "forgetting": 0.1 * math.sin(place + task) + 0.01 * generator.random()}
            for place, line in enumerate(lines)
        ]
        put_row.sync(
            "m",
            f"known-{task}",
            client=client,
            body=a_file(b"".join(json.dumps(cell).encode() + b"\n" for cell in cells)),
        )


def a_file(content: bytes) -> File:
    return File(payload=io.BytesIO(content))


if __name__ == "__main__":
    main(*sys.argv[1:])
