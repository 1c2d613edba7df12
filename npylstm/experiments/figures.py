"""The studies' figures. Each takes a Matplotlib axes and a result, and returns the axes."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from npylstm.backend import Array
from npylstm.experiments.study import StudyResult

if TYPE_CHECKING:  # slow to import
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from npylstm.plots import Style

Part: TypeAlias = Callable[["Axes", StudyResult], "Axes"]


def panels(*parts: Part) -> Callable[["Figure", StudyResult], None]:
    """Return a function (figure, result) that draws parts (ax, result) side by side."""
    return partial(_side_by_side, parts)


def _side_by_side(parts: tuple[Part, ...], figure: "Figure", result: StudyResult) -> None:
    axes = figure.subplots(1, len(parts), squeeze=False)[0]
    for ax, part in zip(axes, parts, strict=True):
        part(ax, result)


def styles() -> tuple["Style", ...]:
    """Return the line styles of all figures; see `npylstm.plots`."""
    from npylstm.plots import STYLES  # brings Matplotlib, slow to import

    return STYLES


def colour(k: int) -> str:
    """Return the colour of the k-th line style."""
    return styles()[k]["color"]


def success_against_length(ax: "Axes", result: StudyResult) -> "Axes":
    """Draw how many networks of each kind solved the task at each length T."""
    from npylstm.plots import plot_solved

    lengths, names = result.settings["lengths"], result.settings["cells"]
    times = np.array([[result.curves[f"{name}, T={T}"] for T in lengths] for name in names])
    solved = np.isfinite(times).sum(axis=-1)
    return plot_solved(ax, solved, times.shape[-1], names, lengths)


def learning_curves(ax: "Axes", result: StudyResult) -> "Axes":
    """Draw each network's error against the sequences it has seen, and where it had learnt."""
    from npylstm.plots import legend_beside

    x, error = result.curves["sequences"], result.curves["error"]
    ax.plot(x, error, color=colour(5), linewidth=0.6)
    last = np.maximum.accumulate(np.where(np.isnan(error), 0, np.arange(len(error))[:, None]))
    median = np.median(np.take_along_axis(error, last, axis=0), axis=1)
    ax.plot(x, median, color="black", label="median")
    times = result.curves["solved at"]
    learnt = times[np.isfinite(times)]
    label = f"learnt ({len(learnt)} of {len(times)})"
    ax.plot(learnt, np.zeros_like(learnt), "|", label=label, color=colour(1), markersize=14,
            clip_on=False, in_layout=False)  # fmt: skip
    published = float(result.curves["published"])
    ax.axvline(published, color=colour(2), linestyle="--", label="published mean")
    ax.set(xlabel="training sequences", ylabel="mean absolute error", ylim=(0, None))
    legend_beside(ax)
    return ax


def cell_state_growth(ax: "Axes", result: StudyResult) -> "Axes":
    """Draw the largest cell state against the symbols read, for each kind of network."""
    from npylstm.plots import log_y

    for name, style in zip((row["network"] for row in result.rows), styles(), strict=False):
        c = result.curves[f"{name}: c"]
        shown = np.unique(np.geomspace(1, len(c), 30).astype(int))
        ax.semilogx(shown, c[shown - 1], markersize=4, label=name, **style)
    log_y(ax)
    ax.set(xlabel="symbols read", ylabel="largest |c|, median of the networks")
    ax.set_title("The cell state")
    ax.legend(fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2)
    return ax


def updates_to_solve(ax: "Axes", result: StudyResult) -> "Axes":
    """Draw after how many updates each network solved the task, one line of dots for each kind."""
    return _times(ax, result, result.settings["max_updates"], "updates until solved")


def strings_to_learn(ax: "Axes", result: StudyResult) -> "Axes":
    """Draw after how many strings each network had learnt the grammar, by the kind of network."""
    return _times(ax, result, result.settings["max_strings"], "strings until learnt")


def _times(ax: "Axes", result: StudyResult, cap: int, xlabel: str) -> "Axes":
    from npylstm.plots import plot_times

    names = [row["network"] for row in result.rows]
    return plot_times(ax, list(result.curves.values()), names, cap, xlabel)


def accuracy_against_epoch(ax: "Axes", result: StudyResult) -> "Axes":
    """Draw test accuracy against epoch, the mean and the range of all seeds."""
    from npylstm.plots import legend_beside, whole_ticks

    for (name, curve), style in zip(result.curves.items(), styles(), strict=False):
        epochs = np.arange(1, curve.shape[1] + 1)
        every = max(len(epochs) // 10, 1)
        ax.plot(epochs, 100 * curve.mean(axis=0), label=name, markevery=every, **style)
        ax.fill_between(
            epochs,
            100 * curve.min(axis=0),
            100 * curve.max(axis=0),
            color=style["color"],
            alpha=0.2,
        )
    ax.set(xlabel="epoch", ylabel="test accuracy, %")
    whole_ticks(ax)
    legend_beside(ax)
    return ax


def solved_against_bias(ax: "Axes", result: StudyResult) -> "Axes":
    """Draw against the forget bias how many networks solve the long lag, and MNIST's accuracy."""
    from npylstm.plots import legend_beside

    biases = result.curves["biases"]
    solved = 100 * np.isfinite(result.curves["updates"]).mean(axis=1)
    accuracy = result.curves["accuracy"]
    label = f"temporal order, T = {result.settings['T']}:\nnetworks that solve it"
    ax.plot(biases, solved, "o-", color=colour(0), label=label)
    spread = accuracy.std(axis=1, ddof=1) if accuracy.shape[1] > 1 else None
    ax.errorbar(biases, accuracy.mean(axis=1), spread, fmt="s--",
                color=colour(1), capsize=3, label="MNIST row by row:\ntest accuracy")  # fmt: skip
    ax.set(xlabel="forget bias at the start", ylabel="%", ylim=(-4, 104))
    legend_beside(ax)
    return ax


def resetting_cell(f: Array) -> Array:
    """Pick from f (S, 7, N) the cell that forgets at a string's B and not at the inner one: (S, 7).

    It is the same symbol two steps on, with the T or P to be remembered between them.
    """
    k = (f[:, 3] - f[:, 5]).argmin(axis=-1)
    return f[np.arange(len(f)), :, k]


def forgetting(ax: "Axes", result: StudyResult) -> "Axes":
    """Draw what the forget gate of the cell that keeps T or P does around a string's start."""
    symbols = np.arange(-3, 4)
    names = [row["network"] for row in result.rows if row["network"].startswith("forget")]
    for name, style in zip(names, styles(), strict=False):
        f = resetting_cell(result.curves[f"{name}: f"])
        low, median, high = np.quantile(f, [0.25, 0.5, 0.75], axis=0)
        ax.plot(symbols, median, label=name, **style)
        ax.fill_between(symbols, low, high, color=style["color"], alpha=0.2)
    ax.set_xticks(symbols, ["E", "T or P", "E", "B", "T or P", "B", "T or P"])
    ax.set(xlabel="symbol: the end of a string and the start of the next", ylabel="forget gate f")
    ax.set(ylim=(-0.03, 1.03))
    ax.set_title("The forget gate at the start of a string")
    ax.legend(fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2)
    return ax
