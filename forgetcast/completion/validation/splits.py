"""Which known rows are left out together: the one place where rows are grouped."""

from __future__ import annotations

from forgetcast.completion.matrix.forgetting_matrix import ForgettingMatrix

FEWEST_GROUPS = 3  # families; with fewer, what is left would be too little to stand for the matrix


def leaves_families_out(matrix: ForgettingMatrix) -> bool:
    """Whether rows are left out by families: where these are known and there are enough of them."""
    return matrix.families is not None and any(matrix.families) and len(families(matrix)) >= FEWEST_GROUPS


def left_out_together(matrix: ForgettingMatrix) -> list[list[int]]:
    """Groups of rows, in order: families (a row without one alone), else single tasks."""
    return families(matrix) if leaves_families_out(matrix) else tasks(matrix)


def tasks(matrix: ForgettingMatrix) -> list[list[int]]:
    """Every row alone."""
    return [[row] for row in range(matrix.n_tasks)]


def families(matrix: ForgettingMatrix) -> list[list[int]]:
    """Rows by family, in order of first appearance; a row without a family is one of its own."""
    groups: dict[tuple[str, str], list[int]] = {}
    for row, task in enumerate(matrix.task_ids):
        family = matrix.families[row] if matrix.families is not None else None
        groups.setdefault(("task", task) if family is None else ("family", family), []).append(row)
    return list(groups.values())
