"""The security rules that the service keeps, by their number in the list of service/README.md.

Others are elsewhere: 1 to 4 and 27 in test_access.py, 7 in test_server_protocol.py, 18 in test_child.py.
"""

from __future__ import annotations

import hmac
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from forgetcast.errors import InvalidRequest, LimitExceeded
from forgetcast.layouts import parquet as parquet_files
from forgetcast.schemas import Scope
from service.api.limits import MOST_HEADER_BYTES, MOST_URL_BYTES
from service.app import create_app
from service.operations import json_lines
from service.operations.keys import live_keys
from service.operations.npy import read_floats
from service.queue import NoQueue
from service.settings import Settings
from service.storage.database import Database
from tests.api.conftest import N_EXAMPLES, RECIPE, SETTING, World, npy
from tests.api.conftest import json_lines as lines
from tests.api.test_bad_input import problem
from tests.api_keys import create_key

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def closed(client: TestClient, database: Database) -> TestClient:
    """The service with a key in its database, and a caller without one."""
    with database.transaction() as session:
        create_key(session, "admin", [Scope.ADMIN])
    return client


# 2: what is wrong with a key is not told by the time it takes


def test_2_whatever_is_wrong_with_a_key_costs_one_comparison_and_no_look_up(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    compare = hmac.compare_digest

    def noted(one: str, other: str) -> bool:
        done.append("compare")
        assert len(one) == len(other) == 64
        return compare(one, other)

    with database.transaction() as session:
        real = create_key(session, "real", [Scope.READ])
    with database.read() as session:
        known = live_keys(session)
    monkeypatch.setattr("service.operations.keys.hmac.compare_digest", noted)
    sa.event.listen(database.engine, "before_cursor_execute", lambda *_: done.append("look up"))
    for presented in (real, real[:-4] + "0000", f"fck_{'a' * 8}_{'b' * 43}", "malformed", ""):
        done.clear()
        assert (known.caller(presented) is not None) == (presented == real), presented
        assert done == ["compare"], presented


# 6: bytes are counted before anything else


def chunks(n_bytes: int) -> Iterator[bytes]:
    for _ in range(n_bytes // 65_536):
        yield b" " * 65_536


def test_6_a_large_body_is_refused_as_it_arrives(client: TestClient, database: Database) -> None:
    with database.transaction() as session:
        key = create_key(session, "admin", [Scope.ADMIN])
    headers = JSON | {"Authorization": f"Bearer {key}"}
    answer = client.post("/v1/tasks", content=chunks(1 << 20), headers=headers)
    assert problem(answer) == (413, "limit_exceeded")


def test_6_a_body_without_a_key_is_401_and_never_read(closed: TestClient) -> None:
    assert problem(closed.post("/v1/tasks", content=b"{not json", headers=JSON)) == (401, "unauthenticated")
    assert problem(closed.post("/v1/tasks", content=chunks(1 << 20), headers=JSON)) == (401, "unauthenticated")


def test_6_a_declared_length_beyond_the_limit_is_refused_at_once(client: TestClient) -> None:
    headers = JSON | {"Content-Length": str(10**12)}
    assert problem(client.post("/v1/tasks", content=b"", headers=headers)) == (413, "limit_exceeded")


@pytest.mark.parametrize("path", ["/v1/tasks", "/v1/matrices", "/v1/upstream-sets"])
def test_6_compressed_requests_are_not_read(client: TestClient, path: str) -> None:
    answer = client.post(path, content=b"x", headers=JSON | {"Content-Encoding": "gzip"})
    assert problem(answer) == (415, "unsupported_media_type")


# 7: heads are bounded


def test_7_a_long_url_and_long_headers_are_refused(client: TestClient) -> None:
    long_url = client.get("/v1/tasks", params={"cursor": "x" * MOST_URL_BYTES})
    assert problem(long_url) == (414, "limit_exceeded")
    assert str(MOST_URL_BYTES) in long_url.json()["detail"]
    assert problem(client.get("/v1/tasks", headers={"X-Long": "x" * MOST_HEADER_BYTES})) == (431, "limit_exceeded")


# 8: numbers and sizes are bounded before anything is allocated


@pytest.mark.parametrize("name", ["steps", "batch_size", "max_tokens", "warmup_steps"])
def test_8_a_recipe_has_bounds(empty_world: World, name: str) -> None:
    numbers: list[Any] = [-1, 2**31, 2**63, 10**40, 1.5, "many", None, []]
    for number in numbers:
        wanted = {"upstream_set": "set", "model": "tiny", "recipe": RECIPE | {name: number}, "setting": SETTING}
        answer = empty_world.client.post("/v1/matrices", json=wanted)
        is_large = isinstance(number, int) and number > 0
        assert problem(answer) == (422, "limit_exceeded" if is_large else "invalid_request"), number
        # Without `steps` it is the epochs that are missing as well.
        field = "/recipe" if (name, number) == ("steps", None) else f"/recipe/{name}"
        assert answer.json()["errors"][0]["pointer"] == field


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/tasks", "limit"),
        ("/v1/matrices/m/probe-set", "size"),
        ("/v1/matrices/m/probe-set", "seed"),
        ("/v1/matrices/m/backtest", "as_of"),
        ("/v1/tasks/new/forgotten", "k"),
        ("/v1/tasks/new/forgotten", "as_of"),
        ("/v1/tasks/new/replay-set", "size"),
        ("/v1/tasks/new/replay-set", "seed"),
        ("/v1/tasks/new/replay-set", "min_per_domain"),
        ("/v1/jobs/job/events", "after"),
        ("/v1/jobs/job/events", "limit"),
    ],
)
def test_8_a_query_has_bounds(empty_world: World, path: str, name: str) -> None:
    for number in ("-1", str(2**63), "9" * 40, "1e9", "nan", "many"):
        answer = empty_world.client.get(path, params={name: number})
        is_large = number.isdecimal()
        assert problem(answer) == (422, "limit_exceeded" if is_large else "invalid_request"), number
        assert answer.json()["errors"][0]["pointer"] == name


@pytest.mark.parametrize("field", ["family"])
def test_8_texts_have_bounds_and_no_nul(empty_world: World, field: str) -> None:
    for text in ("x" * 129, "a\0b", "\ud800"):
        content = json.dumps({"id": "long", "matrix": "m", "measure": "none", field: text})
        answer = empty_world.client.post("/v1/tasks", content=content, headers=JSON)
        assert problem(answer) == (422, "limit_exceeded" if len(text) > 128 else "invalid_request"), text


def test_8_json_is_not_nested_without_end(client: TestClient) -> None:
    answer = client.post("/v1/tasks", content=b"[" * 90_000, headers=JSON)
    assert problem(answer) == (422, "invalid_request")


def test_8_a_line_has_bounds(monkeypatch: pytest.MonkeyPatch, client: TestClient) -> None:
    monkeypatch.setattr(json_lines, "LONGEST_LINE", 1000)
    client.post("/v1/upstream-sets", json={"id": "set"})
    answer = client.put("/v1/upstream-sets/set/examples", content=lines([{"id": "a", "text": "x" * 2000}]))
    assert problem(answer) == (422, "limit_exceeded")
    assert "1000" in answer.json()["detail"]


def test_8_a_matrix_has_a_most_of_rows(empty_world: World, settings: Settings) -> None:
    small = settings.model_copy(update={"max_rows": 2})
    with TestClient(create_app(small, empty_world.database, NoQueue())) as client:
        few = World(client, empty_world.database, empty_world.forgetting)
        assert [few.put_row(name, few.forgetting[0]).status_code for name in "aba"] == [201, 201, 200]
        refused = few.put_row("c", few.forgetting[0])
        assert problem(refused) == (422, "limit_exceeded")
        assert "2 known rows" in refused.json()["detail"]


# 10: models and data are registered ids or content hashes

TRICKS = [
    line.encode().decode("unicode_escape")
    for line in (Path(__file__).parent / "tricks.txt").read_text(encoding="ascii").splitlines()
] + ["", "a" * 129]


def test_10_there_are_enough_tricks() -> None:
    assert len(set(TRICKS)) >= 60


def test_10_no_path_and_no_url_is_taken_for_a_model_or_data(empty_world: World, settings: Settings) -> None:
    (settings.home / "canary").write_text("CANARY")
    client = empty_world.client
    for trick in [*TRICKS, str(settings.home / "canary"), "canary", "../canary", f"file://{settings.home}/canary"]:
        matrix = {"upstream_set": "set", "model": trick, "recipe": RECIPE, "setting": SETTING}
        for answer, pointer in (
            (client.post("/v1/matrices", json=matrix), "/model"),
            (client.post("/v1/matrices", json=matrix | {"model": "tiny", "upstream_set": trick}), "/upstream_set"),
            (client.post("/v1/tasks", json={"matrix": "m", "dataset": trick}), "/dataset"),
            (client.post("/v1/tasks", json={"matrix": trick, "measure": "none"}), "/matrix"),
            (client.post("/v1/tasks", json={"matrix": "m", "measure": "none", "repeat_of": trick}), "/repeat_of"),
        ):
            assert problem(answer)[0] == 422, trick
            assert answer.json()["errors"][0]["pointer"] == pointer, trick
        for method, folder in (("GET", "/v1/tasks/x"), ("PUT", "/v1/datasets/x"), ("GET", "/v1/matrices/m/rows/x")):
            quoted = "".join(f"%{byte:02x}" for byte in trick.encode())
            answered = client.request(method, folder[:-1] + quoted, content=b"{}" if method == "PUT" else None)
            # "" and dots alone are the list above, as any web server reads them; whatever else is in nobody's file.
            assert answered.status_code in (404, 405, 422) or not trick.strip("./"), (method, folder, trick)
            assert "CANARY" not in answered.text, trick


def test_10_a_registered_model_is_read_from_its_own_folder_alone(empty_world: World) -> None:
    assert [model["id"] for model in empty_world.client.get("/v1/models").json()["data"]] == ["tiny"]


# 12, 14, 15: files from outside run nothing and unpack to no more than they may


def test_12_a_pickle_is_never_loaded(empty_world: World, tmp_path: Path) -> None:
    canary = tmp_path / "ran"
    makes_a_folder = f"cos\nmkdir\n(S'{canary}'\ntR.".encode()
    for content in (makes_a_folder, header(f"({N_EXAMPLES},)", "|O") + makes_a_folder):
        headers = {"Content-Type": "application/x-npy"}
        answer = empty_world.client.put("/v1/matrices/m/rows/evil", content=content, headers=headers)
        assert problem(answer) == (422, "invalid_request")
        sent = empty_world.client.put("/v1/upstream-sets/set/examples", content=content)
        assert problem(sent)[0] == 422
    assert not canary.exists()


def header(shape: str, dtype: str = "<f4") -> bytes:
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
    text += " " * (-(len(text) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


@pytest.mark.parametrize("shape", ["(1000000000000,)", "(2, 99999999999)", "(-1,)", "(3,)", "()"])
def test_15_a_npy_header_promises_no_more_than_its_bytes(shape: str) -> None:
    with pytest.raises(InvalidRequest):
        read_floats(io.BytesIO(header(shape) + b"\0" * 8))


def test_15_a_whole_npy_is_read_as_it_is() -> None:
    values = np.arange(6, dtype=np.float64).reshape(2, 3)
    for array in (values, np.asfortranarray(values), values.astype(">f4"), values.astype(np.float16)):
        assert np.array_equal(read_floats(io.BytesIO(npy(array))), values.astype(np.float32))


@pytest.mark.parametrize(
    ("table", "limit"),
    [
        ({f"column {i}": [1] for i in range(parquet_files.MOST_COLUMNS + 1)}, "columns"),
        ({"id": ["x" * 1000] * 200_000}, "bytes once it is unpacked"),
    ],
)
def test_15_a_parquet_file_that_unpacks_to_too_much_is_not_unpacked(table: dict[str, Any], limit: str) -> None:
    packed = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(table), packed, compression="zstd", use_dictionary=False)
    assert packed.tell() < 300_000
    packed.seek(0)
    with pytest.raises(LimitExceeded, match=limit):
        parquet_files.open_checked(packed)


# 16: what is asked is bound, never pasted into SQL


@pytest.mark.parametrize("text", ["' OR 1=1--", "'; DROP TABLE task;--", "%", "_", "\\", '"', "1) OR (1=1"])
def test_16_texts_are_no_sql(empty_world: World, text: str) -> None:
    client = empty_world.client
    client.post("/v1/tasks", json={"id": "one", "matrix": "m", "measure": "none"})
    assert client.get("/v1/tasks", params={"matrix": text}).json()["data"] == []
    assert problem(client.get(f"/v1/tasks/{text.replace('%', '%25')}"))[0] == 404
    assert len(client.get("/v1/tasks").json()["data"]) == 1


# 21, 22, 23: what is said outside


def test_21_a_failure_inside_shows_nothing_of_it(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError(f"secret of api_key in {settings.home}")

    monkeypatch.setattr("service.api.tasks.tasks.list_tasks", fail)
    answer = client.get("/v1/tasks")
    assert problem(answer) == (500, "internal")
    assert not re.search(r"secret|api_key|Traceback|RuntimeError", answer.text)
    assert str(settings.home) not in answer.text


def test_22_answers_are_nothing_that_a_browser_runs(empty_world: World) -> None:
    client = empty_world.client
    script = "<script>alert(1)</script>"
    client.post("/v1/upstream-sets", json={"id": "html"})
    client.put("/v1/upstream-sets/html/examples", content=lines([{"id": script, "text": script}]))
    for path in ("/v1/upstream-sets/html/examples", f"/v1/tasks/{script}", "/v1/nothing", "/healthz"):
        answer = client.get(path, headers={"Origin": "https://elsewhere.example"})
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "html" not in answer.headers["content-type"]
        assert not {"access-control-allow-origin", "set-cookie"} & set(answer.headers)


def test_23_numbers_sent_out_are_json(world: World) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    world.post_task(id="new", measure="none")
    world.measure("new", world.forgetting[0])
    for path in ("/v1/tasks/new/forecast", "/v1/tasks/new/forgotten?k=80", "/v1/matrices/m", "/v1/queue"):
        json.loads(world.client.get(path).text, parse_constant=refuse)


# 26: the code itself

FORBIDDEN = re.compile(
    r"(?<![.\w])(eval|exec)\(|shell=True|yaml\.load\(|trust_remote_code=True|allow_pickle=True|os\.system\("
)


def test_26_the_code_runs_no_text() -> None:
    root = Path(__file__).parents[2]
    for folder in ("forgetcast", "service", "workers", "bundled"):
        for path in (root / folder).rglob("*.py"):
            assert not FORBIDDEN.search(path.read_text(encoding="utf-8")), path
