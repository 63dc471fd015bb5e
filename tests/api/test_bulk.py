"""Rows and whole forecasts in bulk: forms, stable bytes, and clients that leave."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Generator
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from service.api.downloads import Download
from service.operations.parquet import parquet_chunks, write_table
from service.operations.whole_rows import npy_chunks
from tests.api.conftest import N_EXAMPLES, World, json_lines, low_rank_rows
from tests.api.test_main_job import NEW_ROW

PARQUET = {"Content-Type": "application/vnd.apache.parquet"}
ROW = low_rank_rows(1, seed=5)[0]


@pytest.fixture
def measured(world: World) -> World:
    world.post_task(id="new", measure="none", n_examples=640)
    assert world.measure("new", NEW_ROW).status_code == 200
    return world


def put(world: World, task_id: str, content: bytes, media_type: str) -> Any:
    return world.client.put(f"/v1/matrices/m/rows/{task_id}", content=content, headers={"Content-Type": media_type})


def test_a_row_is_the_same_in_whichever_form_it_comes(empty_world: World) -> None:
    ids, values = [f"example-{i}" for i in range(N_EXAMPLES)], [float(value) for value in ROW]
    values[3] = None  # type: ignore[call-overload]  # no value: null, NaN or no line
    gappy = np.where(np.arange(N_EXAMPLES) == 3, np.nan, ROW).astype(np.float32)
    lines = [{"example_id": name, "forgetting": value} for name, value in zip(ids, values, strict=True)]
    table = write_table({"note": ["x"] * N_EXAMPLES, "forgetting": values, "example_id": ids})
    assert empty_world.put_row("npy", gappy).status_code == 201
    assert put(empty_world, "lines", json_lines(lines[::-1]), "application/x-ndjson").status_code == 201
    assert put(empty_world, "absent", json_lines(lines[:3] + lines[4:]), "application/x-ndjson").status_code == 201
    assert put(empty_world, "parquet", table, PARQUET["Content-Type"]).status_code == 201
    for task_id in ("npy", "lines", "absent", "parquet"):
        back = np.load(io.BytesIO(empty_world.client.get(f"/v1/matrices/m/rows/{task_id}").content))
        assert np.array_equal(back, gappy, equal_nan=True), task_id


def test_a_parquet_row_that_cannot_be_used_is_named(empty_world: World) -> None:
    def refused(**columns: list[Any]) -> str:
        answer = put(empty_world, "wrong", write_table(columns), PARQUET["Content-Type"])
        assert answer.status_code == 422
        return str(answer.json()["detail"])

    assert "no column 'forgetting'" in refused(example_id=["example-1"])
    assert "line 2" in refused(example_id=["example-1", "nobody"], forgetting=[0.1, 0.2])
    assert "line 1" in refused(example_id=["example-1"], forgetting=[float("inf")])
    assert "twice" in refused(example_id=["example-1", "example-1"], forgetting=[0.1, 0.2])


def test_known_rows_are_exported_with_their_etag(world: World) -> None:
    get = world.client.get
    rows, table = get("/v1/matrices/m/rows.npy"), get("/v1/matrices/m/rows.parquet")
    names = sorted(f"known-{place}" for place in range(len(world.forgetting)))
    expected = np.stack([world.forgetting[int(name.removeprefix("known-"))] for name in names])
    assert np.array_equal(np.load(io.BytesIO(rows.content)), expected)
    columns = pyarrow.parquet.read_table(io.BytesIO(table.content))
    assert columns.column_names == ["example_id", "domain", *names]
    assert np.array_equal(np.stack([columns[name] for name in names]), expected)
    for path, first in (
        ("rows.npy", rows),
        ("rows.parquet", table),
        ("rows/known-1", get("/v1/matrices/m/rows/known-1")),
    ):
        known = {"If-None-Match": first.headers["etag"]}
        assert get(f"/v1/matrices/m/{path}", headers=known).status_code == 304
    world.put_row("known-1", ROW)
    assert get("/v1/matrices/m/rows.npy", headers={"If-None-Match": rows.headers["etag"]}).status_code == 200


def test_a_matrix_without_rows_is_exported_empty(empty_world: World) -> None:
    rows = np.load(io.BytesIO(empty_world.client.get("/v1/matrices/m/rows.npy").content))
    table = pyarrow.parquet.read_table(io.BytesIO(empty_world.client.get("/v1/matrices/m/rows.parquet").content))
    assert rows.shape == (0, N_EXAMPLES)
    assert (table.num_rows, table.column_names) == (N_EXAMPLES, ["example_id", "domain"])


def test_every_form_of_a_whole_row_says_the_same(measured: World) -> None:
    get = measured.client.get
    row = np.load(io.BytesIO(get("/v1/tasks/new/forgetting.npy").content))
    table = pyarrow.parquet.read_table(io.BytesIO(get("/v1/tasks/new/forgetting.parquet?level=0.8").content))
    lines = [json.loads(line) for line in get("/v1/tasks/new/forgetting.jsonl?level=0.8").text.splitlines()]
    top = get(f"/v1/tasks/new/forgotten?level=0.8&k={N_EXAMPLES}").json()["data"]
    by_id = {cell["example_id"]: cell for cell in top}
    assert [line["example_id"] for line in lines] == table["example_id"].to_pylist()
    assert lines == [{name: by_id[line["example_id"]][name] for name in line} for line in lines]
    for name in ("forgetting", "low", "high"):
        assert np.array_equal(table[name].to_numpy(), np.array([line[name] for line in lines], np.float32))
    assert table["measured"].to_pylist() == [line["measured"] for line in lines]
    assert np.array_equal(row, table["forgetting"].to_numpy())


def test_ids_and_domains_are_written_as_they_are(measured: World) -> None:
    awkward = [
        {"id": 'a "quoted\\ id', "domain": "Märchen 1"},
        {"id": "语料", "domain": ""},
        {"id": "c", "domain": "<x>"},
    ]
    client = measured.client
    client.post("/v1/upstream-sets", json={"id": "awkward"})
    client.put("/v1/upstream-sets/awkward/examples", content=json_lines(awkward))
    from tests.api.conftest import RECIPE

    client.post("/v1/matrices", json={"id": "small", "upstream_set": "awkward", "model": "tiny", "recipe": RECIPE})
    for task_id in ("a", "b"):
        put_row = np.arange(3.0, dtype=np.float32) / (1 + len(task_id))
        client.put(f"/v1/matrices/small/rows/{task_id}", content=b"".join(npy_chunks(put_row)))
    measured.fit()
    lines = [json.loads(line) for line in client.get("/v1/tasks/a/forgetting.jsonl").text.splitlines()]
    assert [{"id": line["example_id"], "domain": line["domain"]} for line in lines] == awkward


def test_downloads_whose_size_is_known_say_it(measured: World) -> None:
    for path in ("tasks/new/forgetting.npy", "matrices/m/rows.npy", "matrices/m/rows/known-1"):
        answer = measured.client.get(f"/v1/{path}", headers={"Accept-Encoding": "identity"})
        assert int(answer.headers["content-length"]) == len(answer.content)


WRITE = """
import hashlib, numpy as np
from service.operations.parquet import write_table
values = np.random.default_rng(0).normal(size=5000).astype("f4")
print(hashlib.sha256(write_table({"id": [f"é-{i}" for i in range(5000)], "value": values})).hexdigest())
"""


def test_parquet_has_the_same_bytes_in_another_process() -> None:
    values = np.random.default_rng(0).normal(size=5000).astype("f4")
    here = hashlib.sha256(write_table({"id": [f"é-{i}" for i in range(5000)], "value": values})).hexdigest()
    there = subprocess.run([sys.executable, "-c", WRITE], capture_output=True, text=True, check=True)
    assert there.stdout.strip() == here


def test_parquet_of_many_blocks_holds_one_in_memory() -> None:
    schema = pyarrow.schema([("value", pyarrow.float64())])
    made = (np.random.default_rng(0).normal(size=100_000) for _ in range(20))
    tracemalloc.start()
    largest = max(len(chunk) for chunk in parquet_chunks(schema, ([block] for block in made)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert largest < 1_000_000
    assert peak < 5_000_000  # the file has 16 million bytes


class Leaving:
    """A client of an ASGI app that goes away after some messages."""

    def __init__(self, after: int) -> None:
        self._left = after
        self._gone = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, _message: Any) -> None:
        self._left -= 1
        if self._left == 0:
            self._gone.set()
            await asyncio.sleep(0)
        if self._left < 0:
            raise OSError("the connection is closed")


@pytest.mark.parametrize("spec_version", ["2.3", "2.4"])
def test_a_client_that_leaves_in_the_middle_closes_the_source(spec_version: str) -> None:
    closed: list[int] = []

    def endless() -> Generator[bytes]:
        n_chunks = 0
        try:
            while True:
                n_chunks += 1
                yield b"x" * 1000
        finally:
            closed.append(n_chunks)

    async def download() -> None:
        client = Leaving(after=5)
        scope = {"type": "http", "asgi": {"spec_version": spec_version}}
        try:
            await asyncio.wait_for(Download(endless(), "text/plain", {})(scope, client.receive, client.send), 60)
        except Exception as error:
            assert type(error).__name__ == "ClientDisconnect"

    asyncio.run(download())
    assert len(closed) == 1
    assert closed[0] >= 4
