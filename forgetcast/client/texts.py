"""Texts of upstream examples that stayed with their owner, looked up by id."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from forgetcast.client.connection import is_parquet
from forgetcast.client.extras import extra
from forgetcast.errors import BadDataset
from forgetcast.schemas import UpstreamExample

Texts = Path | str | Mapping[str, Any] | Iterable[Mapping[str, Any]]
FIELDS = ("id", "text", "messages")


def find_texts(texts: Texts, wanted: set[str]) -> dict[str, UpstreamExample]:
    """The wanted examples that are there, with text or messages.

    `texts`: a file of {"id", "text" or "messages"}, JSON Lines or Parquet; or such records, for example a `datasets`
    Dataset; or a mapping from id to a text or to messages. A file is read in pieces.

    Raises
    ------
    BadDataset : a file that cannot be read, or a record of another form, with its line
    """
    if isinstance(texts, Mapping):
        records: Iterable[tuple[str, Any]] = (
            (f"the example {name!r}", {"id": name, "text" if isinstance(content, str) else "messages": content})
            for name, content in texts.items()
            if name in wanted
        )
    elif isinstance(texts, Path | str):
        path = Path(texts)
        records = _parquet(path) if is_parquet(path) else _json_lines(path)
    else:
        records = ((f"record {number}", record) for number, record in enumerate(texts, 1))
    found: dict[str, UpstreamExample] = {}
    for where, record in records:
        if not isinstance(record, Mapping) or "id" not in record:
            raise BadDataset(f'{where}: an object with an "id" is needed')
        if record["id"] in wanted:
            found[record["id"]] = _example(where, record)
        if len(found) == len(wanted):
            break
    return found


def _json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                where = f"{path}, line {number}"
                try:
                    yield where, json.loads(line.decode("utf-8-sig"))
                except ValueError as error:
                    raise BadDataset(f"{where}: not JSON ({error})") from error


def _parquet(path: Path) -> Iterator[tuple[str, Any]]:
    pyarrow, parquet = extra("pyarrow", "parquet"), extra("pyarrow.parquet", "parquet")
    try:
        with parquet.ParquetFile(path) as file:
            columns = [name for name in FIELDS if name in file.schema_arrow.names]
            number = 0
            for batch in file.iter_batches(columns=columns):
                for record in batch.to_pylist():
                    number += 1
                    yield f"{path}, row {number}", record
    except pyarrow.ArrowInvalid as error:
        raise BadDataset(f"{path} is no Parquet file that can be read: {error}") from error


def _example(where: str, record: Mapping[str, Any]) -> UpstreamExample:
    content = {name: record[name] for name in FIELDS if record.get(name) is not None}
    try:
        example = UpstreamExample.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = "/".join(map(str, first["loc"])) or "the record"
        raise BadDataset(f"{where}: {field}: {first['msg']}") from error
    if example.text is None and example.messages is None:
        raise BadDataset(f"{where}: the example {example.id!r} has neither text nor messages")
    return example
