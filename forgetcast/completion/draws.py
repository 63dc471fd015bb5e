"""Everything that is drawn at random: numbers that a seed gives on every platform and with every version of numpy.

Only the raw words of PCG64 are taken from numpy. "`PCG64` makes a guarantee that a fixed seed will always produce the
same random integer stream" (its documentation, which counts the seeding by `SeedSequence` in; NEP 19 asks bit
generators for it). `Generator.permutation`, `random`, `normal` and `integers` are promised to nobody: a release may
find faster ways. What is made of the words is therefore written down here, and held by literal numbers in the tests.

Notation
    word  64 random bits, the next of the stream       uint64

A draw takes its words in order and none too many, so that two draws in a row are the same however the first was split.
Integers and ids are exact. Whatever goes through a logarithm or a cosine may differ in its last bit between processors.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from forgetcast.completion.arguments import whole_number
from forgetcast.completion.types import Floats, Indices

Words = NDArray[np.uint64]

WORD_BITS = 64
DOUBLE_BITS = 53  # of a word, the highest: as many as a double holds
SMALLEST_EXPONENTIAL = 2.0**-60  # a uniform number may be exactly 0, and its logarithm may not


class Draws:
    """The stream of one seed; every draw goes on where the one before ended.

    Parameters
    ----------
    seed : whole number, not negative, of any size

    Raises
    ------
    OutOfRange
    """

    def __init__(self, seed: int) -> None:
        self._bits = np.random.PCG64(whole_number("The seed", seed, at_least=0))

    def words(self, n: int) -> Words:
        """The next n words. (n,)"""
        return np.asarray(self._bits.random_raw(n), dtype=np.uint64)

    def uniforms(self, n: int) -> Floats:
        """Multiples of 2^-53, even over [0, 1): the highest 53 bits of a word each. (n,)"""
        return np.asarray(self.words(n) >> np.uint64(WORD_BITS - DOUBLE_BITS), dtype=np.float64) * 2.0**-DOUBLE_BITS

    def integers(self, n: int, below: int) -> Indices:
        """Whole numbers, even over 0 to below - 1. (n,)

        As many of the highest bits of a word as ``below`` - 1 has; a word that gives ``below`` or more is passed over,
        at most every second. Nothing is folded, so no number is likelier than another.
        """
        shift = np.uint64(WORD_BITS - max(1, (below - 1).bit_length()))
        found = np.empty(0, dtype=np.intp)
        while found.size < n:
            drawn = (self.words(n - found.size) >> shift).astype(np.intp)
            found = np.concatenate([found, drawn[drawn < below]])
        return found

    def beginning_of_permutation(self, n: int, size: int) -> Indices:
        """The first ``size`` of 0 to n - 1 in random order; a smaller size is the beginning of a larger one. (size,)

        Position j has the j-th of n words, and the order is that of the words, equal ones by position: n words and
        one pass, whatever the size (0.1 s at n = 10^7).
        """
        keys = self.words(n)
        if size < n:
            last = np.partition(keys, size)[size]  # the first key that is not drawn
            candidates = np.flatnonzero(keys <= last)
        else:
            candidates = np.arange(n, dtype=np.intp)
        return candidates[np.argsort(keys[candidates], kind="stable")[:size]]

    def gumbels(self, n: int) -> Floats:
        """Standard Gumbel numbers: the place of the largest log w + Gumbel is drawn in proportion to w. (n,)"""
        exponentials = np.maximum(-np.log1p(-self.uniforms(n)), SMALLEST_EXPONENTIAL)
        return -np.log(exponentials)

    def normals(self, n: int) -> Floats:
        """Standard normal numbers by two words each (Box and Muller, 1958, its cosine half). (n,)"""
        radius, angle = self.uniforms(2 * n).reshape(n, 2).T
        return np.sqrt(-2.0 * np.log1p(-radius)) * np.cos(2.0 * np.pi * angle)
