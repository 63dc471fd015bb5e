"""A pandas DataFrame as arrays. Pandas itself is never imported: who brings a frame has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from forgetcast.completion.matrix.ids import names_of
from forgetcast.errors import WrongKind, WrongShape


def arguments_of_frame(frame: Any, domains: Any, families: Any) -> dict[str, Any]:
    """The arguments of `ForgettingMatrix.from_arrays`: tasks are the index, examples the columns.

    float32 stays float32 where all columns are; numbers that pandas keeps as objects are refused.

    Raises
    ------
    WrongKind, WrongShape
    """
    if not all(hasattr(frame, name) for name in ("index", "columns", "dtypes", "to_numpy")):
        raise WrongKind(f"A DataFrame is needed, not {type(frame).__name__}; from_arrays takes arrays.")
    kinds = list(frame.dtypes)
    for column, kind in zip(frame.columns, kinds, strict=True):
        if kind.kind not in "iuf":
            raise WrongKind(f"The column {column!r} must be numbers, not {kind}; a task id belongs into the index.")
    narrow = all(str(kind).lower() == "float32" for kind in kinds)
    task_ids, example_ids = names_of("Task ids", frame.index), names_of("Example ids", frame.columns)
    return {
        "forgetting": frame.to_numpy(dtype=np.float32 if narrow else np.float64, na_value=np.nan),
        "task_ids": task_ids,
        "example_ids": example_ids,
        "domains": _by_id(domains, example_ids, "domain"),
        "families": _by_id(families, task_ids, None),
    }


def _by_id(given: Any, ids: Sequence[str], needed: str | None) -> Sequence[Any] | None:
    """What was given by id, in the order of the ids; a sequence is in that order already.

    needed : what every id must have; None where some may have nothing
    """
    if given is None or not (isinstance(given, Mapping) or hasattr(given, "to_dict")):
        return given
    found = dict(zip(names_of("The ids", given.keys()), _values(given), strict=True))
    absent = next((one for one in ids if one not in found), None)
    if needed is not None and absent is not None:
        raise WrongShape(f"No {needed} is given for {absent!r}.")
    return [found.get(one) for one in ids]


def _values(given: Any) -> list[Any]:
    return list(given.values()) if isinstance(given, Mapping) else list(given)
