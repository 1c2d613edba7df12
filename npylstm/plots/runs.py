"""Figures of training runs. Every function draws into its axes or figure, and returns it.

Colour-blind readers can tell the colours apart (Okabe & Ito 2008; cividis). In grey print the lines
differ by their style and markers.
"""

from collections.abc import Mapping
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import ArrayLike

from npylstm.backend import AnyArray
from npylstm.plots.style import STYLES, legend_beside, log_y, whole_ticks


def plot_losses(ax: Axes, epochs: ArrayLike, train_loss: ArrayLike, test_loss: ArrayLike) -> Axes:
    """Draw the loss on training and test data after each epoch.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    epochs, train_loss, test_loss : array (E,)
        Losses in nats.
    """
    epochs, test = np.asarray(epochs), np.asarray(test_loss)
    for style, name, loss in (STYLES[0], "training", train_loss), (STYLES[1], "test", test):
        ax.plot(epochs, np.asarray(loss), label=name, markevery=_sparse(epochs), **style)
    best = test.argmin()
    ax.set(
        title=f"Test loss falls to {test[best]:.3f} at epoch {epochs[best]:.0f}",
        xlabel="epoch",
        ylabel="mean cross-entropy (nats)",
    )
    ax.set_ylim(bottom=0)
    whole_ticks(ax)
    legend_beside(ax)
    return ax


def plot_accuracy(ax: Axes, epochs: ArrayLike, accuracy: ArrayLike) -> Axes:
    """Draw the accuracy on test data after each epoch.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    epochs, accuracy : array (E,)
        Fractions, 0 to 1.
    """
    epochs, accuracy = np.asarray(epochs), np.asarray(accuracy)
    ax.plot(epochs, accuracy, markevery=_sparse(epochs), **STYLES[0])
    ax.set(
        title=f"{accuracy[-1]:.1%} of the test digits are right after epoch {epochs[-1]:.0f}",
        xlabel="epoch",
        ylabel="test accuracy",
        ylim=(0, 1.02),
    )
    whole_ticks(ax)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    ax.grid(alpha=0.3)
    return ax


def plot_confusion(ax: Axes, labels: AnyArray, predictions: AnyArray, classes: int) -> Axes:
    """Draw how often each class is mistaken for each other class.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    labels, predictions : array (N,) of int
        The right class numbers, and the network's.
    classes : int
        K, how many classes there are.
    """
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (labels, predictions), 1)
    wrong = counts * (1 - np.eye(classes, dtype=int))
    image = ax.imshow(wrong, cmap="cividis")  # the diagonal would hide everything else
    for (true, given), number in np.ndenumerate(counts):
        if number:
            bright = wrong[true, given] > wrong.max() / 2
            ax.text(
                *(given, true, str(number)),
                color="black" if bright else "white",
                weight="bold" if true == given else "normal",
                fontsize=8,
                ha="center",
                va="center",
            )
    title = "Every digit is read rightly"
    if wrong.any():
        true, given = np.unravel_index(wrong.argmax(), wrong.shape)
        title = f"The most frequent mistake: a {true} read as a {given} ({wrong.max()} times)"
    ax.set(
        title=title,
        xlabel="read as",
        ylabel="is",
        xticks=range(classes),
        yticks=range(classes),
    )
    ax.figure.colorbar(image, ax=ax, label="digits read wrongly")
    return ax


def plot_mistakes(
    figure: Figure,
    images: AnyArray,
    labels: AnyArray,
    probabilities: AnyArray,
    columns: int = 8,
    rows: int = 4,
) -> Figure:
    """Draw the pictures that were mistaken for another class with the greatest confidence.

    Parameters
    ----------
    figure : Figure
        Where to draw.
    images : array (N, height, width)
        The pictures, the larger the darker.
    labels : array (N,) of int
        The right class numbers.
    probabilities : array (N, K)
        The network's probability of each class.
    columns, rows : int
        How many pictures to draw at most.
    """
    given, confidence = probabilities.argmax(axis=-1), probabilities.max(axis=-1)
    wrong = np.flatnonzero(given != labels)
    shown = wrong[np.argsort(-confidence[wrong], kind="stable")][: columns * rows]
    axes = figure.subplots(rows, columns).ravel()
    for ax in axes:
        ax.axis("off")
    for ax, n in zip(axes, shown, strict=False):
        ax.imshow(images[n], cmap="gray_r")
        ax.set_title(f"{labels[n]} as {given[n]}, {confidence[n]:.0%}", fontsize=8)
    figure.suptitle(
        f"{len(wrong)} of {len(labels)} test digits are misread; "
        f"these {len(shown)} with the greatest confidence"
    )
    return figure


def plot_gradient_norms(ax: Axes, norms: Mapping[str, AnyArray], when: str) -> Axes:
    """Draw the size of the loss gradient at every time step: the median, and 80 % of the sequences.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    norms : dict of array (T, B)
        The gradient's norm with respect to each part of the state, `"h"` and so on.
    when : str
        What to call these gradients in the title.
    """
    for style, (name, values) in zip(cycle(STYLES), norms.items(), strict=False):
        quantiles = np.quantile(values, (0.1, 0.5, 0.9), axis=1)
        low, median, high = np.where(quantiles > 0, quantiles, np.nan)
        t = np.arange(len(values))
        ax.plot(t, median, label=rf"$\partial L/\partial {name}_t$", markevery=3, **style)
        ax.fill_between(t, low, high, color=style["color"], alpha=0.2, linewidth=0)
    name, values = next(iter(norms.items()))
    first, last = np.median(values[[0, -1]], axis=1)
    share = f"{first / last:.2g} of its size" if last else "zero, as"
    ax.set(
        title=f"{when}\n∂L/∂{name} at t = 0: {share} at t = {len(values) - 1}",
        xlabel="time step t",
        ylabel="norm of the gradient",
    )
    log_y(ax)
    whole_ticks(ax)
    legend_beside(ax)
    return ax


def _sparse(xs: AnyArray) -> int:
    """Return the distance between markers that leaves about ten of them."""
    return max(len(xs) // 10, 1)
