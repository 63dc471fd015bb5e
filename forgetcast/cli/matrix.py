"""`forgetcast matrix`: list, read, import, export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from forgetcast.cli.input_files import INPUT_FILE
from forgetcast.cli.matrix_import import import_archive, import_with_spec
from forgetcast.cli.options import open_client, service_options
from forgetcast.cli.output import note, print_json, print_table, say
from forgetcast.cli.project import read_project
from forgetcast.cli.recipe import FIELDS, recipe_and_setting, recipe_options, said
from forgetcast.cli.submission import needed, only_model
from forgetcast.cli.trust import print_quality

if TYPE_CHECKING:
    from forgetcast.schemas import Matrix

SPEC = 'JSON: {"id", "upstream_set", "model", "recipe", "setting"}.'
EXPORTED = (".zip", ".npz", ".npy", ".parquet")


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


CREATE_EXAMPLES = """\b
Examples:
  forgetcast matrix create --id my-matrix --model my-model --upstream-set my-set --method lora --steps 200
  forgetcast matrix create --spec matrix.json
"""


@matrix.command("create", epilog=CREATE_EXAMPLES)
@click.option("--id", "matrix_id", metavar="ID", help="Your own id for the matrix.")
@click.option("--model", metavar="ID", help="Base model, as models.toml of the service calls it.")
@click.option("--upstream-set", metavar="ID", help="Whose forgetting is measured.")
@recipe_options
@click.option("--spec", type=INPUT_FILE, help=f"Everything from a file instead. {SPEC}")
@service_options
def create(
    matrix_id: str | None,
    model: str | None,
    upstream_set: str | None,
    recipe_file: Path | None,
    lora_rank: int | None,
    spec: Path | None,
    url: str | None,
    as_json: bool,
    quiet: bool,
    **recipe: Any,
) -> None:
    """Make a matrix without rows, on an upstream set that is there.

    What is not named comes from forgetcast.toml; model and upstream set may be left out when the service has one only.
    `forgetcast seed` then measures known rows.
    """
    from forgetcast.cli.shapes import read_shape
    from forgetcast.client.connection import made
    from forgetcast.schemas import MatrixCreate

    if spec is not None:
        _alone("spec")
    with open_client(url) as client:
        if spec is not None:
            wanted = read_shape(spec, MatrixCreate)
        else:
            project = read_project()
            usual = {"recipe": project.recipe, "setting": project.setting}
            how, setting = recipe_and_setting(recipe_file, usual, lora_rank=lora_rank, **recipe)
            wanted = made(
                MatrixCreate,
                id=matrix_id or project.matrix,
                model=model or project.model or only_model(client),
                upstream_set=upstream_set or needed("--upstream-set", project.upstream_set),
                recipe=how,
                setting=setting,
            )
        found = client.matrices.create(wanted)
    if as_json:
        print_json(found)
        return
    say(found.id if quiet else f"matrix {found.id}: {found.n_tasks} rows, version {found.version}")
    if not quiet:
        note(f"recipe: {said(found.recipe)}")
        if found.n_tasks == 0:
            note(f"next: `forgetcast seed --matrix {found.id}` measures known rows, and says before what that costs")


def _alone(option: str) -> None:
    """Refuse options that a file would leave aside in silence."""
    ctx = click.get_current_context()
    beside = {"matrix_id", "model", "upstream_set", "recipe_file", "lora_rank", *FIELDS}
    for parameter in ctx.command.params:
        name = parameter.name or ""
        if name in beside and ctx.params.get(name) is not None:
            raise click.UsageError(f"{parameter.opts[0]} and --{option} exclude each other: the file says everything")


IMPORT_EXAMPLES = """\b
Examples:
  forgetcast matrix import my-matrix.zip
  forgetcast matrix import rows.npz --spec matrix.json
"""


@matrix.command("import", epilog=IMPORT_EXAMPLES)
@click.argument("file", type=INPUT_FILE)
@click.option("--spec", type=INPUT_FILE, help=f"What the rows of a .npz or .json were measured with. {SPEC}")
@click.option("--id", "matrix_id", metavar="ID", help="Of a .zip: another id for the matrix.")
@click.option("--model", metavar="NAME", help="Of a .zip: what this service calls the same model.")
@service_options
def import_matrix(
    file: Path,
    spec: Path | None,
    matrix_id: str | None,
    model: str | None,
    url: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Import the rows of FILE: a .zip that `matrix export` wrote, an .npz, or the authors' published .json.

    A .zip says everything itself, and makes the same matrix, repeats included. An .npz has the arrays `forgetting`
    (tasks by examples, NaN where missing), `task` and `example`, and may have `observed`, `domain`, `family`,
    `held_out`, `repeat_of`, `seed`, `n_examples` and `dataset`. An upstream set that does not exist is made of its ids,
    domains and held-out marks. What is there already stays. All rows are imported or none. Cells and rows beyond belief
    are named. Nothing is unpickled.
    """
    from forgetcast.cli.matrix_archive import SUFFIX

    if (file.suffix == SUFFIX) == (spec is not None):
        raise click.UsageError(f"--spec goes with .npz and .json; a {SUFFIX} says everything itself")
    if spec is not None and (matrix_id or model):
        raise click.UsageError("--id and --model are for a .zip; --spec says them here")
    with open_client(url) as client:
        if spec is None:
            found = import_archive(client, file, matrix_id, model, quiet=quiet)
        else:
            found = import_with_spec(client, file, spec, quiet=quiet)
    if as_json:
        print_json(found)
    else:
        say(found.id if quiet else f"matrix {found.id}: {found.n_tasks} rows, version {found.version}")


@matrix.command("export", epilog="Example: forgetcast matrix export smollm2-135m -o smollm2-135m.zip")
@click.argument("matrix_id", metavar="MATRIX")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="FILE.zip for `matrix import` elsewhere; .npz for `backtest` and `analyse`; .npy or .parquet as the service "
    "sends them.",
)
@click.option("--texts", is_flag=True, help="In a .zip: the texts of the upstream examples too.")
@click.option("--spec", type=click.Path(path_type=Path, dir_okay=False), help="Also write what `import --spec` reads.")
@service_options
def export(
    matrix_id: str, output: Path, texts: bool, spec: Path | None, url: str | None, as_json: bool, quiet: bool
) -> None:
    """Write the known rows of MATRIX into a file.

    A .zip has the rows, their repeats, the upstream set and a manifest of every provenance: `matrix import` elsewhere
    makes the same matrix of it. Texts stay here unless --texts is given.
    """
    from forgetcast.cli.matrix_archive import SUFFIX, write_archive
    from forgetcast.schemas import MatrixCreate

    if output.suffix not in EXPORTED:
        raise click.BadParameter(
            f"{output} must end in {', '.join(EXPORTED[:-1])} or {EXPORTED[-1]}", param_hint="--output"
        )
    if texts and output.suffix != SUFFIX:
        raise click.UsageError(f"--texts is for a {SUFFIX}")
    with open_client(url) as client:
        found = client.matrices.get(matrix_id)
        if output.suffix == SUFFIX:
            write_archive(client, found, output, texts=texts)
        elif output.suffix == ".npz":
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
