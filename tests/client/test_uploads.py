"""Upstream sets and rows on their way in."""

from __future__ import annotations

import io
import json
from pathlib import Path

import httpx2
import numpy as np
import pytest

from tests.client.answers import CREATED, a_task, ok, problem

SEALED = {
    "id": "s",
    "sealed": True,
    "n_examples": 2,
    "n_held_out": 0,
    "has_texts": True,
    "sha256": "0" * 64,
    "domains": {"": 2},
    "created_at": CREATED,
}


@pytest.mark.parametrize("named", [Path, str])
def test_a_file_is_sent_in_pieces(client, service, tmp_path, named):
    file = tmp_path / "upstream.jsonl"
    file.write_bytes(b'{"id": "a"}\n' * 200_000)
    service.will(ok(SEALED))
    client.upstream_sets.put_examples("s", named(file))
    sent = service.requests[0]
    assert sent.headers["Transfer-Encoding"] == "chunked"
    assert sent.content == file.read_bytes()


def test_a_file_is_sent_from_its_beginning_again_when_the_first_try_broke(client, service, tmp_path):
    file = tmp_path / "upstream.jsonl"
    file.write_bytes(b'{"id": "a"}\n')
    service.will(httpx2.WriteError("gone"), ok(SEALED))
    client.upstream_sets.put_examples("s", file)
    assert [request.content for request in service.requests] == [file.read_bytes()] * 2


def test_registering_makes_the_set_when_it_is_not_there(client, service, tmp_path):
    service.will(problem("upstream_set_not_found", 404), ok(SEALED, 201), ok(SEALED))
    client.upstream_sets.register(b'{"id": "a"}\n', id="s")
    assert [request.method for request in service.requests] == ["GET", "POST", "PUT"]


def test_registering_again_sends_the_examples_to_the_set_that_is_there(client, service):
    service.will(ok(SEALED), ok(SEALED))
    client.upstream_sets.register(b'{"id": "a"}\n', id="s")
    assert [request.method for request in service.requests] == ["GET", "PUT"]


@pytest.mark.parametrize("named", [Path, str])
def test_parquet_is_told_from_json_lines_by_the_name(client, service, tmp_path, named):
    file = tmp_path / "upstream.parquet"
    file.write_bytes(b"PAR1")
    service.will(ok(SEALED))
    client.upstream_sets.register(named(file), id="s")
    assert service.requests[1].headers["Content-Type"] == "application/vnd.apache.parquet"


def test_a_row_goes_as_float32_in_set_order(client, service):
    service.will(ok(a_task(), 201))
    client.matrices.put_row("m", "t", np.array([0.5, np.nan, -0.25]), family="code", seed=2)
    sent = service.requests[0]
    values = np.load(io.BytesIO(sent.content))
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, np.array([0.5, np.nan, -0.25], np.float32))
    assert dict(sent.url.params) == {"family": "code", "seed": "2"}


def test_a_row_by_example_id_goes_as_json_lines(client, service):
    service.will(ok(a_task(), 201))
    client.matrices.put_row("m", "t", {"é": 0.5, "b": -0.25})
    lines = [json.loads(line) for line in service.requests[0].content.decode().splitlines()]
    assert lines == [{"example_id": "é", "forgetting": 0.5}, {"example_id": "b", "forgetting": -0.25}]


def test_a_row_is_removed_only_in_the_version_that_was_read(client, service):
    service.will(httpx2.Response(204))
    client.matrices.delete_row("m", "t", row_version=3)
    assert service.requests[0].headers["If-Match"] == '"3"'
