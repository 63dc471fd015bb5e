"""Which texts were there before, nearly: word shingles compared by MinHash.

Source: Broder (1997), On the resemblance and containment of documents.
"""

from __future__ import annotations

import hashlib
import importlib
import re
from typing import Any, Protocol

WORD = re.compile(r"\w+")
SHINGLE = 3  # words; 5 as for web pages would make short replies alike only when they are equal
N_HASHES = 128
THRESHOLD = 0.8  # estimated share of shingles in common from which a text is a duplicate


class Seen(Protocol):
    """`is_new` says whether no text like this one was asked about before, and remembers it."""

    def is_new(self, text: str) -> bool: ...


def near_duplicates() -> Seen | None:
    """What finds near-duplicates; None where rensa is not installed."""
    try:
        return _ByMinHash(importlib.import_module("rensa"))
    except ModuleNotFoundError:
        return None


class _ByMinHash:
    def __init__(self, rensa: Any) -> None:
        self._rensa = rensa
        self._known = rensa.RMinHashDeduplicator(THRESHOLD, N_HASHES, True, None, 1)
        self._n = 0

    def is_new(self, text: str) -> bool:
        words = WORD.findall(text.lower())
        shingles = {" ".join(words[at : at + SHINGLE]) for at in range(max(1, len(words) - SHINGLE + 1))}
        sketch = self._rensa.RMinHash(N_HASHES, 1)
        sketch.update(sorted(shingles))
        self._n += 1
        return bool(self._known.add(str(self._n), sketch))


class Equal:
    """Texts that are the same but for white space and case."""

    def __init__(self) -> None:
        self._known: set[bytes] = set()

    def is_new(self, text: str) -> bool:
        digest = hashlib.sha256(" ".join(text.lower().split()).encode()).digest()
        known = digest in self._known
        self._known.add(digest)
        return not known
