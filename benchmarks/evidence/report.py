"""The runs of evidence.jsonl -> what they show: per arm the means, and the comparisons that were settled beforehand.

Notation
    d   difference of two arms on one task, seeds averaged first    (T,)  nats per token; positive: the first is better
    p   exact two-sided signed-rank over tasks

The task is the unit everywhere: seeds are averaged before anything is compared.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wilcoxon

from benchmarks.evidence.design import Arm

LINES = Path(__file__).parents[1] / "evidence.jsonl"
N_RESAMPLES = 10_000
LEVEL = 0.95
MARGIN_SHARE, MARGIN_NATS = 0.02, 0.01  # of a task's own gain, or nats per token, whichever is more

Floats = NDArray[np.float64]
Lines = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Comparison:
    """One arm beside another over tasks: mean difference with its interval, exact p, and how many tasks gain."""

    mean: float
    low: float
    high: float
    p: float
    n_better: int
    n_tasks: int

    @property
    def said(self) -> str:
        return (
            f"{self.mean:+.4f} ({self.low:+.4f} to {self.high:+.4f}), p = {self.p:.4g}, better on {self.n_better} of "
            f"{self.n_tasks}"
        )


def arms_of(lines: Lines) -> dict[str, dict[str, dict[str, float]]]:
    """arm -> task -> figure -> mean over seeds."""
    found: dict[str, dict[str, list[Mapping[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for line in lines:
        run = line["run"]
        found[Arm(run["score"], run["policy"], run["ratio"]).name][run["task"]].append(line)
    figures = ("held_out_mean", "worst_mean", "task_loss", "task_loss_before")
    return {
        arm: {
            task: {name: float(np.mean([line[name] for line in runs])) for name in figures}
            for task, runs in of_task.items()
        }
        for arm, of_task in found.items()
    }


def compare(one: Sequence[float], other: Sequence[float]) -> Comparison:
    """`one` better than `other` where it is lower: forgetting, or a loss."""
    d = np.array(other) - np.array(one)
    draws = np.random.default_rng(0).integers(0, d.size, (N_RESAMPLES, d.size))
    low, high = np.quantile(d[draws].mean(axis=1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    p = 1.0 if not d.any() else float(wilcoxon(d, method="exact" if d.size <= 50 else "auto").pvalue)
    return Comparison(float(d.mean()), float(low), float(high), p, int((d > 0).sum()), d.size)


def tuning_table(lines: Lines) -> str:
    """Every arm that was tried on the tuning tasks, beside random replay at the same ratio."""
    arms = arms_of([line for line in lines if line["run"]["part"] == "tuning"])
    rows = [
        "| arm | tasks | held-out mean | worst 5% | new-task loss | below random at the same ratio |",
        "|---|---|---|---|---|---|",
    ]
    for name, of_task in arms.items():
        mean = {
            figure: float(np.mean([of_task[task][figure] for task in of_task]))
            for figure in ("held_out_mean", "worst_mean", "task_loss")
        }
        beside = _random_like(name, arms)
        tasks = [task for task in of_task if beside and task in beside]
        gain = "-" if not tasks or not beside else compare(
            [of_task[task]["held_out_mean"] for task in tasks], [beside[task]["held_out_mean"] for task in tasks]
        ).said  # fmt: skip
        rows.append(
            f"| {name} | {len(of_task)} | {mean['held_out_mean']:+.4f} | {mean['worst_mean']:+.4f} "
            f"| {mean['task_loss']:.3f} | {gain} |"
        )
    return "\n".join(rows)


def _random_like(name: str, arms: Mapping[str, Any]) -> Any:
    ratio = name.rpartition(" ")[2]
    return None if name in ("none",) or name.startswith("random") else arms.get(f"random uniform {ratio}")


def main() -> None:
    """`python -m benchmarks.evidence.report` prints what the runs show as far as they were made."""
    lines = [json.loads(line) for line in LINES.read_text(encoding="utf-8").splitlines()]
    print(tuning_table(lines))


if __name__ == "__main__":
    main()
