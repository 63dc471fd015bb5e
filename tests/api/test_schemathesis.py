"""schemathesis over every route: no failure inside, nothing answered that openapi.json does not say.

FORGETCAST_SCHEMATHESIS_EXAMPLES=200 asks more than the ten of `make test`.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import hypothesis
import numpy as np
import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import FlakyStrategyDefinition
from hypothesis.stateful import run_state_machine_as_test
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from forgetcast.schemas import Scope
from service.api.contract import OPERATIONS
from service.api.examples import EXAMPLES
from service.api.media_types import JSON_LINES, NPY, NPZ, PARQUET
from service.api.streaming import LONGEST_WAIT
from service.app import create_app
from service.operations.parquet import write_table
from service.queue import NoQueue
from service.settings import Settings
from service.storage.database import Database
from service.storage.tables import Table
from tests.api.conftest import DOMAINS, json_lines, low_rank_rows, npy
from tests.api_keys import create_key
from tests.fits import fit_due_matrix

N_EXAMPLES = int(os.environ.get("FORGETCAST_SCHEMATHESIS_EXAMPLES", "10"))
ASKED = settings(
    max_examples=N_EXAMPLES,
    deadline=None,
    derandomize=N_EXAMPLES == 10,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
)
SET, MATRIX, TASK = (EXAMPLES[shape]["id"] for shape in ("UpstreamSetCreate", "MatrixCreate", "TaskCreate"))


def no_failure_inside(_ctx: Any, response: Any, _case: Any) -> None:
    """503 is declared, and is right for a version that no worker has fitted; any other 5xx is a defect."""
    assert response.status_code != 401, "the key that every request has is not seen"
    if response.status_code >= 500:
        answer = response.json()
        assert "ready" in answer or answer["code"] == "fit_pending", response.text


CHECKED = [
    no_failure_inside,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
]


lines = st.lists(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists), max_size=3)
cells = st.fixed_dictionaries({"example_id": st.sampled_from(["example-1", "x"]), "forgetting": st.floats()})
texts = st.fixed_dictionaries({"text": st.text()}, optional={"id": st.text(), "domain": st.text()})


def written(values: list[Any]) -> bytes:
    return "".join(json.dumps(value) + "\n" for value in values).encode()


def npz(values: Any) -> bytes:
    target = io.BytesIO()
    np.savez(target, forgetting=values)
    return target.getvalue()


schemathesis.openapi.media_type(JSON_LINES, (lines | st.lists(cells) | st.lists(texts)).map(written) | st.binary())
schemathesis.openapi.media_type(NPZ, st.binary() | st.sampled_from([80, 3]).map(lambda n: npz(np.zeros((2, n), "f4"))))
schemathesis.openapi.media_type(NPY, st.binary() | st.sampled_from([80, 3]).map(lambda n: npy(np.zeros(n, "f4"))))
schemathesis.openapi.media_type(PARQUET, st.binary() | st.lists(st.text()).map(lambda ids: write_table({"id": ids})))


@dataclass
class Served:
    """The service with what the examples name in it, and a key that may do everything."""

    schema: Any
    headers: dict[str, str]
    known: dict[str, str]


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("home")
    (home / "model").mkdir()
    (home / "model" / "model.safetensors").write_bytes(b"not real weights, but bytes with a revision")
    name = EXAMPLES["MatrixCreate"]["model"]
    (home / "models.toml").write_text(f'[models.{name}]\nfolder = "{home / "model"}"\n')
    if request.param == "sqlite":
        database = Database(f"sqlite:///{home / 'forgetcast.db'}")
        Table.metadata.create_all(database.engine)
    else:
        database = Database(request.getfixturevalue("postgres_tables"))
    chosen = Settings(home=home, models=home / "models.toml", cache_dir=home / "cache", max_body_bytes=100_000)
    app = create_app(chosen, database, NoQueue())
    with database.transaction() as session:
        headers = {"Authorization": f"Bearer {create_key(session, 'schemathesis', list(Scope))}"}
        other = create_key(session, "other", [Scope.READ]).split("_")[1]
    job = fill(TestClient(app, headers=headers), database)
    known = {"set_id": SET, "matrix_id": MATRIX, "task_id": "known-3", "job_id": job, "key_id": other}
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    schema.config.generation.update(with_security_parameters=False)  # no invented keys beside the real one
    yield Served(schema, headers, known)
    database.close()


def fill(client: TestClient, database: Database) -> str:
    """What the examples name is there; the id of a job that waits."""
    examples = [{"id": f"example-{i}", "text": f"text {i}", "domain": DOMAINS[i % 4]} for i in range(80)]
    client.post("/v1/upstream-sets", json=EXAMPLES["UpstreamSetCreate"])
    client.put(f"/v1/upstream-sets/{SET}/examples", content=json_lines(examples))
    assert client.post("/v1/matrices", json=EXAMPLES["MatrixCreate"]).status_code == 201
    for place, row in enumerate(low_rank_rows(12)):
        url = f"/v1/matrices/{MATRIX}/rows/known-{place}"
        assert client.put(url, content=npy(row), headers={"Content-Type": NPY}).status_code == 201
    assert fit_due_matrix(database)
    data = json_lines([{"text": "one"}, {"text": "two"}])
    digest = sha256(data).hexdigest()
    assert client.put(f"/v1/datasets/{digest}", content=data).status_code == 201
    ordered = client.post("/v1/tasks", json={"id": TASK, "matrix": MATRIX, "dataset": digest, "size": 30})
    assert ordered.status_code == 202, ordered.text
    return str(ordered.json()["job"])


@pytest.mark.parametrize("operation_id", sorted(OPERATIONS))
def test_every_route_keeps_its_contract(served: Served, operation_id: str) -> None:
    operation = served.schema.find_operation_by_id(operation_id)
    cases = st.one_of(*[operation.as_strategy(generation_mode=mode) for mode in GenerationMode])

    @ASKED
    @given(case=cases, known=st.booleans())
    def ask(case: Any, known: bool) -> None:
        if known:  # ids that exist, for what is drawn seldom does
            known_ids = {name: served.known[name] for name in case.path_parameters if name in served.known}
            case.path_parameters.update(known_ids)
        if 1 < _number(case.query, "wait") <= LONGEST_WAIT:  # longer than a caller here has patience
            case.query["wait"] = 1
        case.call_and_validate(checks=CHECKED, headers=served.headers)

    ask()


def _number(query: Any, name: str) -> float:
    value = query.get(name) if isinstance(query, dict) else None
    return float(value) if isinstance(value, int | float) else 0.0


def test_what_is_created_can_be_followed(served: Served) -> None:
    """Chains of requests along the links of openapi.json."""
    machine = served.schema.as_state_machine()

    class Followed(machine):  # type: ignore[misc, valid-type]
        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return {"headers": served.headers}

        def validate_response(self, response: Any, case: Any, additional_checks: Any = (), **kwargs: Any) -> None:
            case.validate_response(response, checks=CHECKED, headers=served.headers)

    # What can follow depends on what the service has answered before, which hypothesis takes for an inconsistent draw.
    with suppress(FlakyStrategyDefinition):
        run_state_machine_as_test(Followed, settings=settings(ASKED, stateful_step_count=6))
