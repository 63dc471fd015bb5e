"""Matrices as the method's authors publish them: one JSON object with a list of rows.

    arr         forgetting, tasks by examples, nats per token; null or NaN is a missing cell
    ocl_tasks   names of the tasks          pt_tasks    names of the upstream examples

Source: the project page of Jin and Ren, arXiv:2406.14026.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from forgetcast.completion.matrix.forgetting_matrix import ForgettingMatrix
from forgetcast.errors import UnreadableMatrix

NOT_IN_AN_ID = re.compile(r"[^A-Za-z0-9._-]+")
NAMES = ("arr", "ocl_tasks", "pt_tasks")
PICKLE = b"\x80"


def read_published(path: str | Path) -> ForgettingMatrix:
    """Known rows of such a file; what is not allowed in an id of a task (`FLAN/aeslc`) becomes a dot.

    Raises
    ------
    UnreadableMatrix : it is a pickle, no JSON, or has another layout
    And what ForgettingMatrix raises of values and names.
    """
    content = Path(path).read_bytes()
    if content.startswith(PICKLE):
        raise UnreadableMatrix(f"{path} is a pickle, which runs code when it is read; write its lists as JSON or npz.")
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UnreadableMatrix(f"{path} is not JSON: {error}.") from error
    if not isinstance(found, dict) or not all(isinstance(found.get(name), list) for name in NAMES):
        raise UnreadableMatrix(f"{path} is no published matrix: lists named {', '.join(NAMES)} are needed.")
    return ForgettingMatrix.from_arrays(
        _numbers(found["arr"], path),
        task_ids=[NOT_IN_AN_ID.sub(".", str(name)).strip(".-_") for name in found["ocl_tasks"]],
        example_ids=[str(name) for name in found["pt_tasks"]],
    )


def _numbers(rows: list[Any], path: str | Path) -> np.ndarray[Any, np.dtype[np.float32]]:
    try:
        return np.array(rows, dtype=np.float64).astype(np.float32)  # null becomes NaN
    except (ValueError, TypeError) as error:
        raise UnreadableMatrix(f"{path}: arr must have as many numbers in every row.") from error
