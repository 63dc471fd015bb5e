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
    """Fitted to the known rows.

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
    return combine_at(model, probes, forgetting, np.array([model.noise_share]))[0]


def combine_at(model: LocalModel, probes: Indices, forgetting: Floats, noise_shares: Floats) -> list[Combination]:
    """What ``combine`` gives at each of L noise shares (L,), all of them at once: choices try several."""
    if probes.size == 0:
        return [Combination(np.zeros(model.rows.shape[0]), 0.0, 0.0, np.zeros(0))] * noise_shares.size
    probed = _probed(model, probes)
    target = forgetting - probed.mean
    near = (probed.rows - target) ** 2 @ (1.0 / probed.noise) / np.sum(1.0 / probed.noise)
    first = _conditional(model, probed, target, _row_weights(near[None]), noise_shares)
    whole = _distances(model, first)
    found = _conditional(model, probed, target, _row_weights(np.sqrt(near) * np.sqrt(whole)), noise_shares)
    each = zip(found.rows, found.gain.tolist(), found.constant.tolist(), found.left_out, strict=True)
    return [Combination(*coefficients) for coefficients in each]


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


@dataclass(frozen=True, eq=False)
class _Combinations:
    """Combinations at L noise shares: rows (L, M), gain (L,), constant (L,), left_out (L, S)."""

    rows: Floats
    gain: Floats
    constant: Floats
    left_out: Floats


def _conditional(
    model: LocalModel, probed: _Probed, target: Floats, weights: Floats, noise_shares: Floats
) -> _Combinations:
    """Gaussian conditioning on the probes around the weighted mean rows, weights (1 or L, M)."""
    row_shift = model.plain_means - (weights @ model.plain_means)[:, None]
    centre = weights @ probed.rows
    rows = probed.rows - centre[:, None] - row_shift[:, :, None]
    omega = weights * model.row_scales
    local_variance = _local_variance((omega[:, None] @ rows**2)[:, 0], probed.noise)
    gain = probed.mean - model.mean_of_mean
    shares = noise_shares[:, None]
    n_shares, n_rows, n_probes = noise_shares.size, omega.shape[1], target.size
    factors = np.empty((n_shares, n_rows + 2, n_probes))
    np.multiply(rows, np.sqrt((1 - shares) * omega)[:, :, None], out=factors[:, :n_rows])
    factors[:, n_rows] = np.sqrt(model.shift_variance)
    factors[:, n_rows + 1] = np.sqrt(model.gain_variance) * gain
    solved, precision = _solve(factors, shares * local_variance, target - centre)
    coefficients = (1 - shares) * omega * (rows @ solved[:, :, None])[:, :, 0]
    return _Combinations(
        rows=weights * (1 - coefficients.sum(axis=1, keepdims=True)) + coefficients,
        gain=model.gain_variance * (solved @ gain),
        constant=model.shift_variance * solved.sum(axis=1) - np.sum(coefficients * row_shift, axis=1),
        left_out=solved / precision,
    )


def _solve(factors: Floats, diagonal: Floats, target: Floats) -> tuple[Floats, Floats]:
    """G^-1 target and the diagonal of G^-1, G = factors' factors + diag(diagonal), L times. (L, S) both

    By the smaller of the two systems (Woodbury). Their ratio is each target's distance from what the others say of it
    (Rasmussen and Williams, Gaussian Processes for Machine Learning, equation 5.12).

    Parameters
    ----------
    factors : (L, F, S) floats; diagonal : (L, S) floats; target : (1 or L, S) floats
    """
    n_factors, n_probes = factors.shape[1:]
    # Beside factors 1e12 times as large, noise would vanish in rounding and leave a singular system.
    largest = np.einsum("lfs,lfs->ls", factors, factors).max(axis=1, keepdims=True)
    diagonal = np.maximum(diagonal, 1e-12 * largest)
    across = factors.transpose(0, 2, 1)
    if n_probes <= 2 * n_factors:
        products = across @ factors
        own = np.arange(n_probes)
        products[:, own, own] += diagonal
        inverse: Floats = np.asarray(np.linalg.inv(products), dtype=np.float64)
        return (inverse @ target[:, :, None])[:, :, 0], inverse[:, own, own]
    scaled = factors / diagonal[:, None]
    inner = np.linalg.inv(np.eye(n_factors) + scaled @ across)
    along = inner @ scaled
    solved = target / diagonal - (across @ (along @ target[:, :, None]))[:, :, 0] / diagonal
    precision: Floats = 1.0 / diagonal - np.einsum("lfs,lfs->ls", scaled, along)
    return solved, precision


def _local_variance(spread: Floats, noise: Floats) -> Floats:
    """Variance of the probed columns among the near rows, shrunk toward pooled noise at the near rows' scale. (L, S)"""
    scale = np.mean(spread / noise, axis=1, keepdims=True)
    return np.where(scale <= 1e-9, noise, (1 - POOLED_SHARE) * spread + POOLED_SHARE * scale * noise)


def _distances(model: LocalModel, forecasts: _Combinations) -> Floats:
    """Squared distance of every known row from forecasts over all columns, by the Gram matrix alone. (L, M)"""
    coefficients = np.concatenate([forecasts.rows, forecasts.gain[:, None]], axis=1)
    constant = forecasts.constant[:, None]
    across = coefficients @ model.gram
    own = np.sum(coefficients * across, axis=1, keepdims=True)
    own += constant * (2 * (coefficients @ model.weighted_means)[:, None] + constant)
    both = across[:, :-1] + constant * model.weighted_means[:-1]
    distances: Floats = np.maximum(np.diag(model.gram)[:-1] - 2 * both + own, 0.0)
    return distances


def _row_weights(distances: Floats) -> Floats:
    """Weights proportional to d^-P, sum 1; a row met exactly counts as very near, not infinitely. (L, M)"""
    typical = np.mean(distances, axis=1, keepdims=True)
    relative = np.divide(distances, typical, out=np.ones_like(distances), where=typical > 0)
    relative = np.maximum(relative, 1e-6) ** -DISTANCE_POWER
    weights: Floats = relative / relative.sum(axis=1, keepdims=True)
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
