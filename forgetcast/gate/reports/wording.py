"""How a verdict is said: numbers with their units, what it is about, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from forgetcast.gate.metrics import Metric
from forgetcast.gate.verdict import AssertionVerdict, Basis, ExampleAtRisk, JudgedObject, Result, Verdict

WORST_FIRST = [Result.ERROR, Result.FAIL, Result.INCONCLUSIVE, Result.WARN, Result.PASS]
BASIS = {
    Basis.MEASURED: "measured",
    Basis.FORECAST: "forecast",
    Basis.RANDOM_PROBES: "random probes alone",
    Basis.NOTHING: "",
}
REPLAY_RATIO = "0.03125"  # of the task's examples; the paper's mixture


@dataclass(frozen=True)
class GateReport:
    """A verdict with the names that a reader knows it by.

    verdict : None where there is none, and `problem` says why
    gate_id : under which the service keeps it
    finished : every cell came from a file; nothing can be measured further
    """

    task: str
    policy: str
    verdict: Verdict | None
    policy_sha256: str = ""
    problem: str = ""
    gate_id: str | None = None
    rests_on: str = ""
    finished: bool = False

    @property
    def result(self) -> Result:
        return Result.ERROR if self.verdict is None else self.verdict.verdict

    @property
    def assertions(self) -> Sequence[AssertionVerdict]:
        """The worst first, those that end the release before those that warn."""
        if self.verdict is None:
            return ()
        return sorted(self.verdict.assertions, key=lambda one: (WORST_FIRST.index(one.result), one.severity != "error"))


def headline(report: GateReport) -> str:
    """The verdict in one line."""
    told = f"{report.result.value.upper()}: {report.task} under {report.policy}"
    verdict = report.verdict
    if verdict is None:
        return f"{told}: {report.problem}"
    counts = [f"{n} {result}" for result in WORST_FIRST if (n := _count(verdict, result))]
    return f"{told} ({', '.join(counts)})"


def grounds(report: GateReport) -> list[str]:
    """What the verdict rests on, a line each."""
    verdict = report.verdict
    if verdict is None:
        return []
    about = {JudgedObject.CANDIDATE: "the weights that were measured", JudgedObject.RECIPE: "a run of the recipe"}
    lines = [*(f"note: {note}" for note in verdict.notes)]
    if not report.finished:
        lines.append(
            f"about {about[verdict.object]}; look {verdict.look} of {verdict.max_looks}, {100 * verdict.level:g}% sure "
            f"over all looks"
        )
    if verdict.n_draws:
        lines.append(f"{verdict.n_draws} rows drawn from the joint forecast")
    rests = [report.rests_on, f"policy {report.policy_sha256[:12]}" if report.policy_sha256 else ""]
    rests.append(f"kept as {report.gate_id}" if report.gate_id else "")
    lines.append(", ".join(part for part in rests if part))
    return [line for line in lines if line]


def title(one: AssertionVerdict) -> str:
    """What is asserted, with its domain."""
    where = f" in {one.domain}" if one.domain else ""
    return f"{one.name}{where}{' against the baseline' if one.against == 'threshold' else ''}"


def number(one: AssertionVerdict, value: float | None) -> str:
    """A value in the assertion's unit."""
    if value is None:
        return "?"
    match one.metric:
        case Metric.SHARE_ABOVE:
            return f"{100 * value:.2f}%"
        case Metric.COUNT_ABOVE:
            return f"{value:.0f}"
        case _:
            return f"{value:+.3f}"


def interval(one: AssertionVerdict) -> str:
    """From where to where the value may lie."""
    if one.basis == Basis.NOTHING:
        return ""
    if one.basis == Basis.MEASURED:
        return "exact"
    return f"{number(one, one.low)} to {number(one, one.high)}"


def sureness(one: AssertionVerdict) -> str:
    """How probable it is that the value lies on the side of the limit that it seems to."""
    if one.basis == Basis.MEASURED:
        return "certain"
    if one.over_at is None or one.under_at is None:
        return ""
    side, doubt = ("over", one.over_at) if one.over_at < one.under_at else ("under", one.under_at)
    return f"{side}, {100 * max(0.0, 1 - doubt):.4g}% sure"


def chance_over(example: ExampleAtRisk) -> str:
    """How probable it is that a single example lies over the limit, where that is asked."""
    if example.probability_over is None:
        return ""
    if example.measured:
        return "over" if example.probability_over > 0 else ""
    return f"{100 * example.probability_over:.3g}% over"


def sentence(one: AssertionVerdict) -> str:
    """One assertion in words, for annotations and messages."""
    if one.result == Result.ERROR:
        return f"{title(one)} cannot be judged: {one.reason}"
    if one.value is None:
        return f"{title(one)} is inconclusive: {one.reason}"
    value = f"{number(one, one.value)} ({interval(one)}), limit {number(one, one.limit)}"
    match one.result:
        case Result.FAIL:
            by = number(one, one.value - one.limit)
            return f"{title(one)} is {value}: over its limit by {by}, {sureness(one)}"
        case Result.PASS:
            return f"{title(one)} is {value}: under its limit, {sureness(one)}"
        case _:
            return f"{title(one)} is {value}: {one.reason}"


def next_steps(report: GateReport) -> list[str]:
    """What to do, the command first where there is one."""
    if report.verdict is None:
        return []
    steps = list(_next_of_failed(report))
    steps += _next_of_open(report)
    return steps


def ids_to_measure(report: GateReport) -> list[str]:
    """Examples whose measuring would settle what is open, each once, in order."""
    found: dict[str, None] = {}
    open_ones = [one for one in report.assertions if one.settled_by is not None]
    for one in [one for one in open_ones if one.severity == "error"] or open_ones:
        if one.settled_by is not None:
            found |= dict.fromkeys(one.settled_by.example_ids)
    return list(found)


def _next_of_failed(report: GateReport) -> Iterator[str]:
    failed = [one for one in report.assertions if one.result == Result.FAIL]
    if failed and report.finished:
        yield "do not release it; train again with replay of what is at risk"
    elif failed:
        yield (
            f"forgetcast replay {report.task} --ratio {REPLAY_RATIO} -o replay-of-{report.task}   "
            "# then train again with it mixed in"
        )


def _next_of_open(report: GateReport) -> Iterator[str]:
    assert report.verdict is not None
    open_ones = [one for one in report.assertions if one.settled_by is not None]
    ending = [one for one in open_ones if one.severity == "error"]
    settlings = [one.settled_by for one in ending or open_ones if one.settled_by is not None]
    counts = [one.n_more for one in settlings if one.n_more is not None]
    if report.verdict.object == JudgedObject.RECIPE and settlings:
        yield (
            "measure the weights that will be released, and post the cells with their sha256: "
            f"forgetcast measure {report.task} --from cells.jsonl --weights-sha256 SHA256"
        )
        return
    if not counts:
        return
    at_random = any(one.at_random for one in settlings)
    yield f"forgetcast gate {report.task} --policy {report.policy} -q > ids.txt   # {max(counts)} more examples"
    drawn = ' with "at_random": true' if at_random else ""
    yield (
        f"measure them on the same weights, and post them{drawn}: "
        f"forgetcast measure {report.task} --from cells.jsonl --weights-sha256 SHA256"
    )


def _count(verdict: Verdict, result: Result) -> int:
    return sum(one.result == result for one in verdict.assertions)
