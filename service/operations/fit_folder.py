"""One fit, or one back-test, from files to files: what a process that knows no database works on.

order.json      {"kind"}                                                        written by the worker
rows            (M, N) little-endian float32, NaN where not measured; mapped    "
names.json      task ids, families, example ids, domains                        "
earlier.npz     the fit of an earlier version, where there is one               "
repeats.npz     pairs of rows of tasks measured twice, for a back-test          "
base.npy        (N,) float32, log-perplexity before fine-tuning, NaN where it was not measured, for a back-test   "
fit.npz         the fit                                                         written by `work_in`
backtest.json   {"quality", "report", "analysis", "drawn_errors"}               "
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forgetcast.completion import FittedMethod, ForgettingMatrix, Repeat, analyse, fit
from forgetcast.completion.fit_method import fit_and_leave_out
from forgetcast.completion.reports.json_ready import json_ready
from forgetcast.errors import MatrixEmpty, NotFinite
from forgetcast.gate.fitting import learn_drawn_errors
from service.operations.backtests import backtest_matrix, quality

ORDER, ROWS, NAMES, EARLIER, REPEATS = "order.json", "rows", "names.json", "earlier.npz", "repeats.npz"
BASE = "base.npy"
FIT, BACKTEST = "fit.npz", "backtest.json"

Row = tuple[str, str | None, NDArray[np.float32]]  # task id, family, values (N,)


def work_in(folder: Path) -> None:
    """Do what order.json says. Raises whatever the completion raises, and NotFinite for a fit that is of no use."""
    known = _read_known(folder)
    with np.errstate(over="ignore", invalid="ignore"):  # what comes of it is looked at
        if json.loads((folder / ORDER).read_bytes())["kind"] == "fit":
            _write_fit(folder, known)
        else:
            _write_backtest(folder, known)


def _write_fit(folder: Path, known: ForgettingMatrix) -> None:
    arrays = fit(known, earlier=_read_earlier(folder)).to_arrays()
    numbers = {name: array for name, array in arrays.items() if array.dtype.kind == "f"}
    bad = [name for name, array in numbers.items() if not np.isfinite(array).all()]
    if bad:
        raise NotFinite(f"the fit is not finite in {bad[0]}; a row of the matrix holds values that are too large")
    with (folder / FIT).open("wb") as packed:
        np.savez(packed, allow_pickle=False, **arrays)


def _write_backtest(folder: Path, known: ForgettingMatrix) -> None:
    base = np.load(folder / BASE, allow_pickle=False).astype(np.float64) if (folder / BASE).exists() else None
    report = backtest_matrix(known, base)
    found = {
        "quality": None if report is None else quality(report, known.n_tasks),
        "report": json_ready(report),
        "analysis": json_ready(analyse(known, _read_repeats(folder))),
        "drawn_errors": learn_drawn_errors(fit_and_leave_out(known)).to_json(),
    }
    (folder / BACKTEST).write_text(json.dumps(found, allow_nan=False), encoding="utf-8")


def write_known(folder: Path, example_ids: Sequence[str], domains: Sequence[str], known: Iterable[Row]) -> None:
    """The known rows as they come. Raises MatrixEmpty when none does."""
    task_ids, families = list[str](), list[str | None]()
    with (folder / ROWS).open("wb") as rows:
        for task_id, family, values in known:
            task_ids.append(task_id)
            families.append(family)
            rows.write(values.astype("<f4").tobytes())
    if not task_ids:
        raise MatrixEmpty("no known row of the matrix has a value that can be believed")
    names: dict[str, Any] = {"task_ids": task_ids, "example_ids": example_ids, "domains": domains}
    (folder / NAMES).write_text(
        json.dumps({**names, "families": families if any(families) else None}), encoding="utf-8"
    )


def write_repeats(folder: Path, repeats: list[Repeat]) -> None:
    sides = ("first", "second", "positions")
    pairs = {f"{n}.{side}": getattr(one, side) for n, one in enumerate(repeats) for side in sides}
    tasks = np.array([one.task_id for one in repeats], dtype=np.str_)
    with (folder / REPEATS).open("wb") as packed:
        np.savez(packed, allow_pickle=False, tasks=tasks, **pairs)


def _read_known(folder: Path) -> ForgettingMatrix:
    names = json.loads((folder / NAMES).read_bytes())
    shape = len(names["task_ids"]), len(names["example_ids"])
    return ForgettingMatrix.from_arrays(np.memmap(folder / ROWS, "<f4", "r", shape=shape), **names)


def _read_earlier(folder: Path) -> FittedMethod | None:
    if not (folder / EARLIER).exists():
        return None
    with np.load(folder / EARLIER, allow_pickle=False) as arrays:
        return FittedMethod.from_arrays(dict(arrays))


def _read_repeats(folder: Path) -> list[Repeat]:
    if not (folder / REPEATS).exists():
        return []
    with np.load(folder / REPEATS, allow_pickle=False) as packed:
        return [
            Repeat(str(task_id), packed[f"{n}.first"], packed[f"{n}.second"], packed[f"{n}.positions"])
            for n, task_id in enumerate(packed["tasks"])
        ]
