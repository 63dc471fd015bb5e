"""How long fits and forecasts take on wide matrices, beside what the machine's memory allows.

    python -m benchmarks.completion_scale             all sizes; about 2 minutes and 3 GiB
    python -m benchmarks.completion_scale 141816      one of them

Every size runs in a process of its own, so that its peak memory is its own. The limit of a figure is the time it takes
to move the bytes that must be read at the bandwidth of a copy, measured in the same process; `times` is how far the
figure is from it.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forgetcast.completion import ForgettingMatrix
from forgetcast.completion.methods.blend import BLEND
from forgetcast.completion.methods.fitted_method import FittedMethod, fit_with
from forgetcast.completion.models.factor_model import FactorModel, condition
from forgetcast.completion.models.mean_forecast import MeanForecast, most_forgotten
from forgetcast.completion.uncertainty.calibration import usual_calibration
from forgetcast.completion.validation.choices import USUAL_DOUBT, USUAL_NOISE_SHARE, choose

N_TASKS = 100
N_PROBES = 30
TOP = 100
WIDE, WIDER, WIDEST = 141_816, 1_000_000, 10_000_000  # the paper's N; one machine's; a memory-mapped file's
MIB = 1 << 20

Rows = NDArray[np.float32]


def main(sizes: list[int]) -> None:
    print("| M x N | what | seconds | goal | limit | times |\n|---|---|---|---|---|---|", flush=True)
    for size in sizes:
        subprocess.run([sys.executable, "-m", "benchmarks.completion_scale", "--in-process", str(size)], check=True)


def measure(n_examples: int) -> None:
    """All figures of one size, a line each."""
    bandwidth = copy_bandwidth()
    if n_examples == WIDEST:
        measure_mapped(n_examples, bandwidth)
    else:
        measure_in_memory(n_examples, bandwidth)


def measure_in_memory(n_examples: int, bandwidth: float) -> None:
    rows = made_rows(N_TASKS + 1, n_examples)
    known, one_more = rows[:N_TASKS], rows
    say = Reporter(f"{N_TASKS} x {n_examples:,}", bandwidth)
    matrix = ForgettingMatrix.from_arrays(known)
    fitted, seconds = timed(lambda: fit_usual(matrix))
    say("fit, hyper-parameters given", seconds, goal=1.5 if n_examples == WIDE else 15, n_bytes=known.nbytes)
    if n_examples == WIDER:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        # One row more than the fit saw is in memory; it is not the fit's.
        peak -= rows[N_TASKS:].nbytes
        print(
            f"| {say.size} | peak memory, {peak / MIB:,.0f} MiB over {known.nbytes / MIB:,.0f} of the matrix "
            f"| {peak / known.nbytes:.2f} x | 1.5 x | | |"
        )
    if n_examples == WIDE:
        _, seconds = timed(lambda: choose(matrix, BLEND, 0))
        say("choices, by leaving rows out", seconds, goal=15)
    grown = ForgettingMatrix.from_arrays(one_more)
    _, fresh = timed(lambda: fit_usual(grown))
    _, seconds = timed(lambda: fit_usual(grown, fitted))
    say(f"one row more; a fresh fit takes {fresh:.2f}", seconds, n_bytes=one_more.nbytes)
    fitted, seconds = timed(fitted.with_default_probes)
    say(f"design of {N_PROBES} mixed probes", seconds)
    probes = fitted.probes(N_PROBES).positions
    values = rows[-1, probes].astype(np.float64)
    # Every known row, the loadings, the mean, and the bounds of every column.
    must_read = known.nbytes + fitted.factors.loadings.nbytes + 4 * fitted.factors.mean.nbytes
    seconds = median_of(lambda: fitted.forecast(probes, values).top(TOP))
    say(f"fold in, mean, intervals, top {TOP}", seconds, goal=0.025 if n_examples == WIDE else None, n_bytes=must_read)
    seconds = median_of(lambda: most_forgotten(fitted.mean(probes, values), TOP))
    say(f"fold in, top {TOP} alone", seconds, n_bytes=must_read)


def measure_mapped(n_examples: int, bandwidth: float) -> None:
    """Rank 8 loadings in a file, its pages in memory."""
    say = Reporter(f"rank 8 x {n_examples:,}, mapped", bandwidth)
    with tempfile.TemporaryDirectory() as folder:
        mapped = {
            name: write_mapped(Path(folder) / f"{name}.npy", *shape) for name, shape in parts_of(n_examples).items()
        }
        model = FactorModel(mapped["mean"], mapped["loadings"], mapped["noise"])
        probes = np.arange(N_PROBES, dtype=np.intp) * (n_examples // N_PROBES)
        values = np.asarray(model.mean[probes], dtype=np.float64) + 0.01

        def answer() -> Any:
            return most_forgotten(MeanForecast(model, condition(model, probes, values)), TOP)

        seconds = median_of(answer)
        say(f"fold in, top {TOP}", seconds, goal=1, n_bytes=model.loadings.nbytes + model.mean.nbytes)


def parts_of(n_examples: int) -> dict[str, tuple[tuple[int, ...], float, float]]:
    """Shape, mean and standard deviation of every array of a factor model."""
    return {
        "mean": ((n_examples,), 0.05, 0.05),
        "loadings": ((9, n_examples), 0.0, 0.03),
        "noise": ((n_examples,), 0.0004, 0.0),
    }


class Reporter:
    """A line a figure."""

    def __init__(self, size: str, bandwidth: float) -> None:
        self.size, self._bandwidth = size, bandwidth

    def __call__(self, what: str, seconds: float, goal: float | None = None, n_bytes: int | None = None) -> None:
        aim = "" if goal is None else f"under {goal:g}"
        limit = times = ""
        if n_bytes is not None:
            least = n_bytes / self._bandwidth
            limit, times = f"{least:.4f}", f"{seconds / least:.1f}"
        print(f"| {self.size} | {what} | {seconds:.4f} | {aim} | {limit} | {times} |", flush=True)


def made_rows(n_tasks: int, n_examples: int) -> Rows:
    """Rows of rank 6 with noise, float32, made a row at a time."""
    generator = np.random.default_rng(0)
    mean = 0.05 + 0.05 * generator.standard_normal(n_examples, dtype=np.float32)
    factors = 0.03 * generator.standard_normal((6, n_examples), dtype=np.float32)
    rows = np.empty((n_tasks, n_examples), dtype=np.float32)
    for row in rows:
        row[:] = mean + generator.standard_normal(6, dtype=np.float32) @ factors
        row += 0.02 * generator.standard_normal(n_examples, dtype=np.float32)
    return rows


def write_mapped(path: Path, shape: tuple[int, ...], mean: float, sd: float) -> Rows:
    generator = np.random.default_rng(0)
    written = np.lib.format.open_memmap(path, "w+", np.float32, shape)
    for row in written.reshape(-1, shape[-1]):
        row[:] = mean + sd * generator.standard_normal(row.size, dtype=np.float32)
    written.flush()
    mapped: Rows = np.load(path, mmap_mode="r")
    return mapped


def fit_usual(matrix: ForgettingMatrix, earlier: FittedMethod | None = None) -> FittedMethod:
    gram = None if earlier is None else earlier.gram
    return fit_with(matrix, BLEND, USUAL_NOISE_SHARE, USUAL_DOUBT, usual_calibration(), gram)


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    began = time.perf_counter()
    result = work()
    return result, time.perf_counter() - began


def median_of(work: Callable[[], Any], repeats: int = 15) -> float:
    return float(np.median([timed(work)[1] for _ in range(repeats)]))


def copy_bandwidth() -> float:
    """Bytes per second that a copy reads and writes, the best of five over 128 MiB."""
    source = np.ones(16 * MIB)
    target = np.zeros_like(source)
    seconds = min(timed(lambda: np.copyto(target, source))[1] for _ in range(5))
    return 2 * source.nbytes / seconds


if __name__ == "__main__":
    if sys.argv[1:2] == ["--in-process"]:
        measure(int(sys.argv[2]))
    else:
        main([int(size) for size in sys.argv[1:]] or [WIDE, WIDER, WIDEST])
