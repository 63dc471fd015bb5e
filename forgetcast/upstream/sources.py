"""Where upstream examples come from: files in the layouts of fine-tuning data, saved data sets, texts, a hub."""

from __future__ import annotations

import importlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from forgetcast.errors import BadDataset, ConfigurationError, ForgetcastError
from forgetcast.layouts import example_of, read_records
from forgetcast.layouts.places import Place, Unusable
from forgetcast.layouts.wrappings import unwrap
from forgetcast.upstream.passages import SUFFIXES, passages

DATA = (".jsonl", ".json", ".ndjson", ".parquet", ".pq", ".gz", ".zst")
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
FROM_A_HUB = 100_000  # records that are read of a hub's data set, which has no end that one waits for
SAVED, SAVED_SPLITS = "state.json", "dataset_dict.json"  # of `save_to_disk`
DOMAIN = "domain"  # the column that is taken where none is named
LONGEST_DOMAIN = 128


@dataclass(frozen=True)
class Columns:
    """Names of columns where they are not those of a known layout; `a.b` is `b` within `a`."""

    domain: str | None = None
    id: str | None = None
    text: str | None = None
    prompt: str | None = None
    completion: str | None = None
    messages: str | None = None


class Source(NamedTuple):
    """One file, or a hub's data set; `label` is the domain of what names none."""

    name: str
    path: Path | None
    label: str
    kind: str  # data, text, arrow or hub


class Candidate(NamedTuple):
    """One example that could be drawn. `content` is {"text"} or {"messages"}; `place` is the same for the same file."""

    place: str
    domain: str
    content: dict[str, Any]
    own_id: str | None

    @property
    def said(self) -> str:
        """What makes two examples the same: the text, or what was said in all turns."""
        turns = self.content.get("messages")
        return str(self.content["text"]) if turns is None else "\n".join(turn["content"] for turn in turns)


def find_sources(given: str) -> list[Source]:
    """The files that a name stands for: a file, a folder of files, a saved data set, or a data set of a hub.

    Raises
    ------
    BadDataset : a folder without data, or a name that is neither here nor one of a hub
    """
    path = Path(given)
    if path.is_file():
        return [_source(path, "")]
    if path.is_dir():
        found = _saved(path) or _within(path)
        if not found:
            raise BadDataset(
                f"{given} has no data: JSON Lines, Parquet, texts ({', '.join(SUFFIXES)}) and what `save_to_disk` of "
                "datasets wrote are read"
            )
        return found
    if HUB_NAME.fullmatch(given):
        return [Source(given, None, "", "hub")]
    raise BadDataset(f"{given}: there is no such file or folder")


def read_candidates(source: Source, columns: Columns, n_words: int, spoilt: list[str]) -> Iterator[Candidate]:
    """Every example of a source that could be drawn; `spoilt` gets a sentence for each that could not.

    Raises
    ------
    BadDataset : the file as a whole cannot be read, or lacks a column that was named
    """
    if source.kind == "text":
        yield from _passages(source, n_words)
        return
    seen_domain = columns.domain is None
    first: Mapping[str, Any] | None = None
    for place, record in _records(source):
        if isinstance(record, Mapping):
            first = record if first is None else first
            seen_domain = seen_domain or _field(record, str(columns.domain)) is not None
        try:
            yield _candidate(source, place, record, columns)
        except Unusable as error:
            spoilt.append(str(error.at(place)))
    if first is not None and not seen_domain:
        raise BadDataset(f"{source.name}: no record has {columns.domain!r}; there are {', '.join(map(str, first))}")


def _source(path: Path, label: str) -> Source:
    kind = "text" if path.suffix.lower() in SUFFIXES else "arrow" if path.suffix == ".arrow" else "data"
    return Source(str(path), path, label or path.stem, kind)


def _saved(folder: Path) -> list[Source]:
    """The files of a data set that `save_to_disk` wrote, of each of its splits."""
    if (folder / SAVED_SPLITS).is_file():
        return [source for split in sorted(folder.iterdir()) if split.is_dir() for source in _saved(split)]
    if not (folder / SAVED).is_file():
        return []
    try:
        state = json.loads((folder / SAVED).read_bytes())
        names = [str(one["filename"]) for one in state["_data_files"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadDataset(f"{folder / SAVED} does not say which files the data set has: {error!r}") from error
    if state.get("_indices_files"):
        raise BadDataset(f"{folder} is a selection of rows; flatten_indices() and save_to_disk write its own")
    return [_source(folder / name, folder.name) for name in names]


def _within(folder: Path) -> list[Source]:
    """Files below a folder; those of a folder within it are one domain, others each their own."""
    found = []
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if (
            path.is_file()
            and path.suffix.lower() in (*DATA, *SUFFIXES)
            and not any(one.startswith(".") for one in parts)
        ):
            found.append(_source(path, parts[0] if len(parts) > 1 else ""))
    return found


def _records(source: Source) -> Iterator[tuple[Place, Any]]:
    if source.kind == "hub":
        yield from _of_a_hub(source.name)
        return
    assert source.path is not None
    if source.kind == "arrow":
        yield from _arrow(source.path)
        return
    try:
        with source.path.open("rb") as file:
            yield from read_records(file)
    except OSError as error:
        raise BadDataset(f"{source.name} cannot be read: {error.strerror}") from error
    except ForgetcastError as error:
        raise type(error)(f"{source.name}: {error}") from error


def _arrow(path: Path) -> Iterator[tuple[Place, Any]]:
    """Rows of a file of `save_to_disk`, which is an Arrow stream."""
    try:
        pyarrow = importlib.import_module("pyarrow")
    except ModuleNotFoundError as error:
        raise ConfigurationError("a saved data set needs `pip install 'forgetcast[parquet]'`") from error
    try:
        with pyarrow.memory_map(str(path)) as file, pyarrow.ipc.open_stream(file) as batches:
            number = 0
            for batch in batches:
                for row in batch.to_pylist():
                    number += 1
                    yield Place(number, f"row {number}"), row
    except (pyarrow.ArrowException, OSError) as error:
        raise BadDataset(f"{path} is no Arrow stream that can be read: {str(error).splitlines()[0]}") from error


def _of_a_hub(name: str) -> Iterator[tuple[Place, Any]]:
    try:
        datasets = importlib.import_module("datasets")
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{name} is no file here; to read it from a hub takes `pip install 'forgetcast[trainers]'`"
        ) from error
    try:
        rows = datasets.load_dataset(name, split="train", streaming=True)
        for number, row in enumerate(itertools.islice(rows, FROM_A_HUB), 1):
            yield Place(number, f"row {number}"), row
    except Exception as error:  # of the network, of the hub, or of code for one of its formats
        raise BadDataset(f"{name} is no file here, and cannot be read from a hub: {error}") from error


def _candidate(source: Source, place: Place, record: Any, columns: Columns) -> Candidate:
    if not isinstance(record, Mapping):
        raise Unusable("", "a JSON object is needed")
    example = example_of(place, _renamed(record, columns))
    if not example.has_response:
        raise Unusable("", "has no text to measure")
    own_id = _field(record, columns.id or "id")
    label = _domain(_field(record, columns.domain or DOMAIN))
    content = _upstream(example.content)
    return Candidate(
        f"{Path(source.name).name}:{place.number}",
        label if label is not None else source.label,
        content,
        str(own_id) if isinstance(own_id, str | int) and not isinstance(own_id, bool) else None,
    )


def _renamed(record: Mapping[str, Any], columns: Columns) -> dict[str, Any]:
    """The record with named columns under the names of a layout, and no other content beside them."""
    named = {
        name: _field(record, column)
        for name in ("text", "prompt", "completion", "messages")
        if (column := getattr(columns, name)) is not None
    }
    if not named:
        return dict(record)
    absent = next((name for name, value in named.items() if value is None), None)
    if absent is not None:
        raise Unusable("", f"has no {getattr(columns, absent)!r}")
    return named


def _field(record: Mapping[str, Any], column: str) -> Any:
    """A column by its name, or by a path into objects; None where there is none."""
    if column in record:
        return record[column]
    value: Any = record
    for part in column.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value


def _domain(value: Any) -> str | None:
    """What may stand in tables; None where nothing is said."""
    if value is None or isinstance(value, Mapping | list):
        return None
    return "".join(char if char.isprintable() else " " for char in str(value)).strip()[:LONGEST_DOMAIN]


def _upstream(content: Mapping[str, Any]) -> dict[str, Any]:
    """An example in one of the two forms of upstream examples. Raises Unusable."""
    if "text" in content:
        return {"text": content["text"]}
    if "completion" in content:
        turns = [("user", content["prompt"]), ("assistant", content["completion"])]
        return {"messages": [{"role": role, "content": said} for role, said in turns if said or role == "assistant"]}
    if any("tool_calls" in turn for turn in content["messages"]) or content.get("tools"):
        raise Unusable("messages", "has tool calls, which an upstream example cannot have")
    return {"messages": [{"role": turn["role"], "content": turn["content"]} for turn in content["messages"]]}


def _passages(source: Source, n_words: int) -> Iterator[Candidate]:
    assert source.path is not None
    try:
        with source.path.open("rb") as file:
            unwrapped = unwrap(file)
            text = unwrapped.source.read().decode(unwrapped.encoding)
    except OSError as error:
        raise BadDataset(f"{source.name} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadDataset(f"{source.name}: byte {error.start} is not {unwrapped.encoding.upper()}") from error
    except ForgetcastError as error:
        raise type(error)(f"{source.name}: {error}") from error
    for number, passage in enumerate(passages(text.removeprefix("\ufeff"), n_words), 1):
        yield Candidate(f"{source.path.name}:{number}", source.label, {"text": passage}, None)
