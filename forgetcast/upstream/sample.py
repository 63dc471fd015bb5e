"""A stratified sample of upstream examples, without duplicates; a share of every domain held out.

The sources are read twice: counted by domain, then drawn. An example's place in the draw is a digest of the seed and of
where it stands, so the same files give the same sample, and a larger one contains most of a smaller one.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from forgetcast.errors import BadDataset
from forgetcast.upstream.allocation import allocate
from forgetcast.upstream.near_duplicates import Equal, near_duplicates
from forgetcast.upstream.sources import Candidate, Columns, Source, read_candidates

SPARE = 3  # times the wanted examples are drawn, for duplicates among them
FEW_SPARE = 8
MOST_DOMAINS = 500
SLUG = re.compile(r"[^A-Za-z0-9]+")
NO_DOMAIN = "other"
BY_LAYOUT = Columns()


@dataclass(frozen=True)
class Sample:
    """`lines` of an upstream set, domain by domain; `n_read` usable examples of every domain in the sources."""

    lines: list[dict[str, Any]]
    n_read: dict[str, int]
    n_duplicates: int
    near: bool  # whether near-duplicates were looked for, or equal texts alone
    spoilt: list[str]

    @property
    def n_words(self) -> dict[str, int]:
        """Words of every domain's examples, all together."""
        words: Counter[str] = Counter()
        for line in self.lines:
            turns = line.get("messages") or [{"content": line.get("text", "")}]
            words[line["domain"]] += sum(len(turn["content"].split()) for turn in turns)
        return dict(words)


def draw_sample(
    sources: Sequence[Source],
    size: int,
    columns: Columns = BY_LAYOUT,
    *,
    held_out: float = 0.1,
    seed: int = 0,
    n_words: int = 200,
    on_progress: Callable[[int], None] | None = None,
) -> Sample:
    """Draw `size` examples, or all there are.

    Parameters
    ----------
    held_out : share of every domain that is never replayed
    n_words : of a passage, where the source is a text
    on_progress : told how many examples were looked at

    Raises
    ------
    BadDataset : a file that cannot be read, no usable example at all, or a column of domains that has too many
    """
    counts: Counter[str] = Counter()
    spoilt: list[str] = []
    for n_seen, found in enumerate(_all(sources, columns, n_words, spoilt), 1):
        counts[found.domain or NO_DOMAIN] += 1
        if len(counts) > MOST_DOMAINS:
            raise BadDataset(
                f"{columns.domain or 'domain'} has more than {MOST_DOMAINS} values, which are no domains; name another "
                "column by --by"
            )
        if on_progress is not None:
            on_progress(n_seen)
    if not counts:
        why = f"; the first: {spoilt[0]}" if spoilt else ""
        raise BadDataset(f"no example could be used{why}")
    wanted = allocate(counts, size)
    drawn = _draw(_all(sources, columns, n_words, []), wanted, seed)
    near = near_duplicates()
    kept, n_duplicates = _distinct(drawn, wanted, [Equal()] if near is None else [Equal(), near])
    return Sample(_lines(kept, held_out, columns.id is not None), dict(counts), n_duplicates, near is not None, spoilt)


def _all(sources: Sequence[Source], columns: Columns, n_words: int, spoilt: list[str]) -> Iterable[Candidate]:
    for source in sources:
        yield from read_candidates(source, columns, n_words, spoilt)


def _draw(candidates: Iterable[Candidate], wanted: dict[str, int], seed: int) -> dict[str, list[Candidate]]:
    """Of every domain some more than are wanted, in order of their digests."""
    heaps: dict[str, list[tuple[int, int, Candidate]]] = {domain: [] for domain in wanted}
    for number, found in enumerate(candidates):
        domain = found.domain or NO_DOMAIN
        heap, most = heaps[domain], SPARE * wanted[domain] + FEW_SPARE
        entry = (-_digest(seed, found.place), -number, found)
        if len(heap) < most:
            heapq.heappush(heap, entry)
        elif entry[0] > heap[0][0]:
            heapq.heapreplace(heap, entry)
    return {domain: [found for _key, _number, found in sorted(heap, reverse=True)] for domain, heap in heaps.items()}


def _digest(seed: int, place: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}:{place}".encode(), digest_size=8).digest())


def _distinct(
    drawn: dict[str, list[Candidate]], wanted: dict[str, int], filters: Sequence[Any]
) -> tuple[dict[str, list[Candidate]], int]:
    """The first wanted ones of every domain that no filter has seen before, and how many were left out."""
    kept: dict[str, list[Candidate]] = {domain: [] for domain in wanted}
    n_duplicates = 0
    for domain, candidates in drawn.items():
        for found in candidates:
            if len(kept[domain]) == wanted[domain]:
                break
            if all(one.is_new(found.said) for one in filters):
                kept[domain].append(found)
            else:
                n_duplicates += 1
    return kept, n_duplicates


def _lines(kept: dict[str, list[Candidate]], held_out: float, own_ids: bool) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    ids: set[str] = set()
    for domain, candidates in kept.items():
        for found in candidates:
            at = len(lines)
            name = _id(found, domain, own_ids, ids)
            ids.add(name)
            lines.append(
                {
                    "id": name,
                    **found.content,
                    "domain": domain,
                    "held_out": int((at + 1) * held_out + 1e-9) > int(at * held_out + 1e-9),
                }
            )
    return lines


def _id(found: Candidate, domain: str, own_ids: bool, taken: set[str]) -> str:
    """The example's own id where it has one; else the domain and a digest of what it says, the same in every sample."""
    own = found.own_id
    if own is not None and 0 < len(own.encode()) <= 512 and own.isprintable() and own not in taken:
        return own
    if own_ids:
        raise BadDataset(f"{found.place}: the id {own!r} is missing, appears twice, or cannot be one")
    said = hashlib.sha256(json.dumps(found.content, sort_keys=True).encode()).hexdigest()
    return f"{SLUG.sub('-', domain).strip('-')[:40] or NO_DOMAIN}-{said[:10]}"
