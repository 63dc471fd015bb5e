"""How many examples each domain gives to a sample."""

from __future__ import annotations

from collections.abc import Mapping

LEAST_SHARE = 0.25  # of an even share, which a small domain gets all the same: means of fewer examples say nothing


def allocate(counts: Mapping[str, int], size: int) -> dict[str, int]:
    """Examples of every domain: in proportion to what it has, and no less than a quarter of an even share.

    A domain gives no more than it has; what it lacks the others give. In all `size`, or all there are.
    """
    total = sum(counts.values())
    if total <= size:
        return dict(counts)
    least = LEAST_SHARE / len(counts)
    weights = {domain: max(count / total, least) for domain, count in counts.items()}
    exact: dict[str, float] = {}
    left, open_domains = float(size), dict(weights)
    while open_domains:
        share = left / sum(open_domains.values())
        full = [domain for domain, weight in open_domains.items() if weight * share >= counts[domain]]
        if not full:
            exact |= {domain: weight * share for domain, weight in open_domains.items()}
            break
        for domain in full:
            exact[domain] = float(counts[domain])
            left -= counts[domain]
            del open_domains[domain]
    return _whole(exact, size, counts)


def _whole(exact: Mapping[str, float], size: int, counts: Mapping[str, int]) -> dict[str, int]:
    """Whole numbers by the largest remainders."""
    floor = {domain: int(exact[domain]) for domain in counts}
    by_remainder = sorted(counts, key=lambda domain: floor[domain] - exact[domain])
    missing = size - sum(floor.values())
    for domain in [domain for domain in by_remainder if floor[domain] < counts[domain]][:missing]:
        floor[domain] += 1
    return floor
