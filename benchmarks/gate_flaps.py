"""Does the gate flap? The same tasks judged again and again, only the random part of their probes being another.

    python -m benchmarks.gate_flaps --draws 200 --results flaps.jsonl

Every bundled task is forecast by a fit that knows no task of its family, from the usual mixed probes, and judged at
each of five looks. Limits lie at the truth, where every conclusive verdict is a wrong one, and at the 10, 25, 50, 75
and 90% points of the rows that the fit knows. Each limit is an assertion by itself, so that Holm's steps, which make
verdicts rarer, do not flatter the error. Tasks that were measured under another fine-tuning seed are judged on that
row once more.

What was found is appended to the file of results, a line a row and draw, and what is there already is not computed
again. The table is printed at the end, or by --print alone: counts, and their 90% interval over tasks.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gate_flaps_table import print_tables
from bundled.report import load_rows
from forgetcast.completion import FittedMethod, ForgettingMatrix
from forgetcast.completion.selection.probes import design_probes
from forgetcast.completion.types import Floats
from forgetcast.gate.checks import Check
from forgetcast.gate.fitting import fit_for_gate
from forgetcast.gate.judge import distrust_of
from forgetcast.gate.looks import sizes_of_looks
from forgetcast.gate.metrics import Metric, Question, value_of
from forgetcast.gate.policy import MinQuality, Severity
from forgetcast.gate.subject import QualityFigures, Subject
from forgetcast.gate.weighing import Spending, Weighed, weigh

BUNDLED = Path(__file__).parent.parent / "bundled"
LEVEL, MAX_LOOKS, FIRST = 0.95, 5, 30
POINTS = (10, 25, 50, 75, 90)  # of the known rows' values
QUALITY = QualityFigures(
    coverage=0.9, row_mean_ratio=0.5
)  # `forgetcast backtest` of the bundled matrix meets the preset
N_PROTECTED = 20
SEEDS = (1, 2)  # of fine-tuning


@dataclass(frozen=True)
class Row:
    """A measured row to be judged, and the number of its fine-tuning seed."""

    task: str
    seed: int
    family: str
    truth: Floats

    @property
    def name(self) -> str:
        return f"{self.task}.seed-{self.seed}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=200, help="of the random part of the probes, a row")
    parser.add_argument("--results", type=Path, required=True, help="JSON Lines, appended to")
    parser.add_argument("--print", action="store_true", help="only print the tables of what was found")
    options = parser.parse_args()
    if not options.print:
        run(options.draws, options.results)
    found = [json.loads(line) for line in options.results.read_text(encoding="utf-8").splitlines()]
    print_tables([one for one in found if one["draw"] < options.draws])


def run(n_draws: int, results: Path) -> None:
    """Judge what was not judged yet."""
    done = set()
    if results.exists():
        done = {(one["row"], one["draw"]) for one in map(json.loads, results.read_text(encoding="utf-8").splitlines())}
    known, rows = _known(), _rows()
    with results.open("a", encoding="utf-8") as file:
        for family in dict.fromkeys(row.family for row in rows):
            of = [row for row in rows if row.family == family]
            left = [(row, draw) for draw in range(n_draws) for row in of if (row.name, draw) not in done]
            if not left:
                continue
            began = time.monotonic()
            world = _World.without(family, known)
            for row, draw in left:
                file.write(json.dumps(world.judged(row, draw)) + "\n")
                file.flush()
            print(f"{family}: {len(left)} rows and draws, {time.monotonic() - began:.0f} s", flush=True)


@dataclass(frozen=True, eq=False)
class _World:
    """A fit without a family, and what is asked of a row. `limits`: of every assertion, by the known rows."""

    fitted: FittedMethod
    known: ForgettingMatrix
    questions: dict[str, Question]
    limits: dict[str, list[float]]

    @classmethod
    def without(cls, family: str, known: ForgettingMatrix) -> _World:
        assert known.families is not None
        others = known.with_tasks([place for place, name in enumerate(known.families) if name != family])
        questions = _questions(known)
        values = {name: [value_of(one, row[one.positions]) for row in _full(others)] for name, one in questions.items()}
        limits = {name: [float(point) for point in np.percentile(of, POINTS)] for name, of in values.items()}
        return cls(fit_for_gate(others), others, questions, limits)

    def judged(self, row: Row, draw: int) -> dict[str, Any]:
        """A line of the results; `right` is what is true at every limit."""
        values = {name: value_of(one, row.truth[one.positions]) for name, one in self.questions.items()}
        right = {
            name: "fp" + "".join("p" if values[name] <= limit else "f" for limit in self.limits[name])
            for name in self.questions
        }
        return {"row": row.name, "draw": draw, "right": right, "looks": list(self.looks(row, draw))}

    def looks(self, row: Row, draw: int) -> Iterator[dict[str, Any]]:
        """What each look says: of every assertion `p`, `f` or `o` (pass, fail, open) by limit, the truth's first."""
        n_examples = row.truth.size
        sizes = sizes_of_looks(FIRST, MAX_LOOKS, n_examples)
        probes = design_probes(self.fitted.factors, sizes[-1], seed=draw)
        checks = [check for name, question in self.questions.items() for check in self._checks(name, question, row)]
        for size in sizes:
            positions, drawn = probes.positions[:size], probes.at_random[:size]
            forecast = self.fitted.forecast(positions, row.truth[positions], random_probes=positions[drawn])
            subject = Subject(
                forecast,
                self.known.example_ids,
                self.known.domains or (),
                fitted=self.fitted,
                quality=QUALITY,
                identity=f"{row.name} {draw} {size}",
            )
            a = (1.0 - LEVEL) / 2.0
            smallest = a / MAX_LOOKS
            distrust = distrust_of(MinQuality(), subject)
            spending = [Spending(smallest, smallest)] * len(checks)
            found, _ = weigh(checks, subject, distrust, spending, subject.seed("flaps"))
            said = {str(looks): _said(found, a / looks) for looks in (1, MAX_LOOKS)}
            yield {"size": size, "unlike": forecast.unlike_known, "said": said}

    def _checks(self, name: str, question: Question, row: Row) -> list[Check]:
        """At the truth twice: as the largest limit that it lies over, and as one that it lies on; then elsewhere."""
        truth = value_of(question, row.truth[question.positions])
        step = 0.5 / question.size if question.metric == Metric.SHARE_ABOVE else 1e-9
        limits = [truth - step, truth, *self.limits[name]]
        return [
            Check(name, question.metric, Severity.ERROR, None, "max", limit, question.parameter, question)
            for limit in limits
        ]


def _said(found: Sequence[Weighed], a: float) -> dict[str, str]:
    """Of every assertion `p`, `f` or `o` by limit."""
    said: dict[str, str] = {}
    for one in found:
        evidence, limit = one.evidence, one.check.limit
        is_under = evidence is not None and evidence.doubt_under(limit) <= a
        is_over = evidence is not None and evidence.doubt_over(limit) <= a
        said[one.check.name] = said.get(one.check.name, "") + ("p" if is_under else "f" if is_over else "o")
    return said


def _questions(known: ForgettingMatrix) -> dict[str, Question]:
    everything = np.arange(known.n_examples, dtype=np.intp)
    domains = known.domain_positions()
    protected = np.sort(np.concatenate([positions[:1] for positions in domains.values()])[:N_PROTECTED])
    found = {
        "mean": Question(Metric.MEAN, everything),
        "p95": Question(Metric.QUANTILE, everything, 0.95),
        "share above 0.3": Question(Metric.SHARE_ABOVE, everything, 0.3),
        "protected": Question(Metric.PROTECTED, protected),
    }
    for name in domains:
        found[f"domain {name}"] = Question(Metric.MEAN, domains[name])
    return found


def _full(known: ForgettingMatrix) -> Sequence[Floats]:
    return [known.row(row) for row in range(known.n_tasks)]


def _known() -> ForgettingMatrix:
    rows = load_rows(SEEDS[0])
    families = _families()
    examples = [json.loads(line) for line in (BUNDLED / "upstream.jsonl").read_text(encoding="utf-8").splitlines()]
    return ForgettingMatrix.from_arrays(
        np.array(list(rows.values())),
        task_ids=list(rows),
        families=[families[task] for task in rows],
        example_ids=[example["id"] for example in examples],
        domains=[example["domain"] for example in examples],
    )


def _rows() -> list[Row]:
    families = _families()
    return [Row(task, seed, families[task], truth) for seed in SEEDS for task, truth in load_rows(seed).items()]


def _families() -> dict[str, str]:
    tasks: list[dict[str, Any]] = json.loads((BUNDLED / "tasks.json").read_text(encoding="utf-8"))
    return {task["id"]: task["family"] for task in tasks}


if __name__ == "__main__":
    main()
