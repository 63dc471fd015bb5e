"""Which upstream examples to measure for a new task.

Notation
    N  number of upstream examples      S  number of probes asked for
    L  loadings before any probe                                     (R, N)  nats per token
    T  what the probes chosen so far leave unknown of w: TL are the loadings that remain   (R, R)
    v  noise variance of every column                                (N,)    squared nats per token
    u  how much an example's variance matters; 0 once it is measured (N,)
    G  L diag(u) L'                                                  (R, R)

Source: greedy choice for Gaussian models, Krause, Singh and Guestrin (2008), here for the summed variance left.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from forgetcast.completion.arguments import floats_of, mask_of, numbers_of, positions_of, whole_number
from forgetcast.completion.draws import Draws
from forgetcast.completion.models.factor_model import FactorModel
from forgetcast.completion.types import Floats, Indices, Mask, Values
from forgetcast.errors import OutOfRange, TooManyExamplesAsked, UnknownMethod, WrongShape

MOST_GREEDY = 100  # of one set; beyond, all are random: what is left unknown by then is noise
LOADING_DOUBT = 0.15  # share of a cell's factor variance taken for noise, lest the extremes of noisy loadings be picked
GOLDEN_RATIO = (5**0.5 - 1) / 2


class Design(StrEnum):
    MIXED = "mixed"
    OPTIMAL = "optimal"
    RANDOM = "random"


@dataclass(frozen=True, eq=False)
class ProbeSet:
    """Probes in the order they are chosen; a smaller set of the same seed is the beginning of it.

    positions : (S,) ints, distinct
    at_random : (S,) bools, which of them were drawn at random; only these say how far a row strays from the model
    """

    positions: Indices
    at_random: Mask


def random_probes(n_examples: int, size: int, seed: int, *, eligible: Mask | None = None) -> Indices:
    """Positions drawn at random without replacement, nested: the first 10 of 30 are the 10 of the same seed.

    Parameters
    ----------
    n_examples : N
    size : S, at most the number of eligible examples
    seed : non-negative; the same seed gives the same probes on every platform, with every numpy
    eligible : (N,) bools, which examples may be measured; all by default

    Returns
    -------
    (S,) ints, distinct, in the order drawn

    Raises
    ------
    TooManyExamplesAsked, OutOfRange, WrongShape, WrongKind
    """
    pool = _pool(whole_number("The number of examples", n_examples), size, seed, eligible)
    return pool[Draws(seed).beginning_of_permutation(pool.size, size)]


def spread_probes(noise: Values, size: int, seed: int, *, eligible: Mask | None = None) -> Indices:
    """Positions drawn at random but evenly over quiet and noisy examples; nested as ``random_probes`` are.

    A random start and golden-ratio steps along the examples ordered by their noise: every eligible example is as
    likely to be drawn as any other, and any few of them stand for the whole range. Beside plain draws that takes 0.3%
    off the RMSE at 30 probes and 0.6% at 10 (Weyl's sequence; systematic sampling, Madow, 1949).

    Parameters
    ----------
    noise : (N,) floats, what the examples are ordered by
    The others, returns and raises are those of ``random_probes``.
    """
    noise = numbers_of("The noise of examples", noise)
    if noise.ndim != 1:
        raise WrongShape(f"The noise of examples has {noise.ndim} dimensions, not 1.")
    pool = _pool(noise.size, size, seed, eligible)
    ordered = pool[np.argsort(noise[pool], kind="stable")]
    start = Draws(seed).uniforms(1)[0]
    # Three times as many steps as examples meet every one of them, and 12 steps for each of a few enough distinct ones.
    steps = np.arange(3 * min(pool.size, 4 * size))
    places = ((start + steps * GOLDEN_RATIO) % 1.0 * pool.size).astype(np.intp)
    _, first = np.unique(places, return_index=True)
    drawn: Indices = ordered[places[np.sort(first)[:size]]]
    return drawn


def design_probes(
    model: FactorModel,
    size: int,
    *,
    design: str = Design.MIXED,
    seed: int = 0,
    eligible: Mask | None = None,
    importance: Floats | None = None,
) -> ProbeSet:
    """Probes by a design: the next one that leaves least variance in all others, or one at random.

    Parameters
    ----------
    size : S, at most the number of eligible examples
    design : ``mixed`` (first, third, ... greedy, the others random), ``optimal`` (all greedy) or ``random``; after
        ``MOST_GREEDY`` greedy ones all are random
    seed : non-negative, of the random ones
    eligible : (N,) bools, which examples may be measured; all by default
    importance : (N,) floats, not negative, u: 1 for the cells that matter, say; equal by default

    Raises
    ------
    UnknownMethod, TooManyExamplesAsked, OutOfRange, WrongShape, WrongKind
    """
    if design not in set(Design):
        raise UnknownMethod(f"No probe design is called {design!r}; there are {', '.join(Design)}.")
    if design == Design.RANDOM:
        drawn = random_probes(model.n_examples, size, seed, eligible=eligible)
        return ProbeSet(drawn, np.ones(size, dtype=np.bool_))
    drawn = spread_probes(model.noise, size, seed, eligible=eligible)
    remaining = np.zeros(model.n_examples, dtype=np.bool_)
    remaining[eligible_positions(model.n_examples, eligible)] = True
    unknown = _Unknown(*_doubted(model), _importance(model, importance))
    every = 1 if design == Design.OPTIMAL else 2
    positions, at_random = np.zeros(size, dtype=np.intp), np.ones(size, dtype=np.bool_)
    next_drawn = iter(drawn.tolist())
    for place in range(size):
        if place % every == 0 and place // every < MOST_GREEDY:
            probe, at_random[place] = unknown.most_telling(remaining), False
        else:
            probe = next(position for position in next_drawn if remaining[position])
        positions[place], remaining[probe] = probe, False
        unknown.measure(probe)
    return ProbeSet(positions, at_random)


def expected_error(model: FactorModel, positions: Indices, *, importance: Floats | None = None) -> Floats:
    """Error to expect on the cells outside a probe set before and after each probe: what one more of them buys.

    Parameters
    ----------
    positions : (S,) ints, distinct, in the order they are measured
    importance : (N,) floats, not negative, u: 1 for the cells that matter, say; equal by default

    Returns
    -------
    (S + 1,) floats, nats per token, root mean variance of the cells outside; 0 once every cell is in the set

    Raises
    ------
    UnknownExample, RepeatedExample, OutOfRange, WrongShape, WrongKind
    """
    positions = positions_of("The probes", positions, model.n_examples)
    unknown = _Unknown(_exact(model.loadings), _exact(model.noise), _importance(model, importance))
    errors = [unknown.error()]
    for probe in positions.tolist():
        unknown.measure(probe)
        errors.append(unknown.error())
    return np.array(errors)


def eligible_positions(n_examples: int, eligible: Mask | None) -> Indices:
    """Positions that may be chosen, in order. Raises WrongShape for a mask of another length."""
    if eligible is None:
        return np.arange(n_examples, dtype=np.intp)
    return np.flatnonzero(mask_of("The mask of eligible examples", eligible, n_examples))


def _pool(n_examples: int, size: int, seed: int, eligible: Mask | None) -> Indices:
    """Positions that may be drawn, once it is checked that there are enough."""
    whole_number("The seed", seed)
    size = whole_number("The number of probes", size)
    pool = eligible_positions(n_examples, eligible)
    if size > pool.size:
        raise TooManyExamplesAsked(f"{size} probes were asked for, {pool.size} upstream examples are eligible.")
    return pool


def _doubted(model: FactorModel) -> tuple[Floats, Floats]:
    """Loadings and noise with part of the factors' variance moved into the noise; the row shift is beyond doubt."""
    loadings = _exact(model.loadings).copy()
    noise = _exact(model.noise) + LOADING_DOUBT * np.sum(loadings[1:] ** 2, axis=0)
    loadings[1:] *= np.sqrt(1 - LOADING_DOUBT)
    return loadings, noise


def _exact(values: Values) -> Floats:
    return np.asarray(values, dtype=np.float64)


def _importance(model: FactorModel, importance: Floats | None) -> Floats:
    """u as a copy."""
    if importance is None:
        return np.ones(model.n_examples)
    weights = floats_of("The importance of examples", importance, model.n_examples)
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise OutOfRange("An example's importance must be finite and not negative.")
    return weights.copy()


class _Unknown:
    """What stays unknown of a row while probes are measured: R x R numbers, so that a probe costs no pass over N."""

    def __init__(self, loadings: Floats, noise: Floats, importance: Floats) -> None:
        self._unit = float(np.sqrt(np.mean(noise)))  # fourth powers of tiny or huge values would leave the range
        self._loadings, self._noise, self._importance = loadings / self._unit, noise / self._unit**2, importance
        self._root = np.eye(loadings.shape[0])  # T
        self._gram = (self._loadings * importance) @ self._loadings.T  # G
        self._noise_outside = float(importance @ self._noise)
        self._outside = float(importance.sum())
        self._n_outside = int(np.count_nonzero(importance))

    def measure(self, probe: int) -> None:
        """L'T'TL loses (L'T'l)(l'TL) / (l'l + v), l the probe's own column of TL."""
        loading, weight = self._loadings[:, probe], self._importance[probe]
        left, noise = self._root @ loading, float(self._noise[probe])
        own = float(left @ left)
        if own > 0:
            share = (1.0 - np.sqrt(noise / (own + noise))) / own
            self._root = self._root - share * np.outer(left, left @ self._root)
        self._gram = self._gram - weight * np.outer(loading, loading)
        self._noise_outside -= weight * noise
        self._outside -= weight
        self._n_outside -= int(weight > 0)
        self._importance[probe] = 0.0

    def error(self) -> float:
        """Root mean variance of the cells outside; 0 when none that matters is left."""
        if self._n_outside == 0:
            return 0.0
        variance = float(np.sum((self._root @ self._gram) * self._root)) + self._noise_outside
        return self._unit * float(np.sqrt(max(variance, 0.0) / self._outside))

    def most_telling(self, remaining: Mask) -> int:
        """The remaining example whose measurement lowers the weighted variance of the others most; ties by position."""
        left = self._root @ self._loadings
        toward = (self._root @ self._gram @ self._root.T) @ left
        own = np.einsum("rn,rn->n", left, left)
        gain = (np.einsum("rn,rn->n", left, toward) - self._importance * own**2) / (own + self._noise)
        return int(np.argmax(np.where(remaining, gain, -np.inf)))
