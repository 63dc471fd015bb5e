"""Reports on a matrix as the service sends them: those of forgetcast.completion, and which version they are of.

Not among the other shapes, which are loaded without numpy.
"""

from __future__ import annotations

from dataclasses import dataclass

from forgetcast.completion.reports.analysis_report import AnalysisReport
from forgetcast.completion.reports.backtest_report import BacktestReport


@dataclass(frozen=True, kw_only=True)
class MatrixBacktest(BacktestReport):
    """Forecasts of known tasks that were left out, beside the truth, by method."""

    matrix: str
    matrix_version: int


@dataclass(frozen=True)
class MatrixAnalysis(AnalysisReport):
    """What the known rows look like: rank, noise, who forgets, what is forgotten."""

    matrix: str
    matrix_version: int
