"""Colours and axes that all pictures share."""

from __future__ import annotations

from matplotlib import pyplot
from matplotlib.axes import Axes

# Told apart with every kind of colour vision, and in print by how dark they are (Okabe and Ito, 2008).
BLUE, SKY, VERMILION, GREY = "#0072B2", "#9ecbe8", "#D55E00", "#767676"
DIVERGING = "RdBu_r"  # red is forgotten, blue is learned, white is neither; no green


def axes_or_new(axes: Axes | None, width: float, height: float) -> Axes:
    """The axes given, or those of a new figure of this size in inches."""
    if axes is not None:
        return axes
    _, made = pyplot.subplots(figsize=(width, height), layout="constrained")
    return made


def without_frame(axes: Axes) -> None:
    """Leave the lines to the left and below."""
    axes.spines[["top", "right"]].set_visible(False)
