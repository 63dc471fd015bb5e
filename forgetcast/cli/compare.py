"""`forgetcast compare A B`: does the second model forget more than the first?"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from forgetcast.cli.input_files import INPUT_FILE
from forgetcast.cli.options import open_client, service_options
from forgetcast.cli.output import note, print_json, print_table, say
from forgetcast.errors import ForgetcastError, NothingObserved

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from forgetcast.client import ForgetcastClient
    from forgetcast.gate.comparison import Comparison, DomainComparison, Flip

SHOWN_FLIPS, SHOWN_DOMAINS = 5, 10
CLEAR = 0.05  # false discovery rate at which a domain is marked

EXAMPLES = """\b
Examples:
  forgetcast compare released-model new-model
  forgetcast compare before.jsonl after.jsonl --noise-floor 0.03 --json
"""


@dataclass(frozen=True)
class _Measured:
    """What was measured of one model: value and domain by example, and the noise of a cell where it is known."""

    name: str
    values: dict[str, tuple[float, str]]
    cell_sd: float | None = None


@click.command(epilog=EXAMPLES)
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option(
    "--noise-floor",
    type=click.FloatRange(min=0),
    metavar="NATS",
    help="A difference of one example up to here is none.  [default: what tasks measured twice say, else 0]",
)
@click.option(
    "--level", default=0.95, show_default=True, type=click.FloatRange(0.5, 0.999), help="Of the interval, and of p."
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of the random signs.")
@service_options
def compare(
    first: str,
    second: str,
    noise_floor: float | None,
    level: float,
    seed: int,
    url: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Compare what B forgets with what A forgets, example by example: is there a difference, and how large?

    A and B are tasks, of which the measured examples count, or files of cells as `forgetcast gate --from` reads them.
    It says what is; `forgetcast gate` says what is allowed. -q prints the ids of the examples that are worse.
    """
    from forgetcast.gate.comparison import compare as paired
    from forgetcast.gate.comparison import floor_of_noise

    one, other = _read(first, second, url)
    ids = [name for name in one.values if name in other.values]
    if not ids:
        raise NothingObserved(
            f"no example was measured of both {one.name} and {other.name}; "
            "`forgetcast measure TASK --full` measures all"
        )
    known = [of.cell_sd for of in (one, other) if of.cell_sd is not None]
    floor = noise_floor if noise_floor is not None else floor_of_noise(max(known)) if known else 0.0
    domains = [one.values[name][1] or other.values[name][1] for name in ids]
    domains = domains if any(domains) else []
    found = paired(_column(one, ids), _column(other, ids), ids, domains, noise_floor=floor, level=level, seed=seed)
    left_out = len(one.values.keys() ^ other.values.keys())
    if left_out and not quiet:
        note(f"measured of one of the two alone, and left out: {left_out} examples")
    if as_json:
        print_json({"object": "comparison", "first": one.name, "second": other.name, **asdict(found)})
    elif quiet:
        say("".join(f"{flip.example_id}\n" for flip in found.worse), nl=False)
    else:
        _print(one.name, other.name, found, floor_is_known=noise_floor is not None or bool(known))


def _column(of: _Measured, ids: list[str]) -> NDArray[np.float64]:
    import numpy as np

    return np.array([of.values[name][0] for name in ids], dtype=np.float64)


def _read(first: str, second: str, url: str | None) -> tuple[_Measured, _Measured]:
    paths = [_file(name) for name in (first, second)]
    if all(path is not None for path in paths):
        one, other = (_of_file(name, path) for name, path in zip((first, second), paths, strict=True) if path)
        return one, other
    with open_client(url) as client:
        one, other = (
            _of_task(client, name) if path is None else _of_file(name, path)
            for name, path in zip((first, second), paths, strict=True)
        )
    return one, other


def _file(name: str) -> Path | None:
    """The file that an argument names; None where it is a task's id."""
    if name == "-" or name.endswith((".jsonl", ".json")) or Path(name).is_file():
        return INPUT_FILE.convert(name, None, click.get_current_context())
    return None


def _of_file(name: str, path: Path) -> _Measured:
    from forgetcast.cli.gate_finished import read_finished

    return _Measured(name, {cell.example_id: (cell.value, cell.domain or "") for cell in read_finished(path).values()})


def _of_task(client: ForgetcastClient, task_id: str) -> _Measured:
    task = client.tasks.get(task_id)
    cells = task.cells()
    values = {
        cell.example_id: (cell.forgetting, cell.domain)
        for cell in cells
        if cell.measured and cell.forgetting is not None
    }
    cell_sd = None
    try:
        noise = client.matrices.analysis(task.task.matrix).noise
        cell_sd = None if noise.at_most else noise.cell_sd
    except ForgetcastError as error:
        note(f"how noisy a cell is nobody says: {error}")
    return _Measured(task_id, values, cell_sd)


def _print(first: str, second: str, found: Comparison, *, floor_is_known: bool) -> None:
    say(f"{second} against {first}: {found.found}")
    say(
        f"  {found.n} examples measured of both: {found.n_worse} worse, {found.n_better} better, {found.n_unchanged} "
        f"unchanged beyond the noise floor of {found.noise_floor:.3f} nats per token"
    )
    say(
        f"  mean difference {found.difference:+.4f} nats per token ({found.low:+.4f} to {found.high:+.4f}, "
        f"{100 * found.level:g}%), effect {found.effect:+.2f} sd, p {_p(found.p)} by random signs"
    )
    say(f"  a mean difference of {found.smallest_seen:.4f} would have been seen four times out of five")
    if not floor_is_known:
        say("  no noise floor is known, so every difference counts; --noise-floor names one")
    if found.domains:
        say("")
        columns = ["domain", "examples", "worse", "better", "difference", f"{100 * found.level:g}% interval", "FDR"]
        print_table(columns, [_domain(one) for one in _shown(found.domains)], to_the_right=columns[1:])
    for title, flips in (("most worsened", found.worse), ("most improved", found.better)):
        if flips:
            say(f"\n{title}")
            for flip in flips[:SHOWN_FLIPS]:
                say(f"  {_flip(flip)}")


def _shown(domains: tuple[DomainComparison, ...]) -> list[DomainComparison]:
    """Both ends of many."""
    if len(domains) <= SHOWN_DOMAINS:
        return list(domains)
    half = SHOWN_DOMAINS // 2
    return [*domains[:half], *domains[-half:]]


def _domain(one: DomainComparison) -> list[str]:
    interval = "too few" if one.low is None or one.high is None else f"{one.low:+.3f} to {one.high:+.3f}"
    rate = "" if one.q is None else f"{_p(one.q)}{' *' if one.q <= CLEAR else ''}"
    return [one.domain, str(one.n), str(one.n_worse), str(one.n_better), f"{one.difference:+.4f}", interval, rate]


def _flip(flip: Flip) -> str:
    where = f" ({flip.domain})" if flip.domain else ""
    return f"{flip.example_id}{where}: {flip.first:+.3f} -> {flip.second:+.3f}"


def _p(value: float) -> str:
    return f"{value:.4f}" if value >= 0.001 else "<0.001"
