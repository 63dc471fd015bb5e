"""What a reader must know before believing a forecast: `code: what it means`, what matters most first."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from forgetcast.completion.row_forecast import RowForecast
from forgetcast.completion.uncertainty.novelty import FEWEST_PROBES
from forgetcast.completion.uncertainty.probe_mean import FEWEST_PROBES as FEWEST_RANDOM
from forgetcast.completion.validation.choices import FEWEST_ROWS

FEW_ROWS = 8
FEW_RANDOM_PROBES = 15  # as many as of the default 30; an example in five is met by 96 of 100 such draws


def forecast_warnings(row: RowForecast, n_tasks: int) -> list[str]:
    """Of a row that was completed from so many known ones."""
    return [*_about_the_row(row), *_about_the_matrix(n_tasks), *_about_the_probes(row)]


def _about_the_row(row: RowForecast) -> Iterator[str]:
    if not row.measured.any():
        yield "unmeasured: nothing was measured for this task; this is what tasks forget on average"
    if row.unlike_known:
        holds = "what was measured"
        holds = holds if row.mean_interval() is None else f"mean_interval, share_above and {holds}"
        yield f"unlike_known: this task forgets unlike all known ones; only {holds} can be trusted"


def _about_the_matrix(n_tasks: int) -> Iterator[str]:
    rows = f"{n_tasks} known row{'' if n_tasks == 1 else 's'}"
    if n_tasks < FEWEST_ROWS:
        yield (
            f"few_rows: the matrix has {rows}, and with fewer than {FEWEST_ROWS} none can be left out to learn how far "
            "forecasts are off: intervals are as wide as other matrices need them, and a task unlike the known ones is "
            "not noticed"
        )
    elif n_tasks < FEW_ROWS:
        yield (
            f"few_rows: the matrix has {rows}, and what so few tell of one another says little of the next task: "
            f"intervals are rough below {FEW_ROWS}"
        )


def _about_the_probes(row: RowForecast) -> Iterator[str]:
    n_probes, n_random = row.probed.positions.size, int(np.count_nonzero(row.probed.at_random))
    if 0 < n_probes < FEWEST_PROBES:
        yield f"too_few_probes: fewer than {FEWEST_PROBES} probes cannot say whether this task is like the known ones"
    if row.measured.all() or n_probes == 0:
        return
    if n_random < FEWEST_RANDOM:
        yield (
            f"few_random_probes: {n_random} of the {n_probes} probes were drawn at random; with fewer than "
            f"{FEWEST_RANDOM} there is no mean_interval"
        )
    elif n_random < FEW_RANDOM_PROBES:
        yield (
            f"few_random_probes: {n_random} of the {n_probes} probes were drawn at random; with fewer than "
            f"{FEW_RANDOM_PROBES} mean_interval cannot know of a long tail that no probe has met"
        )
