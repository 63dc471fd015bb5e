"""The completion core: known rows and a few measured cells in, a completed row out. Numpy only."""

from forgetcast.completion.by_id.completed_matrix import CompletedMatrix
from forgetcast.completion.by_id.completed_row import CompletedCell, CompletedRow
from forgetcast.completion.by_id.probe_list import ProbeList
from forgetcast.completion.completer import Completer
from forgetcast.completion.fit_method import fit
from forgetcast.completion.matrix.forgetting_matrix import ForgettingMatrix
from forgetcast.completion.matrix.noise_floor import Repeat
from forgetcast.completion.matrix.repeats import Origin, RepeatedRow
from forgetcast.completion.methods.fitted_method import MODEL_VERSION, FittedMethod
from forgetcast.completion.methods.method import Method
from forgetcast.completion.methods.registry import BASELINES, DEFAULT_METHOD, METHODS
from forgetcast.completion.reports.analysis import analyse
from forgetcast.completion.reports.analysis_report import AnalysisReport
from forgetcast.completion.reports.backtest import ALL_METHODS, backtest
from forgetcast.completion.reports.backtest_report import BacktestReport
from forgetcast.completion.row_forecast import RowForecast
from forgetcast.completion.selection.probes import Design, ProbeSet, design_probes, expected_error, random_probes
from forgetcast.completion.selection.replay import ReplaySet, Strategy, default_max_weight, draw_replay_set
from forgetcast.completion.uncertainty.probe_mean import Interval

__all__ = [
    "ALL_METHODS",
    "BASELINES",
    "DEFAULT_METHOD",
    "METHODS",
    "MODEL_VERSION",
    "AnalysisReport",
    "BacktestReport",
    "CompletedCell",
    "CompletedMatrix",
    "CompletedRow",
    "Completer",
    "Design",
    "FittedMethod",
    "ForgettingMatrix",
    "Interval",
    "Method",
    "Origin",
    "ProbeList",
    "ProbeSet",
    "Repeat",
    "RepeatedRow",
    "ReplaySet",
    "RowForecast",
    "Strategy",
    "analyse",
    "backtest",
    "default_max_weight",
    "design_probes",
    "draw_replay_set",
    "expected_error",
    "fit",
    "random_probes",
]
