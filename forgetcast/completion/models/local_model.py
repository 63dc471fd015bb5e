"""A new row as a combination of the known rows, those nearest to it weighing most.

Notation
    Z      known rows, missing cells filled                       (M, N)  nats per token
    mu     mean of every column                                   (N,)
    W      smoother over tasks: damps the rows' own noise         (M, M)
    X      deviations of the smoothed known rows, W (Z - mu)      (M, N)  never written down
    J      the columns that distances are taken over              (J,)    all, or a sample of a wide matrix
    g      mu less its own mean: the direction of a row's gain    (N,)
    a      weight of every column in a distance, 1 / noise, sum 1 (J,)
    d      distance of a known row from the new one               (M,)    squared nats per token
    w      weight of a known row, proportional to d^-P, sum 1     (M,)
    rho    squared scale factor of a known row, typical row 1     (M,)
    x_i    X_i less the weighted mean row and its own shift       (N,)
    y      new row, y = mu + w'X + shift + gain g + sum_i c_i x_i + noise, all but y, mu, X, w Gaussian
    lam    share of a column's local variance that is noise; chosen by leaving rows out

A forecast is mu + q'X + kappa g + k: M + 2 numbers, found from the probed columns and M x M products alone;
the other columns are read once, to write the answer down.

Source: locally weighted learning, Atkeson, Moore and Schaal (1997); the shrunk covariance is that of Ledoit and
Wolf (2004) with a diagonal target.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from forgetcast.completion.matrix.known_rows import KnownRows
from forgetcast.completion.models.factor_model import FactorModel
from forgetcast.completion.types import Floats, Indices, Values

# Chosen on the published OLMo-7B matrix over eight splits, sizes and designs; each is flat around its value.
DISTANCE_POWER = 1.25  # P: 1 to 1.5 within 0.1% of RMSE, 2 costs 0.6%
SCALE_POWER = 0.5  # rho is (row variance)^-SCALE_POWER: 0 costs 0.2%, 1 the same as 0.5
GAIN = 0.03  # variance of the gain, as a share of noise over spread of mu: gains 0.9% on far tasks, costs 0.3% near
SMOOTHING = 0.3  # of the Wiener filter over known rows: gains 0.15% of RMSE and 0.001 of recall
POOLED_SHARE = 0.1  # of the pooled noise in a column's local variance


@dataclass(frozen=True, eq=False)
class LocalModel:
    """FittedMethod to the known rows.

    rows : (M, N) floats, Z                 mean : (N,) floats
    low, high : (N,) floats, what a forecast may be before row shifts
    noise : (N,) floats, pooled             shift_variance, gain_variance : floats
    smoother : (M, M) floats, W             mean_of_mean : float, of mu over all columns
    gram : (M + 1, M + 1) floats, of X and g under a, over J
    weighted_means : (M + 1,) floats, of X and g under a, over J
    plain_means : (M,) floats, of X over all columns
    row_scales : (M,) floats, rho           noise_share : lam
    """

    rows: Values
    mean: Values
    low: Values
    high: Values
    noise: Values
    smoother: Floats
    gram: Floats
    weighted_means: Floats
    plain_means: Floats
    row_scales: Floats
    shift_variance: float
    gain_variance: float
    mean_of_mean: float
    noise_share: float

    def with_noise_share(self, noise_share: float) -> LocalModel:
        return replace(self, noise_share=noise_share)


@dataclass(frozen=True, eq=False)
class Combination:
    """A forecast as coefficients: mu + rows'X + gain g + constant.

    rows (M,), q; gain, kappa; constant, k; left_out (S,), what each probe lies above the forecast from all others,
    the weights of the known rows held
    """

    rows: Floats
    gain: float
    constant: float
    left_out: Floats


def fit_local_model(rows: KnownRows, additive: FactorModel, noise_share: float) -> LocalModel:
    """Fit to known rows; reads every column twice, and keeps the rows themselves.

    Parameters
    ----------
    additive : rank 0 model of the same rows, for column means, noise and the variance of row shifts
    noise_share : lam, in (0, 1]
    """
    mean, noise = additive.mean, additive.noise
    mean_of_mean = float(mean.mean(dtype=np.float64))
    sample = rows.sample
    weights = 1.0 / np.asarray(noise[sample], dtype=np.float64)
    weights /= weights.sum()
    deviations = np.asarray(rows.values[:, sample] - mean[sample], dtype=np.float64)
    smoother = _smoother(deviations, weights)
    gain = np.asarray(mean[sample] - mean_of_mean, dtype=np.float64)
    basis = np.concatenate([smoother @ deviations, gain[None]])
    weighted = basis * weights
    spread = float(np.mean(gain**2))
    gain_variance = GAIN * float(np.median(noise)) / spread if spread > 1e-12 * float(np.mean(noise)) else 0.0
    low, high = rows.values.min(axis=0), rows.values.max(axis=0)
    margin = np.maximum((high - low) / 2, 3 * np.sqrt(noise))
    plain_means = smoother @ rows.gram.row_shifts()
    variances = np.diag(smoother @ rows.gram.deviations() @ smoother) / rows.n_examples - plain_means**2
    return LocalModel(
        rows=rows.values,
        mean=mean,
        low=low - margin,
        high=high + margin,
        noise=noise,
        smoother=smoother,
        gram=weighted @ basis.T,
        weighted_means=weighted.sum(axis=1),
        plain_means=plain_means,
        row_scales=_row_scales(np.maximum(variances, 0.0)),
        shift_variance=float(additive.loadings[0, 0] ** 2),
        gain_variance=gain_variance,
        mean_of_mean=mean_of_mean,
        noise_share=noise_share,
    )


def combine(model: LocalModel, probes: Indices, forgetting: Floats) -> Combination:
    """Coefficients of the forecast: once with distances over the probes, once more with the first forecast's.

    Parameters
    ----------
    probes : (S,) ints, checked and distinct; without any the forecast is the column mean
    forgetting : (S,) floats, nats per token, after minus before
    """
    if probes.size == 0:
        return Combination(np.zeros(model.rows.shape[0]), 0.0, 0.0, np.zeros(0))
    probed = _probed(model, probes)
    target = forgetting - probed.mean
    near = (probed.rows - target) ** 2 @ (1.0 / probed.noise) / np.sum(1.0 / probed.noise)
    first = _conditional(model, probed, target, _row_weights(near))
    whole = _distances(model, first)
    return _conditional(model, probed, target, _row_weights(np.sqrt(near) * np.sqrt(whole)))


def combined(model: LocalModel, combination: Combination, block: slice) -> Floats:
    """The forecast of a block of columns. Rows are read as they are kept; X is never written down."""
    of_rows = combination.rows @ model.smoother
    mean = np.asarray(model.mean[block], dtype=np.float64)
    total = (of_rows.astype(model.rows.dtype) @ model.rows[:, block]).astype(np.float64)
    constant = combination.constant - combination.gain * model.mean_of_mean
    forecast: Floats = mean * (1.0 - of_rows.sum() + combination.gain) + total + constant
    return forecast


def bounded(model: LocalModel, forecast: Floats, shift: float, block: slice) -> Floats:
    """A forecast kept near what its columns were ever seen to do, beside a row shift of at most this size."""
    clipped: Floats = np.clip(forecast, model.low[block] - shift, model.high[block] + shift)
    return clipped


@dataclass(frozen=True, eq=False)
class _Probed:
    """What the model holds of the probed columns: X (M, S), mu (S,), noise (S,)."""

    rows: Floats
    mean: Floats
    noise: Floats


def _probed(model: LocalModel, probes: Indices) -> _Probed:
    mean = np.asarray(model.mean[probes], dtype=np.float64)
    rows = model.smoother @ (np.asarray(model.rows[:, probes], dtype=np.float64) - mean)
    return _Probed(rows, mean, np.asarray(model.noise[probes], dtype=np.float64))


def _conditional(model: LocalModel, probed: _Probed, target: Floats, weights: Floats) -> Combination:
    """Gaussian conditioning on the probes around the weighted mean row."""
    row_shift = model.plain_means - weights @ model.plain_means
    centre = weights @ probed.rows
    rows = probed.rows - centre - row_shift[:, None]
    omega = weights * model.row_scales
    local_variance = _local_variance(omega @ rows**2, probed.noise)
    gain = probed.mean - model.mean_of_mean
    factors = np.concatenate(
        [
            rows * np.sqrt((1 - model.noise_share) * omega)[:, None],
            np.full((1, target.size), np.sqrt(model.shift_variance)),
            np.sqrt(model.gain_variance) * gain[None],
        ]
    )
    solved, precision = _solve(factors, model.noise_share * local_variance, target - centre)
    coefficients = (1 - model.noise_share) * omega * (rows @ solved)
    return Combination(
        rows=weights * (1 - coefficients.sum()) + coefficients,
        gain=float(model.gain_variance * gain @ solved),
        constant=float(model.shift_variance * solved.sum() - coefficients @ row_shift),
        left_out=solved / precision,
    )


def _solve(factors: Floats, diagonal: Floats, target: Floats) -> tuple[Floats, Floats]:
    """G^-1 target and the diagonal of G^-1, G = factors' factors + diag(diagonal). (S,) both

    By the smaller of the two systems (Woodbury). Their ratio is each target's distance from what the others say of it
    (Rasmussen and Williams, Gaussian Processes for Machine Learning, equation 5.12).
    """
    n_factors, n_probes = factors.shape
    # Beside factors 1e12 times as large, noise would vanish in rounding and leave a singular system.
    diagonal = np.maximum(diagonal, 1e-12 * np.sum(factors**2, axis=0).max())
    if n_probes <= 2 * n_factors:
        inverse = np.linalg.inv(factors.T @ factors + np.diag(diagonal))
        return inverse @ target, np.diag(inverse)
    scaled = factors / diagonal
    inner = np.linalg.inv(np.eye(n_factors) + scaled @ factors.T)
    solved = target / diagonal - scaled.T @ (inner @ (scaled @ target))
    return solved, 1.0 / diagonal - np.einsum("rs,rq,qs->s", scaled, inner, scaled, optimize=True)


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


def _smoother(deviations: Floats, weights: Floats) -> Floats:
    """W: every known row's own noise damped by the others, a Wiener filter over tasks. (M, M), symmetric"""
    squared, vectors = np.linalg.eigh((deviations * weights) @ deviations.T)
    squared = np.maximum(squared, 0.0)
    noise = SMOOTHING * float(np.median(squared))
    kept = np.divide(squared, squared + noise, out=np.ones_like(squared), where=squared + noise > 0)
    smoother: Floats = (vectors * kept) @ vectors.T
    return smoother


def _row_scales(variances: Floats) -> Floats:
    """rho: rows that scatter widely count less in the covariance. (M,), geometric mean 1"""
    typical = float(np.mean(variances))
    if typical <= 0:
        return np.ones(variances.size)
    relative = np.maximum(variances / typical, 1e-6)
    scales: Floats = (relative / np.exp(np.mean(np.log(relative)))) ** -SCALE_POWER
    return scales
