"""A verdict in the words that a GitHub job reads: workflow commands on stdout, outputs in a file."""

from __future__ import annotations

from collections.abc import Iterator

from forgetcast.gate.reports.wording import GateReport, headline, sentence
from forgetcast.gate.verdict import Result

MOST_ANNOTATIONS = 9  # of a kind; a step shows ten


def workflow_commands(report: GateReport) -> list[str]:
    """`::error` and `::warning` lines, the verdict first."""
    kind = {Result.FAIL: "error", Result.ERROR: "error", Result.INCONCLUSIVE: "warning", Result.WARN: "warning"}
    if report.result == Result.PASS:
        return [_command("notice", headline(report))]
    lines = [_command(kind[report.result], headline(report))]
    return lines + list(_of_assertions(report))[:MOST_ANNOTATIONS]


def outputs(report: GateReport) -> str:
    """Lines of `$GITHUB_OUTPUT`."""
    found = {"verdict": str(report.result), "gate-id": report.gate_id or "", "policy-sha256": report.policy_sha256}
    return "".join(f"{name}={_one_line(value)}\n" for name, value in found.items())


def _of_assertions(report: GateReport) -> Iterator[str]:
    for one in report.assertions:
        if one.result == Result.PASS:
            continue
        severe = one.result == Result.ERROR or (one.result == Result.FAIL and one.severity == "error")
        yield _command("error" if severe else "warning", sentence(one))


def _command(kind: str, message: str) -> str:
    escaped = message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return f"::{kind} title=forgetcast gate::{escaped}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
