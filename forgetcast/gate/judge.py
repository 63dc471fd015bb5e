"""Judge a row by a policy.

An assertion passes when its value is known to lie under its limit, fails when it is known to lie over it, and is
inconclusive otherwise. To pass, a policy needs each assertion to pass at its own level, so nothing is corrected; to
fail, any of K is enough, so these go through Holm's steps. Assertions that warn are a family of their own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from forgetcast.completion.types import Indices
from forgetcast.gate.checks import THRESHOLD, Check, checks_of
from forgetcast.gate.families import holm
from forgetcast.gate.metrics import Metric
from forgetcast.gate.policy import MinQuality, Policy
from forgetcast.gate.replayed import replay_problems
from forgetcast.gate.settling import settle
from forgetcast.gate.subject import FEWEST_PAIRS, RunVariance, Subject
from forgetcast.gate.verdict import (
    AssertionVerdict,
    Basis,
    ExampleAtRisk,
    JudgedObject,
    Result,
    Verdict,
)
from forgetcast.gate.weighing import Spending, Weighed, weigh

SHOWN_AT_RISK = 5  # examples of an assertion
NEGLIGIBLE = 0.001  # chance of a protected example to lie over its limit


def judge(policy: Policy, subject: Subject) -> Verdict:
    """The verdict: the same for the same policy, row and identity."""
    checks = checks_of(policy, subject)
    unfit = [*subject.unfit, *replay_problems(checks, subject)]
    askable = [check for check in checks if check.question is not None]
    a = (1.0 - policy.level) / 2.0 / policy.max_looks
    looks_left = subject.look <= policy.max_looks
    spending = [Spending(a, a / max(1, _family_size(askable, check))) for check in askable]
    distrust = distrust_of(policy.min_quality, subject)
    weighed, n_draws = weigh(askable, subject, distrust, spending, subject.seed(policy.sha256))
    results = dict(zip(map(id, askable), _results(weighed, a, looks_left), strict=True))
    by_check = {id(one.check): one for one in weighed}
    spending_of = dict(zip(map(id, askable), spending, strict=True))
    verdicts = tuple(
        _told(by_check[id(check)], results[id(check)], subject, spending_of[id(check)], looks_left)
        if check.question is not None
        else _cannot_be_asked(check)
        for check in checks
    )
    return Verdict(
        verdict=Result.ERROR if unfit else _whole(verdicts),
        object=subject.object,
        level=policy.level,
        look=subject.look,
        max_looks=policy.max_looks,
        error_probability=a,
        n_draws=n_draws,
        unlike_known=subject.row.unlike_known,
        assertions=verdicts,
        notes=tuple([*unfit, *_notes(policy, subject, distrust)]),
    )


def _family_size(checks: Sequence[Check], of: Check) -> int:
    return sum(check.is_error == of.is_error for check in checks)


def distrust_of(least: MinQuality, subject: Subject) -> str:
    """Why the model's own intervals do not count; empty where they do."""
    if subject.finished:
        return ""
    if subject.distrust:
        return subject.distrust
    if subject.replayed.size:
        return "the model was trained with replay, which is another recipe than that of the known rows"
    if subject.row.unlike_known is None:
        return "nobody can say whether this task is like the known ones"
    if subject.row.unlike_known:
        return "this task forgets unlike all known ones"
    quality = subject.quality
    if quality is None or quality.coverage is None:
        return "forecasts from this matrix are not back-tested, so their intervals do not count"
    if quality.coverage < least.coverage:
        return f"intervals held {quality.coverage:.2f} of left-out tasks' cells, min_quality asks {least.coverage:g}"
    if quality.row_mean_ratio is None:
        return "the back-test does not say how far means of left-out tasks are off, as min_quality asks"
    if quality.row_mean_ratio > least.row_mean_ratio:
        return (
            f"means of left-out tasks are off {quality.row_mean_ratio:.2f} times as much as column means are, "
            f"min_quality allows {least.row_mean_ratio:g}"
        )
    return ""


def _results(weighed: Sequence[Weighed], a: float, looks_left: bool) -> list[Result]:
    results = [Result.INCONCLUSIVE] * len(weighed)
    for is_error in (True, False):
        places = [place for place, one in enumerate(weighed) if one.check.is_error == is_error and one.evidence]
        doubtful = [place for place in places if not _certain(weighed[place])]
        over = [_doubts(weighed[place])[0] for place in doubtful]
        for place, rejected in zip(doubtful, holm(over, a), strict=True):
            if rejected and looks_left:
                results[place] = Result.FAIL
        for place in places:
            over_at, under_at = _doubts(weighed[place])
            certain = _certain(weighed[place])
            if under_at <= a and (looks_left or certain):
                results[place] = Result.PASS
            elif certain and over_at <= a:
                results[place] = Result.FAIL
    return results


def _certain(weighed: Weighed) -> bool:
    return weighed.evidence is not None and weighed.evidence.certain


def _doubts(weighed: Weighed) -> tuple[float, float]:
    evidence, limit = weighed.evidence, weighed.check.limit
    assert evidence is not None
    return evidence.doubt_over(limit), evidence.doubt_under(limit)


def _whole(assertions: Sequence[AssertionVerdict]) -> Result:
    """The worst: an assertion that only warns neither fails the whole nor leaves it open, and lets it pass no more."""
    of_errors = {one.result for one in assertions if one.severity == "error"}
    everything = {one.result for one in assertions}
    if Result.ERROR in everything:
        return Result.ERROR
    for result in (Result.FAIL, Result.INCONCLUSIVE):
        if result in of_errors:
            return result
    return Result.WARN if everything - {Result.PASS} else Result.PASS


def _told(weighed: Weighed, result: Result, subject: Subject, spending: Spending, looks_left: bool) -> AssertionVerdict:
    check, evidence, a = weighed.check, weighed.evidence, spending.a
    question = check.question
    assert question is not None
    low, high = (None, None) if evidence is None else _finite(*evidence.interval(a))
    over_at, under_at = (None, None) if evidence is None else _doubts(weighed)
    reason = weighed.reason
    if result == Result.INCONCLUSIVE and evidence is not None and not reason:
        reason = _why_open(over_at or 0.0, a, looks_left, certain=evidence.certain)
    return AssertionVerdict(
        name=check.name,
        metric=str(check.metric),
        severity=str(check.severity),
        domain=check.domain,
        against=check.against,
        result=result,
        limit=check.limit,
        unit=check.unit,
        value=None if evidence is None else evidence.value,
        low=low,
        high=high,
        basis=weighed.basis,
        n_examples=question.size,
        n_measured=int(np.count_nonzero(subject.row.measured[question.positions])),
        reason=reason,
        over_at=over_at,
        under_at=under_at,
        at_risk=() if result == Result.PASS else _at_risk(check, question.positions, subject),
        settled_by=settle(weighed, subject, spending) if result == Result.INCONCLUSIVE else None,
    )


def _why_open(over_at: float, a: float, looks_left: bool, *, certain: bool) -> str:
    if not looks_left and not certain:
        return "the policy's looks are spent; only measuring every example is conclusive now"
    if over_at <= a:
        return "over its limit by itself, but among so many assertions one may be by chance"
    return "the interval holds the limit"


def _finite(low: float, high: float) -> tuple[float | None, float | None]:
    """Infinite ends, of intervals that too few draws have, are none."""
    return low if np.isfinite(low) else None, high if np.isfinite(high) else None


def _cannot_be_asked(check: Check) -> AssertionVerdict:
    return AssertionVerdict(
        name=check.name,
        metric=str(check.metric),
        severity=str(check.severity),
        domain=check.domain,
        against=check.against,
        result=Result.ERROR,
        limit=check.limit,
        unit=check.unit,
        value=None,
        low=None,
        high=None,
        basis=Basis.NOTHING,
        n_examples=0,
        n_measured=0,
        reason=check.problem,
    )


def _at_risk(check: Check, positions: Indices, subject: Subject) -> tuple[ExampleAtRisk, ...]:
    """The examples that weigh most: of a protected set the likeliest to lie over its limit, else the most forgotten."""
    row = subject.row
    beyond = check.limit if check.metric == Metric.PROTECTED and check.against != THRESHOLD else check.above
    chances = None if beyond is None else row.probability_above(beyond, positions)
    ranks = row.mean[positions] if chances is None or check.metric != Metric.PROTECTED else chances
    first = np.argsort(-ranks, kind="stable")[:SHOWN_AT_RISK]
    if chances is not None and check.metric == Metric.PROTECTED:
        first = first[chances[first] >= NEGLIGIBLE]
    return tuple(
        ExampleAtRisk(
            example_id=subject.example_ids[position],
            domain=subject.domain_of[position] if subject.domain_of else "",
            forgetting=float(row.mean[position]),
            low=float(row.low[position]),
            high=float(row.high[position]),
            measured=bool(row.measured[position]),
            probability_over=None if chances is None else float(chances[place]),
        )
        for place, position in zip(first.tolist(), positions[first].tolist(), strict=True)
    )


def _of_runs(runs: RunVariance | None) -> list[str]:
    """How runs differ, and how well that is known."""
    if runs is None or runs.n_pairs < FEWEST_PAIRS:
        return []
    low, high = runs.interval(runs.row_mean_sd)
    beside = [
        f"{name} {sd:.4f}" for name, sd in (("domains", runs.domain_sd), ("cells", runs.cell_sd)) if sd is not None
    ]
    more = f"; {', '.join(beside)} more" if beside else ""
    return [
        f"runs of the recipe: sd of the mean {runs.row_mean_sd:.4f} ({low:.4f} to {high:.4f}, 90%), "
        f"from {runs.n_pairs} repeated tasks{more}"
    ]


def _notes(policy: Policy, subject: Subject, distrust: str) -> list[str]:
    """What a reader must know of the whole, what matters most first."""
    found = []
    if distrust:
        found.append(f"{distrust}; only the random probes' own intervals and what was measured count")
    if subject.object == JudgedObject.RECIPE:
        found.append("about another run of the recipe, not about the weights that will be released")
        found += _of_runs(subject.runs)
    if subject.finished and subject.object == JudgedObject.CANDIDATE:
        found.append("every example was measured: nothing is forecast, and looks cost nothing")
    elif subject.look > policy.max_looks:
        found.append(f"look {subject.look} of {policy.max_looks}: the policy's looks are spent")
    return found
