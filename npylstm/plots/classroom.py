"""Figures for teachers."""

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator


def plot_counts(ax: Axes, counts: Mapping[str, int], total: int, title: str) -> Axes:
    """Draw how many of `total` submissions there are of each kind, as bars from the top down.

    Parameters
    ----------
    ax : Axes
    counts : dict of str to int
        By name, in order.
    total : int
    title : str
    """
    bars = ax.barh(list(counts), list(counts.values()), color="#0072B2")
    ax.bar_label(bars, [f"{n} ({n / total:.0%})" for n in counts.values()], padding=3)
    ax.set(xlabel="submissions", title=title, xlim=(0, 1.15 * max(counts.values(), default=1)))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.invert_yaxis()
    ax.tick_params(axis="y", length=0, labelsize=9)
    ax.spines[["top", "right"]].set_visible(False)
    if not counts:
        ax.text(0.5, 0.5, "no mistakes", transform=ax.transAxes, ha="center")
    return ax
