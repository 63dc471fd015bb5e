"""Which upstream examples to measure for a new task.

Notation
    N  number of upstream examples      S  number of probes asked for
    L  loadings under what the probes chosen so far leave unknown    (R, N)  nats per token
    v  noise variance of every column                                (N,)    squared nats per token
    u  how much an example's variance matters                        (N,)

Source: greedy choice for Gaussian models, Krause, Singh and Guestrin (2008), here for the summed variance left.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from forgetcast.completion.factor_model import FactorModel
from forgetcast.completion.types import Floats, Indices, Mask
from forgetcast.errors import OutOfRange, TooManyExamplesAsked, UnknownMethod, WrongShape

LOADING_DOUBT = 0.3  # share of a cell's factor variance taken for noise, lest the extremes of noisy loadings be picked


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
    seed : non-negative; the same seed gives the same probes on every platform
    eligible : (N,) bools, which examples may be measured; all by default

    Returns
    -------
    (S,) ints, distinct, in the order drawn

    Raises
    ------
    TooManyExamplesAsked, OutOfRange, WrongShape
    """
    if seed < 0 or size < 0:
        raise OutOfRange(f"Seed {seed} and size {size} must not be negative.")
    pool = eligible_positions(n_examples, eligible)
    if size > pool.size:
        raise TooManyExamplesAsked(f"{size} probes were asked for, {pool.size} upstream examples are eligible.")
    return pool[np.random.Generator(np.random.PCG64(seed)).permutation(pool.size)[:size]]


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
    design : ``mixed`` (first, third, ... greedy, the others random), ``optimal`` (all greedy) or ``random``
    seed : non-negative, of the random ones
    eligible : (N,) bools, which examples may be measured; all by default
    importance : (N,) floats, not negative, u: a domain's share, say; equal by default

    Raises
    ------
    UnknownMethod, TooManyExamplesAsked, OutOfRange, WrongShape
    """
    if design not in set(Design):
        raise UnknownMethod(f"No probe design is called {design!r}; there are {', '.join(Design)}.")
    drawn = random_probes(model.n_examples, size, seed, eligible=eligible)
    remaining = np.zeros(model.n_examples, dtype=np.bool_)
    remaining[eligible_positions(model.n_examples, eligible)] = True
    weight = np.ones(model.n_examples) if importance is None else importance
    left, noise = _doubted(model)
    chosen: list[int] = []
    at_random: list[bool] = []
    for place in range(size):
        greedy = design == Design.OPTIMAL or (design == Design.MIXED and place % 2 == 0)
        probe = _next_greedy(left, noise, weight, remaining) if greedy else int(drawn[remaining[drawn]][0])
        chosen.append(probe)
        at_random.append(not greedy)
        remaining[probe] = False
        left = _after(left, noise, probe)
    positions = np.array(chosen, dtype=np.intp)
    return ProbeSet(positions, np.array(at_random, dtype=np.bool_))


def expected_error(model: FactorModel, positions: Indices) -> Floats:
    """Error to expect on the cells outside a probe set after each probe: what one more of them buys.

    Parameters
    ----------
    positions : (S,) ints, distinct, in the order they are measured

    Returns
    -------
    (S,) floats, nats per token, root mean variance of the cells outside; 0 once every cell is in the set
    """
    left, outside = model.loadings, np.ones(model.n_examples, dtype=np.bool_)
    errors = np.zeros(positions.size)
    for place, probe in enumerate(positions):
        left = _after(left, model.noise, int(probe))
        outside[probe] = False
        variance = np.sum(left**2, axis=0) + model.noise
        errors[place] = np.sqrt(variance[outside].mean()) if outside.any() else 0.0
    return errors


def eligible_positions(n_examples: int, eligible: Mask | None) -> Indices:
    """Positions that may be chosen, in order. Raises WrongShape for a mask of another length."""
    if eligible is None:
        return np.arange(n_examples, dtype=np.intp)
    if eligible.shape != (n_examples,):
        raise WrongShape(f"The mask of eligible examples has shape {eligible.shape}, not ({n_examples},).")
    return np.flatnonzero(eligible)


def _doubted(model: FactorModel) -> tuple[Floats, Floats]:
    """Loadings and noise with part of the factors' variance moved into the noise; the row shift is beyond doubt."""
    loadings = model.loadings.copy()
    loadings[1:] *= np.sqrt(1 - LOADING_DOUBT)
    return loadings, model.noise + LOADING_DOUBT * np.sum(model.loadings[1:] ** 2, axis=0)


def _next_greedy(left: Floats, noise: Floats, weight: Floats, remaining: Mask) -> int:
    """The remaining example whose measurement lowers the weighted variance of the others most; ties by position."""
    toward = ((left * weight) @ left.T) @ left
    own = np.sum(left**2, axis=0)
    gain = (np.sum(left * toward, axis=0) - weight * own**2) / (own + noise)
    return int(np.argmax(np.where(remaining, gain, -np.inf)))


def _after(left: Floats, noise: Floats, probe: int) -> Floats:
    """Loadings once a probe is measured: L'L loses (L'l)(l'L) / (l'l + v), l the probe's own. (R, N)"""
    loading = left[:, probe].copy()
    own = float(loading @ loading)
    if own == 0.0:
        return left
    share = (1.0 - np.sqrt(noise[probe] / (own + noise[probe]))) / own
    after: Floats = left - share * np.outer(loading, loading @ left)
    return after
