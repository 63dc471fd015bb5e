"""What the bundled matrix is worth: how noisy a repeated measurement is, and how near to low rank the rows are.

    python -m bundled.report [--write] [--npz FILE]

Prints Markdown; --write puts it into bundled/README.md, --npz packs the rows for `forgetcast backtest FILE`.

Notation
    Z       forgetting, rows of the first seed      (M, N)  nats per token
    a, b    rows of one task under two seeds        (N,)
    noise   rms of (a - b) / sqrt 2: what one measurement is off, for a cell, a domain's mean or the row's mean
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bundled.sets import ANSWERS, GREEDY, HERE, MIXED

BEGIN, END = "<!-- report -->", "<!-- end of report -->"
TOP_SHARE = 0.05
N_LARGEST = 5

Rows = NDArray[np.float64]


@dataclass(frozen=True)
class Repeat:
    """One task measured under two seeds."""

    task_id: str
    sd: float
    cell: float
    domain_mean: float
    row_mean: float
    correlation: float
    top_overlap: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the report into bundled/README.md")
    parser.add_argument("--npz", type=Path, help="write the matrix as one file, for `forgetcast backtest`")
    options = parser.parse_args()
    if options.npz:
        pack(options.npz)
    report = _report()
    print(report)
    if options.write:
        readme = HERE / "README.md"
        before, _, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
        after = rest.partition(END)[2]
        readme.write_text(f"{before}{BEGIN}\n{report}\n{END}{after}", encoding="utf-8")


def load_rows(seed: int) -> dict[str, Rows]:
    """The measured rows of this fine-tuning seed by task id, in the order of tasks.json."""
    tasks = json.loads((HERE / "tasks.json").read_text(encoding="utf-8"))
    paths = {task["id"]: HERE / "rows" / f"{task['id']}.seed-{seed}.npy" for task in tasks}
    return {
        task_id: np.load(path, allow_pickle=False).astype(np.float64)
        for task_id, path in paths.items()
        if path.exists()
    }


def pack(file: Path) -> None:
    """Write the matrix with its task ids, families, example ids and domains, and the repeats of some tasks."""
    rows, again = load_rows(1), load_rows(2)
    families = {task["id"]: task["family"] for task in json.loads((HERE / "tasks.json").read_text(encoding="utf-8"))}
    of = [*rows, *again]
    examples = [json.loads(line) for line in (HERE / "upstream.jsonl").read_text(encoding="utf-8").splitlines()]
    np.savez(
        file,
        forgetting=np.array([*rows.values(), *again.values()], np.float32),
        task=np.array([*rows, *(f"{task_id}.seed-2" for task_id in again)]),
        family=np.array([families[task_id] for task_id in of]),
        repeat_of=np.array([""] * len(rows) + list(again)),
        example=np.array([example["id"] for example in examples]),
        domain=np.array([example["domain"] for example in examples]),
    )


def repeats() -> list[Repeat]:
    first, second = load_rows(1), load_rows(2)
    domains = _domains()
    return [_repeat(task_id, first[task_id], second[task_id], domains) for task_id in second if task_id in first]


def _repeat(task_id: str, a: Rows, b: Rows, domains: NDArray[np.str_]) -> Repeat:
    by_domain = [(a - b)[domains == name].mean() for name in np.unique(domains)]
    n_top = round(TOP_SHARE * a.size)
    top_a, top_b = (set(np.argsort(-row, kind="stable")[:n_top].tolist()) for row in (a, b))
    return Repeat(
        task_id,
        sd=float((a.std() + b.std()) / 2),
        cell=_noise(a - b),
        domain_mean=_noise(np.array(by_domain)),
        row_mean=_noise(np.array([(a - b).mean()])),
        correlation=float(np.corrcoef(a, b)[0, 1]),
        top_overlap=len(top_a & top_b) / n_top,
    )


def _noise(difference: Rows) -> float:
    return float(np.sqrt(np.mean(difference**2) / 2))


def _report() -> str:
    tasks: list[dict[str, Any]] = json.loads((HERE / "tasks.json").read_text(encoding="utf-8"))
    rows, found = load_rows(1), repeats()
    Z = np.array(list(rows.values()))
    sds = Z.std(axis=1)
    noise = float(np.sqrt(np.mean([repeat.cell**2 for repeat in found]))) if found else float("nan")
    n_families = len({task["family"] for task in tasks if task["id"] in rows})
    lines = [
        f"{len(rows)} tasks of {n_families} families by {Z.shape[1]} examples. "
        f"Mean forgetting {Z.mean():+.3f} nats per token; median sd of a row {np.median(sds):.3f}, "
        f"{np.median(sds) / noise:.1f} times the cell noise of {noise:.3f}.",
        "",
        *_low_rank(rows),
        "",
        "| repeated task | sd of its row | noise: cell | domain mean | row mean | correlation | top 5% overlap |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {one.task_id} | {one.sd:.3f} | {one.cell:.4f} | {one.domain_mean:.4f} | {one.row_mean:.4f} "
        f"| {one.correlation:.3f} | {one.top_overlap:.2f} |"
        for one in found
    ]
    lines += ["", "| task | family | made of | mean | sd |", "|---|---|---|---|---|"]
    lines += [
        f"| {task['id']} | {task['family']} | {task['about']} ({task['source']}) "
        f"| {rows[task['id']].mean():+.3f} | {rows[task['id']].std():.3f} |"
        for task in tasks
        if task["id"] in rows
    ]
    return "\n".join([*lines, "", *_greedy(), "", *_mixed()])


def _low_rank(rows: dict[str, Rows]) -> list[str]:
    """R2 by rank with the grand mean removed, and with the means of rows and columns removed: a few rows that are
    forgotten nearly everywhere make the former look better than the pattern of the others is."""
    Z = np.array(list(rows.values()))
    deviation = ((Z - Z.mean()) ** 2).sum(axis=1)
    largest = np.argsort(-deviation)[:N_LARGEST]
    share = deviation[largest].sum() / deviation.sum()
    names = ", ".join(list(rows)[place] for place in largest)
    centred = Z - Z.mean(axis=1, keepdims=True)
    kinds = {
        "grand mean": Z - Z.mean(),
        "row means": centred,
        "row and column means": centred - centred.mean(axis=0),
    }
    ranks = (1, 2, 3, 5, 10)
    lines = [
        f"{N_LARGEST} rows, {names}, carry {share:.0%} of the squared deviation from the grand mean, most of it in "
        "their own means. R2 of the singular value decomposition:",
        "",
        "| removed before | " + " | ".join(f"rank {rank}" for rank in ranks) + " |",
        "|---|" + "---|" * len(ranks),
    ]
    for name, matrix in kinds.items():
        singular = np.linalg.svd(matrix, compute_uv=False) ** 2
        lines.append(f"| {name} | " + " | ".join(f"{singular[:r].sum() / singular.sum():.2f}" for r in ranks) + " |")
    return lines


def _greedy() -> list[str]:
    """How many greedy answers a task makes the model lose."""
    kept = {run: int(GREEDY.exact(run).sum()) for run in GREEDY.runs(seed=1)}
    if not kept:
        return []
    n_known = int((GREEDY.before_exact() == 1).sum())
    still = np.array(list(kept.values())) / n_known
    sampled = int((ANSWERS.before_exact() == 1).sum())
    return [
        f"Of the {len(GREEDY.lines)} greedy answers the base model reproduces {n_known}, of the {len(ANSWERS.lines)} "
        f"sampled ones {sampled}. After fine-tuning on one of {len(kept)} tasks {still.mean():.0%} of the greedy ones "
        f"are left on average, {still.min():.0%} at least and {still.max():.0%} at most.",
    ]


def _mixed() -> list[str]:
    """Domains of the second set: how they move, and how noisy a cell of theirs is."""
    first, second = MIXED.runs(seed=1), set(MIXED.runs(seed=2))
    if not first:
        return []
    names = np.array([json.loads(line)["domain"] for line in MIXED.lines])
    Z = np.array([MIXED.row(run) for run in first], np.float64)
    again = [(run, run.replace("seed-1", "seed-2")) for run in first if run.replace("seed-1", "seed-2") in second]
    apart = np.array([MIXED.row(one) - MIXED.row(other) for one, other in again], np.float64)
    lines = [
        f"The mixed set, {len(first)} tasks by {names.size} examples, {len(again)} tasks repeated:",
        "",
        "| domain | log-perplexity before | mean forgetting | sd of its cells | noise of a cell |",
        "|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(names.tolist()):
        of = names == name
        noise = f"{_noise(apart[:, of]):.3f}" if again else "-"
        lines.append(
            f"| {name} | {MIXED.before()[of].mean():.2f} | {Z[:, of].mean():+.3f} | {Z[:, of].std():.3f} | {noise} |"
        )
    return lines


def _domains() -> NDArray[np.str_]:
    lines = (HERE / "upstream.jsonl").read_text(encoding="utf-8").splitlines()
    return np.array([json.loads(line)["domain"] for line in lines])


if __name__ == "__main__":
    main()
