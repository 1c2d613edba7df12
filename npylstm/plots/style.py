"""The styles of lines that all figures share.

Colour-blind readers can tell the colours apart (Okabe & Ito 2008; cividis). In grey print the lines
differ by their style and markers.
"""

from typing import TypedDict

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator


class Style(TypedDict):
    """How a line looks: options of Matplotlib's `plot`."""

    color: str
    linestyle: str | tuple[int, tuple[int, ...]]
    marker: str


STYLES: tuple[Style, ...] = (
    {"color": "#0072B2", "linestyle": "-", "marker": "o"},
    {"color": "#D55E00", "linestyle": "--", "marker": "s"},
    {"color": "#009E73", "linestyle": "-.", "marker": "^"},
    {"color": "#CC79A7", "linestyle": ":", "marker": "D"},
    {"color": "#000000", "linestyle": (0, (5, 1, 1, 1)), "marker": "v"},
    {"color": "#56B4E9", "linestyle": (0, (3, 1, 1, 1, 1, 1)), "marker": "x"},
    {"color": "#E69F00", "linestyle": (0, (8, 2)), "marker": "P"},
    {"color": "#000000", "linestyle": (0, (1, 3)), "marker": "*"},
    {"color": "#0072B2", "linestyle": (0, (8, 2, 1, 2)), "marker": "<"},
    {"color": "#D55E00", "linestyle": (0, (2, 2)), "marker": ">"},
)
"""Styles for the lines of a plot, in order: all combinations differ, and seven colours differ."""


def log_y(ax: Axes) -> None:
    """Make the y-axis logarithmic, or say why it can't be: everything drawn is zero."""
    if any((np.asarray(line.get_ydata(), float) > 0).any() for line in ax.get_lines()):
        ax.set_yscale("log")
    else:
        ax.text(0.5, 0.5, "all exactly zero", transform=ax.transAxes, ha="center")


def whole_ticks(ax: Axes) -> None:
    """Mark whole numbers only on the x-axis, which counts steps, epochs or units."""
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def legend_beside(ax: Axes, **options: "str | float") -> None:
    """Put the legend to the right of the axes, where it hides no line."""
    look = {"loc": "upper left", "bbox_to_anchor": (1.01, 1), "borderaxespad": 0}
    ax.legend(**{**look, "fontsize": "small", **options})
