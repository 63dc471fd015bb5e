"""How many examples are measured at each look, and what the next one needs.

Half as many again as at the look before, or as many as would settle what is open if that is more; never more than
three times as many, for what would settle it is computed from a forecast that the next look corrects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from forgetcast.gate.metrics import Metric
from forgetcast.gate.verdict import AssertionVerdict, JudgedObject, Result, Verdict

GROWTH, MOST_GROWTH = 1.5, 3
MOST_PROBES = 100_000  # of one order


def sizes_of_looks(first: int, n_looks: int, n_examples: int) -> list[int]:
    """Probes at every look, at most all examples; the last look of several that would measure all is left out."""
    sizes = [min(first, n_examples)]
    while len(sizes) < n_looks and sizes[-1] < n_examples:
        sizes.append(min(n_examples, ceil(GROWTH * sizes[-1])))
    return sizes


@dataclass(frozen=True)
class NextLook:
    """What to measure before a task is judged again.

    example_ids : these; none for so many probes of a design
    size : probes in all; 0 for examples
    at_random : whether all probes are drawn at random
    """

    example_ids: tuple[str, ...]
    size: int
    at_random: bool


def next_look(verdict: Verdict, n_measured: int, n_examples: int) -> NextLook | str:
    """What would bring an inconclusive verdict further, or why nothing may.

    Parameters
    ----------
    n_measured, n_examples : of the row
    """
    if verdict.verdict != Result.INCONCLUSIVE:
        return f"the verdict is {verdict.verdict}"
    if verdict.look >= verdict.max_looks:
        return f"the policy's {verdict.max_looks} looks are spent"
    if n_measured >= n_examples:
        return "every example is measured"
    open_ones = [one for one in verdict.assertions if one.result == Result.INCONCLUSIVE and one.severity == "error"]
    settled = [one.settled_by for one in open_ones if one.settled_by is not None and one.settled_by.n_more]
    if not settled:
        return open_ones[0].reason if open_ones else "nothing is open"
    named = _protected(open_ones)
    if named:
        return NextLook(named, 0, False)
    wanted = n_measured + max(one.n_more or 0 for one in settled)
    size = min(n_examples, MOST_PROBES, max(ceil(GROWTH * n_measured), min(wanted, MOST_GROWTH * n_measured)))
    return NextLook((), size, all(one.at_random for one in settled))


def of_candidate(verdict: Verdict) -> bool:
    """Whether the verdict is about weights that a worker does not have."""
    return verdict.object == JudgedObject.CANDIDATE


def _protected(open_ones: Sequence[AssertionVerdict]) -> tuple[str, ...]:
    """Examples of protected sets that must be measured themselves; none unless nothing else is open."""
    if any(one.metric != Metric.PROTECTED for one in open_ones):
        return ()
    return tuple(dict.fromkeys(name for one in open_ones if one.settled_by for name in one.settled_by.example_ids))
