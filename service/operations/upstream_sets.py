"""Create, fill and read upstream sets."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from forgetcast import schemas
from forgetcast.errors import IdInUse, InvalidRequest, LimitExceeded, UpstreamSetSealed
from service.operations.canonical import canonical_json
from service.operations.json_lines import parse_value, wrong_line
from service.storage import upstream_sets as storage
from service.storage.database import Session, moment
from service.storage.ids import new_id
from service.storage.locks import hold
from service.storage.tables import UpstreamSet

BATCH_BYTES = 4 << 20  # of examples held before they are written; drivers hold them several times over

NumberedExamples = Iterable[tuple[int, schemas.UpstreamExample]]


def create_upstream_set(session: Session, wanted: schemas.UpstreamSetCreate) -> tuple[schemas.UpstreamSet, bool]:
    """An empty set, and whether it is new; an empty set of the same id is returned as it is."""
    set_id = wanted.id or new_id("set")
    hold(session, ("upstream set", set_id))
    found = session.get(UpstreamSet, set_id)
    if found is None:
        found = UpstreamSet(id=set_id, domains={})
        session.add(found)
        session.flush()
        return view(found), True
    if found.sha256 is not None:
        raise IdInUse(f"the upstream set {set_id!r} exists and is sealed", location=f"/v1/upstream-sets/{set_id}")
    return view(found), False


def register_examples(
    session: Session, set_id: str, examples: NumberedExamples, max_examples: int
) -> schemas.UpstreamSet:
    """Fill a set with all its examples and seal it: all or nothing, because the caller commits only at the end.

    Examples are read one by one, so memory holds a batch of them and the ids.

    Raises
    ------
    UpstreamSetNotFound
    UpstreamSetSealed : it holds other examples; the same ones again change nothing
    InvalidRequest : a repeated id, or no example at all
    LimitExceeded : more than `max_examples`
    """
    found = storage.get_upstream_set(session, set_id, lock=True)
    already_sealed = found.sha256
    digest, seen, domains = hashlib.sha256(), dict[str, int](), Counter[str]()
    n_held_out, has_texts, batch, batch_bytes = 0, True, list[dict[str, Any]](), 0
    for position, (number, example) in enumerate(examples):
        if position >= max_examples:
            raise LimitExceeded(f"an upstream set has at most {max_examples} examples here (FORGETCAST_MAX_EXAMPLES)")
        if example.id in seen:
            wrong_line(number, "id", f"the id {example.id!r} was used in line {seen[example.id]}")
        _check_measurable(number, example)
        seen[example.id] = number
        row = _row(set_id, position, example)
        content = canonical_json({key: row[key] for key in row if key not in ("set_id", "position")}) + b"\n"
        digest.update(content)
        domains[example.domain] += 1
        n_held_out += example.held_out
        has_texts = has_texts and row["content"] is not None
        if already_sealed is None:
            batch.append(row)
            batch_bytes += len(content)
            if len(batch) == storage.ROWS_A_BATCH or batch_bytes > BATCH_BYTES:
                storage.insert_examples(session, batch)
                batch, batch_bytes = [], 0
    if not seen:
        raise InvalidRequest("the upload has no example; send one JSON object a line")
    if already_sealed is not None:
        if already_sealed != digest.hexdigest():
            raise UpstreamSetSealed(f"the upstream set {set_id!r} is sealed with other examples; make a new set")
        return view(found)
    if batch:
        storage.insert_examples(session, batch)
    found.sha256, found.n_examples, found.n_held_out = digest.hexdigest(), len(seen), n_held_out
    found.has_texts, found.domains = has_texts, dict(domains)
    session.flush()
    return view(found)


def _check_measurable(number: int, example: schemas.UpstreamExample) -> None:
    """Refuse what no model and no setting can score; the rest a worker finds out with its tokenizer."""
    for field, content, what in (
        ("text", example.text, "an empty text"),
        ("messages", example.messages, "no messages"),
    ):
        if content is not None and not content:
            wrong_line(number, field, f"the example {example.id!r} has {what}, so that nothing of it can be measured")


def read_upstream_set(session: Session, set_id: str) -> schemas.UpstreamSet:
    return view(storage.get_upstream_set(session, set_id))


def read_examples(session: Session, set_id: str, after: int, limit: int) -> list[tuple[int, schemas.UpstreamExample]]:
    """Up to `limit` examples from beyond position `after`, with their positions."""
    storage.get_upstream_set(session, set_id)
    return [
        (
            row.position,
            schemas.UpstreamExample(
                id=row.example_id, domain=row.domain, tags=row.tags, held_out=row.held_out, **(row.content or {})
            ),
        )
        for row in storage.read_examples(session, set_id, after, limit)
    ]


def view(found: UpstreamSet) -> schemas.UpstreamSet:
    return schemas.UpstreamSet(
        id=found.id,
        sealed=found.sha256 is not None,
        n_examples=found.n_examples,
        n_held_out=found.n_held_out,
        has_texts=found.has_texts,
        sha256=found.sha256,
        domains=found.domains,
        created_at=moment(found.created_at),
    )


def _row(set_id: str, position: int, example: schemas.UpstreamExample) -> dict[str, Any]:
    return {
        "set_id": set_id,
        "position": position,
        "example_id": example.id,
        "domain": example.domain,
        "tags": example.tags,
        "held_out": example.held_out,
        "content": _content(example),
    }


def _content(example: schemas.UpstreamExample) -> dict[str, Any] | None:
    if example.messages is not None:
        return {"messages": [message.model_dump() for message in example.messages]}
    return None if example.text is None else {"text": example.text}


def parquet_examples(batches: Iterable[dict[str, Any]]) -> Iterator[tuple[int, schemas.UpstreamExample]]:
    """Rows of a Parquet file as numbered examples."""
    for number, row in enumerate(batches, 1):
        yield number, parse_value(without_nulls(row), schemas.UpstreamLine, number)


def without_nulls(value: Any) -> Any:
    """A row without the fields that are null, in structs too: a table has every field in every row."""
    if isinstance(value, dict):
        return {name: without_nulls(field) for name, field in value.items() if field is not None}
    return [without_nulls(entry) for entry in value] if isinstance(value, list) else value
