"""The upstream examples that may be replayed and measured, with their texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from forgetcast import strict_json
from forgetcast.client import ForgetcastClient
from forgetcast.errors import BadDataset, TextsMissing
from forgetcast.schemas import UpstreamExample
from forgetcast.wording import sentence

Pool = Path | str | Iterable[UpstreamExample | Mapping[str, Any]]


def upstream_pool(matrix: str, *, client: ForgetcastClient | None = None) -> list[UpstreamExample]:
    """Every upstream example of a matrix that has a text, in set order; held-out ones too, which are only measured.

    It is read once, before the run: keep it in a file to begin a run without the service.

    Raises
    ------
    TextsMissing : the service has no texts; give OnlineReplay the file of your upstream examples instead
    ForgetcastError : as the client does
    """
    with ForgetcastClient() if client is None else nullcontext(client) as asked:
        set_id = asked.matrices.get(matrix).upstream_set
        found = [one for one in asked.upstream_sets.examples(set_id) if has_text(one)]
    if not found:
        raise TextsMissing(
            f"the service has no texts of the upstream set {set_id!r}; give OnlineReplay the file of your examples"
        )
    return found


def examples_of(pool: Pool) -> list[UpstreamExample]:
    """A pool as examples with texts. Raises BadDataset naming the line or record that is wrong, or an id twice."""
    found: dict[str, UpstreamExample] = {}
    for where, record in _records(pool):
        example = record if isinstance(record, UpstreamExample) else _example(where, record)
        if example.id in found:
            raise BadDataset(f"{where}: the example {example.id!r} is there twice")
        if has_text(example):
            found[example.id] = example
    if not found:
        raise BadDataset("the pool has no example with text or messages")
    return list(found.values())


def has_text(example: UpstreamExample) -> bool:
    return example.text is not None or bool(example.messages)


def _records(pool: Pool) -> Iterable[tuple[str, Any]]:
    if not isinstance(pool, Path | str):
        yield from ((f"record {number}", record) for number, record in enumerate(pool, 1))
        return
    try:
        with Path(pool).open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield f"{pool}, line {number}", strict_json.load(line)
    except OSError as error:
        raise BadDataset(f"{pool} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise BadDataset(f"{pool}: not JSON Lines ({error})") from error


def _example(where: str, record: Any) -> UpstreamExample:
    known = UpstreamExample.model_fields
    try:
        return UpstreamExample.model_validate({name: value for name, value in dict(record).items() if name in known})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise BadDataset(f"{where}: {'/'.join(map(str, first['loc']))}: {sentence(first)}") from error
    except (TypeError, ValueError) as error:
        raise BadDataset(f"{where}: an object with an id is needed") from error
