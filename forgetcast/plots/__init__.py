"""Pictures of known rows and of completed ones, for notebooks. They need matplotlib: pip install 'forgetcast[plots]'.

    from forgetcast import plots

    plots.spectrum(matrix)
    plots.heat_map(matrix)
    plots.row(completer.predict(cells), truth)

Each draws into `axes` where some are given, and returns the axes it drew into.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from forgetcast.errors import ConfigurationError

if TYPE_CHECKING:
    from forgetcast.plots.heat_map_plot import heat_map
    from forgetcast.plots.row_plot import row
    from forgetcast.plots.spectrum_plot import spectrum

__all__ = ["heat_map", "row", "spectrum"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"{__name__}.{name}_plot"), name)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        raise ConfigurationError(f"A picture needs {package}: pip install 'forgetcast[plots]'") from error
