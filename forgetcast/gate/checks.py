"""A policy's assertions as single limits on single numbers of a row: each domain, and `max` and `threshold`, apart."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from forgetcast.completion.types import Indices
from forgetcast.gate.metrics import UNITS, Metric, Question
from forgetcast.gate.policy import EVERY_DOMAIN, Assertion, Policy, Severity
from forgetcast.gate.subject import Subject

MAX, THRESHOLD = "max", "threshold"


@dataclass(frozen=True, eq=False)
class Check:
    """One limit. `question` is None, and `problem` says why, where it cannot be asked of this row."""

    name: str
    metric: Metric
    severity: Severity
    domain: str | None
    against: str
    limit: float
    above: float | None
    question: Question | None
    problem: str = ""

    @property
    def unit(self) -> str:
        return UNITS[self.metric]

    @property
    def is_error(self) -> bool:
        return self.severity == Severity.ERROR


def checks_of(policy: Policy, subject: Subject) -> list[Check]:
    """Every limit of the policy."""
    return [check for assertion in policy.asked for check in _of(assertion, subject)]


def _of(assertion: Assertion, subject: Subject) -> Iterator[Check]:
    domains: list[str | None] = [assertion.domain]
    if assertion.domain == EVERY_DOMAIN and subject.domains:
        domains = list(subject.domains)
    for domain in domains:
        positions, problem = _positions(assertion, domain, subject)
        for against, limit in ((MAX, assertion.max), (THRESHOLD, assertion.threshold)):
            if limit is None:
                continue
            if against == THRESHOLD and subject.baseline is None and subject.first_release:
                continue
            missing = problem or (subject.no_baseline if against == THRESHOLD and subject.baseline is None else "")
            parameter = assertion.q if assertion.metric == Metric.QUANTILE else assertion.above
            yield Check(
                name=assertion.label,
                metric=assertion.metric,
                severity=assertion.severity,
                domain=domain,
                against=against,
                limit=limit,
                above=assertion.above,
                question=None if missing else Question(assertion.metric, positions, parameter or 0.0),
                problem=missing,
            )


def _positions(assertion: Assertion, domain: str | None, subject: Subject) -> tuple[Indices, str]:
    """Positions that are asked about, or why there are none."""
    nothing = np.zeros(0, dtype=np.intp)
    if assertion.metric == Metric.PROTECTED:
        return _protected(assertion, subject)
    if domain is None:
        return subject.everything, ""
    if domain not in subject.domains:
        known = list(subject.domains)
        near = difflib.get_close_matches(domain, known, n=1)
        if not known:
            return nothing, f"the upstream set has no domains, and so no domain {domain!r}"
        hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known[:10])}"
        return nothing, f"the upstream set has no domain {domain!r}; {hint}"
    return subject.domains[domain], ""


def _protected(assertion: Assertion, subject: Subject) -> tuple[Indices, str]:
    nothing = np.zeros(0, dtype=np.intp)
    unknown = [name for name in assertion.ids if name not in subject.place]
    if unknown:
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        return nothing, f"the upstream set has no example {unknown[0]!r}{more}"
    untagged = [tag for tag in assertion.tags if not len(subject.tags.get(tag, ()))]
    if untagged:
        return nothing, f"no example of the upstream set has the tag {untagged[0]!r}"
    found = [np.array([subject.place[name] for name in assertion.ids], dtype=np.intp)]
    found += [subject.tags[tag] for tag in assertion.tags]
    positions = np.unique(np.concatenate(found)).astype(np.intp)
    without = positions[~np.isin(positions, subject.everything)]
    if without.size:
        name = subject.example_ids[int(without[0])]
        return nothing, f"the example {name!r} has nothing to score, so that nobody can say whether it is forgotten"
    return positions, ""
