"""What is known of every check's value: measured, drawn, by random probes alone, or nothing that counts.

Rows are drawn once for all checks; the number of draws doubles while their own error decides one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from forgetcast.completion.row_forecast import RowForecast
from forgetcast.completion.types import Floats
from forgetcast.completion.uncertainty.drawn_errors import usual_drawn_errors
from forgetcast.completion.uncertainty.probe_mean import Interval
from forgetcast.gate.checks import THRESHOLD, Check
from forgetcast.gate.evidence import ByProbes, Certain, Drawn, Evidence
from forgetcast.gate.metrics import Metric, Question, value_of
from forgetcast.gate.other_run import OtherRun
from forgetcast.gate.row_draws import ROUND, RowDraws
from forgetcast.gate.scores import corrected
from forgetcast.gate.subject import FEWEST_PAIRS, Subject
from forgetcast.gate.verdict import Basis, JudgedObject

MOST_DRAWS = 16_000
COUNTS = (Metric.SHARE_ABOVE, Metric.COUNT_ABOVE)


@dataclass(frozen=True, eq=False)
class Weighed:
    """A check and what is known of its value; no evidence where nothing that is known counts, and why."""

    check: Check
    evidence: Evidence | None
    basis: Basis
    reason: str = ""


@dataclass(frozen=True)
class Spending:
    """Error probabilities: a on either side of a check, and the smallest that Holm's steps ask for in its family."""

    a: float
    smallest: float


def weigh(
    checks: Sequence[Check], subject: Subject, distrust: str, spending: Sequence[Spending], seed: int
) -> tuple[list[Weighed], int]:
    """What is known of every check that can be asked, and how many rows were drawn for it.

    Parameters
    ----------
    distrust : why the model's own intervals do not count; empty where they do
    spending : of every check
    """
    found = [_without_draws(check, subject, distrust) for check in checks]
    open_places = [place for place, one in enumerate(found) if one is None]
    drawn, n_draws = _drawn([checks[place] for place in open_places], subject, [spending[p] for p in open_places], seed)
    for place, evidence in zip(open_places, drawn, strict=True):
        found[place] = Weighed(checks[place], evidence, Basis.FORECAST)
    return [one for one in found if one is not None], n_draws


def _without_draws(check: Check, subject: Subject, distrust: str) -> Weighed | None:
    """None where rows must be drawn."""
    question = check.question
    assert question is not None
    rows = [subject.row]
    if check.against == THRESHOLD:
        assert subject.baseline is not None
        rows.append(subject.baseline.row)
    is_recipe = subject.object == JudgedObject.RECIPE
    if is_recipe:
        unknown = _runs_unknown(check, subject)
        if unknown:
            return Weighed(check, None, Basis.NOTHING, unknown)
    elif all(row.measured[question.positions].all() for row in rows):
        value, *base = (value_of(question, row.mean[question.positions]) for row in rows)
        return Weighed(check, Certain(value - sum(base)), Basis.MEASURED)
    highest = _highest_measured(check, subject)
    if highest is not None and not is_recipe and highest > check.limit:
        return Weighed(check, Certain(highest), Basis.MEASURED, "an example that was measured lies over it")
    if check.against == THRESHOLD and not _comparable(rows[-1], question):
        unlike = "the baseline is not like the known tasks, or has too few probes to say; measure it in full"
        return Weighed(check, None, Basis.NOTHING, unlike)
    if not distrust or (is_recipe and subject.finished):
        return None
    return _by_probes(check, subject, distrust)


def _highest_measured(check: Check, subject: Subject) -> float | None:
    """Of a protected set that is limited by itself: whatever the other examples are, the largest is no smaller."""
    question, row = check.question, subject.row
    if question is None or check.metric != Metric.PROTECTED or check.against == THRESHOLD:
        return None
    measured = question.positions[row.measured[question.positions]]
    return float(row.mean[measured].max()) if measured.size else None


def _comparable(baseline: RowForecast, question: Question) -> bool:
    return baseline.unlike_known is False or bool(baseline.measured[question.positions].all())


def _runs_unknown(check: Check, subject: Subject) -> str:
    """Why a verdict on a recipe says nothing of the next run here; empty where it does."""
    if subject.runs is None or subject.runs.n_pairs < FEWEST_PAIRS:
        n_pairs = 0 if subject.runs is None else subject.runs.n_pairs
        return (
            f"the row is of a run of the recipe, and how much runs differ is known from {n_pairs} repeated tasks, not "
            f"{FEWEST_PAIRS}; measure the weights that will be released, and name their sha256"
        )
    if check.metric == Metric.MEAN and check.domain is None:
        return ""
    if subject.runs.cell_sd is None or (subject.runs.domain_sd is None and subject.domains):
        return (
            "how much another run of the recipe differs is known of the row's mean alone; measure the weights that "
            "will be released, and name their sha256"
        )
    return ""


def _by_probes(check: Check, subject: Subject, distrust: str) -> Weighed:
    """The random probes' own interval where there is one."""
    question, row = check.question, subject.row
    assert question is not None
    if check.against == THRESHOLD:
        return Weighed(check, None, Basis.NOTHING, f"{distrust}; what it lies above a baseline rests on the forecast")
    if subject.object == JudgedObject.RECIPE or check.metric not in (Metric.MEAN, *COUNTS):
        return Weighed(check, None, Basis.NOTHING, f"{distrust}; random probes give no interval of this")
    positions = None if question.size == row.mean.size else question.positions

    def at(level: float) -> Interval | None:
        asked = replace(row, level=level)
        if check.metric == Metric.MEAN:
            return asked.mean_interval(positions)
        share = asked.share_above(question.parameter, positions)
        if share is None or check.metric == Metric.SHARE_ABOVE:
            return share
        return Interval(*(question.size * end for end in share))

    if at(0.5) is None:
        few = f"{distrust}; too few random probes are among these {question.size} examples for an interval of their own"
        return Weighed(check, None, Basis.NOTHING, few)

    def known(level: float) -> Interval:
        interval = at(level)
        assert interval is not None
        return interval

    return Weighed(check, ByProbes(known), Basis.RANDOM_PROBES, distrust)


def _drawn(
    checks: Sequence[Check], subject: Subject, spending: Sequence[Spending], seed: int
) -> tuple[list[Drawn], int]:
    if not checks:
        return [], 0
    stream = _Metrics(checks, subject, seed)
    wanted, n_rounds = [True] * len(checks), 0
    while any(wanted) and n_rounds * ROUND < MOST_DRAWS:
        for _ in range(max(1, n_rounds)):  # as many again as there are
            stream.draw(wanted)
        n_rounds = max(1, 2 * n_rounds)
        for place, check in enumerate(checks):
            if wanted[place]:
                so_far = Drawn(stream.of(place))
                wanted[place] = not so_far.is_steady(check.limit, spending[place].a, spending[place].smallest)
    return [Drawn(stream.of(place)) for place in range(len(checks))], n_rounds * ROUND


class _Metrics:
    """The checks' values in drawn rows of the subject, less those in drawn rows of its baseline.

    Errors of the two are independent but for what their forecasts share, which is known alike in both. What several
    checks ask is drawn once.
    """

    def __init__(self, checks: Sequence[Check], subject: Subject, seed: int) -> None:
        self._checks, self._subject = checks, subject
        asked = [check.question for check in checks if check.question is not None]
        distinct = {id(question): question for question in asked}
        questions = list(distinct.values())
        places = {name: place for place, name in enumerate(distinct)}
        self._place = [places[id(question)] for question in asked]
        domains = list(subject.domains.values())
        rows = [subject.row]
        if subject.baseline is not None and any(check.against == THRESHOLD for check in checks):
            rows.append(subject.baseline.row)
        self._rows, self._questions = rows, questions
        other_run = None
        if subject.object == JudgedObject.RECIPE and subject.runs is not None:
            other_run = OtherRun(subject.row, subject.runs, domains, seed + 2)
        self._streams = [
            RowDraws(row, questions, seed + place, domains, other_run if place == 0 else None)
            for place, row in enumerate(rows)
        ]
        self._values: list[list[list[Floats]]] = [[[] for _ in questions] for _ in rows]
        fitted = subject.fitted
        learned = None if fitted is None else fitted.drawn_errors
        self._errors = usual_drawn_errors() if learned is None else learned

    def draw(self, wanted: Sequence[bool]) -> None:
        """One round more of what is still wanted."""
        needed = [False] * len(self._questions)
        for place, is_wanted in zip(self._place, wanted, strict=True):
            needed[place] = needed[place] or is_wanted
        for stream, values in zip(self._streams, self._values, strict=True):
            for of, found, is_needed in zip(values, stream.more(needed), needed, strict=True):
                if is_needed:
                    of.append(found)

    def of(self, place: int) -> Floats:
        """All draws of a check's value so far."""
        check, which = self._checks[place], self._place[place]
        own, *base = (
            self._corrected(self._questions[which], row, np.concatenate(values[which]))
            for row, values in zip(self._rows, self._values, strict=True)
        )
        return own - base[0] if check.against == THRESHOLD else own

    def _corrected(self, question: Question, row: RowForecast, drawn: Floats) -> Floats:
        measured = row.measured[question.positions]
        if measured.all():
            return drawn
        found = corrected(question, drawn, self._errors, row.probed.positions.size, row.mean.size)
        if question.metric == Metric.PROTECTED and measured.any() and self._subject.object == JudgedObject.CANDIDATE:
            return np.asarray(np.maximum(found, row.mean[question.positions[measured]].max()))
        return found
