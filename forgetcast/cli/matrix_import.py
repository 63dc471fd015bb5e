"""Rows that someone measured elsewhere, sent to a service one by one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from forgetcast.cli.output import note
from forgetcast.errors import UpstreamSetNotFound

if TYPE_CHECKING:
    from forgetcast.client import ForgetcastClient
    from forgetcast.completion import ForgettingMatrix
    from forgetcast.schemas import Matrix, MatrixCreate


def import_npz(client: ForgetcastClient, known: ForgettingMatrix, wanted: MatrixCreate, *, quiet: bool) -> Matrix:
    """Create the matrix and its upstream set where they are missing, and import every row.

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
    for row, task_id in enumerate(known.task_ids):
        cells = {
            known.example_ids[position]: float(known.forgetting[row, position])
            for position in known.observed[row].nonzero()[0]
        }
        family = None if known.families is None else known.families[row]
        client.matrices.put_row(matrix.id, task_id, cells, family=family)
        if not quiet:
            note(f"row {row + 1} of {known.n_tasks}: {task_id}, {len(cells)} cells")
    return client.matrices.get(matrix.id)


def _check_ids(client: ForgetcastClient, known: ForgettingMatrix, wanted: MatrixCreate) -> None:
    """Refuse ids that tasks of other matrices have, before a set and a matrix are made that nobody can delete."""
    own = set(known.task_ids)
    for task in client.tasks.list():
        if task.id in own and task.matrix != wanted.id:
            raise click.ClickException(
                f"the id of the row {task.id!r} belongs to a task of the matrix {task.matrix!r}; rename such rows in "
                "the file, since ids are unique in a service (nothing was imported)"
            )


def _upstream_lines(known: ForgettingMatrix) -> bytes:
    """The examples by id and domain; their texts stay where they are."""
    domains = known.domains or ("",) * known.n_examples
    lines = [
        json.dumps({"id": example, "domain": domain}, ensure_ascii=False)
        for example, domain in zip(known.example_ids, domains, strict=True)
    ]
    return "".join(f"{line}\n" for line in lines).encode()
