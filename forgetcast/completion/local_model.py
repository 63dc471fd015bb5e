"""A new row as a combination of the known rows, those nearest to it weighing most.

Notation
    Z      known rows, missing cells filled                       (M, N)  nats per token
    mu     mean of every column                                   (N,)
    X      deviations of the smoothed known rows from mu          (M, N)
    g      mu less its own mean: the direction of a row's gain    (N,)
    a      weight of every column in a distance, 1 / noise, sum 1 (N,)
    d      distance of a known row from the new one               (M,)    squared nats per token
    w      weight of a known row, proportional to d^-P, sum 1     (M,)
    omega  the same pulled toward equal weights                   (M,)
    rho    squared scale factor of a known row, typical row 1     (M,)
    x_i    X_i less the weighted mean row and its own shift       (N,)
    y      new row, y = mu + w'X + shift + gain g + sum_i c_i x_i + noise, all but y, mu, X, w Gaussian
    lam    share of a column's local variance that is noise; chosen by leaving rows out

A forecast is mu + q'X + kappa g + k: M + 2 numbers, found from the probed columns and M x M Gram matrices alone;
the other columns are read once, to write the answer down.

Source: locally weighted learning, Atkeson, Moore and Schaal (1997); the shrunk covariance is that of Ledoit and
Wolf (2004) with a diagonal target.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from forgetcast.completion.factor_model import FactorModel, check_probes
from forgetcast.completion.types import Floats, Indices

# Chosen on the published OLMo-7B matrix over eight splits, sizes and designs; each is flat around its value.
DISTANCE_POWER = 1.25  # P: 1 to 1.5 within 0.1% of RMSE, 2 costs 0.6%
EQUAL_SHARE = 0.2  # of omega: 0 to 0.5 within 0.1%
SCALE_POWER = 0.5  # rho is (row variance)^-SCALE_POWER: 0 costs 0.2%, 1 the same as 0.5
GAIN = 0.03  # variance of the gain, as a share of noise over spread of mu: gains 0.9% on far tasks, costs 0.3% near
SMOOTHING = 0.3  # of the Wiener filter over known rows: gains 0.15% of RMSE and 0.001 of recall
POOLED_SHARE = 0.1  # of the pooled noise in a column's local variance


@dataclass(frozen=True, eq=False)
class LocalModel:
    """Fitted to the known rows.

    mean : (N,) floats                      deviations : (M, N) floats, X
    column_weights : (N,) floats, a         gram : (M + 1, M + 1) floats, of X and g under a
    weighted_means : (M + 1,) floats, of X and g under a
    plain_means : (M,) floats, of X         row_scales : (M,) floats, rho
    noise : (N,) floats, pooled             shift_variance, gain_variance : floats
    low, high : (N,) floats, what a forecast may be before row shifts
    noise_share : lam
    """

    mean: Floats
    deviations: Floats
    column_weights: Floats
    gram: Floats
    weighted_means: Floats
    plain_means: Floats
    row_scales: Floats
    noise: Floats
    shift_variance: float
    gain_variance: float
    low: Floats
    high: Floats
    noise_share: float

    def with_noise_share(self, noise_share: float) -> LocalModel:
        return replace(self, noise_share=noise_share)


@dataclass(frozen=True, eq=False)
class Combination:
    """A forecast as coefficients: mu + rows'X + gain g + constant."""

    rows: Floats  # (M,), q
    gain: float  # kappa
    constant: float  # k


def fit_local_model(filled: Floats, additive: FactorModel, noise_share: float) -> LocalModel:
    """Fit to known rows.

    Parameters
    ----------
    filled : (M, N) floats, nats per token, every missing cell filled
    additive : rank 0 model of the same rows, for column means, noise and the variance of row shifts
    noise_share : lam, in (0, 1]
    """
    mean, noise = additive.mean, additive.noise
    weights = 1.0 / noise
    weights /= weights.sum()
    deviations = _smoothed(filled - mean, weights)
    gain = mean - mean.mean()
    basis = np.concatenate([deviations, gain[None]])
    weighted = basis * weights
    spread = float(np.mean(gain**2))
    gain_variance = GAIN * float(np.median(noise)) / spread if spread > 1e-12 * float(np.mean(noise)) else 0.0
    low, high = filled.min(axis=0), filled.max(axis=0)
    margin = np.maximum((high - low) / 2, 3 * np.sqrt(noise))
    return LocalModel(
        mean=mean,
        deviations=deviations,
        column_weights=weights,
        gram=weighted @ basis.T,
        weighted_means=weighted.sum(axis=1),
        plain_means=deviations.mean(axis=1),
        row_scales=_row_scales(deviations),
        noise=noise,
        shift_variance=float(additive.loadings[0, 0] ** 2),
        gain_variance=gain_variance,
        low=low - margin,
        high=high + margin,
        noise_share=noise_share,
    )


def local_mean(model: LocalModel, probes: Indices, forgetting: Floats) -> Floats:
    """Forecast of a new row from its probes: mean of every cell (N,), measured cells as measured.

    Parameters
    ----------
    probes : (S,) ints, distinct; without any the forecast is the column mean
    forgetting : (S,) floats, nats per token, after minus before

    Raises
    ------
    UnknownExample, RepeatedExample, WrongShape, NotFinite
    """
    check_probes(probes, forgetting, model.mean.size)
    combination = combine(model, probes, forgetting)
    change = combination.rows @ model.deviations + combination.constant
    change += combination.gain * (model.mean - model.mean.mean())
    shift = abs(float(change.mean()))
    mean: Floats = np.clip(model.mean + change, model.low - shift, model.high + shift)
    mean[probes] = forgetting
    return mean


def combine(model: LocalModel, probes: Indices, forgetting: Floats) -> Combination:
    """Coefficients of the forecast: once with distances over the probes, once more with the first forecast's."""
    n_tasks = model.deviations.shape[0]
    if probes.size == 0:
        return Combination(np.zeros(n_tasks), 0.0, 0.0)
    seen = model.deviations[:, probes]
    target = forgetting - model.mean[probes]
    weights = model.column_weights[probes] / model.column_weights[probes].sum()
    near = (seen - target) ** 2 @ weights
    first = _conditional(model, probes, seen, target, _row_weights(near))
    whole = _distances(model, first)
    return _conditional(model, probes, seen, target, _row_weights(np.sqrt(near) * np.sqrt(whole)))


def _conditional(model: LocalModel, probes: Indices, seen: Floats, target: Floats, weights: Floats) -> Combination:
    """Gaussian conditioning on the probes around the weighted mean row."""
    row_shift = model.plain_means - weights @ model.plain_means
    centre = weights @ seen
    rows = seen - centre - row_shift[:, None]
    omega = ((1 - EQUAL_SHARE) * weights + EQUAL_SHARE / weights.size) * model.row_scales
    local_variance = _local_variance(omega @ rows**2, model.noise[probes])
    gain = model.mean[probes] - model.mean.mean()
    covariance = (1 - model.noise_share) * (rows.T * omega) @ rows + model.shift_variance
    covariance += model.gain_variance * np.outer(gain, gain) + model.noise_share * np.diag(local_variance)
    solved = np.linalg.solve(covariance, target - centre)
    coefficients = (1 - model.noise_share) * omega * (rows @ solved)
    return Combination(
        rows=weights * (1 - coefficients.sum()) + coefficients,
        gain=float(model.gain_variance * gain @ solved),
        constant=float(model.shift_variance * solved.sum() - coefficients @ row_shift),
    )


def _local_variance(spread: Floats, noise: Floats) -> Floats:
    """Variance of the probed columns among the near rows, shrunk toward pooled noise at the near rows' scale. (S,)"""
    scale = float(np.mean(spread / noise))
    if scale <= 1e-9:
        return noise
    variance: Floats = (1 - POOLED_SHARE) * spread + POOLED_SHARE * scale * noise
    return variance


def _distances(model: LocalModel, forecast: Combination) -> Floats:
    """Squared distance of every known row from a forecast over all columns, by the Gram matrix alone. (M,)"""
    coefficients = np.append(forecast.rows, forecast.gain)
    across = model.gram @ coefficients
    own = coefficients @ across + forecast.constant * (2 * coefficients @ model.weighted_means + forecast.constant)
    both = across[:-1] + forecast.constant * model.weighted_means[:-1]
    distances: Floats = np.maximum(np.diag(model.gram)[:-1] - 2 * both + own, 0.0)
    return distances


def _row_weights(distances: Floats) -> Floats:
    """Weights proportional to d^-P, sum 1; a row met exactly counts as very near, not infinitely. (M,)"""
    typical = float(np.mean(distances))
    if typical <= 0:
        return np.full(distances.size, 1.0 / distances.size)
    relative = np.maximum(distances / typical, 1e-6) ** -DISTANCE_POWER
    weights: Floats = relative / relative.sum()
    return weights


def _smoothed(deviations: Floats, weights: Floats) -> Floats:
    """Known rows with their own noise damped by the others: a Wiener filter over tasks. (M, N)"""
    squared, vectors = np.linalg.eigh((deviations * weights) @ deviations.T)
    squared = np.maximum(squared, 0.0)
    noise = SMOOTHING * float(np.median(squared))
    kept = np.divide(squared, squared + noise, out=np.ones_like(squared), where=squared + noise > 0)
    smoothed: Floats = (vectors * kept) @ (vectors.T @ deviations)
    return smoothed


def _row_scales(deviations: Floats) -> Floats:
    """rho: rows that scatter widely count less in the covariance. (M,), geometric mean 1"""
    variance = deviations.var(axis=1)
    typical = float(np.mean(variance))
    if typical <= 0:
        return np.ones(variance.size)
    relative = np.maximum(variance / typical, 1e-6)
    scales: Floats = (relative / np.exp(np.mean(np.log(relative)))) ** -SCALE_POWER
    return scales
