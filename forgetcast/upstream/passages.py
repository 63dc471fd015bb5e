"""Texts -> passages: paragraphs joined up to so many words, long ones cut between words."""

from __future__ import annotations

import re
from collections.abc import Iterator

FEWEST_WORDS = 8  # of a passage; what is shorter is a heading
PARAGRAPH = re.compile(r"\n[ \t]*\n\s*")
SUFFIXES = (".txt", ".md", ".rst", ".text", ".tex")


def passages(text: str, n_words: int) -> Iterator[str]:
    """Passages of about `n_words` words, in order; none overlaps another."""
    held: list[str] = []
    n_held = 0
    for paragraph in PARAGRAPH.split(text):
        for piece in _cut(paragraph.strip(), n_words):
            length = len(piece.split())
            if n_held and n_held + length > n_words:
                yield from _worth(held, n_held)
                held, n_held = [], 0
            held.append(piece)
            n_held += length
    yield from _worth(held, n_held)


def _worth(held: list[str], n_held: int) -> Iterator[str]:
    if n_held >= FEWEST_WORDS:
        yield "\n\n".join(held)


def _cut(paragraph: str, n_words: int) -> Iterator[str]:
    """A paragraph as it is, or its words in pieces."""
    words = paragraph.split()
    if len(words) <= n_words:
        if words:
            yield paragraph
        return
    for start in range(0, len(words), n_words):
        yield " ".join(words[start : start + n_words])
