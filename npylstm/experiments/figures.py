"""The studies' figures. Each takes a Matplotlib axes and a result, and returns the axes."""

from typing import Any

import numpy as np

from npylstm.experiments.results import Result


def styles() -> tuple[dict[str, Any], ...]:
    """Return the line styles of all figures; see `npylstm.plots.runs`."""
    from npylstm.plots import STYLES  # brings Matplotlib, slow to import

    return STYLES


def colour(k: int) -> str:
    """Return the colour of the k-th line style."""
    return str(styles()[k]["color"])


def success_against_length(ax: Any, result: Result) -> Any:
    """Draw the fraction of networks that solved the task against the length T."""
    lengths = result.settings["lengths"]
    networks = result.settings["cells"]
    for k, (network, style) in enumerate(zip(networks, styles(), strict=False)):
        solved = [np.isfinite(result.curves[f"{network}, T={T}"]).mean() for T in lengths]
        shift = 0.008 * (k - len(networks) / 2)  # so that lines on top of each other all show
        ax.plot(lengths, np.array(solved) + shift, label=network, **style)
    ax.set(xlabel="length T", ylabel="fraction of networks that solve it", ylim=(-0.06, 1.06))
    ax.set_xscale("log")
    ax.set_xticks(lengths, [str(T) for T in lengths])
    ax.minorticks_off()
    ax.set_title(result.title)
    ax.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


def learning_curves(ax: Any, result: Result) -> Any:
    """Draw each network's error against the sequences it has seen, and where it had learnt."""
    x, error = result.curves["sequences"], result.curves["error"]
    ax.plot(x, error, color=colour(5), linewidth=0.6)
    last = np.maximum.accumulate(np.where(np.isnan(error), 0, np.arange(len(error))[:, None]))
    median = np.median(np.take_along_axis(error, last, axis=0), axis=1)
    ax.plot(x, median, color="black", label="median; who has learnt keeps the last error")
    learnt = result.curves["solved at"]
    learnt = learnt[np.isfinite(learnt)]
    ticks = {"color": colour(1), "markersize": 14, "clip_on": False, "in_layout": False}
    label = f"learnt ({result.rows[0]['solved']})"
    ax.plot(learnt, np.zeros_like(learnt), "|", label=label, **ticks)
    published = float(result.curves["published"])
    ax.axvline(published, color=colour(2), linestyle="--", label="published mean")
    ax.set(xlabel="training sequences", ylabel="mean absolute error", ylim=(0, None))
    ax.set_title(result.title)
    ax.legend(fontsize="small")
    return ax


def cell_state_growth(ax: Any, result: Result) -> Any:
    """Draw the largest cell state against the symbols read, for each kind of network."""
    for name, style in zip((row["network"] for row in result.rows), styles(), strict=False):
        c = result.curves[f"{name}: c"]
        shown = np.unique(np.geomspace(1, len(c), 30).astype(int))
        ax.loglog(shown, c[shown - 1], markersize=4, label=name, **style)
    ax.set(xlabel="symbols read", ylabel="largest |c|, median of the networks")
    ax.set_title("Without a forget gate the cell state grows without end")
    ax.legend(fontsize="small")
    return ax


def updates_to_solve(ax: Any, result: Result) -> Any:
    """Draw after how many updates each network solved the task, one line of dots for each kind."""
    return _times(ax, result, result.settings["max_updates"], "updates until solved")


def strings_to_learn(ax: Any, result: Result) -> Any:
    """Draw after how many strings each network had learnt the grammar, by the kind of network."""
    return _times(ax, result, result.settings["max_strings"], "strings until learnt")


def _times(ax: Any, result: Result, cap: int, label: str) -> Any:
    for y, (row, times) in enumerate(zip(result.rows, result.curves.values(), strict=True)):
        solved = np.sort(times[np.isfinite(times)])
        spread = np.linspace(-0.2, 0.2, len(times))  # so that equal times show as several dots
        ax.plot(solved, y + spread[: len(solved)], "o", color=colour(0), markersize=4)
        if len(solved):
            ax.plot(np.median(solved), y, "|", color="black", markersize=16, markeredgewidth=2)
        ax.text(1.02 * cap, y, row["solved"], va="center")
    ax.axvline(cap, color="grey", linestyle=":")
    ax.set_yticks(range(len(result.rows)), [row["network"] for row in result.rows])
    ax.set(xlim=(0, 1.12 * cap), xlabel=f"{label} (bar: median; right: how many did)")
    ax.invert_yaxis()
    ax.set_title(result.title, loc="right")  # the labels leave room on the left
    return ax


def accuracy_against_epoch(ax: Any, result: Result) -> Any:
    """Draw test accuracy against epoch, the mean and the range of all seeds."""
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
    ax.set(xlabel="epoch", ylabel="test accuracy, % (mean and range of all seeds)")
    ax.set_title(result.title)
    ax.legend(fontsize="small")
    return ax


def solved_against_bias(ax: Any, result: Result) -> Any:
    """Draw against the forget bias how many networks solve the long lag, and MNIST's accuracy."""
    biases = result.curves["biases"]
    solved = 100 * np.isfinite(result.curves["updates"]).mean(axis=1)
    accuracy = result.curves["accuracy"]
    label = f"temporal order, T = {result.settings['T']}: networks that solve it"
    ax.plot(biases, solved, "o-", color=colour(0), label=label)
    ax.errorbar(biases, accuracy.mean(axis=1), accuracy.std(axis=1, ddof=1), fmt="s--",
                color=colour(1), capsize=3, label="MNIST row by row: test accuracy")  # fmt: skip
    ax.set(xlabel="forget bias at the start", ylabel="%", ylim=(-4, 104))
    ax.set_title("The forget bias decides over a long lag and matters little over a short one")
    ax.legend(fontsize="small")
    return ax


def resetting_cell(f: Any) -> Any:
    """Pick from f (S, 7, N) the cell that forgets at a string's B and not at the inner one: (S, 7).

    It is the same symbol two steps on, with the T or P to be remembered between them.
    """
    k = (f[:, 3] - f[:, 5]).argmin(axis=-1)
    return f[np.arange(len(f)), :, k]


def forgetting(ax: Any, result: Result) -> Any:
    """Draw what the forget gate of the cell that keeps T or P does around a string's start."""
    symbols = np.arange(-3, 4)
    names = [row["network"] for row in result.rows if row["network"].startswith("forget")]
    for name, style in zip(names, styles(), strict=False):
        f = resetting_cell(result.curves[f"{name}: f"])
        low, median, high = np.quantile(f, [0.25, 0.5, 0.75], axis=0)
        ax.plot(symbols, median, label=f"{name} (median and quartiles)", **style)
        ax.fill_between(symbols, low, high, color=style["color"], alpha=0.2)
    ax.set_xticks(symbols, ["E", "T or P", "E", "B", "T or P", "B", "T or P"])
    ax.set(xlabel="symbol: the end of a string and the start of the next", ylabel="forget gate f")
    ax.set(ylim=(-0.03, 1.03))
    ax.set_title("The network learns to forget at the start of a string")
    ax.legend(fontsize="small")
    return ax
