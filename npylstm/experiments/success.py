"""Success against sequence length: which networks still learn a task when it grows longer.

The common part of `temporal_order`, `adding`, `copy_string`, `two_sequence` and `greff`. S networks
of one kind learn one task side by side, from mini-batches of their own; those that have learnt it
leave.
"""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np

from npylstm.backend import AnyArray, Array, Device, array_module, to_device, to_numpy
from npylstm.cells import Cell, GRUCell, LSTMCell, LSTMVariant, Params, RNNCell, chrono
from npylstm.data import Batch
from npylstm.experiments.results import Found, Row, solved_row, spread
from npylstm.models import SequenceModel
from npylstm.training import Adam, clip_by_global_norm

STANDARD: dict[str, Callable[[int, int], Cell]] = {
    "tanh RNN, gaussian": partial(RNNCell, kernel_initializer="normal:0.1"),
    "tanh RNN, glorot": RNNCell,
    "tanh RNN, orthogonal": partial(RNNCell, recurrent_initializer="orthogonal"),
    "IRNN": partial(
        RNNCell,
        activation="relu",
        kernel_initializer="normal:0.1",
        recurrent_initializer="identity",
    ),
    "LSTM, forget bias 0": partial(LSTMCell, forget_bias=0.0),
    "LSTM, forget bias 1": partial(LSTMCell, forget_bias=1.0),
    "LSTM, bias 1, orthogonal": partial(LSTMCell, recurrent_initializer="orthogonal"),
    "LSTM, forget bias 3": partial(LSTMCell, forget_bias=3.0),
    "LSTM, chrono": LSTMCell,
    "GRU": GRUCell,
}
"""The networks that every task is tried with, by name: (input size, hidden size) -> cell."""

GREFF = ("V", "NIG", "NFG", "NOG", "NIAF", "NOAF", "CIFG", "NP", "FGR")
"""The vanilla LSTM of Greff et al. (2017) and its eight variants."""

CELLS = (
    STANDARD
    | {f"LSTM, forget bias {b}": partial(LSTMCell, forget_bias=float(b)) for b in (0, 1, 2, 3, 5)}
    | {f"Greff {name}": partial(LSTMVariant.preset, name) for name in GREFF}
)
"""All networks by name."""


DEVIATIONS = (
    "the IRNN's input weights start with a standard deviation of 0.1, not 0.001",
    "chrono initialisation is told T",
)
"""How `STANDARD` differs from the papers."""


@dataclass(frozen=True)
class Task:
    """A task of any length T.

    Attributes
    ----------
    draw : callable
        (rng, T, size) -> Batch.
    inputs, outputs : int
        Sizes of a step's input and of the output.
    wrong : callable
        (outputs of the network, Batch) -> (..., examples), true where the answer is wrong.
    loss : str
        As in `SequenceModel`.
    every_step : bool
        Whether there is a target at every step.
    """

    draw: Callable[[np.random.Generator, int, tuple[int, ...]], Batch]
    inputs: int
    outputs: int
    wrong: Callable[[Array, Batch], Array]
    loss: str = "cross_entropy"
    every_step: bool = False


@dataclass(frozen=True)
class Settings:
    """How a study of success against length is run."""

    lengths: tuple[int, ...]
    cells: tuple[str, ...] = tuple(STANDARD)
    seeds: int = 10
    max_updates: int = 2000
    hidden: int = 25
    batch: int = 20
    head_std: float = 0.3
    learning_rate: float = 3e-3
    max_norm: float = 1.0
    check_every: int = 50
    test_sequences: int = 500
    max_wrong: float = 0.01
    seed: int = 0
    device: Device = "cpu"


def wrong_class(y: Array, batch: Batch) -> AnyArray:
    """Return where the largest output is not that of the right class."""
    wrong: AnyArray = y.argmax(axis=-1) != batch.targets
    return wrong


def updates_to_solve(task: Task, settings: Settings, name: str, T: int) -> Array:
    """Train S networks; return the number of updates after which each solved the task, or NaN.

    Parameters
    ----------
    task, settings
        What to learn, and how.
    name
        Of the kind of network, in `CELLS`.
    T
        The sequences' length.
    """
    rng = np.random.default_rng([settings.seed, T])
    cell = CELLS[name](task.inputs, settings.hidden)
    model = SequenceModel(cell, task.outputs, task.loss, task.every_step, settings.head_std)
    networks = [model.init(rng, np.float32) for _ in range(settings.seeds)]
    if name == "LSTM, chrono":
        networks = [chrono(cell, params, T, rng) for params in networks]
    stacked = {key: np.stack([network[key] for network in networks]) for key in networks[0]}
    params = to_device(stacked, settings.device)
    optimizer = Adam(settings.learning_rate)
    slots = optimizer.init(params)
    test = task.draw(rng, T, (1, settings.test_sequences))

    updates, left = np.full(settings.seeds, np.nan), np.arange(settings.seeds)
    for update in range(1, settings.max_updates + 1):
        batch = _move(task.draw(rng, T, (len(left), settings.batch)), settings.device)
        with np.errstate(over="ignore", invalid="ignore"):  # a network that explodes has failed
            _, grads = model.loss_and_grads(params, batch.xs, batch.targets)
            grads, _ = clip_by_global_norm(grads, settings.max_norm, leading_axes=1)
            params, slots = optimizer.update(params, grads, slots)
            if update % settings.check_every:
                continue
            xs = np.broadcast_to(test.xs, (len(test.xs), len(left), *test.xs.shape[2:]))
            y = to_numpy(model.predict(params, to_device({"xs": xs}, settings.device)["xs"]))
        finite = np.isfinite(y[-1] if task.every_step else y).all(axis=(1, 2))
        solved = finite & (task.wrong(y, test).mean(axis=-1) <= settings.max_wrong)
        updates[left[solved]] = update
        keep = finite & ~solved
        left, params = left[keep], _select(params, keep)
        slots = {name: _select(slot, keep) for name, slot in slots.items()}
        if not left.size:
            break
    return updates


def _move(batch: Batch, device: Device) -> Batch:
    return Batch(**to_device(batch._asdict(), device))


def _select(arrays: Params, keep: Array) -> Params:
    """Return the networks to keep; what has no leading axis, Adam's t, belongs to all."""
    return {
        name: array[array_module(array).asarray(keep)] if array.ndim else array
        for name, array in arrays.items()
    }


def study(task: Task, settings: Settings, executor: Executor | None) -> Found:
    """Train every kind of network at every length, each a job of its own."""
    jobs = list(product(settings.lengths, settings.cells))
    arguments = [(task, settings, name, T) for T, name in jobs]
    times = spread(updates_to_solve, arguments, executor)
    rows: list[Row] = [
        {"T": T, "network": name} | solved_row(updates, settings.max_updates, "updates")
        for (T, name), updates in zip(jobs, times, strict=True)
    ]
    return rows, {f"{name}, T={T}": updates for (T, name), updates in zip(jobs, times, strict=True)}
