"""Success against sequence length: which networks still learn a task when it grows longer.

S networks of one kind learn one task side by side, from mini-batches of their own; those that have
learnt it leave. The tasks are in `against_length`.
"""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np

from npylstm.backend import AnyArray, Array, Device, array_module, to_device, to_numpy
from npylstm.cells import Params
from npylstm.checks import Option
from npylstm.data import Batch
from npylstm.experiments.networks import CELLS, STANDARD, prepared
from npylstm.experiments.study import Measured, StudyResult, TableRow, Verdict, solved_row, spread
from npylstm.models import SequenceModel
from npylstm.training import Adam, clip_by_global_norm

SETTINGS: dict[str, Option] = {
    "cells": tuple(STANDARD),
    "seeds": 10,
    "max_updates": 2000,
    "hidden": 25,
    "batch": 20,
    "head_std": 0.3,
    "learning_rate": 3e-3,
    "max_norm": 1.0,
    "check_every": 50,
    "test_sequences": 500,
    "max_wrong": 0.01,
    "seed": 0,
    "device": "cpu",
}
"""How networks are trained, unless a study says otherwise."""


@dataclass(frozen=True)
class LengthTask:
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
    wrong: Callable[[Array, Batch], AnyArray]
    loss: str = "cross_entropy"
    every_step: bool = False


def wrong_class(y: Array, batch: Batch) -> AnyArray:
    """Return where the largest output does not belong to the right class."""
    wrong: AnyArray = y.argmax(axis=-1) != batch.targets
    return wrong


def train(
    task: LengthTask,
    name: str,
    T: int,
    *,
    seeds: int,
    max_updates: int,
    hidden: int,
    batch: int,
    head_std: float,
    learning_rate: float,
    max_norm: float,
    check_every: int,
    test_sequences: int,
    max_wrong: float,
    seed: int,
    device: Device,
) -> tuple[SequenceModel, Params, Array]:
    """Train S networks until each has solved the task, or taken `max_updates`.

    Parameters
    ----------
    task
        What to learn.
    name
        The kind of network, in `CELLS`.
    T
        The sequences' length.
    seeds
        S.
    batch, learning_rate, max_norm
        Of each network's updates: sequences, Adam's rate, and where the gradient is clipped.
    head_std
        Standard deviation of the first output weights.
    check_every, test_sequences, max_wrong
        A network has solved the task if after so many updates the fraction of so many new
        sequences that it gets wrong is at most this.
    seed, device
        Where random numbers start, and where arrays are.

    Returns
    -------
    model : SequenceModel
        The kind of network.
    params : dict of arrays (S, ...)
        Each network when it left.
    updates : array (S,)
        After how many updates it had solved the task; NaN if never.
    """
    rng = np.random.default_rng([seed, T])
    cell = CELLS[name](task.inputs, hidden)
    model = SequenceModel(cell, task.outputs, task.loss, task.every_step, head_std)
    networks = [model.init(rng, np.float32) for _ in range(seeds)]
    networks = [prepared(name, cell, params, T, rng) for params in networks]
    stacked = {key: np.stack([network[key] for network in networks]) for key in networks[0]}
    params, final = to_device(stacked, device), stacked
    optimizer = Adam(learning_rate)
    slots = optimizer.init(params)
    test = task.draw(rng, T, (1, test_sequences))

    updates, left = np.full(seeds, np.nan), np.arange(seeds)
    for update in range(1, max_updates + 1):
        drawn = _move(task.draw(rng, T, (len(left), batch)), device)
        with np.errstate(over="ignore", invalid="ignore"):  # a network that explodes has failed
            _, grads = model.loss_and_grads(params, drawn.xs, drawn.targets)
            grads, _ = clip_by_global_norm(grads, max_norm, leading_axes=1)
            params, slots = optimizer.update(params, grads, slots)
            if update % check_every:
                continue
            xs = np.broadcast_to(test.xs, (len(test.xs), len(left), *test.xs.shape[2:]))
            y = to_numpy(model.predict(params, to_device({"xs": xs}, device)["xs"]))
        finite = np.isfinite(y[-1] if task.every_step else y).all(axis=(1, 2))
        solved = finite & (task.wrong(y, test).mean(axis=-1) <= max_wrong)
        updates[left[solved]] = update
        for key, array in params.items():
            final[key][left] = to_numpy(array)
        keep = finite & ~solved
        left, params = left[keep], _select(params, keep)
        slots = {name: _select(slot, keep) for name, slot in slots.items()}
        if not left.size:
            break
    return model, final, updates


def updates_to_solve(task: LengthTask, name: str, T: int, **how: Option) -> Array:
    """Return after how many updates each of S networks solved a task, or NaN; see `train`."""
    return train(task, name, T, **how)[2]


def _move(batch: Batch, device: Device) -> Batch:
    return Batch(**to_device(batch._asdict(), device))


def _select(arrays: Params, keep: Array) -> Params:
    """Return the networks to keep; what has no leading axis, Adam's t, belongs to all."""
    return {
        name: array[array_module(array).asarray(keep)] if array.ndim else array
        for name, array in arrays.items()
    }


def measure(
    executor: Executor | None, *, task: LengthTask,
    lengths: tuple[int, ...], cells: tuple[str, ...], **how: Option,
) -> Measured:  # fmt: skip
    """Train every kind of network at every length, each a job of its own."""
    jobs = [(name, T) for T, name in product(lengths, cells)]
    times = spread(partial(updates_to_solve, task, **how), jobs, executor)
    rows: list[TableRow] = [
        {"T": T, "network": name} | solved_row(updates, how["max_updates"], "updates")
        for (name, T), updates in zip(jobs, times, strict=True)
    ]
    return rows, {f"{name}, T={T}": updates for (name, T), updates in zip(jobs, times, strict=True)}


def solved(result: StudyResult, name: str, T: int) -> tuple[int, int]:
    """Return how many networks of a kind solved the task at length T, and of how many."""
    times = result.curves[f"{name}, T={T}"]
    return int(np.isfinite(times).sum()), len(times)


def compare(result: StudyResult, judge: bool = True) -> Verdict:
    """Say how LSTMs and tanh RNNs fare at the longest T.

    Published is that LSTMs solve it, here four of five, and tanh RNNs do not, here at most one.
    """
    T = max(result.settings["lengths"])
    count = {name: solved(result, name, T)[0] for name in result.settings["cells"]}
    n = result.settings["seeds"]
    gated = max((name for name in count if name.startswith("LSTM")), key=lambda name: count[name])
    plain = [name for name in count if name.startswith("tanh RNN")]
    best, worst = (pick(plain, key=lambda name: count[name]) for pick in (max, min))
    says = (
        f"at T = {T}, {count[gated]} of {n} networks learn it with gates ({gated}) and "
        f"{count[best]} of {n} without ({best})"
    )
    if count[worst] < count[best]:
        says += f", or only {count[worst]} ({worst})"
    agrees = count[gated] >= 0.8 * n and count[best] <= 0.2 * n if judge else None
    return Verdict(says, agrees)
