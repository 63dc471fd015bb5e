"""Rows that someone measured elsewhere, sent to a service as one file: all of them arrive, or none."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from forgetcast.cli.failures import blaming_the_file
from forgetcast.cli.matrix_archive import check_model, read_archive
from forgetcast.cli.output import note, printable
from forgetcast.errors import UpstreamSetNotFound

if TYPE_CHECKING:
    from forgetcast.client import ForgetcastClient
    from forgetcast.completion import ForgettingMatrix
    from forgetcast.schemas import Matrix, MatrixCreate

PUBLISHED = (".json", ".pkl", ".pickle")


def import_with_spec(client: ForgetcastClient, file: Path, spec: Path, *, quiet: bool) -> Matrix:
    """Rows of an .npz, or of a published .json, under the definition of a second file."""
    from forgetcast.cli.shapes import read_shape
    from forgetcast.completion import ForgettingMatrix
    from forgetcast.completion.matrix.published import read_published
    from forgetcast.schemas import MatrixCreate

    wanted = read_shape(spec, MatrixCreate)
    if file.suffix not in PUBLISHED:
        return import_npz(client, file, ForgettingMatrix.load(file), wanted, quiet=quiet)
    known = read_published(file)
    with tempfile.TemporaryDirectory(prefix="forgetcast-import-") as folder:
        rows = Path(folder) / "rows.npz"
        known.save(rows)
        return import_npz(client, rows, known, wanted, quiet=quiet)


def import_archive(
    client: ForgetcastClient, file: Path, matrix_id: str | None, model: str | None, *, quiet: bool
) -> Matrix:
    """What `matrix export` wrote: the upstream set where it is missing, the matrix, its rows and repeats.

    Raises
    ------
    UnreadableMatrix
    ModelMismatch : the service's model has other files than the rows were measured on
    """
    from forgetcast.completion import ForgettingMatrix

    with tempfile.TemporaryDirectory(prefix="forgetcast-import-") as folder:
        archive = read_archive(file, Path(folder))
        named = {"id": matrix_id or archive.wanted.id, "model": model or archive.wanted.model}
        wanted = archive.wanted.model_copy(update=named)
        check_model(client, archive, wanted.model)
        try:
            client.upstream_sets.get(wanted.upstream_set)
        except UpstreamSetNotFound:
            with blaming_the_file():
                client.upstream_sets.register(archive.upstream, id=wanted.upstream_set)
        made = client.matrices.create(wanted)  # the service digests a model's files when a matrix first names it
        check_model(client, archive, made.model)
        return import_npz(client, archive.rows, ForgettingMatrix.load(archive.rows), wanted, quiet=quiet)


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
