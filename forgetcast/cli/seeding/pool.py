"""Tasks that can be measured: starter tasks, and past data sets of the user's own."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import click

from forgetcast.cli.dataset import check_dataset
from forgetcast.errors import BadDataset
from forgetcast.layouts import read_examples

STARTER, STARTER_ALL = "starter", "starter-all"
SUFFIXES = (".jsonl", ".json", ".ndjson", ".parquet", ".pq", ".gz", ".zst")
READ = 100  # examples of a task that its likeness to others is told from
NOT_IN_AN_ID = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Candidate:
    """One task that could be measured."""

    id: str
    family: str | None
    file: Path
    about: str
    n_examples: int
    sha256: str

    @property
    def form(self) -> str:
        """Text, pair or conversation: which of them data are tells more of their row than their words do."""
        with self.file.open("rb") as source:
            content = next(read_examples(source)).content
        return next(name for name in ("messages", "completion", "text") if name in content)

    @property
    def texts(self) -> list[str]:
        """What its first examples say, for how alike tasks are."""
        with self.file.open("rb") as source:
            return [" ".join(_strings(one.content)) for one in islice(read_examples(source), READ)]


def find_candidates(wanted: Sequence[str], written_into: Path) -> list[Candidate]:
    """Tasks of every place that is named: `starter`, `starter-all`, a folder of data sets, or a file.

    Raises
    ------
    BadDataset : a file that cannot be learned from, or a folder without data
    """
    found: dict[str, Candidate] = {}
    for place in wanted:
        for one in _starters(place, written_into) if place in (STARTER, STARTER_ALL) else _own(Path(place)):
            same = next((other for other in found.values() if other.sha256 == one.sha256), None)
            if same is None:
                found[_free(one.id, found)] = one if one.id not in found else _renamed(one, _free(one.id, found))
    return list(found.values())


def _starters(place: str, written_into: Path) -> Iterator[Candidate]:
    from forgetcast.cli.lazy_group import imported

    tasks = imported("seed --tasks starter", "bundled.starter:starter_tasks")
    for one in tasks(written_into, packages=place == STARTER_ALL):
        yield _candidate(one.file, one.id, one.family, one.about)


def _own(place: Path) -> Iterator[Candidate]:
    """Files of a folder; those within a folder in it are one family."""
    if place.is_file():
        yield _candidate(place, place.stem, None, "")
        return
    if not place.is_dir():
        raise click.UsageError(f"--tasks {place}: neither {STARTER!r}, nor a folder or a file")
    files = [path for path in sorted(place.rglob("*")) if path.is_file() and path.suffix.lower() in SUFFIXES]
    files = [path for path in files if not any(part.startswith(".") for part in path.relative_to(place).parts)]
    if not files:
        raise BadDataset(f"{place} has no data set ({', '.join(SUFFIXES)})")
    for path in files:
        parts = path.relative_to(place).parts
        yield _candidate(path, path.stem, parts[0] if len(parts) > 1 else None, "")


def _candidate(file: Path, name: str, family: str | None, about: str) -> Candidate:
    survey = check_dataset(file)
    with file.open("rb") as source:
        sha256 = hashlib.file_digest(source, "sha256").hexdigest()
    return Candidate(_id(name), family, file, about or survey.sentence, survey.n_examples, sha256)


def _id(name: str) -> str:
    return NOT_IN_AN_ID.sub("-", name).strip("-._")[:100] or "task"


def _free(name: str, taken: dict[str, Candidate]) -> str:
    """The name, or with the first number that makes it another."""
    number = 2
    free = name
    while free in taken:
        free, number = f"{name}-{number}", number + 1
    return free


def _renamed(one: Candidate, name: str) -> Candidate:
    return Candidate(name, one.family, one.file, one.about, one.n_examples, one.sha256)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for entry in value.values():
            yield from _strings(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _strings(entry)
