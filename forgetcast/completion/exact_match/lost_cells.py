"""What a matrix of kind `exact_match` holds: of what the base model reproduces, which examples a task loses.

Notation
    before  whether greedy decoding of the base model writes the example          (N,)    1, 0, or -1 for not known
    after   the same of the model fine-tuned on each task                         (M, N)
    lost    1 where the base model writes it and the fine-tuned one does not      (M, n)  0 and 1, n base-right columns
    M, N    tasks and upstream examples
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from forgetcast.completion.arguments import plain, positions_of
from forgetcast.completion.matrix.forgetting_matrix import ForgettingMatrix, check_matrix
from forgetcast.completion.matrix.ids import names_of
from forgetcast.completion.types import Floats, Indices
from forgetcast.errors import MatrixEmpty, OutOfRange, WrongKind, WrongShape

NOT_KNOWN = -1


def exact_match_matrix(
    before: ArrayLike,
    after: ArrayLike,
    *,
    task_ids: Iterable[Any] | None = None,
    example_ids: Iterable[Any] | None = None,
    domains: Iterable[Any] | None = None,
    families: Iterable[Any] | None = None,
) -> ForgettingMatrix:
    """The matrix of kind `exact_match`: columns are the examples that the base model reproduces, cells are 0 and 1.

    Parameters
    ----------
    before : (N,) truth values, or numbers that are 1, 0 and -1 for not known
    after : (M, N) the same, after each task
    The others are those of ``ForgettingMatrix.from_arrays``, of all N examples.

    Raises
    ------
    MatrixEmpty : the base model reproduces none of the examples
    WrongKind, WrongShape, NothingObserved, RepeatedTask, RepeatedExample
    """
    base, tuned = _flags("before", before), _flags("after", after)
    if base.ndim != 1 or tuned.ndim != 2 or tuned.shape[1] != base.size:
        raise WrongShape(
            f"before has shape {base.shape}, after {tuned.shape}; (N,) and (tasks, N) of the same N are needed."
        )
    columns = np.flatnonzero(base == 1)
    if columns.size == 0:
        raise MatrixEmpty("The base model reproduces none of the examples, so that none can be lost.")
    examples = [str(j) for j in range(base.size)] if example_ids is None else list(names_of("Example ids", example_ids))
    groups = None if domains is None else list(names_of("Domains", domains))
    for name, found in (("example ids", examples), ("domains", groups)):
        if found is not None and len(found) != base.size:
            raise WrongShape(f"{len(found)} {name} for {base.size} examples.")
    kept = tuned[:, columns]
    return ForgettingMatrix.from_arrays(
        (kept == 0).astype(np.float32),
        observed=kept != NOT_KNOWN,
        task_ids=task_ids,
        example_ids=[examples[j] for j in columns.tolist()],
        domains=None if groups is None else [groups[j] for j in columns.tolist()],
        families=families,
    )


def check_lost(matrix: Any) -> None:
    """Refuse what is no matrix, or has a measured cell that is neither 0 nor 1.

    Raises
    ------
    WrongKind, OutOfRange
    """
    check_matrix(matrix)
    for task, row, observed in zip(matrix.task_ids, matrix.forgetting, matrix.observed, strict=True):
        bad = np.flatnonzero(observed & (row != 0) & (row != 1))
        if bad.size:
            raise OutOfRange(
                f"Task {task!r} has {row[bad[0]]:g} for example {matrix.example_ids[bad[0]]!r}; a matrix of kind "
                "exact_match holds 1 (lost) and 0 (kept). `fit` completes log-perplexities."
            )


def measured_losses(probes: Any, lost: Any, n_examples: int) -> tuple[Indices, Floats]:
    """Positions of the measured cells of a row, and 1 where the example is lost, 0 where it is kept. (S,) both

    Raises
    ------
    WrongKind, WrongShape, UnknownExample, RepeatedExample
    OutOfRange : a value that is neither 0 nor 1
    """
    positions, values = positions_of("The probes", probes, n_examples), plain("The measured cells", lost)
    if values.shape != positions.shape:
        raise WrongShape(f"{positions.size} probes, measured cells of shape {values.shape}.")
    if values.size and values.dtype.kind not in "biuf":
        raise WrongKind(f"The measured cells must be truth values or 0 and 1, not {values.dtype}.")
    bad = np.flatnonzero(~((values == 0) | (values == 1)))
    if bad.size:
        raise OutOfRange(
            f"The probe at position {positions[bad[0]]} has {values[bad[0]]}; a cell is 1 (lost) or 0 (kept)."
        )
    return positions, values.astype(np.float64)


def _flags(name: str, given: ArrayLike) -> NDArray[np.int8]:
    found = plain(name, given)
    if found.dtype == np.bool_:
        return found.astype(np.int8)
    if found.dtype.kind not in "iuf" or not np.isin(found, (1, 0, NOT_KNOWN)).all():
        raise WrongKind(f"{name} must be truth values, or 1, 0 and {NOT_KNOWN} for not known.")
    return found.astype(np.int8)
