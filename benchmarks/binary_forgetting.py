"""Which exact matches a fine-tuned model loses: forecast from probes, families left out, beside the paper's methods.

    python -m benchmarks.binary_forgetting                    the bundled greedy set, as many runs as there are
    python -m benchmarks.binary_forgetting --set FOLDER       another one, of the form that bundled/sets.py describes
    python -m benchmarks.binary_forgetting --probes 10 --draws 5 --without-paper
    python -m benchmarks.binary_forgetting --npz FILE --above 0.1    a matrix of log-perplexities, cut at a limit

A cell is 1 where the base model's greedy decoding writes the example and the fine-tuned model's does not. Few rows of
exact matches are measured so far; a matrix of log-perplexities cut at a limit has more, and stands in for them.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from bundled.sets import GREEDY, HERE, UpstreamSet
from forgetcast.completion import ForgettingMatrix
from forgetcast.completion.exact_match.backtest import ALL_EXACT_MATCH_METHODS, backtest_exact_match
from forgetcast.completion.exact_match.backtest_report import ExactMatchReport
from forgetcast.completion.exact_match.lost_cells import exact_match_matrix
from forgetcast.completion.exact_match.methods import EXACT_MATCH_METHODS


def main() -> None:
    options = argparse.ArgumentParser(description="Back-test forecasts of exact matches that fine-tuning loses.")
    options.add_argument("--set", type=Path, default=GREEDY.folder, help="folder of an upstream set with its rows")
    options.add_argument("--npz", type=Path, help="a matrix of log-perplexities instead of a set")
    options.add_argument("--above", type=float, default=0.1, help="what counts as lost there, nats per token")
    options.add_argument("--probes", type=int, default=30, help="measured cells of a new row")
    options.add_argument("--draws", type=int, default=3, help="draws of the probes")
    options.add_argument("--without-paper", action="store_true", help="leave out the methods that are fitted anew")
    given = options.parse_args()
    matrix = cut_at(given.npz, given.above) if given.npz else lost_by_runs(UpstreamSet(given.set))
    say_matrix(matrix)
    methods = EXACT_MATCH_METHODS if given.without_paper else ALL_EXACT_MATCH_METHODS
    say_report(backtest_exact_match(matrix, n_probes=given.probes, draws=given.draws, methods=methods))


def lost_by_runs(upstream: UpstreamSet) -> ForgettingMatrix:
    """Rows of fine-tuning seed 1, a task each."""
    tasks = {task["id"]: task for task in json.loads((HERE / "tasks.json").read_text(encoding="utf-8"))}
    runs = [run for run in upstream.runs(seed=1) if (upstream.rows / f"{run}.exact.npy").exists()]
    names = [run.rpartition(".seed-")[0] for run in runs]
    examples = [json.loads(line) for line in upstream.lines]
    return exact_match_matrix(
        upstream.before_exact(),
        np.stack([upstream.exact(run) for run in runs]),
        task_ids=names,
        families=[tasks[name]["family"] for name in names],
        example_ids=[example["id"] for example in examples],
        domains=[example["domain"] for example in examples],
    )


def cut_at(path: Path, limit: float) -> ForgettingMatrix:
    """The matrix of a file, each cell 1 where its forgetting is above a limit."""
    matrix = ForgettingMatrix.load(path)
    return replace(matrix, forgetting=(matrix.forgetting > limit).astype(np.float32), repeats=())


def say_matrix(matrix: ForgettingMatrix) -> None:
    """How much every task loses, lowest first."""
    shares = matrix.filled().sum(axis=1) / matrix.observed.sum(axis=1)
    print(f"{matrix!r}, {shares.mean():.3f} lost\n")
    order = np.argsort(shares, kind="stable")
    print("lost: " + ", ".join(f"{matrix.task_ids[i]} {shares[i]:.2f}" for i in order) + "\n")


def say_report(report: ExactMatchReport) -> None:
    print(
        f"{report.left_out} left out, {report.n_probes} random probes, scored on the cells that could not be probed\n\n"
        "| method | F1 lost | F1 kept | AUC | log score | Brier | lost of top 5% | told - true | s a row | draws |\n"
        "|---|---|---|---|---|---|---|---|---|---|"
    )
    for name, found in report.methods.items():
        figures = (found.f1, found.f1_kept, found.auc, found.log_score, found.brier, found.top_precision)
        shown = " | ".join("" if figure is None else f"{figure:.3f}" for figure in (*figures, found.calibration_error))
        print(f"| {name} | {shown} | {found.seconds:.4f} | {found.draws} |")
    print(f"\n| log score of {report.default} less that of | nats per cell (90% over {report.left_out}) |\n|---|---|")
    for name, pair in report.paired.items():
        print(f"| {name} | {pair.difference:+.4f} ({pair.low:+.4f} to {pair.high:+.4f}) |")
    print(f"\n| {report.default} told | cells | came true |\n|---|---|---|")
    for tenth in report.methods[report.default].reliability:
        print(f"| {tenth.told:.3f} ({tenth.low:.1f} to {tenth.high:.1f}) | {tenth.n_cells:,} | {tenth.came_true:.3f} |")


if __name__ == "__main__":
    main()
