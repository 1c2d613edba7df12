"""Diagrams of a cell and of a network unrolled in time, with the letters of the code."""

import itertools
import os
from pathlib import Path
from typing import TypeAlias

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from npylstm.files import naming

Point: TypeAlias = tuple[float, float]

INK, BACK, FILL = "#1a1a1a", "#D55E00", "#F2F2F2"
ARROW = {"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0, "linewidth": 1.2}


def _canvas(ax: Axes, width: float, height: float) -> Axes:
    ax.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    ax.axis("off")
    return ax


def _box(ax: Axes, at: Point, text: str, round_: bool = False) -> None:
    """Draw a function (a box) or an operation on two values (a circle)."""
    style = "circle,pad=0.25" if round_ else "round,pad=0.35"
    shape = {"boxstyle": style, "facecolor": FILL if not round_ else "white", "edgecolor": INK}
    ax.text(*at, text, ha="center", va="center", fontsize=10, color=INK, bbox=shape, zorder=3)


def _line(ax: Axes, *points: Point, label: str = "", at: Point | None = None) -> None:
    """Draw a path that a value takes forward, with an arrow at its end and perhaps its name."""
    xs, ys = zip(*points[:-1], strict=True)
    ax.plot(xs, ys, color=INK, linewidth=1.2, zorder=1, solid_joinstyle="round")
    ax.annotate("", points[-1], points[-2], arrowprops=ARROW | {"color": INK}, zorder=1)
    if label:
        ax.text(*(at or points[-1]), label, ha="center", va="center", fontsize=10, color=INK)


def _back(ax: Axes, start: Point, end: Point, label: str, lift: float = 0.25) -> None:
    """Draw the path of a gradient: dashed, backwards in time."""
    arrow = ARROW | {"color": BACK, "linestyle": (0, (4, 2))}
    ax.annotate("", end, start, arrowprops=arrow, zorder=2)
    x, y = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
    ax.text(x, y + lift, label, ha="center", va="center", fontsize=9, color=BACK)


def lstm_cell_diagram(ax: Axes) -> Axes:
    """Draw one step of an `LSTMCell`: what each gate reads, and the path of c through it.

    Parameters
    ----------
    ax : Axes
        Where to draw; its limits and frame are set.
    """
    _canvas(ax, 12.4, 6.4)
    gates = {"f": 2.6, "i": 4.6, "g": 6.2, "o": 8.4}
    for gate, x in gates.items():
        _box(ax, (x, 2.2), "tanh" if gate == "g" else "σ")
        _line(ax, (x, 0.9), (x, 1.8))
    # all gates read x and h_prev
    ax.plot([1.0, gates["o"]], [0.9, 0.9], color=INK, linewidth=1.2)
    _line(ax, (1.6, 0.1), (1.6, 0.9), label="x", at=(1.6, -0.15))
    ax.text(0.55, 0.9, "h_prev", ha="center", va="center", fontsize=10)
    # the path of c
    _line(ax, (1.0, 5.2), (2.3, 5.2))
    ax.text(0.55, 5.2, "c_prev", ha="center", va="center", fontsize=10)
    _box(ax, (2.6, 5.2), "⊙", round_=True)
    _line(ax, (2.9, 5.2), (5.1, 5.2))
    _box(ax, (5.4, 5.2), "+", round_=True)
    _line(ax, (5.7, 5.2), (11.5, 5.2), label="c", at=(11.8, 5.2))
    _line(ax, (2.6, 2.6), (2.6, 4.9))
    _box(ax, (5.4, 3.8), "⊙", round_=True)
    _line(ax, (4.6, 2.6), (4.6, 3.8), (5.1, 3.8))
    _line(ax, (6.2, 2.6), (6.2, 3.8), (5.7, 3.8))
    _line(ax, (5.4, 4.1), (5.4, 4.9))
    # the output
    _box(ax, (9.8, 4.1), "tanh")
    _line(ax, (9.8, 5.2), (9.8, 4.5))
    _box(ax, (9.8, 2.9), "⊙", round_=True)
    _line(ax, (9.8, 3.7), (9.8, 3.2))
    _line(ax, (8.4, 2.6), (8.4, 2.9), (9.5, 2.9))
    _line(ax, (10.1, 2.9), (11.5, 2.9), label="h", at=(11.8, 2.9))
    for gate, place in {
        "f": (2.35, 3.3),
        "i": (4.35, 3.2),
        "g": (6.45, 3.2),
        "o": (8.15, 2.95),
    }.items():
        ax.text(*place, gate, ha="center", va="center", fontsize=10, style="italic")
    _back(
        ax, (11.4, 5.85), (1.0, 5.85), "dc_prev = dc ⊙ f: the gradient's way back through c", 0.28
    )
    return ax


def _unrolled(ax: Axes, steps: int) -> list[float]:
    """Draw `steps` copies of a cell, the loss above the last; return the places of the copies."""
    places = [1.6 + 2.4 * t for t in range(steps)]
    for t, x in enumerate(places):
        name = str(t) if t < steps - 1 else "T-1"
        name = "…" if t == steps - 2 else name
        if name == "…":
            ax.text(x, 2.4, "…", ha="center", va="center", fontsize=16)
        else:
            _box(ax, (x, 2.4), "cell")
            _line(ax, (x, 1.2), (x, 1.95), label=f"xs[{name}]", at=(x, 0.95))
        _line(ax, (x - 1.7 if t else x - 1.3, 2.4), (x - 0.65, 2.4))
    ax.text(places[0] - 1.3, 2.75, "state0", ha="center", va="center", fontsize=10)
    _line(ax, (places[-1], 2.85), (places[-1], 3.7))
    _box(ax, (places[-1], 4.1), "loss")
    return places


def unrolled_diagram(ax: Axes) -> Axes:
    """Draw a network unrolled in time and the gradient's way back, with one set of weights.

    Parameters
    ----------
    ax : Axes
        Where to draw; its limits and frame are set.
    """
    _canvas(ax, 13.0, 4.6)
    places = _unrolled(ax, 5)
    _back(ax, (places[-1] + 0.35, 3.7), (places[-1] + 0.35, 2.85), "", 0)
    ax.text(places[-1] + 1.0, 3.3, "doutputs", ha="center", va="center", fontsize=9, color=BACK)
    for left, right in itertools.pairwise(places):
        _back(ax, (right - 0.65, 1.95), (left + 0.65, 1.95), "dstate", -0.22)
    ax.text(places[1], 3.5, "one set of weights: every step adds to its gradient", fontsize=10,
            ha="center", va="center", color=INK)  # fmt: skip
    return ax


def truncation_diagram(ax: Axes) -> Axes:
    """Draw truncated back-propagation, BPTT(k2; k1): each error goes back at most k2 steps.

    Parameters
    ----------
    ax : Axes
        Where to draw; its limits and frame are set.

    Notes
    -----
    After Williams & Peng (1990); drawn for k1 = 2 and k2 = 4.
    """
    _canvas(ax, 13.4, 5.2)
    places = [1.0 + 1.6 * t for t in range(8)]
    for t, x in enumerate(places):
        _box(ax, (x, 0.9), f"{t}")
        if t:
            _line(ax, (places[t - 1] + 0.35, 0.9), (x - 0.38, 0.9))
    for row, stop in enumerate((8, 6, 4)):
        y = 1.9 + row
        first, last = max(stop - 4, 0), stop - 1
        for t in range(stop - 2, stop):
            ax.plot(places[t], y, "o", color=BACK, markersize=6, zorder=3)
        _back(ax, (places[last], y), (places[first] - 0.35, y), "", 0)
        text = f"errors of steps {stop - 2} and {stop - 1}"
        ax.text(places[last], y + 0.32, text, ha="right", fontsize=9, color=BACK)
    text = (
        "Every k1 = 2 steps a pass: it covers k2 = 4 steps, and errors enter in the last k1 of them"
    )
    ax.text(places[0] - 0.4, 5.0, text, fontsize=10, ha="left", va="center", color=INK)
    return ax


DIAGRAMS = {
    "lstm-cell": (lstm_cell_diagram, (8.7, 4.5)),
    "unrolled": (unrolled_diagram, (8.7, 3.1)),
    "truncation": (truncation_diagram, (8.7, 3.4)),
}
"""Every diagram by the name of its file, with its width and height in inches."""


def save_diagrams(folder: str | os.PathLike[str]) -> list[Path]:
    """Write every diagram into a folder as an SVG file, and return the files."""
    paths = []
    with mpl.rc_context({"svg.hashsalt": "npylstm"}):  # the same file from the same code
        for name, (draw, size) in DIAGRAMS.items():
            figure = Figure(figsize=size, layout="constrained")
            draw(figure.subplots())
            paths.append(Path(folder, f"{name}.svg"))
            with naming(paths[-1]):
                figure.savefig(paths[-1], metadata={"Date": None}, facecolor="white")
    return paths
