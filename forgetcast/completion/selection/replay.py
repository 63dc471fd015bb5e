"""From a forecast to the upstream examples that are replayed while the new task is trained.

Notation
    mean     forecast forgetting                                     (N,)  nats per token
    T        temperature of the softmax over it                            nats per token
    weight   p_j = softmax(mean / T)_j over the eligible examples    (N,)  sums to 1

Source: Jin and Ren, arXiv:2406.14026, for the softmax at T = 0.1 without replacement; Kool et al.,
arXiv:1903.06059, for drawing it as the largest Gumbel-perturbed scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from forgetcast.completion.arguments import floats_of, real_number, whole_number
from forgetcast.completion.draws import Draws
from forgetcast.completion.selection.probes import eligible_positions
from forgetcast.completion.types import Floats, Indices, Mask
from forgetcast.errors import NotFinite, OutOfRange, TooManyExamplesAsked, UnknownMethod, WrongKind, WrongShape

SPREADS_PER_TEMPERATURE = 4.0


class Strategy(StrEnum):
    SAMPLE = "sample"
    TOP = "top"
    UNIFORM = "uniform"


@dataclass(frozen=True, eq=False)
class ReplaySet:
    """Examples to replay.

    positions : (size,) ints, distinct, the most weighty first
    weights : (size,) floats, share of the softmax each holds among ALL eligible examples
    effective_sample_size : examples that share the softmax in effect, 1 / sum p^2; near 1 one example takes it all
    n_capped : eligible examples that are held at the largest weight admitted; all, and equal, where it is below 1/n
    n_eligible : examples that could be drawn
    """

    positions: Indices
    weights: Floats
    effective_sample_size: float
    n_capped: int
    n_eligible: int


def default_max_weight(n_eligible: int) -> float:
    """Largest share of the softmax that one example may hold if nothing else is said: 1%, but ten even shares at least.

    It does not depend on the size that is asked for, so that a larger set contains the smaller one. On the published
    OLMo-7B matrix T = 0.1 leaves 16% of N effective examples on average and one on the worst row; with the cap that row
    keeps about a hundred.
    """
    return min(1.0, max(0.01, 10.0 / max(whole_number("The number of examples", n_eligible), 1)))


def draw_replay_set(
    mean: Floats,
    size: int,
    *,
    eligible: Mask | None = None,
    strategy: str = Strategy.SAMPLE,
    temperature: float = 0.1,
    seed: int = 0,
    domains: Sequence[str] | None = None,
    min_per_domain: int = 0,
    max_weight: float | None = None,
) -> ReplaySet:
    """Draw a replay set; an example that is not eligible (held out) never enters it.

    Parameters
    ----------
    mean : (N,) floats, forecast forgetting, nats per token
    size : number of examples
    eligible : (N,) bools, False where an example is held out
    strategy : ``sample`` (softmax without replacement), ``top`` (highest forecast) or ``uniform``
    temperature : nats per token, positive; small concentrates on the most forgotten
    seed : non-negative; ``top`` does not use it
    domains : N strings, needed for ``min_per_domain``
    min_per_domain : every domain gets this many, or all its eligible examples if it has fewer
    max_weight : in (0, 1]; no example holds a larger share of the softmax, the excess goes to the others in proportion

    Raises
    ------
    UnknownMethod, OutOfRange, NotFinite, WrongShape, WrongKind
    TooManyExamplesAsked
        if ``size`` exceeds the eligible examples, or the domains' minima exceed ``size``
    """
    mean = floats_of("The forecast", mean)
    _check(size, strategy, temperature, seed, max_weight)
    _check_domains(domains, whole_number("The minimum per domain", min_per_domain), mean.size)
    pool = eligible_positions(mean.size, eligible)
    if size > pool.size:
        raise TooManyExamplesAsked(f"{size} examples were asked for, {pool.size} are eligible for replay.")
    if not np.isfinite(mean[pool]).all():
        raise NotFinite("The forecast of an eligible example is not a finite number.")
    if pool.size == 0:
        return ReplaySet(pool, np.zeros(0), 0.0, 0, 0)
    log_weight, n_capped = _log_weights(mean[pool], strategy, temperature, max_weight)
    order = np.argsort(-_scores(mean[pool], log_weight, strategy, seed), kind="stable")
    chosen = pool[_with_minima(order, pool, size, domains, min_per_domain)]
    weight = np.zeros(mean.size)
    weight[pool] = np.exp(log_weight)
    chosen = chosen[np.lexsort((chosen, -weight[chosen]))]
    return ReplaySet(chosen, weight[chosen], float(1.0 / np.sum(weight**2)), n_capped, pool.size)


def replay_weights(mean: Floats, *, temperature: float | None = None, max_weight: float | None = None) -> Floats:
    """Share of the softmax that each example holds. (N,), sums to 1

    Parameters
    ----------
    mean : (N,) floats, forecast forgetting of the examples that may be replayed, nats per token
    temperature : nats per token; a quarter of the forecast's own standard deviation by default, so that a forecast in
        which little is forgotten is followed like one in which much is; even weights where nothing differs
    max_weight : as in `draw_replay_set`; `default_max_weight` by default

    Raises
    ------
    NotFinite, OutOfRange
    """
    mean = floats_of("The forecast", mean)
    if mean.size == 0 or not np.isfinite(mean).all():
        raise NotFinite("The forecast must be of one example at least, and finite.")
    spread = float(mean.std()) / SPREADS_PER_TEMPERATURE if temperature is None else temperature
    if spread == 0.0 and temperature is None:
        return np.full(mean.size, 1.0 / mean.size)
    largest = default_max_weight(mean.size) if max_weight is None else max_weight
    _check(mean.size, Strategy.SAMPLE, spread, 0, largest)
    return np.exp(_log_weights(mean, Strategy.SAMPLE, spread, largest)[0])


def _check(size: int, strategy: str, temperature: float, seed: int, max_weight: float | None) -> None:
    if strategy not in set(Strategy):
        raise UnknownMethod(f"No replay strategy is called {strategy!r}; there are {', '.join(Strategy)}.")
    whole_number("The size", size)
    whole_number("The seed", seed)
    if not (0.0 < real_number("The temperature", temperature) < np.inf):
        raise OutOfRange(f"Temperature {temperature} must be positive and finite.")
    if max_weight is not None and not (0.0 < real_number("The largest weight", max_weight) <= 1.0):
        raise OutOfRange(f"The largest weight {max_weight} must lie in (0, 1].")


def _check_domains(domains: Sequence[str] | None, min_per_domain: int, n_examples: int) -> None:
    if domains is None:
        if min_per_domain > 0:
            raise OutOfRange("A minimum per domain needs the examples' domains.")
        return
    if isinstance(domains, str):
        raise WrongKind(f"The domains must be a list of names, not the text {domains!r}.")
    if len(domains) != n_examples:
        raise WrongShape(f"{len(domains)} domains for {n_examples} examples.")


def _log_weights(mean: Floats, strategy: str, temperature: float, max_weight: float | None) -> tuple[Floats, int]:
    """Log of the softmax over the eligible examples, each held below ``max_weight``, and how many are held there.

    Uniform for ``uniform``.
    """
    if strategy == Strategy.UNIFORM:
        return np.full(mean.size, -np.log(mean.size)), 0
    # Subtracting before dividing keeps a temperature of 1e-300 from overflowing: the largest score is exactly 0.
    with np.errstate(over="ignore"):
        score = np.maximum((mean - mean.max()) / temperature, -1e300)
    log_weight = score - np.log(np.sum(np.exp(score)))
    return (log_weight, 0) if max_weight is None else _held_below(log_weight, max_weight)


def _held_below(log_weight: Floats, largest: float) -> tuple[Floats, int]:
    """Cap the weights; the excess goes to the uncapped ones in proportion. All equal when the cap is below 1/n."""
    n = log_weight.size
    if largest * n <= 1.0:
        return np.full(n, -np.log(n)), n
    order = np.argsort(-log_weight, kind="stable")
    descending = np.exp(log_weight[order])
    rest = np.cumsum(descending[::-1])[::-1]  # rest[k]: what is left when the first k are capped
    left = 1.0 - largest * np.arange(n)
    fits = descending * left <= largest * rest
    n_capped = int(np.argmax(fits & (left > 0)))
    capped = np.empty(n)
    if rest[n_capped] > 0:
        capped[order] = log_weight[order] + np.log(left[n_capped]) - np.log(rest[n_capped])
    else:  # the uncapped ones underflow to nothing: they share the excess equally
        capped[order] = np.log(left[n_capped]) - np.log(n - n_capped)
    capped[order[:n_capped]] = np.log(largest)
    return capped, n_capped


def _scores(mean: Floats, log_weight: Floats, strategy: str, seed: int) -> Floats:
    """What to sort by: the forecast itself, or log weights with Gumbel noise (sampling without replacement)."""
    if strategy == Strategy.TOP:
        return mean
    return log_weight + Draws(seed).gumbels(mean.size)


def _with_minima(
    order: Indices, pool: Indices, size: int, domains: Sequence[str] | None, min_per_domain: int
) -> Indices:
    """First ``size`` of the order, after each domain was given its own first ``min_per_domain``."""
    if domains is None or min_per_domain == 0:
        return order[:size]
    number: dict[str, int] = {}
    codes = np.array([number.setdefault(domain, len(number)) for domain in domains], dtype=np.intp)[pool[order]]
    by_domain = np.argsort(codes, kind="stable")
    first = np.searchsorted(codes[by_domain], codes[by_domain])
    promised = np.zeros(order.size, dtype=np.bool_)
    promised[by_domain] = np.arange(order.size) - first < min_per_domain
    n_promised = int(promised.sum())
    if n_promised > size:
        raise TooManyExamplesAsked(
            f"{min_per_domain} of every domain are {n_promised} examples, {size} were asked for."
        )
    return np.concatenate([order[promised], order[~promised][: size - n_promised]])
