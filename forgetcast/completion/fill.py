"""Missing cells of the known rows: mean + row shift + factors, found and refined in turn (EM).

Source: Dempster, Laird and Rubin (1977); Mazumder, Hastie and Tibshirani (2010), for filling by a low-rank fit.
"""

from __future__ import annotations

import numpy as np

from forgetcast.completion.types import Floats, Mask, Values

ROUNDS = 20


def fill_missing(forgetting: Values, observed: Mask, rank: int) -> Floats:
    """Known rows with every missing cell at what the others say of it. (M, N), a copy

    Parameters
    ----------
    forgetting : (M, N) floats, nats per token; unobserved cells are never read
    observed : (M, N) bools, every row with at least one
    rank : number of factors beside column means and row shifts
    """
    filled = np.where(observed, forgetting, 0.0).astype(np.float64, copy=False)
    mean, shift = _mean_and_shift(filled, observed)
    around = mean + shift[:, None]
    factors = _principal(np.where(observed, filled - around, 0.0), rank)
    for _ in range(ROUNDS if rank else 0):
        factors = _principal(np.where(observed, filled - around, factors), rank)
    return np.where(observed, filled, around + factors)


def _mean_and_shift(filled: Floats, observed: Mask) -> tuple[Floats, Floats]:
    """Column means (N,) and row shifts (M,) by least squares on observed cells; a column without any has the mean."""
    per_column, per_row = observed.sum(axis=0), observed.sum(axis=1)
    shift = np.zeros(filled.shape[0])
    grand = filled.sum() / per_row.sum()
    for _ in range(ROUNDS):
        total = np.where(observed, filled - shift[:, None], 0.0).sum(axis=0)
        mean = np.where(per_column > 0, total / np.maximum(per_column, 1), grand)
        shift = np.where(observed, filled - mean, 0.0).sum(axis=1) / per_row
        shift -= shift.mean()
    return mean, shift


def _principal(residual: Floats, rank: int) -> Floats:
    """Projection of the residual on its first ``rank`` directions. (M, N)"""
    if rank == 0:
        return np.zeros_like(residual)
    _, vectors = np.linalg.eigh(residual @ residual.T)
    leading = vectors[:, ::-1][:, :rank]
    return np.asarray(leading @ (leading.T @ residual))
