"""Rows that someone measured elsewhere, sent to a service as one file: all of them arrive, or none."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from forgetcast.cli.failures import blaming_the_file
from forgetcast.cli.output import note, printable

if TYPE_CHECKING:
    from forgetcast.client import ForgetcastClient
    from forgetcast.completion import ForgettingMatrix
    from forgetcast.schemas import Matrix, MatrixCreate


def import_npz(
    client: ForgetcastClient, file: Path, known: ForgettingMatrix, wanted: MatrixCreate, *, quiet: bool
) -> Matrix:
    """Import every row of the file, repeats too, and make the matrix and its upstream set where they are missing.

    Cells go by example id, so the file may have them in another order than the set. Doing it again changes nothing.
    """
    if not quiet:
        repeats = f" and {len(known.repeats)} repeats" if known.repeats else ""
        note(f"sending {known.n_tasks} rows{repeats}, {known.n_examples} examples each")
    with blaming_the_file():
        imported = client.matrices.import_rows(file, wanted)
    if not quiet:
        if imported.upstream_set_made:
            note(
                f"upstream set {wanted.upstream_set}: made of ids without texts, which no worker can measure; where "
                f"they should, `forgetcast upstream import FILE --id {wanted.upstream_set}` comes before the import"
            )
        note(f"{len(imported.new_rows)} of {imported.n_rows} rows are new")
        for warning in imported.warnings:
            note(f"warning: {printable(warning)}")
    return imported.matrix
