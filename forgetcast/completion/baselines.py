"""Forecasts that rank every task alike; they stand beside the model so that its gain can be seen.

Notation
    mu  mean of every column  (N,)      v  variance of every column around it, once row shifts are taken out  (N,)
"""

from __future__ import annotations

from forgetcast.completion.factor_model import FactorModel, Posterior, fold_in
from forgetcast.completion.types import Floats, Indices


def popularity(model: FactorModel, probes: Indices, forgetting: Floats) -> Posterior:
    """The column mean whatever the probes say; measured cells as measured.

    Raises
    ------
    UnknownExample, RepeatedExample, WrongShape, NotFinite
    """
    prior = fold_in(model, probes[:0], forgetting[:0])
    measured = fold_in(model, probes, forgetting)
    mean, variance = prior.mean.copy(), prior.variance.copy()
    mean[probes], variance[probes] = forgetting, 0.0
    return Posterior(mean, variance, model.loadings, model.noise, prior.root, measured.measured)
