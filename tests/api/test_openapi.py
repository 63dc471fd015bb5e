"""The OpenAPI document: valid, current, and as full as a generated client needs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import TypeAdapter

from forgetcast import schemas
from forgetcast.schemas import reports
from service.api.contract import OPERATIONS
from service.api.examples import EXAMPLES
from service.api.problems import STATUS
from service.write_openapi import as_text, document

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def written() -> dict[str, Any]:
    return document()


def operations(written: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in written["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_the_committed_document_is_current() -> None:
    committed = (ROOT / "openapi.json").read_text(encoding="utf-8")
    assert committed == as_text(), "routes or shapes changed: run `make openapi`"


def test_it_is_valid_as_3_1(written: dict[str, Any]) -> None:
    assert written["openapi"] == "3.1.0"
    OpenAPIV31SpecValidator(written).validate()


def test_streams_are_described_without_itemschema_which_3_1_does_not_have(written: dict[str, Any]) -> None:
    assert "itemSchema" not in json.dumps(written)


def test_every_operation_is_in_the_contract_and_no_other(written: dict[str, Any]) -> None:
    found = [operation["operationId"] for _name, operation in operations(written)]
    assert len(set(found)) == len(found)
    assert set(found) == set(OPERATIONS)


def test_links_lead_to_operations_and_parameters_that_exist(written: dict[str, Any]) -> None:
    parameters = {
        operation["operationId"]: {parameter["name"] for parameter in operation.get("parameters", [])}
        for _name, operation in operations(written)
    }
    n_links = 0
    for _name, operation in operations(written):
        for response in operation["responses"].values():
            for link in response.get("links", {}).values():
                assert set(link["parameters"]) <= parameters[link["operationId"]]
                n_links += 1
    assert n_links > 15


def test_every_error_is_a_problem_with_an_example_for_each_code(written: dict[str, Any]) -> None:
    shown = set()
    for name, operation in operations(written):
        for status, response in operation["responses"].items():
            if int(status) < 400 or (name == "GET /readyz" and status == "503"):
                continue
            response = written["components"]["responses"][response["$ref"].rpartition("/")[2]]
            content = response["content"]["application/problem+json"]
            assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
            for code, example in content["examples"].items():
                if "$ref" in example:
                    example = written["components"]["examples"][code]
                problem = schemas.Problem.model_validate(example["value"])
                assert (problem.code, problem.status) == (code, int(status))
                shown.add(code)
    assert {code for operation in OPERATIONS.values() for code in (kind.code for kind in operation.raises)} <= shown
    assert set(written["components"]["examples"]) == {kind.code for kind in STATUS}


def test_every_body_has_an_example_that_its_shape_takes(written: dict[str, Any]) -> None:
    for name, operation in operations(written):
        bodies = [operation.get("requestBody", {})]
        bodies += [response for status, response in operation["responses"].items() if int(status) < 300]
        for body in bodies:
            content = body.get("content", {}).get("application/json")
            if content is not None and "$ref" in content.get("schema", {}):
                assert content["example"] is not None, name
    for shape, example in EXAMPLES.items():
        kind = getattr(schemas, shape, None) or getattr(reports, shape)
        TypeAdapter(kind).validate_json(json.dumps(example), extra="forbid")


def test_every_operation_but_the_open_ones_needs_a_key(written: dict[str, Any]) -> None:
    opened = {name for name, operation in operations(written) if operation.get("security") == []}
    assert opened == {"GET /healthz", "GET /readyz"}
    assert written["security"] == [{"key": []}]
    for name, operation in operations(written):
        assert ("401" in operation["responses"]) == (name not in opened), name


def test_ids_of_operations_make_good_names(written: dict[str, Any]) -> None:
    for _name, operation in operations(written):
        assert re.fullmatch(r"[a-z]+(_[a-z]+)+", operation["operationId"])
