"""All known cells at a glance."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes

from forgetcast.completion import ForgettingMatrix
from forgetcast.plots.style import DIVERGING, axes_or_new

NAMED_TASKS = 60  # at most, beyond which names would lie on each other
CLIPPED = 0.1  # share of the cells, the largest either way, beyond the ends of the scale: a few tasks forget most
MISSING = "#bdbdbd"


def heat_map(matrix: ForgettingMatrix, *, axes: Axes | None = None) -> Axes:
    """Forgetting by task and example: the tasks that forget most above, the examples forgotten most to the left.

    The scale is the same on both sides of zero; cells that were not measured are grey.
    """
    cells = np.ma.masked_array(matrix.filled(), ~matrix.observed)
    tasks = np.argsort(-cells.mean(axis=1).filled(-np.inf), kind="stable")
    examples = np.argsort(-cells.mean(axis=0).filled(-np.inf), kind="stable")
    end = float(np.quantile(np.abs(cells.compressed()), 1.0 - CLIPPED)) or 1.0
    height = 1.2 + 0.14 * min(matrix.n_tasks, NAMED_TASKS)
    axes = axes_or_new(axes, 9.0, max(3.0, height))
    image = axes.imshow(
        cells[np.ix_(tasks, examples)],
        aspect="auto",
        cmap=colormaps[DIVERGING].with_extremes(bad=MISSING),
        vmin=-end,
        vmax=end,
        interpolation="nearest",
    )
    if matrix.n_tasks <= NAMED_TASKS:
        axes.set_yticks(range(matrix.n_tasks), [matrix.task_ids[task] for task in tasks], fontsize=7)
    axes.set_xlabel(f"{matrix.n_examples} upstream examples, the most forgotten first")
    axes.tick_params(length=0)
    axes.figure.colorbar(image, ax=axes, label="forgetting, nats per token", extend="both", pad=0.01)
    return axes
