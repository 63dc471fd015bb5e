"""`forgetcast probe-set` of a matrix in the service, and of a file."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.client.answers import ok

PROBES = {
    "matrix": "m",
    "matrix_version": 4,
    "design": "mixed",
    "seed": 0,
    "domains": [],
    "expected_error": 0.25,
    "numpy_version": "2.4.6",
    "data": [
        {"place": 1, "example_id": "poems-01", "domain": "poems", "at_random": False, "expected_error": 0.125},
        {"place": 2, "example_id": "code-01", "domain": "code", "at_random": True, "expected_error": None},
    ],
}


@pytest.fixture
def rows(tmp_path):
    generator = np.random.default_rng(0)
    forgetting = generator.normal(size=(8, 2)) @ generator.normal(size=(2, 40)) + 0.1 * generator.normal(size=(8, 40))
    path = tmp_path / "rows.npz"
    examples = [f"example-{place}" for place in range(40)]
    np.savez(path, forgetting=forgetting, example=examples, domain=["poems", "code"] * 20)
    return path


def test_probes_of_a_matrix_are_asked_of_the_service(run, service):
    service.answers["GET", "/v1/matrices/m/probe-set"] = ok(PROBES)
    result = run("probe-set", "m", "--size", 2, "--domain", "poems", "--domain", "code")
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[1:] == ["1 poems-01 poems chosen 0.1250", "2 code-01 code at random -"]
    assert "without a probe the error to expect is 0.2500" in result.stderr
    asked = service.asked("GET", "/v1/matrices/m/probe-set")[0].url.params
    assert (asked["size"], asked["design"], asked.get_list("domain")) == ("2", "mixed", ["poems", "code"])
    assert run("probe-set", "m", "-q").stdout == "poems-01\ncode-01\n"
    assert json.loads(run("probe-set", "m", "--json").stdout) == PROBES


def test_probes_of_a_file_are_designed_here(run, rows):
    found = json.loads(run("probe-set", rows, "--size", 6, "--json").stdout)
    assert found.keys() == PROBES.keys()
    assert [probe["place"] for probe in found["data"]] == [1, 2, 3, 4, 5, 6]
    assert {probe["at_random"] for probe in found["data"]} == {True, False}
    assert found["data"][-1]["expected_error"] < found["expected_error"]
    assert run("probe-set", rows, "--size", 3, "-q").stdout.split() == [
        probe["example_id"] for probe in found["data"][:3]
    ]


def test_a_domain_that_the_file_does_not_have_is_one_line(run, rows):
    result = run("probe-set", rows, "--domain", "law")
    assert result.exit_code == 2
    assert "no domain 'law'" in result.stderr


def test_more_probes_than_examples_is_one_line(run, rows):
    result = run("probe-set", rows, "--size", 41)
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
