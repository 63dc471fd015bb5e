"""A client that openapi-python-client makes of the service's OpenAPI document drives a task to its replay set."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from forgetcast.client import ForgetcastClient
from forgetcast.start_token import read_token
from service.models import BaseModelFiles, write_models
from tests.environments import environment_with, run_in
from tests.test_end_to_end import forgetcast, free_port, wait_until_ready
from tests.workers.language_models import character_tokenizer, tiny_llama

GENERATOR = "openapi-python-client==0.29.1"  # it needs an older typer than transformers, so it has its own environment
DRIVER = Path(__file__).with_name("drive_generated_client.py")
# Files are sent as JSON Lines. The generator mixes up a body that may have several media types, so it is told of one.
CONFIGURATION = {"post_hooks": [], "content_type_overrides": {"application/x-ndjson": "application/octet-stream"}}


@pytest.mark.generated
def test_a_generated_client_drives_a_task_to_its_replay_set(tmp_path: Path) -> None:
    model = tmp_path / "tiny"
    tiny_llama().save_pretrained(model)
    character_tokenizer().save_pretrained(model)
    write_models(tmp_path / "models.toml", {"tiny": BaseModelFiles(model, "")})
    environment = environment_with(tmp_path / "environment", GENERATOR)
    url = f"http://127.0.0.1:{free_port()}"
    with forgetcast(tmp_path, "up", "--port", url.rpartition(":")[2]):
        with ForgetcastClient(url=url) as client:
            wait_until_ready(client)
        token = str(read_token(int(url.rpartition(":")[2])))
        (tmp_path / "configuration.json").write_text(json.dumps(CONFIGURATION))
        options = ["--meta", "none", "--config", str(tmp_path / "configuration.json")]
        package = str(tmp_path / "forgetcast_api")
        source = ["--url", f"{url}/openapi.json", "--output-path", package]
        run_in(environment, "openapi-python-client", "generate", *source, *options)
        said = json.loads(run_in(environment, "python", str(DRIVER), url, token, PYTHONPATH=str(tmp_path)).stdout)
    assert said["job"]["state"] == "succeeded"
    assert (said["forecast"]["n_tasks"], said["forecast"]["n_measured"]) == (4, 6)
    replayed = [example["id"] for example in said["replay_set"]["data"]]
    assert replayed == said["forgotten"] and len(replayed) == 5
    assert all(example["text"].startswith("upstream text") for example in said["replay_set"]["data"])
    assert said["unknown"] == [404, "task_not_found"]
