"""A data set is kept as it was sent; what it is read as is in its answer and in the task's, in the checker's words."""

from __future__ import annotations

import gzip
import io
from hashlib import sha256
from typing import Any

import pytest
from fastapi.testclient import TestClient

from forgetcast.errors import BadDataset
from forgetcast.layouts import VERSION, survey
from tests.api.conftest import World, json_lines
from tests.api.test_bad_input import problem
from tests.test_layouts import parquet, zstd

TALK = {"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}]}
SHAREGPT = {"layout": "ShareGPT", "version": VERSION, "sentence": "read as ShareGPT, 3 conversations, from gzip"}


def put(client: TestClient, content: bytes, **headers: str) -> Any:
    return client.put(f"/v1/datasets/{sha256(content).hexdigest()}", content=content, headers=headers)


@pytest.mark.parametrize("media_type", ["application/jsonl", "application/json", "application/gzip", "text/plain"])
def test_data_are_what_their_bytes_say_whatever_they_are_called(client: TestClient, media_type: str) -> None:
    content = gzip.compress(json_lines([TALK] * 3), mtime=0)
    answer = put(client, content, **{"Content-Type": media_type})
    assert answer.status_code == 201
    stored = answer.json()
    assert stored == {
        "sha256": sha256(content).hexdigest(), "n_lines": 3, "n_bytes": len(content), "read_as": SHAREGPT
    }  # fmt: skip
    assert put(client, content).json() == stored


@pytest.mark.parametrize("packed", [zstd, lambda _content: parquet(TALK, TALK, TALK)])
def test_spooled_uploads_are_unpacked_as_files_are(client: TestClient, packed: Any) -> None:
    answer = put(client, packed(json_lines([TALK] * 3)))
    assert answer.json()["read_as"]["sentence"].startswith("read as ShareGPT, 3 conversations, from ")


def test_a_task_says_what_its_data_were_read_as(empty_world: World) -> None:
    content = gzip.compress(json_lines([TALK] * 3), mtime=0)
    dataset = put(empty_world.client, content).json()["sha256"]
    task = empty_world.post_task(id="t", dataset=dataset, size=5).json()
    assert (task["read_as"], task["n_examples"]) == (SHAREGPT, 3)
    assert empty_world.client.get("/v1/tasks/t").json()["read_as"] == SHAREGPT


@pytest.mark.parametrize(
    "content",
    [
        b'{"text": "a"}\n{"text": "\\ud800"}\n',
        b'{"text": ""}\n',
        b'{"prompt": "a", "chosen": "b", "rejected": "c"}\n',
        b'{"messages": [{"role": "assistant"}]}\n',
        b'{"text": "a"}\n{"text": "\xe9"}\n',
        b"PK\x03\x04",
        b"",
    ],
)
def test_what_the_checker_refuses_the_api_refuses_in_the_same_words(client: TestClient, content: bytes) -> None:
    with pytest.raises(BadDataset) as raised:
        survey(io.BytesIO(content))
    answer = put(client, content)
    assert problem(answer) == (422, "bad_dataset")
    assert answer.json()["detail"] == str(raised.value)
    assert [field["pointer"] for field in answer.json()["errors"]] == [field.pointer for field in raised.value.errors]
