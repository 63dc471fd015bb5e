"""A verdict as JUnit XML: a test suite a policy, a test case an assertion.

Failed assertions that are `error` are failures, those that cannot be judged are errors, what is open is skipped with
the reason; what only warns passes, and says so in its output, for a warning must not turn a build red.
"""

from __future__ import annotations

import re
from xml.sax.saxutils import escape, quoteattr

from forgetcast.gate.reports.wording import GateReport, headline, next_steps, sentence, title
from forgetcast.gate.verdict import AssertionVerdict, Result

# XML 1.0 has no other control characters, not even escaped, and no surrogates.
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(report: GateReport) -> str:
    """The XML document, with a declaration; UTF-8."""
    cases = [_case(report, one) for one in report.assertions]
    if report.verdict is None:
        cases = [_element("testcase", {"name": "verdict", "classname": _suite(report)}, _said("error", report.problem))]
    elif report.result == Result.ERROR and not any(one.result == Result.ERROR for one in report.assertions):
        note = "; ".join(report.verdict.notes)
        cases.append(_element("testcase", {"name": "verdict", "classname": _suite(report)}, _said("error", note)))
    counts = {
        "tests": len(cases),
        "failures": sum("<failure" in case for case in cases),
        "errors": sum("<error" in case for case in cases),
        "skipped": sum("<skipped" in case for case in cases),
    }
    attributes = {"name": _suite(report)} | {name: str(count) for name, count in counts.items()} | {"time": "0"}
    output = _element("system-out", {}, _text("\n".join([headline(report), *next_steps(report)])))
    suite = _element("testsuite", attributes, "".join([*cases, output]))
    totals = {name: str(count) for name, count in counts.items()}
    suites = _element("testsuites", {"name": "forgetcast gate"} | totals, suite)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{suites}\n'


def _suite(report: GateReport) -> str:
    return f"forgetcast.gate.{report.task}"


def _case(report: GateReport, one: AssertionVerdict) -> str:
    name = title(one) if one.against == "max" else f"{title(one)} ({one.against})"
    attributes = {"name": name, "classname": _suite(report), "time": "0"}
    told = sentence(one)
    match one.result:
        case Result.ERROR:
            inside = _said("error", told)
        case Result.FAIL if one.severity == "error":
            inside = _said("failure", told)
        case Result.INCONCLUSIVE:
            inside = f"<skipped message={quoteattr(_clean(f'inconclusive: {told}'))}/>"
        case Result.FAIL:
            inside = _element("system-out", {}, _text(f"warning: {told}"))
        case _:
            inside = _element("system-out", {}, _text(told))
    return _element("testcase", attributes, inside)


def _said(kind: str, message: str) -> str:
    return _element(kind, {"message": message, "type": f"gate.{kind}"}, _text(message))


def _element(name: str, attributes: dict[str, str], inside: str) -> str:
    given = "".join(f" {key}={quoteattr(_clean(value))}" for key, value in attributes.items())
    return f"<{name}{given}>{inside}</{name}>"


def _text(text: str) -> str:
    return escape(_clean(text))


def _clean(text: str) -> str:
    return NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
