"""What is known of every check's value: measured, drawn, by random probes alone, or nothing that counts.

Rows are drawn once for all checks; the number of draws doubles while their own error decides one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from forgetcast.completion.draws import Draws
from forgetcast.completion.row_forecast import RowForecast
from forgetcast.completion.types import Floats, Indices
from forgetcast.completion.uncertainty.probe_mean import Interval
from forgetcast.gate.checks import THRESHOLD, Check
from forgetcast.gate.evidence import ByProbes, Certain, Drawn, Evidence
from forgetcast.gate.metrics import Metric, Question, value_of
from forgetcast.gate.row_draws import ROUND, RowDraws
from forgetcast.gate.subject import FEWEST_PAIRS, RunVariance, Subject
from forgetcast.gate.verdict import Basis, JudgedObject

MOST_DRAWS = 16_000
# Of a quantile or a count around its median: how the tails of rows differ from each other is not in the pooled
# distribution of errors. Bundled families left out, S = 30, 28 tasks by 4 draws, limit at the truth, 5% nominal: wrong
# are 17% of verdicts on the 95% quantile and 9% of those on a share without it, 1% and 4% with it. Set on these tasks.
TAIL_WIDENING = 1.6
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
    question = check.question
    assert question is not None
    if check.metric != Metric.MEAN or check.domain is not None or check.against == THRESHOLD:
        return (
            "of another run of the recipe only the mean of the row is known; measure the weights that will be released"
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
    questions = [check.question for check in checks if check.question is not None]
    domains = list(subject.domains.values())
    streams = [RowDraws(subject.row, questions, seed, domains)]
    if subject.baseline is not None and any(check.against == THRESHOLD for check in checks):
        streams.append(_of_baseline(subject.baseline.row, questions, seed + 1, domains))
    runs = _Runs(subject.runs, seed + 2) if subject.object == JudgedObject.RECIPE else None
    values: list[list[Floats]] = [[] for _ in checks]
    wanted, n_rounds = [True] * len(checks), 0
    while any(wanted) and n_rounds * ROUND < MOST_DRAWS:
        for _ in range(max(1, n_rounds)):  # as many again as there are
            own, *base = (stream.more(wanted) for stream in streams)
            for place, check in enumerate(checks):
                if wanted[place]:
                    found = own[place] - base[0][place] if check.against == THRESHOLD else own[place]
                    values[place].append(found if runs is None else found + runs.more())
        n_rounds = max(1, 2 * n_rounds)
        for place, check in enumerate(checks):
            if wanted[place]:
                so_far = Drawn(_widened(check, np.concatenate(values[place])))
                wanted[place] = not so_far.is_steady(check.limit, spending[place].a, spending[place].smallest)
    found = [Drawn(_widened(check, np.concatenate(of))) for check, of in zip(checks, values, strict=True)]
    return found, n_rounds * ROUND


def _widened(check: Check, draws: Floats) -> Floats:
    """Draws of a quantile or a count, further from their median; within what such a number can be."""
    if check.metric not in (Metric.QUANTILE, *COUNTS):
        return draws
    middle = float(np.median(draws))
    wider = middle + TAIL_WIDENING * (draws - middle)
    if check.metric == Metric.QUANTILE or check.against == THRESHOLD:
        return wider
    assert check.question is not None
    most = 1.0 if check.metric == Metric.SHARE_ABOVE else float(check.question.size)
    return np.clip(wider, 0.0, most)


def _of_baseline(row: RowForecast, questions: Sequence[Question], seed: int, domains: Sequence[Indices]) -> RowDraws:
    """Errors of two rows are independent but for what their forecasts share, which is known alike in both."""
    return RowDraws(row, questions, seed, domains)


class _Runs:
    """How far another run's row mean lies from this one's: Student, as the variance is known from so many pairs."""

    def __init__(self, runs: RunVariance | None, seed: int) -> None:
        assert runs is not None
        self._runs, self._draws = runs, Draws(seed)

    def more(self) -> Floats:
        n_pairs = self._runs.n_pairs
        squares = np.sum(self._draws.normals(ROUND * n_pairs).reshape(ROUND, n_pairs) ** 2, axis=1)
        between = 2**0.5 * self._runs.row_mean_sd  # both runs stray from their recipe
        return np.asarray(between * self._draws.normals(ROUND) / np.sqrt(squares / n_pairs))
