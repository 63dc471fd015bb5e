"""A verdict in a terminal: what it is, why, which examples are at risk, what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forgetcast.cli.output import print_table, say

if TYPE_CHECKING:
    from forgetcast.gate.reports.wording import GateReport
    from forgetcast.gate.verdict import AssertionVerdict, ExampleAtRisk

SHOWN_PASSED = 10  # assertions that passed, of many
SHOWN_AT_RISK = 8
SHOWN_IDS = 10


def print_verdict(report: GateReport) -> None:
    from forgetcast.gate.reports.wording import grounds, headline, next_steps

    say(headline(report))
    _print_assertions(report)
    _print_at_risk(report)
    steps = next_steps(report)
    if steps:
        say("\nNext")
        for step in steps:
            say(f"  {step}")
    say("")
    for line in grounds(report):
        say(f"  {line}")


def print_explanation(report: GateReport) -> None:
    """Which cells and probes carry each assertion."""
    from forgetcast.gate.reports.wording import BASIS, chance_over, sentence

    for one in report.assertions:
        say(f"\n{sentence(one)}")
        basis = BASIS[one.basis]
        if basis:
            say(f"  rests on: {basis}; {one.n_measured} of its {one.n_examples} examples are measured")
        if one.over_at is not None and one.under_at is not None:
            say(f"  over its limit at error probability {one.over_at:.2g}, under it at {one.under_at:.2g}")
        for example in one.at_risk:
            how = "measured" if example.measured else f"forecast, {example.low:+.3f} to {example.high:+.3f}"
            chance = "" if example.measured or not chance_over(example) else f", {chance_over(example)}"
            say(f"  {example.example_id}: {example.forgetting:+.3f} ({how}{chance})")
        if one.settled_by is not None:
            _print_settling(one)


def _print_settling(one: AssertionVerdict) -> None:
    settled = one.settled_by
    assert settled is not None
    n_more = "nothing measured here would settle it" if settled.n_more is None else f"{settled.n_more} more examples"
    say(f"  to settle it: {n_more}; {settled.reason}")
    if settled.example_ids:
        more = ", …" if len(settled.example_ids) > SHOWN_IDS else ""
        say(f"  measure: {', '.join(settled.example_ids[:SHOWN_IDS])}{more}")


def _print_assertions(report: GateReport) -> None:
    from forgetcast.gate.reports.wording import interval, number, sureness, title
    from forgetcast.gate.verdict import Result

    rows, n_passed = [], 0
    for one in report.assertions:
        n_passed += one.result == Result.PASS
        if one.result == Result.PASS and n_passed > SHOWN_PASSED:
            continue
        result = str(one.result) + (" (warns)" if one.severity == "warn" and one.result != Result.PASS else "")
        why = one.reason if one.result in (Result.ERROR, Result.INCONCLUSIVE) else sureness(one)
        rows.append([result, title(one), number(one, one.value), interval(one), number(one, one.limit), why])
    if rows:
        say("")
        print_table(["result", "assertion", "value", "interval", "limit", ""], rows, to_the_right=["value", "limit"])
    if n_passed > SHOWN_PASSED:
        say(f"and {n_passed - SHOWN_PASSED} more that passed")


def _print_at_risk(report: GateReport) -> None:
    from forgetcast.gate.reports.wording import chance_over

    found: dict[str, ExampleAtRisk] = {}
    for one in report.assertions:
        for example in one.at_risk:
            found.setdefault(example.example_id, example)
    if not found:
        return
    say("\nExamples at risk (nats per token)")
    rows = [
        [
            example.example_id,
            example.domain,
            f"{example.forgetting:+.3f}",
            "measured" if example.measured else f"{example.low:+.3f} to {example.high:+.3f}",
            chance_over(example),
        ]
        for example in list(found.values())[:SHOWN_AT_RISK]
    ]
    print_table(["example", "domain", "forgetting", "interval", ""], rows, to_the_right=["forgetting"])
