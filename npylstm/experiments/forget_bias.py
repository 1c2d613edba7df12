"""What the forget gate's first bias does: on MNIST's rows little, on a long lag everything."""

from concurrent.futures import Executor
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from npylstm.backend import Device
from npylstm.cells import sigmoid
from npylstm.experiments import figures, temporal_order
from npylstm.experiments.mnist_rows import Settings as RowsSettings
from npylstm.experiments.mnist_rows import accuracies
from npylstm.experiments.results import Experiment, Found, Row, solved_row, spread
from npylstm.experiments.success import updates_to_solve

BIASES = (0, 1, 2, 3, 5)


@dataclass(frozen=True)
class Settings:
    """How the study is run: T of the temporal order task, epochs of MNIST."""

    seeds: int
    T: int
    max_updates: int
    mnist_seeds: int
    epochs: int
    data: str | None = None
    device: Device = "cpu"


def study(settings: Settings, executor: Executor | None) -> Found:
    """Train LSTMs with every bias on both tasks."""
    lag = replace(
        temporal_order.EXPERIMENT.full,
        seeds=settings.seeds,
        max_updates=settings.max_updates,
        device=settings.device,
    )
    rows_settings = RowsSettings(
        settings.mnist_seeds, settings.epochs, settings.data, settings.device
    )
    names = [f"LSTM, forget bias {b}" for b in BIASES]
    lag_jobs = [(temporal_order.TASK, lag, name, settings.T) for name in names]
    mnist_jobs = product(names, [rows_settings], range(settings.mnist_seeds))
    updates = spread(updates_to_solve, lag_jobs, executor)
    accuracy = np.array(spread(accuracies, mnist_jobs, executor))
    final = 100 * accuracy[:, -1].reshape(len(BIASES), settings.mnist_seeds)

    rows: list[Row] = []
    for b, times, percent in zip(BIASES, updates, final, strict=True):
        f = float(sigmoid(np.array(b, float)))
        row: Row = {"forget bias": b, "f at the start": f, "memory, steps": -1 / np.log(f)}
        row |= {f"f^{settings.T}": f**settings.T}
        row |= solved_row(times, settings.max_updates, "updates")
        row |= {
            "MNIST rows, %": float(percent.mean()),
            "standard deviation": float(percent.std(ddof=1)),
        }
        rows.append(row)
    curves = {"updates": np.array(updates), "accuracy": final, "biases": np.array(BIASES)}
    return rows, curves


EXPERIMENT = Experiment(
    name="forget-bias",
    title="The forget bias: temporal order over a long lag, and MNIST row by row",
    published=(
        "Gers, Schmidhuber & Cummins (2000), p. 17: with bias 5 as fast as the cell without forget "
        "gate, with bias 1 three times slower; Jozefowicz, Zaremba & Sutskever (2015): a bias of 1 "
        "closes the gap between LSTM and GRU"
    ),
    deviations=(
        "temporal order as in `temporal-order`, not the noisy one with three symbols",
        "fewer epochs of MNIST than 100; without a folder of MNIST, the package's sample",
    ),
    fast=Settings(seeds=5, T=50, max_updates=400, mnist_seeds=2, epochs=4),
    full=Settings(seeds=10, T=100, max_updates=2000, mnist_seeds=5, epochs=10),
    study=study,
    plots=(figures.solved_against_bias,),
)
