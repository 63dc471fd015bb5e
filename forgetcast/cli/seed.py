"""`forgetcast seed`: known rows for a matrix that has few or none, the most telling first; what it costs beforehand."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from forgetcast.cli.options import duration, open_client, url_option
from forgetcast.cli.output import note, print_json, print_table, printable, say
from forgetcast.cli.project import Project, read_project
from forgetcast.cli.recipe import FIELDS, recipe_and_setting, said
from forgetcast.cli.submission import needed, only_model
from forgetcast.errors import MatrixNotFound, ServiceUnreachable, TextsMissing, UpstreamSetNotFound

if TYPE_CHECKING:
    from forgetcast.cli.seeding.pool import Candidate
    from forgetcast.cli.seeding.state import Standing
    from forgetcast.client import ForgetcastClient
    from forgetcast.completion.types import Floats
    from forgetcast.schemas import Matrix

MOST_ROWS = 12
EXAMPLES = """\b
Examples:
  forgetcast seed --list
  forgetcast seed --tasks past-tasks/ --tasks starter --max-rows 12
  forgetcast seed --budget 6h --until-error 0.05 --yes
"""


@click.command(epilog=EXAMPLES)
@click.option("--matrix", metavar="ID", help="[default: that of forgetcast.toml; it is made when it is not there]")
@click.option(
    "--tasks",
    multiple=True,
    metavar="PLACE",
    help="`starter`, `starter-all` (also those made of public packages, which are downloaded), a folder or a file of "
    "your own past data.  [default: starter]",
)
@click.option("--list", "only_list", is_flag=True, help="Show the tasks in the order they would be measured in.")
@click.option("--max-rows", type=click.IntRange(1), help="Known rows the matrix shall have at most.  [default: 12]")
@click.option("--budget", type=duration, help="Order nothing that would end later: 90m, 6h.")
@click.option("--until-error", type=float, help="Stop once forecasts are expected to be off by less, nats per token.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@url_option
@click.option("--json", "as_json", is_flag=True, help="With --list: as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def seed(
    matrix: str | None,
    tasks: tuple[str, ...],
    only_list: bool,
    max_rows: int | None,
    budget: timedelta | None,
    until_error: float | None,
    yes: bool,
    url: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Measure known rows, the most telling tasks first, and stop when more no longer pay.

    It says beforehand what a row and the whole cost, and asks once. Rows are ordinary jobs: workers share them, Ctrl-C
    ends the waiting alone, and the same command goes on later. After each row it says how far off a forecast for a new
    task would be, and what the next rows are expected to bring.
    """
    from forgetcast.cli.seeding.pool import STARTER, find_candidates
    from forgetcast.cli.seeding.state import likeness_of

    project = read_project()
    candidates = find_candidates(tasks or (STARTER,), project.folder / "starter-tasks")
    likeness = likeness_of(candidates)
    with open_client(url) as client:
        if only_list:
            _list(client, matrix or project.matrix, candidates, likeness, as_json)
            return
        found = _matrix(client, matrix, project)
        _check_texts(client, found)
        _seed(client, found, candidates, likeness, max_rows, budget, until_error, yes, quiet)


def _seed(
    client: ForgetcastClient,
    matrix: Matrix,
    candidates: Sequence[Candidate],
    likeness: Floats,
    max_rows: int | None,
    budget: timedelta | None,
    until_error: float | None,
    yes: bool,
    quiet: bool,
) -> None:
    from forgetcast.cli.seeding.costs import known_costs, print_costs
    from forgetcast.cli.seeding.run import Limits, Run
    from forgetcast.cli.seeding.state import order_of, standing

    now, there = standing(client, matrix.id, candidates)
    most = max_rows or MOST_ROWS
    wanted = min(most - matrix.n_tasks, len(now.open) + len(now.active) + len(now.failed))
    if wanted <= 0:
        _nothing_to_do(matrix, now, most)
        return
    order = [*now.active, *order_of(client, matrix.id, candidates, now, likeness), *now.failed]
    workers = [worker for worker in client.workers() if worker.alive]
    costs = known_costs(client, matrix, there, candidates[order[0]].file)
    n_workers = max(1, len(workers))
    on_gpus = any(worker.gpu is not None for worker in workers)
    say(f"matrix {matrix.id}: {matrix.n_tasks} known rows by {matrix.n_examples} upstream examples; next would be")
    say(f"  {', '.join(printable(candidates[place].id) for place in order[:wanted])}")
    print_costs(costs, wanted, n_workers, on_gpus, has_base=any(task.n_measured for task in there))
    if not workers:
        note("no worker is alive, so nothing would run: `forgetcast up` or `forgetcast worker` starts one")
    _ask(yes, costs is None)
    limits = Limits(most if costs is not None or yes else matrix.n_tasks + 1, budget, until_error, max_rows is None)
    run = Run(client, matrix.id, candidates, likeness, limits, costs, n_workers, quiet)
    try:
        n_rows = run.go()
    except KeyboardInterrupt:
        note("\nthe jobs that are ordered go on; the same command goes on from there")
        raise click.exceptions.Exit(130) from None
    say(f"matrix {matrix.id} has {n_rows} known row{'' if n_rows == 1 else 's'}")
    if costs is None and not yes and n_rows < most:
        note("what a row costs is known now: the same command says it for the others, and asks")
    else:
        note(f"next: `forgetcast forecast FILE --matrix {matrix.id}` forecasts a new task")


def _ask(yes: bool, one_row: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("nobody is here to be asked; --yes orders it")
    question = "Measure one row to find it out?" if one_row else "Order them?"
    if not click.confirm(question, err=True):
        raise click.exceptions.Exit(0)


def _nothing_to_do(matrix: Matrix, now: Standing, most: int) -> None:
    say(f"matrix {matrix.id} has {matrix.n_tasks} known rows")
    if matrix.n_tasks >= most:
        note(f"more are measured by `forgetcast seed --max-rows {matrix.n_tasks + 8}`")
    else:
        note("every task is measured; name more by --tasks: a folder of your own past data sets")


def _matrix(client: ForgetcastClient, named: str | None, project: Project) -> Matrix:
    """The matrix that is named, made of what forgetcast.toml says where it is not there yet."""
    from forgetcast.client.connection import made
    from forgetcast.schemas import MatrixCreate

    wanted = needed("--matrix", named or project.matrix)
    with suppress(MatrixNotFound):
        return client.matrices.get(wanted)
    upstream_set = needed("an upstream set", project.upstream_set)
    client.upstream_sets.get(upstream_set)  # what is missing is said with what makes one
    recipe, setting = recipe_and_setting(
        None, {"recipe": project.recipe, "setting": project.setting}, **dict.fromkeys(FIELDS)
    )
    found = client.matrices.create(
        made(
            MatrixCreate,
            id=wanted,
            model=project.model or only_model(client),
            upstream_set=upstream_set,
            recipe=recipe,
            setting=setting,
        )
    )
    note(f"matrix {found.id} made; recipe: {said(found.recipe)}")
    return found


def _check_texts(client: ForgetcastClient, matrix: Matrix) -> None:
    if not client.upstream_sets.get(matrix.upstream_set).has_texts:
        raise TextsMissing(f"the upstream set {matrix.upstream_set!r} has no texts, so no worker can measure a row")


def _list(
    client: ForgetcastClient,
    matrix: str | None,
    candidates: Sequence[Candidate],
    likeness: Floats,
    as_json: bool,
) -> None:
    """The tasks in order, with what the service knows of them where it answers."""
    from forgetcast.cli.seeding.state import order_of, standing
    from forgetcast.completion.selection.seeding import seed_order

    states: dict[int, str] = {}
    order = seed_order(likeness)
    with suppress(ServiceUnreachable, MatrixNotFound, UpstreamSetNotFound):
        if matrix is not None:
            client.matrices.get(matrix)
            now, _tasks = standing(client, matrix, candidates)
            states |= {place: "known row" for place in now.known}
            states |= {place: "at work" for place in now.active}
            states |= {place: "failed" for place in now.failed}
            order = [*now.known, *now.active, *order_of(client, matrix, candidates, now, likeness), *now.failed]
    listed = [(candidates[place], states.get(place, "")) for place in order]
    if as_json:
        print_json(
            [
                {"id": one.id, "family": one.family, "n_examples": one.n_examples, "about": one.about, "state": state}
                for one, state in listed
            ]
        )
        return
    rows = [(one.id, one.family or "", str(one.n_examples), state, one.about) for one, state in listed]
    print_table(["task", "family", "examples", "", "about"], rows, to_the_right=["examples"])
