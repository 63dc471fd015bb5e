"""`forgetcast fill`: a row from known rows and measured cells, both in files; no service."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from forgetcast.cli.input_files import INPUT_FILE, is_copied
from forgetcast.cli.options import names
from forgetcast.cli.output import print_json, say
from forgetcast.cli.report import heading, most_forgotten, print_averages, print_forgotten, print_grounds
from forgetcast.cli.trust import print_trust

if TYPE_CHECKING:
    from forgetcast.completion import CompletedRow, Interval
    from forgetcast.schemas import Average, Cell, DomainAverage, ForgottenExample

EXAMPLES = """\b
Examples:
  forgetcast probe-set rows.npz --size 30 -q > ids.txt
  forgetcast fill rows.npz --cells cells.jsonl -k 20
"""


@click.command(epilog=EXAMPLES)
@click.argument("matrix", type=INPUT_FILE)
@click.option(
    "--cells",
    "cells_file",
    required=True,
    type=INPUT_FILE,
    metavar="FILE",
    help='{"example_id", "forgetting"} or {"example_id", "before", "after"}, one a line, in nats per token; with '
    '"at_random" as `forgetcast probe-set` says it; - is stdin.',
)
@click.option(
    "--random",
    type=names,
    metavar="IDS",
    help="Ids drawn at random, joined by commas, where no line says it.  [default: those that `forgetcast probe-set` "
    "drew, or all]",
)
@click.option("-k", "--top", default=20, show_default=True, type=click.IntRange(1), help="Forgotten examples to show.")
@click.option(
    "--method", default="blend", show_default=True, help="blend, local or factor; additive and popularity to compare."
)
@click.option(
    "--level",
    default=0.9,
    show_default=True,
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Share of cells that the intervals are meant to hold.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Only ids, one a line.")
def fill(
    matrix: Path,
    cells_file: Path,
    random: list[str] | None,
    top: int,
    method: str,
    level: float,
    as_json: bool,
    quiet: bool,
) -> None:
    """Forecast a task from the known rows in MATRIX and the cells that were measured of it.

    MATRIX is an .npz file (array `forgetting`, tasks by examples, NaN where missing; optional `task`, `example`,
    `domain`, `family`). Nothing is sent anywhere.
    """
    from forgetcast.cli.shapes import read_cells
    from forgetcast.completion import Completer, ForgettingMatrix

    cells = read_cells(cells_file)
    completer = Completer(method, level=level).fit(ForgettingMatrix.load(matrix))
    row = completer.predict(
        [cell.example_id for cell in cells], [cell.value for cell in cells], random=_drawn_at_random(cells, random)
    )
    forgotten = _forgotten(row, top)
    if as_json:
        print_json(_document(matrix, method, row, forgotten))
    elif quiet:
        say("".join(f"{example.example_id}\n" for example in forgotten), nl=False)
    else:
        _print(matrix, cells_file, method, row, forgotten)


def _drawn_at_random(cells: Sequence[Cell], named: list[str] | None) -> list[str] | None:
    """Ids of the cells that were drawn at random; None where nobody says it."""
    said = any(cell.at_random is not None for cell in cells)
    if said and named is not None:
        raise click.UsageError("--random is for cells that do not say at_random themselves")
    return [cell.example_id for cell in cells if cell.at_random is not False] if said else named


def _forgotten(row: CompletedRow, k: int) -> list[ForgottenExample]:
    from forgetcast.schemas import ForgottenExample

    return [
        ForgottenExample(
            **cell._asdict() | {"domain": cell.domain or ""},
            place=place,
            calibrated=calibrated,
            promised=calibrated,
        )
        for place, cell in enumerate(row.top(k), 1)
        for calibrated in [cell.measured or not row.unlike_known]
    ]


def _domains(row: CompletedRow) -> list[DomainAverage]:
    from forgetcast.schemas import DomainAverage

    return [
        DomainAverage(
            **average._asdict(),
            domain=domain,
            n_examples=int(row.domain_positions[domain].size),
            n_measured=int(row.measured[row.domain_positions[domain]].sum()),
            mean_interval=_average_or_none(row.mean_interval(domain=domain)),
        )
        for domain, average in row.domains().items()
    ]


def _average(interval: Interval) -> Average:
    from forgetcast.schemas import Average

    return Average(**interval._asdict())


def _average_or_none(interval: Interval | None) -> Average | None:
    return None if interval is None else _average(interval)


def _document(matrix: Path, method: str, row: CompletedRow, forgotten: list[ForgottenExample]) -> dict[str, Any]:
    """As `forgetcast forecast --json` has it, without what only a service knows."""
    from forgetcast.completion.uncertainty.novelty import FEWEST_PROBES

    mean_interval = _average_or_none(row.mean_interval())
    forecast = {
        "matrix": str(matrix),
        "method": method,
        "level": row.level,
        "n_tasks": row.n_tasks,
        "n_examples": len(row),
        "n_measured": int(row.measured.sum()),
        "n_random": row.n_random,
        "row_mean": _average(row.mean),
        "mean_interval": mean_interval,
        "random_mean": mean_interval,
        "domains": list(_domains(row)),
        "unlike_known": row.unlike_known,
        "unlike_known_from": FEWEST_PROBES,
        "warnings": row.warnings,
    }
    return {"forecast": forecast, "forgotten": {"level": row.level, "data": list(forgotten)}}


def _print(
    matrix: Path, cells_file: Path, method: str, row: CompletedRow, forgotten: Sequence[ForgottenExample]
) -> None:
    print_trust(
        [
            *(f"warning: {warning}" for warning in row.warnings),
            f"`forgetcast backtest {matrix}` says what forecasts from these rows are worth",
        ]
    )
    heading(most_forgotten("these cells" if is_copied(cells_file) else cells_file.name, row.level))
    print_forgotten(forgotten, {})
    heading("Forgetting by domain")
    n_measured, mean_interval = int(row.measured.sum()), _average_or_none(row.mean_interval())
    print_averages(
        _domains(row), _average(row.mean), mean_interval, len(row), n_measured, unlike_known=row.unlike_known
    )
    print_grounds(
        [
            f"M = {row.n_tasks} known tasks, N = {len(row)} upstream examples, S = {n_measured} of them measured, "
            f"{row.n_random} at random",
            f"method {method} on {matrix}",
        ]
    )
