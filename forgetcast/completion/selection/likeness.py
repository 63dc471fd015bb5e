"""How alike texts are, by their pieces of three and four characters: cheap, and no model is needed.

Notation
    c  how often a piece stands in a task's texts   (T, D)  hashed to D places
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence

import numpy as np

from forgetcast.completion.types import Floats

PLACES = 1 << 14
SIZES = (3, 4)


def text_likeness(tasks: Sequence[Iterable[str]]) -> Floats:
    """Cosines of what tasks' texts are made of, rare pieces weighing more; 1 for a task with itself. (T, T)"""
    counts = np.stack([_counts(texts) for texts in tasks])
    frequency = (counts > 0).sum(axis=0)
    weight = np.log((1 + len(tasks)) / (1 + frequency)) + 1
    return cosines(np.sqrt(counts) * weight)


def family_likeness(families: Sequence[str | None]) -> Floats:
    """1 within a family, else 0. (T, T)"""
    named = np.array([family or f"\0{place}" for place, family in enumerate(families)])
    return np.asarray(named[:, None] == named[None, :], dtype=np.float64)


def cosines(vectors: Floats) -> Floats:
    """Cosines of every two rows. (T, T)"""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    units = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    found = units @ units.T
    np.fill_diagonal(found, 1.0)
    return np.asarray(found)


def _counts(texts: Iterable[str]) -> Floats:
    counts = np.zeros(PLACES)
    for text in texts:
        padded = f" {' '.join(text.lower().split())} "
        for size in SIZES:
            pieces = [zlib.crc32(padded[at : at + size].encode()) % PLACES for at in range(len(padded) - size + 1)]
            np.add.at(counts, pieces, 1.0)
    return counts
