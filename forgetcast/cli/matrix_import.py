"""Rows that someone measured elsewhere, sent to a service one by one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from forgetcast.cli.output import note, printable
from forgetcast.errors import UpstreamSetNotFound

if TYPE_CHECKING:
    from forgetcast.client import ForgetcastClient
    from forgetcast.completion import ForgettingMatrix, Origin
    from forgetcast.completion.types import Mask, Values
    from forgetcast.schemas import Matrix, MatrixCreate


class _Row(NamedTuple):
    """A row of the file, and the task that it measures once more if it does."""

    task_id: str
    forgetting: Values
    observed: Mask
    family: str | None
    origin: Origin
    repeat_of: str | None


def import_npz(client: ForgetcastClient, known: ForgettingMatrix, wanted: MatrixCreate, *, quiet: bool) -> Matrix:
    """Create the matrix and its upstream set where they are missing, and import every row, repeats last.

    Cells go by example id, so the file may have them in another order than the set. Doing it again changes nothing.
    """
    _check_ids(client, known, wanted)
    try:
        client.upstream_sets.get(wanted.upstream_set)
    except UpstreamSetNotFound:
        client.upstream_sets.register(_upstream_lines(known), id=wanted.upstream_set)
        if not quiet:
            note(
                f"upstream set {wanted.upstream_set}: made of ids without texts, which no worker can measure; where "
                f"they should, `forgetcast upstream import FILE --id {wanted.upstream_set}` comes before the import"
            )
    matrix = client.matrices.create(wanted)
    warnings = {} if quiet else _warnings(known)
    n_rows = known.n_tasks + len(known.repeats)
    for place, row in enumerate(_rows(known), 1):
        cells = {known.example_ids[at]: float(row.forgetting[at]) for at in row.observed.nonzero()[0].tolist()}
        imported = client.matrices.put_row(matrix.id, row.task_id, cells, **_about(row))
        if not quiet:
            repeats = "" if row.repeat_of is None else f", repeats {row.repeat_of}"
            note(f"row {place} of {n_rows}: {row.task_id}, {len(cells)} cells{repeats}")
            for warning in imported.warnings or warnings.get(row.task_id, []):
                note(f"warning: {row.task_id}: {printable(warning)}")
    return client.matrices.get(matrix.id)


def _rows(known: ForgettingMatrix) -> Iterator[_Row]:
    """Known rows, then their repeats, which the service takes only when it knows what they repeat."""
    from forgetcast.completion import Origin

    for row, task_id in enumerate(known.task_ids):
        family = None if known.families is None else known.families[row]
        origin = Origin() if known.origins is None else known.origins[row]
        yield _Row(task_id, known.forgetting[row], known.observed[row], family, origin, None)
    for again in known.repeats:
        yield _Row(again.task_id, again.forgetting, again.observed, again.family, again.origin, again.repeat_of)


def _about(row: _Row) -> dict[str, Any]:
    origin = row.origin
    return {
        "family": row.family,
        "n_examples": origin.n_examples,
        "seed": origin.seed,
        "dataset": origin.dataset,
        "repeat_of": row.repeat_of,
    }


def _warnings(known: ForgettingMatrix) -> dict[str, list[str]]:
    """By task, what of the file's own rows is beyond belief: the service compares a row with those it knows already."""
    from forgetcast.completion.matrix.outliers import find_outliers, outlier_warnings

    found: dict[str, list[str]] = {}
    for task_id, sentence in outlier_warnings(known, find_outliers(known)):
        found.setdefault(task_id, []).append(f"outlier: {sentence}")
    return found


def _check_ids(client: ForgetcastClient, known: ForgettingMatrix, wanted: MatrixCreate) -> None:
    """Refuse ids that tasks of other matrices have, before a set and a matrix are made that nobody can delete."""
    own = {*known.task_ids, *(repeat.task_id for repeat in known.repeats)}
    for task in client.tasks.list():
        if task.id in own and task.matrix != wanted.id:
            raise click.ClickException(
                f"the id of the row {task.id!r} belongs to a task of the matrix {task.matrix!r}; rename such rows in "
                "the file, since ids are unique in a service (nothing was imported)"
            )


def _upstream_lines(known: ForgettingMatrix) -> bytes:
    """The examples by id, domain and held-out mark; their texts stay where they are."""
    domains = known.domains or ("",) * known.n_examples
    held_out = [False] * known.n_examples if known.held_out is None else known.held_out.tolist()
    lines = [
        json.dumps({"id": example, "domain": domain, **({"held_out": True} if held else {})}, ensure_ascii=False)
        for example, domain, held in zip(known.example_ids, domains, held_out, strict=True)
    ]
    return "".join(f"{line}\n" for line in lines).encode()
