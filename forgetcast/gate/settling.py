"""How many more examples would settle an inconclusive check, and which.

Notation
    h    how far the interval reaches beyond its limit's side of the value now
    d    distance between value and limit
    r_m  error of the mean of the check's cells after m more probes, over that of now, by the factor model
    n    random probes of now

If what is measured comes out as is forecast now, the check is settled once r_m h < d. For random probes' own intervals
r_m is the root of n / (n + m). A protected set is settled by measuring what in it may be forgotten, likeliest first.

Which examples: the designed probes of the matrix's fit that are not measured yet. None of them is picked for lying near
a limit, and those that the design drew at random are random still.
"""

from __future__ import annotations

from math import ceil, inf

import numpy as np

from forgetcast.completion.methods.fitted_method import FittedMethod
from forgetcast.completion.models.factor_model import condition, posterior
from forgetcast.completion.row_forecast import RowForecast
from forgetcast.completion.selection.probes import Design
from forgetcast.completion.types import Indices
from forgetcast.completion.uncertainty.averages import Groups, average_errors
from forgetcast.gate.evidence import Evidence
from forgetcast.gate.metrics import Metric
from forgetcast.gate.subject import Subject
from forgetcast.gate.verdict import Basis, JudgedObject, Settling
from forgetcast.gate.weighing import Spending, Weighed

SHOWN_IDS = 100  # of the examples to measure
STEPS = (5, 10, 20, 40, 80, 160, 320, 640, 1280)  # numbers of further probes that are looked at
ALL = "every example that it reads must be measured: the value lies too near its limit for any forecast"


def settle(weighed: Weighed, subject: Subject, spending: Spending) -> Settling:
    """What would settle this inconclusive check: at a if it seems to pass, at the first of Holm's steps if to fail."""
    question = weighed.check.question
    assert question is not None
    unmeasured = question.positions[~subject.row.measured[question.positions]]
    if not unmeasured.size:
        return Settling(None, (), False, "every example was measured, and measuring more of this run settles nothing")
    if weighed.check.metric == Metric.PROTECTED and weighed.basis == Basis.FORECAST:
        return _protected(weighed, subject, unmeasured, spending.a)
    if weighed.evidence is None and subject.object == JudgedObject.RECIPE:
        return Settling(None, (), False, weighed.reason)
    if weighed.evidence is None:
        return Settling(
            int(unmeasured.size), _ids(subject, unmeasured), False, f"only measuring counts: {weighed.reason}"
        )
    if subject.fitted is None:
        return Settling(int(unmeasured.size), _ids(subject, unmeasured), False, ALL)
    limit = weighed.check.limit
    needed = _needed(weighed.evidence, limit, spending.a if weighed.evidence.value <= limit else spending.smallest)
    if weighed.basis == Basis.RANDOM_PROBES:
        return _by_random_probes(subject, unmeasured, needed)
    return _by_forecast(weighed, subject, subject.fitted, unmeasured, needed)


def _needed(evidence: Evidence, limit: float, a: float) -> float:
    """What h must be multiplied with: d / h."""
    low, high = evidence.interval(a)
    value = evidence.value
    reach = high - value if value <= limit else value - low
    distance = abs(limit - value)
    return 1.0 if reach <= 0 or reach == inf else min(1.0, distance / reach)


def _protected(weighed: Weighed, subject: Subject, unmeasured: Indices, a: float) -> Settling:
    """The rest passes once the chances of its examples to lie over the limit add up to less than a."""
    chances = subject.row.probability_above(weighed.check.limit, unmeasured)
    order = np.argsort(-chances, kind="stable")
    left = np.concatenate([np.cumsum(chances[order][::-1])[::-1], [0.0]])  # of all from the k-th likeliest on
    n_more = max(1, int(np.argmax(left <= a)))
    reason = "measured in this order, any of them over the limit fails and none lets the rest pass"
    return Settling(n_more, _ids(subject, unmeasured[order][:n_more]), False, reason)


def _by_random_probes(subject: Subject, unmeasured: Indices, needed: float) -> Settling:
    probed = subject.row.probed
    n = int(np.count_nonzero(probed.at_random))
    n_more = inf if needed <= 0 else ceil(n / needed**2) - n
    if n_more >= unmeasured.size:
        return Settling(int(unmeasured.size), _ids(subject, unmeasured), False, ALL)
    n_more = max(1, int(n_more))
    assert subject.fitted is not None
    chosen = _designed(subject.fitted, subject.row, n_more, Design.RANDOM)
    return Settling(n_more, _ids(subject, chosen), True, "only examples drawn at random count here")


def _by_forecast(
    weighed: Weighed, subject: Subject, fitted: FittedMethod, unmeasured: Indices, needed: float
) -> Settling:
    question = weighed.check.question
    assert question is not None
    before = _mean_error(fitted, subject.row, question.positions, np.zeros(0, dtype=np.intp))
    steps = [n_more for n_more in STEPS if n_more < unmeasured.size]
    every = _designed(fitted, subject.row, max(steps, default=0), Design.MIXED)  # a smaller design is its beginning
    for n_more in steps:
        chosen = every[:n_more]
        if _mean_error(fitted, subject.row, question.positions, chosen) <= needed * before:
            reason = "by the probes' design, if they come out as is forecast now"
            return Settling(n_more, _ids(subject, chosen), False, reason)
    return Settling(int(unmeasured.size), _ids(subject, unmeasured), False, ALL)


def _designed(fitted: FittedMethod, row: RowForecast, n_more: int, design: Design) -> Indices:
    """The first examples of the design that are not measured yet."""
    n_measured = int(np.count_nonzero(row.measured))
    wanted = min(row.mean.size, n_measured + n_more)
    positions = fitted.probes(wanted, design=design).positions
    return positions[~row.measured[positions]][:n_more]


def _mean_error(fitted: FittedMethod, row: RowForecast, positions: Indices, more: Indices) -> float:
    """Error of the mean of these cells with more probes, which show what is forecast of them."""
    probes = np.concatenate([row.probed.positions, more])
    shown = np.concatenate([row.probed.forgetting, row.mean[more]])
    conditioned = condition(fitted.factors, probes, shown)
    after = posterior(fitted.factors, conditioned, row.mean.copy())
    n_random = max(1, int(np.count_nonzero(row.probed.at_random)))
    level_variance = row.level_variance * n_random / (n_random + more.size / 2)
    errors = average_errors(after, Groups.of([positions]), level_variance)
    return float(errors.sd[0] * errors.shared_ratio[0])


def _ids(subject: Subject, positions: Indices) -> tuple[str, ...]:
    return tuple(subject.example_ids[position] for position in positions[:SHOWN_IDS].tolist())
