"""What the forget gate's first bias does: on MNIST's rows little, on a long lag everything."""

from concurrent.futures import Executor
from functools import partial
from itertools import product

import numpy as np

from npylstm.backend import Device
from npylstm.cells import sigmoid
from npylstm.experiments import figures
from npylstm.experiments.against_length import ORDER, TEMPORAL_ORDER
from npylstm.experiments.mnist_rows import accuracies
from npylstm.experiments.study import (
    Measured,
    Study,
    StudyResult,
    TableRow,
    Verdict,
    solved_row,
    spread,
)
from npylstm.experiments.success import updates_to_solve

BIASES = (0, 1, 2, 3, 5)


def measure(
    executor: Executor | None,
    *,
    seeds: int,
    T: int,
    max_updates: int,
    mnist_seeds: int,
    epochs: int,
    data: str | None,
    device: Device,
) -> Measured:
    """Train LSTMs with every bias on both tasks."""
    how = {**TEMPORAL_ORDER.full, "seeds": seeds, "max_updates": max_updates, "device": device}
    del how["lengths"], how["cells"]
    names = [f"LSTM, forget bias {b}" for b in BIASES]
    updates = spread(partial(updates_to_solve, ORDER, **how), [(n, T) for n in names], executor)
    read = partial(accuracies, epochs=epochs, data=data, device=device)
    accuracy = np.array(spread(read, product(names, range(mnist_seeds)), executor))
    final = 100 * accuracy[:, -1].reshape(len(BIASES), mnist_seeds)

    rows: list[TableRow] = []
    for b, times, percent in zip(BIASES, updates, final, strict=True):
        f = float(sigmoid(np.array(b, float)))
        row: TableRow = {"forget bias": b, "f at the start": f, "memory, steps": -1 / np.log(f)}
        row |= {f"f^{T}": f**T}
        row |= solved_row(times, max_updates, "updates")
        row |= {
            "MNIST rows, %": float(percent.mean()),
            "standard deviation": float(percent.std(ddof=1)) if mnist_seeds > 1 else None,
        }
        rows.append(row)
    curves = {"updates": np.array(updates), "accuracy": final, "biases": np.array(BIASES)}
    return rows, curves


def judge(result: StudyResult) -> Verdict:
    """Say which bias solves the long lag; published: 5 as fast as no gate, 1 slower, 0 worst."""
    biases, accuracy = result.curves["biases"], result.curves["accuracy"].mean(axis=1)
    solved = dict(
        zip(biases.tolist(), np.isfinite(result.curves["updates"]).sum(axis=1), strict=True)
    )
    n, T = result.curves["updates"].shape[1], result.settings["T"]
    counts = ", ".join(f"{solved[b]} with bias {b}" for b in solved)
    return Verdict(
        f"of {n} networks each, T = {T} is learnt by {counts}; on MNIST's rows all end within "
        f"{accuracy.min():.1f} to {accuracy.max():.1f} %",
        bool(solved[0] < solved[1] <= solved[5]),
    )


STUDY = Study(
    name="forget-bias",
    title="The forget bias over a long lag, and over MNIST's rows",
    published=(
        "Gers, Schmidhuber & Cummins (2000), p. 17: with bias 5 as fast as the cell without forget "
        "gate, with bias 1 three times slower; Jozefowicz, Zaremba & Sutskever (2015): a bias of 1 "
        "closes the gap between LSTM and GRU"
    ),
    deviations=(
        "temporal order as in `temporal-order`, not the noisy one with three symbols, and at most "
        "{max_updates:,} updates",
        "{epochs} epochs of MNIST; without a folder of MNIST, the package's sample",
    ),
    full={
        "seeds": 10,
        "T": 100,
        "max_updates": 2000,
        "mnist_seeds": 5,
        "epochs": 10,
        "data": None,
        "device": "cpu",
    },
    fast={"seeds": 5, "T": 50, "max_updates": 400, "mnist_seeds": 1, "epochs": 20},
    measure=measure,
    draw=figures.panels(figures.solved_against_bias),
    verdict=judge,
    caption=(
        "How many of {seeds} LSTMs learn the temporal order of T = {T} steps within "
        "{max_updates:,} updates, and the accuracy of {mnist_seeds} on digits read row by row, "
        "mean and standard deviation."
    ),
    size=(9.0, 5.0),
)
