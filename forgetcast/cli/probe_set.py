"""`forgetcast probe-set`: which upstream examples to measure for a new task, and what each of them buys."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from forgetcast.cli.input_files import npz_file
from forgetcast.cli.options import open_client, service_options
from forgetcast.cli.output import note, print_json, print_table, say
from forgetcast.errors import InvalidRequest

EXAMPLES = """\b
Examples:
  forgetcast probe-set smollm2-135m --size 30
  forgetcast probe-set rows.npz --size 30 --domain code -q > ids.txt
"""


@click.command("probe-set", epilog=EXAMPLES)
@click.argument("matrix")
@click.option("--size", default=30, show_default=True, type=click.IntRange(1), help="How many.")
@click.option(
    "--design",
    default="mixed",
    show_default=True,
    type=click.Choice(["mixed", "optimal", "random"]),
    help="mixed: half chosen, half drawn at random.",
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of those drawn at random.")
@click.option("--domain", "domains", multiple=True, help="Choose for the error in this domain; one of several.")
@service_options
def probe_set(
    matrix: str,
    size: int,
    design: str,
    seed: int,
    domains: tuple[str, ...],
    url: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Show which upstream examples to measure for a new task of MATRIX, the most telling first.

    MATRIX is the id of a matrix in the service, or an .npz file as `backtest` reads it, which is fitted here. The
    error is what to expect of the examples that were not measured, once this one and those before it are.
    """
    file = npz_file(matrix)
    if file is not None:
        found = _of_file(file, size, design, seed, domains)
    else:
        with open_client(url) as client:
            answer = client.matrices.probe_set(matrix, size=size, design=design, seed=seed, domains=domains)
        found = answer.model_dump(mode="json")
    if as_json:
        print_json(found)
    elif quiet:
        say("".join(f"{probe['example_id']}\n" for probe in found["data"]), nl=False)
    else:
        _print(found)


def _of_file(path: Path, size: int, design: str, seed: int, domains: Sequence[str]) -> dict[str, Any]:
    """The same document as the service's, from a fit made here."""
    import numpy as np

    from forgetcast.completion import ForgettingMatrix, expected_error, fit

    known = ForgettingMatrix.load(path)
    absent = set(domains) - set(known.domains or ())
    if absent:
        raise InvalidRequest(f"{path} has no domain {min(absent)!r}")
    importance = None if not domains else np.isin(known.domains or (), domains).astype(np.float64)
    fitted = fit(known)
    probes = fitted.probes(size, design=design, seed=seed, importance=importance)
    errors = expected_error(fitted.factors, probes.positions, importance=importance).tolist()
    places = zip(probes.positions.tolist(), probes.at_random.tolist(), strict=True)
    return {
        "matrix": str(path),
        "matrix_version": None,
        "design": design,
        "seed": seed,
        "domains": sorted(set(domains)),
        "expected_error": errors[0],
        "numpy_version": np.__version__,
        "data": [
            {
                "place": place,
                "example_id": known.example_ids[position],
                "domain": known.domains[position] if known.domains else "",
                "at_random": at_random,
                "expected_error": errors[place],
            }
            for place, (position, at_random) in enumerate(places, 1)
        ],
    }


def _print(found: dict[str, Any]) -> None:
    rows = [
        (
            str(probe["place"]),
            probe["example_id"],
            probe["domain"],
            "at random" if probe["at_random"] else "chosen",
            _error(probe["expected_error"]),
        )
        for probe in found["data"]
    ]
    print_table(["", "example", "domain", "how", "error after"], rows, to_the_right=["", "error after"])
    if found["expected_error"] is not None:
        note(f"without a probe the error to expect is {_error(found['expected_error'])} nats per token")


def _error(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
