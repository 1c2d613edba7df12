"""Figures of studies: which networks learnt a task, and when."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from npylstm.backend import AnyArray
from npylstm.plots.style import STYLES


def plot_solved(
    ax: Axes, solved: AnyArray, n: int, names: Sequence[str], lengths: Sequence[int]
) -> Axes:
    """Draw how many networks of each kind solved a task at each length, as a grid of numbers.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    solved : array (N, L) of int
        How many of n networks solved the task, by kind and length.
    n : int
        How many there are of each kind.
    names : sequence of str
        The kinds.
    lengths : sequence of int
        The lengths.
    """
    image = ax.imshow(solved / n, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    for (row, column), count in np.ndenumerate(solved):
        ax.text(column, row, f"{count}/{n}", ha="center", va="center",
                color="black" if count > n / 2 else "white")  # fmt: skip
    ax.set_xticks(range(len(lengths)), [f"{T:,}" for T in lengths])
    ax.set_yticks(range(len(names)), names)
    ax.set(xlabel="length T (time steps)")
    ax.figure.colorbar(image, ax=ax, label="fraction that solves it")
    return ax


def plot_times(
    ax: Axes, times: Sequence[AnyArray], names: Sequence[str], cap: int, xlabel: str
) -> Axes:
    """Draw when each network solved a task: a line of dots for each kind, a bar at their median.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    times : sequence of array (S,)
        When each network of a kind solved it; NaN if it never did.
    names : sequence of str
        The kinds.
    cap : int
        When training of the others stopped.
    xlabel : str
        What time is counted in.
    """
    for y, all_times in enumerate(times):
        solved = np.sort(all_times[np.isfinite(all_times)])
        offsets = np.linspace(-0.2, 0.2, len(all_times))  # so that equal times show as several dots
        ax.plot(solved, y + offsets[: len(solved)], "o", color=STYLES[0]["color"], markersize=4)
        if len(solved):
            ax.plot(np.median(solved), y, "|", color="black", markersize=16, markeredgewidth=2)
        ax.text(1.02 * cap, y, f"{len(solved)}/{len(all_times)}", va="center")
    ax.axvline(cap, color="grey", linestyle=":")
    ax.set_yticks(range(len(names)), names)
    ax.set(xlim=(0, 1.12 * cap), xlabel=xlabel)
    ax.invert_yaxis()
    return ax
