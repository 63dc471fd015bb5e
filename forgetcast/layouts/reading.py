"""Read a data set: every example with its place and its layout, and what the whole was read as."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, NamedTuple

from forgetcast.errors import BadDataset, ConfigurationError, InvalidRequest, LimitExceeded
from forgetcast.layouts.places import Place, Unusable
from forgetcast.layouts.table import FORMS, Content, Layout, layout_of
from forgetcast.layouts.turns import is_learned_from
from forgetcast.layouts.values import json_values
from forgetcast.layouts.wrappings import unwrap

VERSION = 2  # rises when the same bytes are read as other examples than before

HALF_A_PAIR = re.compile("[\ud800-\udfff]")


class Example(NamedTuple):
    """`content` is {"text"}, {"prompt", "completion"} or {"messages"}, and {"tools"} where there are any."""

    place: Place
    layout: Layout
    content: Content

    @property
    def has_response(self) -> bool:
        """Whether there is any text to learn from; whether it falls within a length only a tokenizer says."""
        if "messages" in self.content:
            return any(map(is_learned_from, self.content["messages"]))
        return bool(self.content.get("completion", self.content.get("text")))


class Survey(NamedTuple):
    """What a data set was read as: examples by layout, and what the file was wrapped in."""

    counts: dict[str, int]
    wrappings: tuple[str, ...]
    n_empty: int
    sentence: str

    @property
    def n_examples(self) -> int:
        return sum(self.counts.values())

    @property
    def layout(self) -> str:
        """The name of the layout, or names where lines differ."""
        return " and ".join(self.counts)


def survey(source: BinaryIO, most: int | None = None) -> Survey:
    """Read a whole data set for what is wrong with it, and say what it was read as. The source can be sought in.

    Raises
    ------
    BadDataset : with line and field
    LimitExceeded : more than `most` examples, or one that is too long
    """
    counts, layouts = Counter[str](), dict[str, Layout]()
    first_empty, n_empty = None, 0
    unwrapped = unwrap(source)
    for example in _examples(unwrapped.is_parquet, unwrapped.source, unwrapped.encoding):
        name = example.layout.name
        counts[name] += 1
        layouts[name] = example.layout
        if most is not None and counts.total() > most:
            raise LimitExceeded(f"a data set has at most {most} lines here (FORGETCAST_MAX_DATASET_LINES)")
        if not example.has_response:
            n_empty += 1
            first_empty = first_empty or example
    if not counts:
        raise BadDataset(f"the data set is empty; write one JSON object a line: {FORMS}")
    if first_empty is not None and n_empty == counts.total():
        raise Unusable("", f"{_why_empty(first_empty)}, nor has any other example text to learn from").at(
            first_empty.place
        )
    return Survey(
        dict(counts), unwrapped.names, n_empty, _sentence(counts, layouts, unwrapped.names, n_empty, first_empty)
    )


def read_examples(source: BinaryIO) -> Iterator[Example]:
    """Every example. Raises what `survey` raises, but counts nothing."""
    unwrapped = unwrap(source)
    return _examples(unwrapped.is_parquet, unwrapped.source, unwrapped.encoding)


def read_records(source: BinaryIO) -> Iterator[tuple[Place, Any]]:
    """Every record as it stands there, before any layout is looked for. Raises what `survey` raises of a file."""
    unwrapped = unwrap(source)
    return _records(unwrapped.is_parquet, unwrapped.source, unwrapped.encoding)


def _records(is_parquet: bool, source: BinaryIO, encoding: str) -> Iterator[tuple[Place, Any]]:
    return _parquet_rows(source) if is_parquet else json_values(source, encoding)


def _examples(is_parquet: bool, source: BinaryIO, encoding: str) -> Iterator[Example]:
    for place, value in _records(is_parquet, source, encoding):
        try:
            yield example_of(place, value)
        except Unusable as error:
            raise error.at(place) from error


def example_of(place: Place, value: Any) -> Example:
    """One record as an example of the layout that it has. Raises Unusable."""
    if isinstance(value, list) and value and isinstance(value[0], Mapping) and "role" in value[0]:
        raise Unusable("", 'a list of turns; write {"messages": [...]} around it')
    if not isinstance(value, Mapping):
        raise Unusable("", f"a JSON object is needed, one of {FORMS}")
    line = {name: field for name, field in value.items() if field is not None}
    layout = layout_of(line)
    content = layout.convert(line)
    _check_characters(content, "")
    return Example(place, layout, content)


def _parquet_rows(source: BinaryIO) -> Iterator[tuple[Place, Any]]:
    try:
        from forgetcast.layouts.parquet import read_rows
    except ModuleNotFoundError as error:
        raise ConfigurationError("the file is Parquet, which needs `pip install 'forgetcast[parquet]'`") from error
    try:
        for number, row in enumerate(read_rows(source), 1):
            yield Place(number, f"row {number}"), row
    except InvalidRequest as error:
        raise BadDataset(str(error)) from error


def _check_characters(value: Any, field: str) -> None:
    """Refuse half of a surrogate pair, which no tokenizer takes and no file holds."""
    if isinstance(value, str):
        if not value.isascii() and (found := HALF_A_PAIR.search(value)):
            raise Unusable(
                field.removeprefix("/"),
                f"holds \\u{ord(found[0]):04x}, half of a surrogate pair, at its character {found.start() + 1}; "
                "what wrote the file has cut a character in two",
            )
        return
    entries = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for name, entry in entries:
        _check_characters(entry, f"{field}/{name}")


def _why_empty(example: Example) -> str:
    if "messages" in example.content:
        return "no turn of the assistant has text to learn from"
    return "the completion is empty" if "completion" in example.content else "the text is empty"


def _sentence(
    counts: Mapping[str, int],
    layouts: Mapping[str, Layout],
    wrappings: tuple[str, ...],
    n_empty: int,
    first_empty: Example | None,
) -> str:
    """Such as: read as ShareGPT, 312 conversations."""
    if len(counts) == 1:
        said = "".join(f"{name}, {layouts[name].counted(n)}" for name, n in counts.items())
    else:
        said = " and ".join(f"{name} ({layouts[name].counted(n)})" for name, n in counts.items())
    within = f", from {' and '.join(wrappings)}" if wrappings else ""
    empty = ""
    if first_empty is not None:
        have = "has" if n_empty == 1 else "have"
        empty = f"; {n_empty:,} {have} no text to learn from, the first is {first_empty.place.words}"
    return f"read as {said}{within}{empty}"
