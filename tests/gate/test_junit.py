"""JUnit XML: against the schema kept here, and by the parser that most people use."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import pytest

from forgetcast.gate.judge import judge
from forgetcast.gate.reports.junit import junit
from forgetcast.gate.reports.markdown import summary
from forgetcast.gate.reports.wording import GateReport
from forgetcast.gate.verdict import Result
from tests.gate.world import forecast_of, made_rows, mean_below, policy, subject

XSD = Path(__file__).parent / "xsd" / "junit.xsd"
NASTY = 'a<b>&"quotes" ]]> \x00\x07\ud800 é | `code` <script>alert(1)</script>'


NAME = NASTY.replace("\x00\x07\ud800", "")


@pytest.fixture(scope="module")
def report():
    """An assertion of each result, one with a name that no format likes."""
    truth = made_rows(1, seed=5)[0]
    asked = policy(
        mean_below(1, name="passes"),
        mean_below(-1, name="fails"),
        mean_below(-1, name="warns", severity="warn"),
        mean_below(float(truth.mean()), name=NAME),
        {"metric": "protected", "ids": ["nobody"], "max": 1, "name": "cannot be asked"},
    )
    verdict = judge(asked, subject(forecast_of(truth)))
    return GateReport("my-task", "forgetting.yml", verdict, policy_sha256=asked.sha256)


@pytest.fixture(scope="module")
def without_verdict():
    return GateReport("my-task", "forgetting.yml", None, problem=f"nobody answers {NASTY}")


def test_it_keeps_to_the_schema(report, without_verdict):
    xmlschema = pytest.importorskip("xmlschema")
    schema = xmlschema.XMLSchema(str(XSD))
    for one in (report, without_verdict):
        schema.validate(junit(one))


def test_junitparser_reads_every_assertion_with_its_result(report):
    junitparser = pytest.importorskip("junitparser")
    suites = junitparser.JUnitXml.fromstring(junit(report).encode())
    [suite] = list(suites)
    results = {case.name: [type(result).__name__ for result in case.result] for case in suite}
    assert results["passes"] == results["warns"] == []
    assert (results["fails"], results["cannot be asked"]) == (["Failure"], ["Error"])
    assert sorted(map(tuple, results.values())) == [(), (), ("Error",), ("Failure",), ("Skipped",)]
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (5, 1, 1, 1)


def test_it_is_xml_whatever_names_hold(report, without_verdict):
    for one in (report, without_verdict):
        root = ElementTree.fromstring(junit(one).encode())  # noqa: S314 (our own document)
        assert root.tag == "testsuites"


def test_versions_that_do_not_fit_are_an_error_of_the_suite(report):
    stale = replace(
        report.verdict, verdict=Result.ERROR, assertions=report.verdict.assertions[:1], notes=("stale: ask again",)
    )
    root = ElementTree.fromstring(junit(replace(report, verdict=stale)))  # noqa: S314 (our own document)
    assert root.get("errors") == "1"
    assert "stale: ask again" in ElementTree.tostring(root, "unicode")


def test_a_summary_lets_no_name_become_markup(report):
    text = summary(report)
    assert "<script>" not in text
    assert all(line.count("|") in (0, 8, 6) for line in text.splitlines() if line.startswith("|"))


def test_a_summary_that_is_too_long_keeps_the_worst_assertions(report):
    verdict = report.verdict
    passed = tuple(replace(verdict.assertions[0], name=f"passes {number}") for number in range(5000))
    long = replace(report, verdict=replace(verdict, assertions=verdict.assertions + passed))
    text = summary(long, most_bytes=20_000)
    assert len(text.encode()) <= 20_000
    assert "fails" in text and "more assertions are left out" in text
