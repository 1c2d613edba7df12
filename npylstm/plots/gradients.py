"""Figures of the gradient laboratory. Every function draws into axes, and returns them.

Colour-blind readers can read them, and so can readers of a grey print.
"""

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from numpy.typing import ArrayLike

from npylstm.backend import AnyArray
from npylstm.plots.style import STYLES, legend_beside, log_y, whole_ticks


def plot_against_lag(
    ax: Axes,
    lines: Mapping[str, ArrayLike],
    title: str,
    ylabel: str = "gradient norm, relative to lag 0",
) -> Axes:
    """Draw how something grows or shrinks with the number of steps back through time.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    lines : dict of array (L,) or (L, B)
        For each line its values at lags 0 to L - 1. For B sequences the median and the middle 80 %
        are drawn. NaN and zero are not drawn; a logarithmic axis has no zero.
    title, ylabel : str
        What it shows.
    """
    for style, (name, line) in zip(cycle(STYLES), lines.items(), strict=False):
        values = np.reshape(line, (len(np.asarray(line)), -1))
        known = np.where(np.isnan(values).all(axis=1, keepdims=True), 0, values)
        quantiles = np.nanquantile(known, (0.1, 0.5, 0.9), axis=1)
        low, median, high = np.where(quantiles > 0, quantiles, np.nan)
        lags = np.arange(len(values))
        ax.plot(lags, median, label=name, markevery=_every(len(lags)), markersize=5, **style)
        ax.fill_between(lags, low, high, color=style["color"], alpha=0.15, linewidth=0)
    ax.set(title=title, xlabel="lag (steps back from the last)", ylabel=ylabel)
    log_y(ax)
    whole_ticks(ax)
    ax.grid(alpha=0.3)
    return ax


def plot_training_map(
    ax: Axes,
    updates: ArrayLike,
    norms: AnyArray,
    accuracy: ArrayLike,
    title: str,
    limits: tuple[float, float] = (1e-5, 10),
) -> Axes:
    """Draw how gradients at every lag change while a network learns, and its accuracy.

    Parameters
    ----------
    ax : Axes
        Where to draw; `ax.collections[0]` has the colours that a colour bar needs.
    updates : array (N,)
        The number of updates before each measurement.
    norms : array (N, L)
        Gradient norms at lags 0 to L - 1.
    accuracy : array (N,)
        From 0 to 1.
    title : str
        What it shows.
    limits : tuple of float
        The norms that are drawn darkest and brightest.
    """
    ax.pcolormesh(
        np.asarray(updates),
        np.arange(norms.shape[1]),
        np.clip(norms.T, *limits),
        norm=LogNorm(*limits),
        cmap="cividis",
        shading="nearest",
        rasterized=True,
    )
    ax.set(title=title, xlabel="training updates", ylabel="lag (steps back from the last)")
    whole_ticks(ax)
    right = ax.twinx()
    right.plot(np.asarray(updates), np.asarray(accuracy), color="black", linewidth=3)
    right.plot(np.asarray(updates), np.asarray(accuracy), color="white", linewidth=1.5)
    right.set(ylabel="accuracy (line)", ylim=(0, 1))
    return ax


def plot_singular_values(ax: Axes, spectra: Mapping[str, AnyArray], title: str) -> Axes:
    """Draw the singular values of matrices, largest first.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    spectra : dict of array (n,)
        Singular values by the name of the matrix; zeros are left out.
    title : str
        What it shows.
    """
    for style, (name, values) in zip(cycle(STYLES), spectra.items(), strict=False):
        shown = np.where(values > 0, values, np.nan)
        index = np.arange(1, len(values) + 1)
        ax.plot(index, shown, label=name, markevery=_every(len(index)), markersize=5, **style)
    ax.set(title=title, xlabel="number, by size", ylabel="singular value")
    log_y(ax)
    whole_ticks(ax)
    ax.axhline(1, color="grey", linewidth=0.8)
    ax.grid(alpha=0.3)
    return ax


def plot_cliff(
    ax: Axes,
    w: AnyArray,
    b: AnyArray,
    error: AnyArray,
    paths: Mapping[str, AnyArray],
    title: str,
) -> Axes:
    """Draw an error over two parameters, and how gradient descent walks there.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    w : array (M,)
    b : array (N,)
        The grid.
    error : array (N, M)
        The error at every point.
    paths : dict of array (K, 2)
        Two paths: w and b after each step. The second is drawn over the first; a jump out of the
        picture is drawn to its edge.
    title : str
        What it shows.
    """
    filled = ax.contourf(w, b, error, levels=20, cmap="cividis")
    ax.figure.colorbar(filled, ax=ax, label="error")
    looks = (("#E69F00", "--", "s"), ("#FFFFFF", "-", "o"))
    for (colour, line, marker), (name, path) in zip(looks, paths.items(), strict=True):
        ax.plot(*path.T, color=colour, linestyle=line, marker=marker, markersize=4,
                markeredgecolor="black", markeredgewidth=0.5, label=name)  # fmt: skip
    start = next(iter(paths.values()))[0]
    ax.plot(*start, "*", color="white", markeredgecolor="black", markersize=14, label="start")
    ax.set(title=title, xlabel="weight w", ylabel="bias b", xlim=w[[0, -1]], ylim=b[[0, -1]])
    legend_beside(ax, facecolor="lightgrey")
    return ax


def plot_trace(ax: Axes, trace: AnyArray, title: str, limits: tuple[float, float] = (0, 1)) -> Axes:
    """Draw every unit's activation at every step of one sequence.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    trace : array (T, H)
        The activations.
    title : str
        What it shows.
    limits : tuple of float
        The activations that are drawn darkest and brightest.
    """
    image = ax.imshow(
        trace.T, cmap="cividis", aspect="auto", vmin=limits[0], vmax=limits[1], interpolation="none"
    )
    ax.set(title=title, xlabel="time step t (row of the picture)", ylabel="unit")
    whole_ticks(ax)
    ax.figure.colorbar(image, ax=ax)
    return ax


def plot_activations(ax: Axes, gates: Mapping[str, AnyArray], title: str) -> Axes:
    """Draw how often a gate takes each value, with the two regions where it is saturated shaded.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    gates : dict of array
        Activations of any shape, from 0 to 1, by name.
    title : str
        What it shows.
    """
    for style, (name, values) in zip(cycle(STYLES), gates.items(), strict=False):
        share, edges = np.histogram(values, bins=20, range=(0, 1))
        ax.stairs(share / values.size, edges, label=name, linewidth=1.8, color=style["color"],
                  linestyle=style["linestyle"])  # fmt: skip
    for shut, opened in ((0, 0.1), (0.9, 1)):
        ax.axvspan(shut, opened, color="grey", alpha=0.15, linewidth=0)
    ax.set(title=title, xlabel="activation", ylabel="fraction of all units and steps", xlim=(0, 1))
    return ax


def plot_half_lives(ax: Axes, half_lives: Mapping[str, AnyArray], title: str) -> Axes:
    """Draw how long the units of networks remember, from the most forgetful unit up.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    half_lives : dict of array (H,)
        In steps, by the network's name; units that never forget are left out.
    title : str
        What it shows.
    """
    for style, (name, steps) in zip(cycle(STYLES), half_lives.items(), strict=False):
        units = np.arange(1, len(steps) + 1) / len(steps)
        ax.plot(np.sort(steps), units, label=name, markevery=3, markersize=5, **style)
    ax.set(
        title=title,
        xlabel="half-life of the cell state (time steps)",
        ylabel="fraction of units that forget at least as fast",
        xscale="log",
        ylim=(0, 1.02),
    )
    ax.grid(alpha=0.3)
    return ax


def plot_truncation(
    ax: Axes, lengths: ArrayLike, lines: Mapping[str, ArrayLike], title: str, ylabel: str
) -> Axes:
    """Draw how the truncated gradient differs from the full one against the steps it is carried.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    lengths : array (K,)
        Truncation lengths.
    lines : dict of array (K,)
        The measured values, by the network's name.
    title, ylabel : str
        What it shows.
    """
    for style, (name, values) in zip(cycle(STYLES), lines.items(), strict=False):
        ax.plot(np.asarray(lengths), np.asarray(values), label=name, markersize=5, **style)
    ax.set(title=title, xlabel="truncation length (time steps)", ylabel=ylabel)
    whole_ticks(ax)
    ax.grid(alpha=0.3)
    return ax


def plot_exponents(
    ax: Axes, norms: Mapping[str, AnyArray], exponents: Sequence[float], title: str
) -> Axes:
    """Draw measured gradient norms as marks, and what the first Lyapunov exponents say as lines.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    norms : dict of array (L,)
        Mean logarithm of the gradient norm at lags 0 to L - 1, in nats.
    exponents : sequence of float
        The first Lyapunov exponent of each, in nats per step.
    title : str
        What it shows.
    """
    for style, (name, norm), exponent in zip(cycle(STYLES), norms.items(), exponents, strict=False):
        lags = np.arange(len(norm))
        if np.isfinite(exponent):
            ax.plot(lags, exponent * lags, color=style["color"], linewidth=1)
        ax.plot(lags, norm - norm[0], label=f"{name}: {exponent:+.3f}", linestyle="none",
                marker=style["marker"], color=style["color"],
                markevery=_every(len(lags)))  # fmt: skip
    ax.set(
        title=title,
        xlabel="lag (steps back from the last)",
        ylabel="ln of the gradient norm, from lag 0 (nats)",
    )
    whole_ticks(ax)
    legend_beside(ax, title="network: first exponent")
    return ax


def _every(points: int) -> int:
    """Return the distance between markers that leaves about ten of them."""
    return max(points // 10, 1)
