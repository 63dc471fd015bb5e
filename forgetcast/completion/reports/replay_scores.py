"""What replaying the examples that a forecast names highest is worth, beside simpler ways to choose them.

Notation
    share    of the cells that could not be probed, which are replayed; k of n
    covered  forgetting of the k that were chosen over that of the k forgotten most: 1 is the best choice, 0 one whose
             examples are not forgotten on the average

It scores the decision and not the error: a forecast that is off by a constant chooses as well as the truth. Choosing at
random covers k times the mean. How training by such a choice ends is another question, which only training answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from forgetcast.completion.draws import Draws
from forgetcast.completion.reports.backtest_report import Covered, ReplayFigures, ReplayShare
from forgetcast.completion.types import Floats, Mask

SHARES = (0.01, 1 / 32, 0.05, 0.1, 0.25)
RESAMPLES = 2000
LEAST_GAIN = (
    1e-6  # nats per token of the best choice on the average: below, nothing is forgotten that could be replayed
)

Gains = dict[tuple[str, float], float]  # nats, summed over the chosen, by way and share; "best" is one of the ways


def replay_gains(forecast: Floats, truth: Floats, scored: Mask, column_mean: Floats, base: Floats | None) -> Gains:
    """Forgetting of what each way chooses among the scored cells. All (N,); `base` is log-perplexity before."""
    cells = np.flatnonzero(scored)
    ways: dict[str, Floats] = {"best": truth, "forecast": forecast, "popularity": column_mean}
    if base is not None and np.isfinite(base[cells]).all():
        ways["base"] = base
    gains: Gains = {}
    for share in SHARES:
        k = max(1, round(share * cells.size))
        for way, ranking in ways.items():
            chosen = cells[np.argsort(-ranking[cells], kind="stable")[:k]]
            gains[way, share] = float(truth[chosen].sum())
        gains["random", share] = float(k * truth[cells].mean())
        gains["size", share] = float(k)
    return gains


def replay_figures(tasks: Sequence[Sequence[Gains]], method: str, seed: int) -> ReplayFigures:
    """Of all tasks, each with the gains of its draws and folds: means over tasks, which are what is sampled."""
    return ReplayFigures(
        method=method, shares=tuple(_share(tasks, share, seed) for share in SHARES), n_tasks=len(tasks)
    )


def _share(tasks: Sequence[Sequence[Gains]], share: float, seed: int) -> ReplayShare:
    totals = [{way: sum(gains.get((way, share), np.nan) for gains in task) for way in _WAYS} for task in tasks]
    useful = [one for one in totals if one["best"] > LEAST_GAIN * one["size"]]
    covered = {way: np.array([one[way] / one["best"] for one in useful]) for way in _WAYS}
    resampled = Draws(seed).integers(RESAMPLES * len(useful), len(useful)).reshape(RESAMPLES, -1) if useful else None
    return ReplayShare(
        share=share,
        n_tasks=len(useful),
        forecast=_covered(covered["forecast"], resampled),
        popularity=_covered(covered["popularity"], resampled),
        base=_covered(covered["base"], resampled),
        random=_covered(covered["random"], resampled),
        over_popularity=_covered(covered["forecast"] - covered["popularity"], resampled),
        over_random=_covered(covered["forecast"] - covered["random"], resampled),
        by_task=_by_task(totals, tasks),
    )


_WAYS = ("best", "size", "forecast", "popularity", "base", "random")


def _by_task(totals: Sequence[Mapping[str, float]], tasks: Sequence[Sequence[Gains]]) -> tuple[float | None, ...]:
    """Covered by the forecast, in order of the tasks; None where nothing is forgotten."""
    return tuple(
        one["forecast"] / one["best"] if task and one["best"] > LEAST_GAIN * one["size"] else None
        for one, task in zip(totals, tasks, strict=True)
    )


def _covered(of_tasks: Floats, resampled: np.ndarray[tuple[int, ...], np.dtype[np.intp]] | None) -> Covered | None:
    """Mean over tasks and its 90% interval; None where it is not known."""
    if resampled is None or not np.isfinite(of_tasks).all():
        return None
    low, high = np.quantile(of_tasks[resampled].mean(axis=1), (0.05, 0.95))
    return Covered(float(of_tasks.mean()), float(low), float(high))
