"""Do two models forget differently? A paired test on the examples that were measured of both.

Notation
    d   forgetting of the second less that of the first, positive is worse      (n,)  nats per token
    s   random signs, one an example                                            (n,)

Whether there is a difference: the mean of d beside means under random signs, which are as likely as the true ones if
neither model forgets more. How large it is: where the means of random halves of d lie, which is what differences the
test would not reject. Neither says what is allowed; that is a policy's matter.

Source: Fisher (1935), The Design of Experiments, section 21; Hartigan (1969), Using subsample values as typical values,
for the interval; Benjamini and Hochberg (1995) for domains; paired tests on single examples: arXiv:2602.10144.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import NormalDist

import numpy as np

from forgetcast.completion.arguments import floats_of, level_of_intervals, real_number, whole_number
from forgetcast.completion.draws import Draws
from forgetcast.completion.types import Floats, Mask
from forgetcast.errors import NotFinite, NothingObserved, OutOfRange, WrongShape

MOST_SIGNS, FEWEST_SIGNS = 10_000, 2_000  # random signs, fewer of many examples
MOST_WORDS = 1 << 21  # of random bits in all; a word is 64 signs
BLOCK = 1 << 22  # signs in memory at a time
POWER = 0.8  # at which the smallest difference that could be seen is said
FEWEST_OF_DOMAIN = 5
SHOWN = 20  # examples on either side


class Found(StrEnum):
    """What the paired test says of all examples together."""

    REGRESSION = "regression"
    IMPROVEMENT = "improvement"
    NO_DIFFERENCE = "no difference seen"


@dataclass(frozen=True)
class Flip:
    """An example that is worse, or better, by more than the noise floor; nats per token."""

    example_id: str
    domain: str
    first: float
    second: float
    difference: float


@dataclass(frozen=True)
class DomainComparison:
    """Of one domain. q : false discovery rate among the domains at which it is told apart; None with too few examples

    low, high : of the mean difference; None with too few examples
    """

    domain: str
    n: int
    n_worse: int
    n_better: int
    difference: float
    low: float | None
    high: float | None
    p: float | None
    q: float | None


@dataclass(frozen=True)
class Comparison:
    """Two models on the examples measured of both; nats per token.

    n : such examples
    noise_floor : difference of one example that counts as none; 0 where nobody knows the noise
    difference, low, high : mean of d and its interval of `level`
    effect : the mean over the standard deviation of d; 0 where all are alike
    p : of the sign test on the mean, two-sided
    smallest_seen : a difference that the test would have found in four of five such comparisons
    worse, better : the examples that differ most
    """

    n: int
    n_worse: int
    n_better: int
    n_unchanged: int
    noise_floor: float
    level: float
    found: Found
    difference: float
    low: float
    high: float
    effect: float
    p: float
    smallest_seen: float
    domains: tuple[DomainComparison, ...]
    worse: tuple[Flip, ...]
    better: tuple[Flip, ...]


def compare(
    first: Floats,
    second: Floats,
    example_ids: Sequence[str],
    domain_of: Sequence[str] = (),
    *,
    noise_floor: float = 0.0,
    level: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Compare two models, example by example.

    Parameters
    ----------
    first, second : (n,) floats, forgetting of the same examples, nats per token
    domain_of : n names, or none
    noise_floor : nats per token, of the difference of one example
    seed : of the random signs; the same one gives the same answer

    Raises
    ------
    NothingObserved, WrongShape, NotFinite, OutOfRange, WrongKind
    """
    first, second = floats_of("The first row", first), floats_of("The second row", second)
    _check(first, second, example_ids, domain_of)
    floor = real_number("The noise floor", noise_floor)
    if not 0.0 <= floor < np.inf:
        raise OutOfRange(f"The noise floor {noise_floor} must not be negative, and finite.")
    level, seed = level_of_intervals(level), whole_number("The seed", seed, at_least=0)
    d = second - first
    low, high, p = _sign_test(d, level, seed)
    worse, better = d > floor, d < -floor
    sd = float(d.std(ddof=1)) if d.size > 1 else 0.0
    return Comparison(
        n=d.size,
        n_worse=int(worse.sum()),
        n_better=int(better.sum()),
        n_unchanged=int(d.size - worse.sum() - better.sum()),
        noise_floor=floor,
        level=level,
        found=_found(float(d.mean()), p, level),
        difference=float(d.mean()),
        low=low,
        high=high,
        effect=float(d.mean()) / sd if sd > 0 else 0.0,
        p=p,
        smallest_seen=_smallest_seen(sd, d.size, level),
        domains=tuple(_by_domain(d, worse, better, domain_of, level, seed)),
        worse=_flips(first, second, worse, example_ids, domain_of),
        better=_flips(first, second, better, example_ids, domain_of),
    )


def floor_of_noise(cell_sd: float, level: float = 0.95) -> float:
    """Difference of one example that two runs alike exceed in no more than 1 - level of cases. nats per token

    Parameters
    ----------
    cell_sd : standard deviation of one measurement's noise
    """
    return float(NormalDist().inv_cdf(0.5 + level / 2) * 2**0.5 * cell_sd)


def false_discovery_rates(p: Sequence[float]) -> list[float]:
    """Smallest rate at which each of several hypotheses is rejected (Benjamini and Hochberg)."""
    order = np.argsort(p, kind="stable")
    ranked = np.asarray(p, dtype=np.float64)[order] * len(p) / np.arange(1, len(p) + 1)
    rates = np.empty(len(p))
    rates[order] = np.minimum(np.minimum.accumulate(ranked[::-1])[::-1], 1.0)
    return [float(rate) for rate in rates]


def _check(first: Floats, second: Floats, example_ids: Sequence[str], domain_of: Sequence[str]) -> None:
    if first.size != second.size or first.size != len(example_ids) or (domain_of and len(domain_of) != first.size):
        raise WrongShape(
            f"{first.size} and {second.size} values, {len(example_ids)} ids and {len(domain_of)} domains are not those "
            "of the same examples."
        )
    if not first.size:
        raise NothingObserved("No example was measured of both, so there is nothing to compare.")
    for name, row in (("first", first), ("second", second)):
        if not np.isfinite(row).all():
            raise NotFinite(f"The {name} row has a value that is not a finite number.")


def _found(mean: float, p: float, level: float) -> Found:
    if p > 1.0 - level or mean == 0.0:
        return Found.NO_DIFFERENCE
    return Found.REGRESSION if mean > 0 else Found.IMPROVEMENT


def _smallest_seen(sd: float, n: int, level: float) -> float:
    normal = NormalDist()
    return float((normal.inv_cdf(0.5 + level / 2) + normal.inv_cdf(POWER)) * sd / n**0.5)


def _sign_test(d: Floats, level: float, seed: int) -> tuple[float, float, float]:
    """Low and high end of the mean, and p."""
    n, mean = d.size, float(d.mean())
    n_words = -(-n // 64)
    n_signs = int(min(MOST_SIGNS, max(FEWEST_SIGNS, MOST_WORDS // n_words)))
    draws, at_a_time = Draws(seed), max(1, BLOCK // (64 * n_words))
    sums, counts = np.empty(n_signs), np.empty(n_signs)
    for begin in range(0, n_signs, at_a_time):
        rows = slice(begin, min(begin + at_a_time, n_signs))
        words = draws.words((rows.stop - begin) * n_words).astype("<u8", copy=False).view(np.uint8)
        bits = np.unpackbits(words.reshape(rows.stop - begin, -1), axis=1)[:, :n]
        chosen = bits.astype(np.float32)
        sums[rows], counts[rows] = chosen @ d.astype(np.float32), chosen.sum(axis=1)
    means = mean - 2.0 * sums / n  # with the signs of the chosen ones turned
    beyond = np.count_nonzero(np.abs(means) >= abs(mean) * (1.0 - 1e-6))
    kept = counts > 0
    halves = np.sort(sums[kept] / counts[kept])
    low, high = np.quantile(halves, [(1.0 - level) / 2, (1.0 + level) / 2]) if halves.size else (mean, mean)
    return float(min(low, mean)), float(max(high, mean)), float((beyond + 1) / (n_signs + 1))


def _by_domain(
    d: Floats, worse: Mask, better: Mask, domain_of: Sequence[str], level: float, seed: int
) -> list[DomainComparison]:
    """Domains, the most worsened first."""
    places: dict[str, list[int]] = {}
    for place, name in enumerate(domain_of):
        places.setdefault(name, []).append(place)
    tested = {name: _sign_test(d[at], level, seed) for name, at in places.items() if len(at) >= FEWEST_OF_DOMAIN}
    rates = dict(zip(tested, false_discovery_rates([p for *_, p in tested.values()]), strict=True))
    found = [
        DomainComparison(
            domain=name,
            n=len(at),
            n_worse=int(worse[at].sum()),
            n_better=int(better[at].sum()),
            difference=float(d[at].mean()),
            low=tested[name][0] if name in tested else None,
            high=tested[name][1] if name in tested else None,
            p=tested[name][2] if name in tested else None,
            q=rates.get(name),
        )
        for name, at in places.items()
    ]
    return sorted(found, key=lambda one: -one.difference)


def _flips(
    first: Floats, second: Floats, chosen: Mask, example_ids: Sequence[str], domain_of: Sequence[str]
) -> tuple[Flip, ...]:
    """The chosen examples that differ most, the first of many."""
    places = np.flatnonzero(chosen)
    d = second - first
    order = places[np.argsort(-np.abs(d[places]), kind="stable")][:SHOWN]
    return tuple(
        Flip(
            example_ids[place],
            domain_of[place] if domain_of else "",
            float(first[place]),
            float(second[place]),
            float(d[place]),
        )
        for place in order.tolist()
    )
