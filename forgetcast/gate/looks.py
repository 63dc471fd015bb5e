"""How many examples are measured at each look: half as many again as at the one before."""

from __future__ import annotations

from math import ceil

GROWTH = 1.5


def sizes_of_looks(first: int, n_looks: int, n_examples: int) -> list[int]:
    """Probes at every look, at most all examples; the last look of several that would measure all is left out."""
    sizes = [min(first, n_examples)]
    while len(sizes) < n_looks and sizes[-1] < n_examples:
        sizes.append(min(n_examples, ceil(GROWTH * sizes[-1])))
    return sizes
