"""The completion core: known rows and a few measured cells in, a completed row out. Numpy only."""

from forgetcast.completion.analysis import analyse
from forgetcast.completion.backtest import ALL_METHODS, backtest
from forgetcast.completion.fitted import DEFAULT_METHOD, METHODS, MODEL_VERSION, Fitted
from forgetcast.completion.fitting import fit
from forgetcast.completion.matrix import ForgettingMatrix
from forgetcast.completion.noise_floor import Repeat
from forgetcast.completion.probes import Design, ProbeSet, design_probes, expected_error, random_probes
from forgetcast.completion.repeats import Origin, RepeatedRow
from forgetcast.completion.replay import ReplaySet, Strategy, default_max_weight, draw_replay_set
from forgetcast.completion.row_forecast import Interval, RowForecast

__all__ = [
    "ALL_METHODS",
    "DEFAULT_METHOD",
    "METHODS",
    "MODEL_VERSION",
    "Design",
    "Fitted",
    "ForgettingMatrix",
    "Interval",
    "Origin",
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
