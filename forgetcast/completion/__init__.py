"""The completion core: known rows and a few measured cells in, a completed row out. Numpy only."""

from forgetcast.completion.by_id.completed_matrix import CompletedMatrix
from forgetcast.completion.by_id.completed_row import CompletedCell, CompletedRow
from forgetcast.completion.by_id.probe_list import ProbeList
from forgetcast.completion.completer import Completer
from forgetcast.completion.exact_match.backtest import ALL_EXACT_MATCH_METHODS, backtest_exact_match
from forgetcast.completion.exact_match.backtest_report import ExactMatchReport
from forgetcast.completion.exact_match.fit_exact_match import FittedExactMatch, fit_exact_match
from forgetcast.completion.exact_match.lost_cells import exact_match_matrix
from forgetcast.completion.exact_match.lost_forecast import LostForecast
from forgetcast.completion.exact_match.methods import EXACT_MATCH_METHODS
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
    "ALL_EXACT_MATCH_METHODS",
    "ALL_METHODS",
    "BASELINES",
    "DEFAULT_METHOD",
    "EXACT_MATCH_METHODS",
    "METHODS",
    "MODEL_VERSION",
    "AnalysisReport",
    "BacktestReport",
    "CompletedCell",
    "CompletedMatrix",
    "CompletedRow",
    "Completer",
    "Design",
    "ExactMatchReport",
    "FittedExactMatch",
    "FittedMethod",
    "ForgettingMatrix",
    "Interval",
    "LostForecast",
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
    "backtest_exact_match",
    "default_max_weight",
    "design_probes",
    "draw_replay_set",
    "exact_match_matrix",
    "expected_error",
    "fit",
    "fit_exact_match",
    "random_probes",
]
