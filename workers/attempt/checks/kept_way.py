"""How a model is read, kept on the host's disk: the same files under the same libraries are not examined again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from workers.attempt.checks.self_check import Way, check_trains, way_to_read
from workers.attempt.model.language_model import Reading
from workers.job_directory import digest_of, write_file

VERSION = 1  # of what is examined, and how


def examined(model: PreTrainedModel, folder: Path | None, made_for: Sequence[Any]) -> Way:
    """The fastest way to read a model that agrees with its own forward pass; that it can be trained is seen too.

    Parameters
    ----------
    folder : where ways are kept; none, and the model is examined each time
    made_for : what decides the answer, for JSON: the model's revision, versions of the libraries, the device

    Raises
    ------
    UnsupportedModel
    """
    file = None if folder is None else folder / f"{digest_of(VERSION, *made_for)}.json"
    kept = None if file is None else _read(file)
    if kept is not None:
        return kept
    way = way_to_read(model)
    check_trains(model)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_file(file, json.dumps(asdict(way)).encode())
    return way


def _read(file: Path) -> Way | None:
    try:
        said = json.loads(file.read_bytes())
        return Way(Reading(**said["reading"]), said["own_head"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
