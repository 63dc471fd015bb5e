"""Upstream sets and their examples."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from forgetcast.errors import UpstreamSetNotFound
from service.storage.locks import locked
from service.storage.tables import UpstreamExample, UpstreamSet

ROWS_A_BATCH = 2000
MOST_LOOKED_UP = 20_000  # ids; beyond, reading all of a set is no slower


@dataclass(frozen=True)
class UpstreamColumns:
    """What completion needs of a sealed set, in its order: ids, domains and which examples are held out, all (N,)."""

    example_ids: tuple[str, ...]
    domains: tuple[str, ...]
    held_out: NDArray[np.bool_]

    @cached_property
    def groups(self) -> dict[str, NDArray[np.intp]]:
        """Positions by domain, in order of first appearance; found once, for every forecast asks for them."""
        number = {name: place for place, name in enumerate(dict.fromkeys(self.domains))}
        numbers = np.array([number[name] for name in self.domains], np.intp)
        ends = np.cumsum(np.bincount(numbers, minlength=len(number)))
        by_number = np.argsort(numbers, kind="stable")
        return dict(zip(number, np.split(by_number, ends[:-1]), strict=True)) if number else {}


def get_upstream_set(session: Session, set_id: str, *, lock: bool = False) -> UpstreamSet:
    """The set with this id. Raises UpstreamSetNotFound."""
    found = locked(session, UpstreamSet, set_id) if lock else session.get(UpstreamSet, set_id)
    if found is None:
        raise UpstreamSetNotFound(f"no upstream set has the id {set_id!r}")
    return found


def insert_examples(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    session.execute(sa.insert(UpstreamExample), rows)


def read_columns(session: Session, set_id: str) -> UpstreamColumns:
    """Ids, domains and held-out marks of the whole set."""
    columns = sa.select(UpstreamExample.example_id, UpstreamExample.domain, UpstreamExample.held_out)
    rows = session.execute(_in_order(columns, set_id)).all()
    ids, domains, held_out = zip(*rows, strict=True) if rows else ((), (), ())
    return UpstreamColumns(tuple(ids), tuple(domains), np.array(held_out, dtype=np.bool_))


def positions_of(session: Session, set_id: str, example_ids: Collection[str]) -> dict[str, int]:
    """The position of each of these examples, by id; those that the set does not have are left out.

    A few are looked up one by one: reading all ids of a set of 141,816 takes 0.3 s and more.
    """
    wanted = list(set(example_ids))
    columns = sa.select(UpstreamExample.example_id, UpstreamExample.position).where(UpstreamExample.set_id == set_id)
    if len(wanted) > MOST_LOOKED_UP:
        place = {name: position for name, position in session.execute(columns)}
        return {name: place[name] for name in wanted if name in place}
    found: dict[str, int] = {}
    for start in range(0, len(wanted), ROWS_A_BATCH):
        some = columns.where(UpstreamExample.example_id.in_(wanted[start : start + ROWS_A_BATCH]))
        found.update((name, position) for name, position in session.execute(some))
    return found


def positions_by_tag(session: Session, set_id: str, tags: Collection[str]) -> dict[str, list[int]]:
    """Positions of the examples that have each of these tags, in set order."""
    found: dict[str, list[int]] = {tag: [] for tag in tags}
    if not found:
        return found
    columns = sa.select(UpstreamExample.position, UpstreamExample.tags).where(UpstreamExample.set_id == set_id)
    for position, of_example in session.execute(columns.order_by(UpstreamExample.position)):
        for tag in found.keys() & set(of_example):
            found[tag].append(position)
    return found


def read_contents(
    session: Session, set_id: str, positions: Sequence[int] | None
) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """Id, and {"text"} or {"messages"}, of examples in the order of `positions`; of all in order when that is None."""
    if positions is None:
        every = _in_order(sa.select(UpstreamExample.example_id, UpstreamExample.content), set_id)
        yield from map(tuple, session.execute(every.execution_options(yield_per=1000)))
        return
    content_at: dict[int, tuple[str, dict[str, Any] | None]] = {}
    for start in range(0, len(positions), ROWS_A_BATCH):
        chosen = [int(position) for position in positions[start : start + ROWS_A_BATCH]]
        rows = sa.select(UpstreamExample.position, UpstreamExample.example_id, UpstreamExample.content).where(
            UpstreamExample.set_id == set_id, UpstreamExample.position.in_(chosen)
        )
        content_at.update((position, (name, content)) for position, name, content in session.execute(rows))
    for position in positions:
        yield content_at[int(position)]


def read_examples(session: Session, set_id: str, after: int, limit: int) -> Sequence[UpstreamExample]:
    """Up to `limit` examples from beyond position `after`."""
    page = sa.select(UpstreamExample).where(UpstreamExample.set_id == set_id, UpstreamExample.position > after)
    return session.scalars(page.order_by(UpstreamExample.position).limit(limit)).all()


def _in_order(columns: sa.Select[*tuple[Any, ...]], set_id: str) -> sa.Select[*tuple[Any, ...]]:
    return columns.where(UpstreamExample.set_id == set_id).order_by(UpstreamExample.position)
