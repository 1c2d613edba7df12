"""Remember or compute: a cell can hold a bit for long and still not be able to count.

Two tasks on random bits, the first of them marked, with an answer at every step. *Remember*: the
first bit (without the mark only a cell that sees its own state knows which it is). *Compute*: is
the number of ones so far odd? There the state must change at every one, and by nothing else.
Networks learn both from short sequences, and are tested on sequences ten times as long. What can
be learnt is one thing, what a cell can express another: a linear recurrence whose eigenvalues are
positive, as where gates do not see the state, can't keep a parity at all (Sarrof, Veitsman & Hahn
2024; Grazzi et al. 2024).
"""

from concurrent.futures import Executor
from functools import partial
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from npylstm.backend import AnyArray, Array, to_device, to_numpy
from npylstm.checks import Option
from npylstm.data import Batch
from npylstm.experiments.networks import SUCCESSORS
from npylstm.experiments.study import (
    Measured,
    Study,
    StudyResult,
    TableRow,
    Verdict,
    listed,
    solved_row,
    spread,
)
from npylstm.experiments.success import SETTINGS, LengthTask, train

if TYPE_CHECKING:  # slow to import
    from matplotlib.figure import Figure

LONGER = (1, 2, 5, 10)
"""How many times as long the test's sequences are."""

MOST = 0.99
"""A network can do a task if it is right at the last step of at least this share of sequences."""


def bits(kind: str, rng: np.random.Generator, T: int, size: tuple[int, ...]) -> Batch:
    """Draw random bits, one-hot, with a mark at the first, and what to say at every step."""
    drawn = rng.integers(0, 2, (T, *size))
    targets = (
        drawn.cumsum(axis=0) % 2 if kind == "compute" else np.broadcast_to(drawn[0], drawn.shape)
    )
    xs = np.zeros((T, *size, 3), np.float32)
    xs[..., :2] = np.eye(2)[drawn]
    xs[0, ..., 2] = 1
    return Batch(xs, targets, np.full(size, T))


def wrong_anywhere(y: Array, batch: Batch) -> AnyArray:
    """Return where the answer is wrong at one step or more."""
    wrong: AnyArray = (y.argmax(axis=-1) != batch.targets).any(axis=0)
    return wrong


TASKS = {
    kind: LengthTask(
        partial(bits, kind), inputs=3, outputs=2, wrong=wrong_anywhere, every_step=True
    )
    for kind in ("remember", "compute")
}


def job(kind: str, name: str, /, *, T: int, **how: Option) -> tuple[Array, Array]:
    """Train S networks; return when each had learnt, and the share right at each length (S, L)."""
    model, params, updates = train(TASKS[kind], name, T, **how)
    n, S = how["test_sequences"], how["seeds"]
    shares = []
    for times in LONGER:
        test = bits(kind, np.random.default_rng([how["seed"], T, times]), times * T, (1, n))
        xs = np.broadcast_to(test.xs, (times * T, S, n, 3))
        moved = to_device({**params, "xs": xs}, how["device"])
        y = to_numpy(model.predict({key: moved[key] for key in params}, moved["xs"])[-1])
        shares.append((y.argmax(axis=-1) == test.targets[-1]).mean(axis=-1))
    return updates, np.stack(shares, axis=-1)


def measure(
    executor: Executor | None, *, cells: tuple[str, ...], T: int, **how: Option
) -> Measured:
    """Train every kind of network on both tasks."""
    jobs = list(product(TASKS, cells))
    found = spread(partial(job, T=T, **how), jobs, executor)
    rows: list[TableRow] = []
    curves: dict[str, Array] = {}
    for (kind, name), (updates, shares) in zip(jobs, found, strict=True):
        curves[f"{kind}, {name}"], curves[f"{kind}, {name}: updates"] = shares, updates
        row: TableRow = {"task": kind, "network": name}
        for times, share in zip(LONGER, shares.T, strict=True):
            row[f"T = {times * T}"] = f"{(share >= MOST).sum()}/{len(share)}"
        rows.append(row | solved_row(updates, how["max_updates"], "updates"))
    return rows, curves


def able(result: StudyResult, kind: str, name: str) -> bool:
    """Return whether at least half of the networks can do a task at ten times the length."""
    share = result.curves[f"{kind}, {name}"][:, -1]
    return bool((share >= MOST).mean() >= 0.5)


def judge(result: StudyResult) -> Verdict:
    """Say which kinds can remember, and which can compute, at ten times the length."""
    names, T = result.settings["cells"], LONGER[-1] * result.settings["T"]
    remember, compute = ([n for n in names if able(result, kind, n)] for kind in TASKS)
    found = [
        "every kind" if len(able_) == len(names) else listed(able_) for able_ in (remember, compute)
    ]
    return Verdict(
        f"trained on {result.settings['T']} steps and tested on {T}, most networks of these kinds "
        f"remember a bit: {found[0]}; and these compute the parity: {found[1]}"
    )


def plot(figure: "Figure", result: StudyResult) -> None:
    """Draw how many networks of each kind can do either task, at both lengths."""
    from npylstm.plots import plot_solved

    names, T = result.settings["cells"], result.settings["T"]
    axes = figure.subplots(1, len(TASKS), sharey=True)
    for ax, kind in zip(axes, TASKS, strict=True):
        shares = np.array([result.curves[f"{kind}, {name}"] for name in names])
        able = (shares >= MOST).sum(axis=1)
        plot_solved(ax, able, shares.shape[1], names, [times * T for times in LONGER])
        ax.set_title(kind)


STUDY = Study(
    name="parity",
    title="Remember or compute: the first bit, and the parity of all",
    published=(
        "no figures to compare with; that a linear cell whose eigenvalues are positive can't keep "
        "a parity is shown by Sarrof, Veitsman & Hahn (2024) and Grazzi et al. (2024)"
    ),
    full=SETTINGS
    | {
        "T": 20,
        "cells": ("tanh RNN, orthogonal", "LSTM, forget bias 1", "GRU", *SUCCESSORS),
        "max_updates": 1500,
        "max_wrong": 0.0,
        "learning_rate": 1e-2,
    },
    fast={"seeds": 5, "max_updates": 600},
    measure=measure,
    draw=plot,
    verdict=judge,
    caption=(
        "How many of {seeds} networks of each kind can say the first bit, and the parity of all "
        "bits so far, at the trained length T = {T} and at longer ones: right at the last step of "
        "99 % of {test_sequences:,} new sequences. They learn, at most {max_updates:,} updates of "
        "{batch} sequences, until they are right at every step of as many new sequences of T "
        "steps. Both rules were fixed before the first run."
    ),
    size=(12.0, 5.2),
)
