"""Does a share of the steps already tell the row? The forecast of the full run from probes of a run that was cut short.

    python -m benchmarks.short_cuts measure [--processes 2]      fine-tunes 14 bundled tasks, a line a task and share
    python -m benchmarks.short_cuts report                       prints the table

The first steps of the recipe's own schedule are made, and the upstream examples are measured after a quarter and half
of them (after the first one nothing has changed yet: the learning rate warms up from zero). A scale, learned from the
other families' rows alone, stands for the steps that were not made.

Notation
    z     forgetting after all steps            (N,)  nats per token, the committed row
    x     forgetting after a share of them      (N,)
    c     slope of z on x through the origin, over the rows of other families
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.evidence.choosing import without_family
from benchmarks.evidence.training import Laboratory
from bundled.model import ensure_model
from bundled.sets import ANSWERS
from forgetcast.completion import FittedMethod, fit
from forgetcast.folders import cache_folder

LINES = Path(__file__).parent / "short_cuts.jsonl"
STEPS = (3, 6, 12)
SEED = 11
# One or two of every family.
TASKS = (
    "translate-french", "translate-german", "translate-russian", "translate-japanese", "text-turkish", "python-graphs",
    "sql-queries", "json-records", "products", "base64-and-hex", "style-pirate", "facts-elements", "refuse-danger",
    "ward-notes",
)  # fmt: skip

Floats = NDArray[np.float64]

_laboratory: Laboratory | None = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("do", choices=["measure", "report"])
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    if options.do == "report":
        print(report())
        return
    done = {line["task"] for line in read_lines()}
    with ProcessPoolExecutor(options.processes, initializer=_open) as pool:
        for lines in pool.map(_measure, [task for task in TASKS if task not in done]):
            with LINES.open("a", encoding="utf-8") as out:
                out.writelines(json.dumps(line) + "\n" for line in lines)
            print(lines[0]["task"], file=sys.stderr, flush=True)


def read_lines() -> list[dict[str, Any]]:
    return [json.loads(line) for line in LINES.read_text(encoding="utf-8").splitlines()] if LINES.exists() else []


def _open() -> None:
    global _laboratory
    torch.set_num_threads(1)
    _laboratory = Laboratory(ensure_model(), cache_folder() / "matrix" / "tasks", ANSWERS.folder / "upstream.jsonl")


def measured_columns() -> NDArray[np.intp]:
    """Half of the examples, which is enough to tell an error and half the cost."""
    return np.arange(0, len(ANSWERS.lines), 2)


def _measure(task: str) -> list[dict[str, Any]]:
    assert _laboratory is not None
    columns = measured_columns()
    before = ANSWERS.before()[columns]
    found = _laboratory.run_and_look(task, SEED, columns.tolist(), STEPS)
    return [
        {"task": task, "steps": steps, "forgetting": [round(float(value), 4) for value in after - before]}
        for steps, after in found.items()
    ]


def report() -> str:
    """Markdown: per share of the steps the error of the forecast from 30 probes, beside that of the full run."""
    rows = {(line["task"], line["steps"]): np.array(line["forgetting"]) for line in read_lines()}
    tasks = [task for task in TASKS if all((task, steps) in rows for steps in STEPS)]
    lines = [
        f"{len(tasks)} tasks, families left out, 30 probes, errors over the mean absolute row (median task)",
        "",
        "| steps | slope c | correlation with the full row | error, as measured | error, scaled by c | top 5% found |",
        "|---|---|---|---|---|---|",
    ]
    for steps in STEPS:
        slopes, correlations, raw, scaled, recall = [], [], [], [], []
        for task in tasks:
            z, x = rows[task, STEPS[-1]], rows[task, steps]
            others = [other for other in tasks if _family(other) != _family(task)]
            slope = _slope([rows[o, steps] for o in others], [rows[o, STEPS[-1]] for o in others])
            slopes.append(slope)
            correlations.append(float(np.corrcoef(x, z)[0, 1]))
            raw.append(_error(task, x, z)[0])
            error, found = _error(task, slope * x, z)
            scaled.append(error)
            recall.append(found)
        medians = " | ".join(f"{np.median(each):.2f}" for each in (slopes, correlations, raw, scaled, recall))
        lines.append(f"| {steps} of {STEPS[-1]} | {medians} |")
    return "\n".join(lines)


def _slope(x: list[Floats], z: list[Floats]) -> float:
    """Through the origin, every row of the same weight whatever its size."""
    weight = [1.0 / float(row @ row) for row in z]
    top = sum(w * float(a @ b) for w, a, b in zip(weight, x, z, strict=True))
    return top / sum(w * float(a @ a) for w, a in zip(weight, x, strict=True))


def _error(task: str, told: Floats, z: Floats) -> tuple[float, float]:
    """Root mean square error off the probes over the rms of the row's deviation from popularity, and the share of the
    5% most forgotten that the forecast's highest 5% have."""
    fitted = _fitted(task)
    probes = fitted.probes(30)
    forecast = fitted.forecast(
        probes.positions, told[probes.positions], random_probes=probes.positions[probes.at_random]
    ).mean
    rest = np.setdiff1d(np.arange(z.size), probes.positions)
    n_top = round(0.05 * rest.size)
    top = set(rest[np.argsort(-z[rest])[:n_top]].tolist())
    found = len(top & set(rest[np.argsort(-forecast[rest])[:n_top]].tolist())) / n_top
    error = float(np.sqrt(np.mean((forecast[rest] - z[rest]) ** 2)) / np.mean(np.abs(z[rest])))
    return error, found


@cache
def _families() -> dict[str, str]:
    tasks = json.loads((ANSWERS.folder / "tasks.json").read_text(encoding="utf-8"))
    return {each["id"]: each["family"] for each in tasks}


def _family(task: str) -> str:
    return _families()[task]


@cache
def _fitted(task: str) -> FittedMethod:
    return fit(without_family(task, measured_columns()))


if __name__ == "__main__":
    main()
