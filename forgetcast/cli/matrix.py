"""`forgetcast matrix`: list, read, import, export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from forgetcast.cli.input_files import INPUT_FILE
from forgetcast.cli.matrix_import import import_npz
from forgetcast.cli.options import open_client, service_options
from forgetcast.cli.output import print_json, print_table, say
from forgetcast.cli.trust import print_quality

if TYPE_CHECKING:
    from forgetcast.schemas import Matrix

SPEC = 'JSON: {"id", "upstream_set", "model", "recipe", "setting"}.'
EXPORTED = (".npz", ".npy", ".parquet")


@click.group()
def matrix() -> None:
    """List, read, import and export matrices of known rows."""


@matrix.command("ls", epilog="Example: forgetcast matrix ls -q")
@service_options
def list_matrices(url: str | None, as_json: bool, quiet: bool) -> None:
    """List all matrices."""
    with open_client(url) as client:
        found = list(client.matrices.list())
    if as_json:
        print_json(list(found))
    elif quiet:
        say("".join(f"{one.id}\n" for one in found), nl=False)
    else:
        rows = [(one.id, one.model, one.upstream_set, str(one.n_tasks), str(one.n_examples)) for one in found]
        print_table(["matrix", "model", "upstream set", "rows", "examples"], rows, to_the_right=["rows", "examples"])


@matrix.command("show", epilog="Example: forgetcast matrix show smollm2-135m")
@click.argument("matrix_id", metavar="MATRIX")
@service_options
def show(matrix_id: str, url: str | None, as_json: bool, quiet: bool) -> None:
    """Show a matrix: what it was measured with, how large it is, what its forecasts are worth."""
    with open_client(url) as client:
        found = client.matrices.get(matrix_id)
    if as_json:
        print_json(found)
    elif quiet:
        say(found.id)
    else:
        print_table(["field", "value"], _fields(found))
        if found.quality is not None:
            print_quality(found.quality)


@matrix.command("create", epilog="Example: forgetcast matrix create --spec matrix.json")
@click.option("--spec", required=True, type=INPUT_FILE, help=SPEC)
@service_options
def create(spec: Path, url: str | None, as_json: bool, quiet: bool) -> None:
    """Make a matrix without rows, on an upstream set that is there.

    `forecast FILE --matrix ID` then measures tasks, `measure TASK --full` makes them known rows.
    """
    from forgetcast.cli.shapes import read_shape
    from forgetcast.schemas import MatrixCreate

    wanted = read_shape(spec, MatrixCreate)
    with open_client(url) as client:
        found = client.matrices.create(wanted)
    if as_json:
        print_json(found)
    else:
        say(found.id if quiet else f"matrix {found.id}: {found.n_tasks} rows, version {found.version}")


@matrix.command("import", epilog="Example: forgetcast matrix import rows.npz --spec matrix.json")
@click.argument("file", type=INPUT_FILE)
@click.option("--spec", required=True, type=INPUT_FILE, help=SPEC)
@service_options
def import_matrix(file: Path, spec: Path, url: str | None, as_json: bool, quiet: bool) -> None:
    """Import the rows of FILE.npz, measured under the recipe and setting of --spec.

    FILE has the arrays `forgetting` (tasks by examples, NaN where missing), `task` and `example`, and may have
    `observed`, `domain`, `family`, `held_out`, `repeat_of`, `seed`, `n_examples` and `dataset`. An upstream set that
    does not exist is made of its ids, domains and held-out marks. What is there already stays. All rows are imported or
    none. Cells and rows beyond belief are named.
    """
    from forgetcast.cli.shapes import read_shape
    from forgetcast.completion import ForgettingMatrix
    from forgetcast.schemas import MatrixCreate

    wanted, known = read_shape(spec, MatrixCreate), ForgettingMatrix.load(file)
    with open_client(url) as client:
        found = import_npz(client, file, known, wanted, quiet=quiet)
    if as_json:
        print_json(found)
    else:
        say(found.id if quiet else f"matrix {found.id}: {found.n_tasks} rows, version {found.version}")


@matrix.command("export", epilog="Example: forgetcast matrix export smollm2-135m -o rows.npz --spec matrix.json")
@click.argument("matrix_id", metavar="MATRIX")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="FILE.npz for `matrix import`, `backtest` and `analyse`; .npy or .parquet as the service sends them.",
)
@click.option("--spec", type=click.Path(path_type=Path, dir_okay=False), help="Also write what `import --spec` reads.")
@service_options
def export(matrix_id: str, output: Path, spec: Path | None, url: str | None, as_json: bool, quiet: bool) -> None:
    """Write the known rows of MATRIX into a file.

    An .npz file has all that is known of them, and their repeats: `matrix import` elsewhere makes the same matrix.
    """
    from forgetcast.schemas import MatrixCreate

    if output.suffix not in EXPORTED:
        raise click.BadParameter(
            f"{output} must end in {', '.join(EXPORTED[:-1])} or {EXPORTED[-1]}", param_hint="--output"
        )
    with open_client(url) as client:
        found = client.matrices.get(matrix_id)
        if output.suffix == ".npz":
            client.matrices.known(matrix_id).save(output)
        else:
            client.matrices.export(matrix_id, output)
    if spec is not None:
        definition = MatrixCreate(**{name: getattr(found, name) for name in MatrixCreate.model_fields})
        spec.write_text(definition.model_dump_json(indent=2) + "\n", encoding="utf-8")
    if as_json:
        print_json(found)
    else:
        say(found.id if quiet else f"matrix {found.id}: {found.n_tasks} rows, version {found.version}")


def _fields(found: Matrix) -> list[tuple[str, str]]:
    recipe = {name: value for name, value in found.recipe.model_dump(mode="json").items() if value is not None}
    return [
        ("matrix", found.id),
        ("upstream set", f"{found.upstream_set}, {found.n_examples} examples"),
        ("model", f"{found.model}, revision {found.model_revision[:12]}"),
        ("recipe", ", ".join(f"{name} {value}" for name, value in recipe.items())),
        ("setting", ", ".join(f"{name} {value}" for name, value in found.setting if value is not None)),
        ("known rows", f"{found.n_tasks}, version {found.version}"),
        ("fitted", "not yet" if found.fitted_version is None else f"version {found.fitted_version}"),
    ]
