"""The tables of gate_flaps.py: verdicts at the truth and elsewhere, by assertion, with their interval over tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from forgetcast.completion.draws import Draws
from forgetcast.completion.types import Floats

RESAMPLES = 2_000
AT_TRUTH = 2  # limits at the truth come first: one just under it, then the truth itself
COLUMNS = (
    "assertion",
    "at the truth, five looks: wrong pass",
    "wrong fail",
    "flips",
    "elsewhere: conclusive at S = 30, one look",
    "S = 30, first of five",
    "after five looks",
    "wrong",
)
Found = dict[str, Any]


def print_tables(found: Sequence[Found]) -> None:
    """Goal and figure by assertion and fine-tuning seed."""
    names = list(found[0]["looks"][0]["said"]["1"]) if found else []
    for seed in ("1", "2"):
        of = [one for one in found if one["row"].endswith(f"seed-{seed}")]
        if not of:
            continue
        rows = sorted({one["row"] for one in of})
        looks = [one["looks"][0] for one in of]
        unlike = np.mean([look["unlike"] is not False for look in looks])
        print(f"\nfine-tuning seed {seed}: {len(rows)} rows, {len(of)} draws, {unlike:.1%} unlike at S = 30\n")
        print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
        domains = [name for name in names if name.startswith("domain ")]
        for name in names:
            if name not in domains:
                print(_line(name, [name], of, rows))
        print(_line(f"mean of each of {len(domains)} domains", domains, of, rows))


def _line(title: str, names: list[str], of: Sequence[Found], rows: Sequence[str]) -> str:
    def over(figure: Callable[[Found, str], Iterable[float]]) -> str:
        per_row = [
            np.array([x for one in of if one["row"] == row for name in names for x in figure(one, name)])
            for row in rows
        ]
        return _with_interval([values for values in per_row if values.size])

    flips = _flips(of, names, rows)
    cells = [
        title,
        over(lambda one, name: [_first(one, name, 0) == "p"]),
        over(lambda one, name: [_first(one, name, 1) == "f"]),
        flips,
        over(lambda one, name: [said != "o" for said in one["looks"][0]["said"]["1"][name][AT_TRUTH:]]),
        over(lambda one, name: [said != "o" for said in one["looks"][0]["said"]["5"][name][AT_TRUTH:]]),
        over(lambda one, name: [_first(one, name, k) != "o" for k in _elsewhere(one, name)]),
        over(lambda one, name: _wrong_elsewhere(one, name)),
    ]
    return f"| {' | '.join(cells)} |"


def _elsewhere(one: Found, name: str) -> range:
    return range(AT_TRUTH, len(one["looks"][0]["said"]["5"][name]))


def _first(one: Found, name: str, place: int) -> str:
    """The first conclusive answer of five looks, `o` for none."""
    answers = (look["said"]["5"][name][place] for look in one["looks"])
    return next((answer for answer in answers if answer != "o"), "o")


def _wrong_elsewhere(one: Found, name: str) -> Iterable[float]:
    for k in _elsewhere(one, name):
        answer = _first(one, name, k)
        yield answer != "o" and answer != one["right"][name][k]


def _flips(of: Sequence[Found], names: list[str], rows: Sequence[str]) -> str:
    """Share of pairs of draws that pass one and fail the other at the same limit."""
    per_row = []
    for row in rows:
        here = [one for one in of if one["row"] == row]
        shares = []
        for name in names:
            for k in range(len(here[0]["looks"][0]["said"]["5"][name])):
                answers = [_first(one, name, k) for one in here]
                n, passed, failed = len(answers), answers.count("p"), answers.count("f")
                shares.append(2 * passed * failed / (n * (n - 1)) if n > 1 else 0.0)
        per_row.append(np.array(shares))
    return _with_interval(per_row)


def _with_interval(per_row: Sequence[Floats]) -> str:
    """Mean over rows, each weighing the same, with its 90% interval by resampling rows."""
    means = np.array([values.mean() for values in per_row])
    n = means.size
    drawn = means[Draws(0).integers(RESAMPLES * n, n)].reshape(RESAMPLES, n).mean(axis=1)
    low, high = np.quantile(drawn, [0.05, 0.95])
    return f"{means.mean():.2%} ({low:.1%}-{high:.1%})"
