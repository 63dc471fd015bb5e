"""Is the order in which `forgetcast seed` measures tasks worth anything? Beside random orders, on measured matrices.

    python -m benchmarks.seed_order [--orders 200] [--olmo FILE.npz]

Tasks are left out in five parts, with their families and alone (every fifth); of the others the first k of an order are
known, and every task of the part is forecast from 30 random probes. OLMo's file has no data of the tasks and no
families: the only likeness is that of the tasks' names. Choices of the fit (noise share, doubt) are made once a part,
from all of its known tasks, for every order alike. The bundled tasks' data are those that `make matrix` has built.

Notation
    k      known rows                    rel   geometric mean over tasks of RMSE over that of the mean of all other rows
    area   mean of ln rel over k         z     of the chosen order, in sd of random orders, below 0 is better
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from forgetcast.cli.seeding.pool import find_candidates
from forgetcast.cli.seeding.state import likeness_of
from forgetcast.completion import ForgettingMatrix
from forgetcast.completion.methods.fitted_method import fit_with
from forgetcast.completion.methods.registry import DEFAULT_METHOD, method_named
from forgetcast.completion.selection.likeness import text_likeness
from forgetcast.completion.selection.seeding import seed_order
from forgetcast.completion.validation.choices import choose

SIZES = (6, 9, 12, 18, 24)
PARTS = 5
N_PROBES, DRAWS = 30, 1
Floats = NDArray[np.float64]
BUNDLED = Path(__file__).parents[1] / "bundled"


@dataclass(frozen=True)
class Known:
    """A measured matrix, what is known of its tasks' data, and which tasks are left out together."""

    name: str
    rows: Floats
    likeness: Floats
    groups: list[list[int]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=200, help="random orders of each part")
    parser.add_argument("--olmo", type=Path, help="olmo-7b-flan-dolma.npz")
    parser.add_argument("--tasks", type=Path, help="where the bundled tasks' data are, or are written to")
    options = parser.parse_args()
    for known in bundled(options.tasks):
        print(report(known, options.orders), flush=True)
    if options.olmo is not None:
        print(report(olmo(options.olmo), options.orders))


def bundled(folder: Path | None) -> list[Known]:
    """The bundled rows of the first seed, with their tasks' data."""
    from bundled.report import load_rows
    from forgetcast.folders import cache_folder

    folder = folder or cache_folder() / "matrix" / "tasks"
    measured = load_rows(1)
    tasks = [task for task in json.loads((BUNDLED / "tasks.json").read_text("utf-8")) if task["id"] in measured]
    candidates = [find_candidates([str(folder / f"{task['id']}.jsonl")], folder)[0] for task in tasks]
    families = [task["family"] for task in tasks]
    parts: list[list[int]] = [[] for _ in range(PARTS)]
    for place, family in enumerate(sorted(set(families), key=families.count, reverse=True)):
        parts[place % PARTS] += [row for row, of in enumerate(families) if of == family]
    rows = np.stack([measured[task["id"]] for task in tasks]).astype(np.float64)
    likeness = likeness_of(candidates)
    alone = [list(range(first, len(rows), PARTS)) for first in range(PARTS)]
    return [
        Known("bundled, families left out", rows, likeness, parts),
        Known("bundled, tasks left out alone", rows, likeness, alone),
    ]


def olmo(file: Path) -> Known:
    """The authors' matrix in domain: 66 FLAN tasks, known by name alone."""
    with np.load(file, allow_pickle=False) as stored:
        rows, names = stored["forgetting"][:66].astype(np.float64), stored["task"][:66].tolist()
    likeness = text_likeness([[name.replace("_", " ")] for name in names])[None]
    return Known("OLMo", rows, likeness, [list(range(first, 66, PARTS)) for first in range(PARTS)])


def report(known: Known, n_orders: int) -> str:
    """A Markdown table: rel by k for chosen and random orders, and how many random rows 12 chosen are as good as."""
    curves: dict[str, list[Floats]] = {}
    for out in known.groups:
        part = _Part(known, out)
        others = part.others
        likeness = known.likeness[:, others][:, :, others]
        chosen = {
            "by data, then by rows": _sequential(likeness, known.rows[others]),
            "by data alone": seed_order(likeness),
            "hindsight: by the rows themselves": _typical_first(known.rows[others]),
        }
        for name, order in chosen.items():
            curves.setdefault(name, []).append(part.curve(order))
        for seed in range(n_orders):
            order = np.random.default_rng(seed).permutation(len(others)).tolist()
            curves.setdefault(f"random {seed}", []).append(part.curve(order))
    means = {
        name: np.average(found, axis=0, weights=[len(out) for out in known.groups]) for name, found in curves.items()
    }
    return _table(known, means)


def _sequential(likeness: Floats, rows: Floats) -> list[int]:
    """As `forgetcast seed` orders: after each row the rest anew."""
    done: list[int] = []
    while len(done) < len(rows):
        done.append(seed_order(likeness, rows[done] if done else None, done)[0])
    return done


def _typical_first(rows: Floats) -> list[int]:
    """What nobody can know beforehand: the order by the true correlation of the rows."""
    from forgetcast.completion.selection.seeding import correlation

    return seed_order(np.clip(correlation(rows), 0, 1)[None])


class _Part:
    """One part of the families, left out."""

    def __init__(self, known: Known, out: list[int]) -> None:
        self._rows, self._out = known.rows, out
        self.others = [row for row in range(len(known.rows)) if row not in set(out)]
        self._method = method_named(DEFAULT_METHOD)
        self._choices = choose(_matrix(known.rows[self.others]), self._method, 0)
        random = np.random.default_rng(7)
        self._probes = [np.sort(random.choice(known.rows.shape[1], N_PROBES, replace=False)) for _ in range(DRAWS)]
        self._by_mean = known.rows[self.others].mean(axis=0)

    def curve(self, order: Sequence[int]) -> Floats:
        """ln rel at every size. (k,)"""
        return np.array([self._ln_rel(order[:size]) for size in SIZES])

    def _ln_rel(self, chosen: Sequence[int]) -> float:
        rows = self._rows[[self.others[place] for place in chosen]]
        choices = self._choices
        fitted = fit_with(_matrix(rows), self._method, choices.noise_share, choices.doubt, choices.calibration)
        logs = []
        for row in self._out:
            truth = self._rows[row]
            for probes in self._probes:
                scored = np.ones(truth.size, dtype=np.bool_)
                scored[probes] = False
                mean = fitted.forecast(probes, truth[probes]).mean
                errors = [np.mean((one - truth)[scored] ** 2) for one in (mean, self._by_mean)]
                logs.append(0.5 * float(np.log(errors[0] / errors[1])))
        return float(np.mean(logs))


def _matrix(rows: Floats) -> ForgettingMatrix:
    return ForgettingMatrix.from_arrays(rows)


def _table(known: Known, curves: dict[str, Floats]) -> str:
    random = np.array([curve for name, curve in curves.items() if name.startswith("random ")])
    lines = [f"\n{known.name}: {len(known.rows)} tasks, {len(random)} random orders", ""]
    lines += [f"| order | {' | '.join(f'{size} rows' for size in SIZES)} | area, z |", "|---" * (len(SIZES) + 2) + "|"]
    shown = {
        "random, mean": random.mean(axis=0),
        "random, best tenth": np.quantile(random, 0.1, axis=0),
        **{name: curve for name, curve in curves.items() if not name.startswith("random ")},
    }
    for name, curve in shown.items():
        z = (curve.mean() - random.mean()) / random.mean(axis=1).std()
        lines.append(f"| {name} | {' | '.join(f'{value:.3f}' for value in np.exp(curve))} | {z:+.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
