"""A fit for the gate: beside what forecasts need, how numbers of drawn rows err, learned from rows that were left out.

Notation
    S   number of probes
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from forgetcast.completion.draws import Draws
from forgetcast.completion.fit_method import FitWithLeftOut, fit_and_leave_out
from forgetcast.completion.matrix.forgetting_matrix import ForgettingMatrix
from forgetcast.completion.methods.fitted_method import FittedMethod
from forgetcast.completion.methods.method import Method
from forgetcast.completion.methods.registry import DEFAULT_METHOD
from forgetcast.completion.row_forecast import RowForecast
from forgetcast.completion.selection.probes import design_probes
from forgetcast.completion.types import Indices
from forgetcast.completion.uncertainty.drawn_errors import DrawnErrors, Kind, Scored, drawn_errors, usual_drawn_errors
from forgetcast.completion.validation.left_out import LeftOutRow
from forgetcast.gate.metrics import Metric, Question, value_of
from forgetcast.gate.row_draws import RowDraws
from forgetcast.gate.scores import score

PROBE_COUNTS = (10, 30, 100)
PLACES = (0.5, 0.8, 0.9, 0.95, 0.99)
PART_PLACE = 0.9
MOST_DOMAINS = 32  # whose means are looked at, the largest
MOST_PARTS = 3  # of them, by chance another choice for every row, of which more is asked
FEWEST_CELLS = 5  # of a domain
SET_SIZE = 10  # cells of a set whose largest is looked at, some of a domain
FORECASTS = 32  # wanted at every number of probes: few rows get several draws each
MOST_DRAWS = 4
Key = tuple[Kind, int, float]  # kind, number of probes, place


def fit_for_gate(
    matrix: ForgettingMatrix, method: str | Method = DEFAULT_METHOD, seed: int = 0, earlier: FittedMethod | None = None
) -> FittedMethod:
    """As ``completion.fit``, the gate's part learned as well; a few seconds at forty rows.

    Raises
    ------
    UnknownMethod, WrongKind, OutOfRange
    """
    found = fit_and_leave_out(matrix, method, seed, earlier)
    return found.fitted.with_drawn_errors(learn_drawn_errors(found, seed))


def learn_drawn_errors(known: FitWithLeftOut, seed: int = 0) -> DrawnErrors:
    """Where the truths of left-out rows lie among their draws; the usual errors where no row was left out."""
    if not known.rows:
        return usual_drawn_errors()
    groups = {id(row.fitted): place for place, row in enumerate(known.rows)}
    domains = sorted(known.domains.values(), key=lambda of: -of.size)[:MOST_DOMAINS]
    scores: dict[Key, list[Scored]] = defaultdict(list)
    n_draws = min(MOST_DRAWS, -(-FORECASTS // len(known.rows)))
    for place, row in enumerate(known.rows):
        found: dict[Key, list[float]] = defaultdict(list)
        for draw in range(n_draws):
            for count, forecast in _forecasts(row, seed + draw):
                for (kind, of), one in _scores(forecast, row, domains, seed + draw + place):
                    found[kind, count, of].append(one)
        for key, values in found.items():
            scores[key].append(Scored(groups[id(row.fitted)], tuple(values)))
    return drawn_errors(PROBE_COUNTS, PLACES, scores)


def _forecasts(row: LeftOutRow, seed: int) -> Iterator[tuple[int, RowForecast]]:
    """The row from mixed probes; not where it is unlike the known ones, for then no draw of it counts."""
    eligible = np.zeros(row.truth.size, dtype=np.bool_)
    eligible[row.observed] = True
    most = min(PROBE_COUNTS[-1], row.observed.size // 2)
    probes = design_probes(row.fitted.factors, most, seed=seed, eligible=eligible)
    for count in PROBE_COUNTS:
        if count <= most:
            positions, drawn = probes.positions[:count], probes.at_random[:count]
            forecast = row.fitted.forecast(positions, row.truth[positions], random_probes=positions[drawn])
            if forecast.unlike_known is False:
                yield count, forecast


def _scores(
    forecast: RowForecast, row: LeftOutRow, domains: Sequence[Indices], seed: int
) -> Iterator[tuple[tuple[Kind, float], float]]:
    asked = list(_asked(forecast, row, domains, seed))
    draws = RowDraws(forecast, [question for _, question in asked], seed, domains)
    for (key, question), drawn in zip(asked, draws.more([True] * len(asked)), strict=True):
        yield key, score(drawn, value_of(question, row.truth[question.positions]))


def _asked(
    forecast: RowForecast, row: LeftOutRow, domains: Sequence[Indices], seed: int
) -> Iterator[tuple[tuple[Kind, float], Question]]:
    """The mean, quantiles and counts of a row at every place; means of its domains, and more of some of them."""
    inside = row.observed
    yield (Kind.ROW_MEAN, 0.0), Question(Metric.MEAN, inside)
    for place in PLACES:
        yield (Kind.TAIL, place), Question(Metric.QUANTILE, inside, place)
        yield (Kind.TAIL, place), _share(forecast, inside, place)
    observed = np.zeros(row.truth.size, dtype=np.bool_)
    observed[inside] = True
    parts = [part for part in (domain[observed[domain]] for domain in domains) if part.size >= FEWEST_CELLS]
    for part in parts:
        yield (Kind.PART_MEAN, 0.0), Question(Metric.MEAN, part)
    for place in Draws(seed).beginning_of_permutation(len(parts), min(MOST_PARTS, len(parts))).tolist():
        part = parts[place]
        yield (Kind.PART, 0.0), Question(Metric.QUANTILE, part, PART_PLACE)
        yield (Kind.PART, 0.0), _share(forecast, part, PART_PLACE)
        yield (Kind.LARGEST, 0.0), Question(Metric.PROTECTED, part[:SET_SIZE])


def _share(forecast: RowForecast, positions: Indices, place: float) -> Question:
    return Question(Metric.SHARE_ABOVE, positions, float(np.quantile(forecast.mean[positions], place)))
