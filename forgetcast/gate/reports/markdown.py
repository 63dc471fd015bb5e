"""A verdict as Markdown, for a job's summary and for comments: at most as long as these may be."""

from __future__ import annotations

from collections.abc import Sequence

from forgetcast.gate.reports.wording import (
    BASIS,
    GateReport,
    chance_over,
    grounds,
    headline,
    interval,
    next_steps,
    number,
    sureness,
    title,
)
from forgetcast.gate.verdict import AssertionVerdict, ExampleAtRisk, Result

MOST_BYTES = 900_000  # a job's summary above 1 MiB is lost as a whole
SHOWN_AT_RISK = 10
SIGNS = {Result.PASS: "✅", Result.WARN: "⚠️", Result.FAIL: "❌", Result.INCONCLUSIVE: "❔", Result.ERROR: "💥"}


def summary(report: GateReport, *, most_bytes: int = MOST_BYTES) -> str:
    """Markdown; assertions that do not fit are counted instead, the best of them first to go."""
    assertions = list(report.assertions)
    text = _written(report, assertions, 0)
    while len(text.encode()) > most_bytes and assertions:
        kept = assertions[: len(assertions) // 2]
        text = _written(report, kept, len(report.assertions) - len(kept))
        assertions = kept
    return text


def _written(report: GateReport, assertions: Sequence[AssertionVerdict], n_left_out: int) -> str:
    lines = [f"### {SIGNS[report.result]} {_plain(headline(report))}", ""]
    if assertions:
        lines += ["| | assertion | value | interval | limit | | rests on |", "|---|---|---|---|---|---|---|"]
        lines += [_row(one) for one in assertions]
    if n_left_out:
        lines.append(f"\n{n_left_out} more assertions are left out here.")
    at_risk = _at_risk(assertions)
    if at_risk:
        lines += ["", "<details open><summary>Examples at risk</summary>", ""]
        lines += ["| example | domain | forgetting | interval | |", "|---|---|---|---|---|"]
        lines += [_risk_row(example) for example in at_risk]
        lines += ["", "</details>"]
    steps = next_steps(report)
    if steps:
        lines += ["", "**Next**", "", "```", *steps, "```"]
    lines += ["", *(f"- {_plain(line)}" for line in grounds(report))]
    return "\n".join(lines) + "\n"


def _row(one: AssertionVerdict) -> str:
    reason = sureness(one) if one.result in (Result.PASS, Result.FAIL) else one.reason
    cells = [
        f"{SIGNS[one.result]} {one.result}{' (warns)' if one.severity == 'warn' else ''}",
        title(one),
        number(one, one.value),
        interval(one),
        number(one, one.limit),
        reason,
        BASIS[one.basis],
    ]
    return f"| {' | '.join(_plain(cell) for cell in cells)} |"


def _at_risk(assertions: Sequence[AssertionVerdict]) -> list[ExampleAtRisk]:
    found: dict[str, ExampleAtRisk] = {}
    for one in assertions:
        for example in one.at_risk:
            found.setdefault(example.example_id, example)
    return list(found.values())[:SHOWN_AT_RISK]


def _risk_row(example: ExampleAtRisk) -> str:
    how = "measured" if example.measured else f"{example.low:+.3f} to {example.high:+.3f}"
    chance = chance_over(example)
    cells = [f"`{example.example_id.replace('`', '')}`", example.domain, f"{example.forgetting:+.3f}", how, chance]
    return f"| {' | '.join(cell if cell.startswith('`') else _plain(cell) for cell in cells)} |"


def _plain(text: str) -> str:
    """Text that Markdown and HTML leave as it is."""
    for char in "\\|<>[]*_`#":
        text = text.replace(char, f"&#{ord(char)};")
    return " ".join("".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text).split(" "))
