"""The state of a run: what it consists of, and how it goes into a checkpoint and out of one.

A file with a sound checksum may still hold anything: a state is used only when every part of it
has been found to be what a run of these settings can have left behind.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from npylstm.backend import Array, Device, array_module, to_device, to_numpy
from npylstm.cells import Params
from npylstm.checks import check_number
from npylstm.files import JSON
from npylstm.training.optimizers import Optimizer, OptimizerState


class Epoch(NamedTuple):
    """What an epoch came to: one line of the history.

    Attributes
    ----------
    epoch : int
        From 1.
    train_loss : float
        Mean over the steps of the epoch of the batch loss before that step, in nats.
    test_loss : float
        Mean loss of the test sequences after the epoch, in nats.
    test_accuracy : float
        Fraction of the test sequences whose largest logit belongs to their label.
    """

    epoch: int
    train_loss: float
    test_loss: float
    test_accuracy: float


@dataclass(frozen=True, eq=False)
class TrainingState:
    """Where a run stands. A step makes a new state, so an interruption always finds a whole one.

    Attributes
    ----------
    params : dict of arrays
        The model's parameters.
    slots : dict of dict of arrays
        What the optimiser remembers.
    history : tuple of Epoch
        The epochs completed.
    batch : int
        How many steps of the present epoch are done.
    loss_sum : array ()
        The sum of the losses of those steps, in float64.
    """

    params: Params
    slots: OptimizerState
    history: tuple[Epoch, ...] = ()
    batch: int = 0
    loss_sum: Array | float = 0.0

    def is_finite(self) -> bool:
        """Return whether every parameter is a finite number."""
        return all(to_numpy(array_module(w).isfinite(w)).all() for w in self.params.values())


def packed(state: TrainingState, batches: int) -> tuple[dict[str, Array], dict[str, JSON]]:
    """Return a state as the arrays and the meta data of a checkpoint.

    The number of steps follows from the rest; `unpacked` checks this.
    """
    meta = {
        "steps": len(state.history) * batches + state.batch,
        "history": state.history,
        "batch": state.batch,
        "loss_sum": float(to_numpy(state.loss_sum)),
    }
    return _flat(state), meta


def unpacked(
    arrays: Mapping[str, Array],
    meta: Mapping[str, JSON],
    start: TrainingState,
    optimizer: Optimizer,
    batches: int,
    device: Device,
) -> TrainingState:
    """Return the state that `packed` took apart.

    Parameters
    ----------
    arrays, meta : dict
        What a checkpoint holds.
    start : TrainingState
        The first state of the run, which says which arrays there must be.
    optimizer : Optimizer
        The run's.
    batches : int
        Steps in an epoch of the run.
    device : str
        Where the state is to be.

    Raises
    ------
    ValueError
        Something that no run with this start, optimiser and number of batches can have left.
    """
    _check_arrays(arrays, _flat(start))
    history = tuple(
        _epoch(row, f"history[{k}]", k + 1) for k, row in enumerate(_history(meta.get("history")))
    )
    batch = _integer("batch", meta.get("batch"), 0, batches - 1)
    loss_sum: JSON = meta.get("loss_sum")
    check_number(f"loss_sum after batch {batch}", loss_sum, 0, 0 if batch == 0 else math.inf)
    steps = len(history) * batches + batch
    if meta.get("steps") != steps:
        raise ValueError(
            f"history and batch must make the steps of the run, {meta.get('steps')!r}, got {steps}"
        )
    params, slots = _nested(arrays, start)
    _check_step(optimizer, params, slots, steps)
    return TrainingState(*_nested(to_device(arrays, device), start), history, batch, loss_sum)


def _nested(arrays: Mapping[str, Array], like: TrainingState) -> tuple[Params, OptimizerState]:
    """Return parameters and slots out of what `_flat` made."""
    params = {name: arrays[f"params/{name}"] for name in like.params}
    slots = {
        name: {slot: arrays[f"slots/{name}/{slot}"] for slot in slots}
        for name, slots in like.slots.items()
    }
    return params, slots


def _flat(state: TrainingState) -> dict[str, Array]:
    """Return all arrays of a state in one dictionary."""
    params = {f"params/{name}": array for name, array in state.params.items()}
    slots = {
        f"slots/{name}/{slot}": array
        for name, slots in state.slots.items()
        for slot, array in slots.items()
    }
    return params | slots


def _check_arrays(arrays: Mapping[str, Array], expected: Mapping[str, Array]) -> None:
    if arrays.keys() != expected.keys():
        raise ValueError(f"arrays must be {sorted(expected)}, got {sorted(arrays)}")
    for name, like in expected.items():
        array = arrays[name]
        if (array.shape, array.dtype) != (like.shape, like.dtype):
            raise ValueError(
                f"{name} must be {like.dtype} of shape {like.shape}, "
                f"got {array.dtype} of shape {array.shape}"
            )
        if np.isnan(array).any() or (name.startswith("params/") and np.isinf(array).any()):
            raise ValueError(f"{name} must hold finite numbers, got NaN or infinity")


def _history(rows: JSON) -> list[JSON]:
    if not isinstance(rows, list):
        raise ValueError(f"history must be a list of epochs, got {rows!r}")
    return rows


def _epoch(row: JSON, name: str, number: int) -> Epoch:
    if not isinstance(row, list) or len(row) != len(Epoch._fields):
        raise ValueError(f"{name} must be a list of {', '.join(Epoch._fields)}, got {row!r}")
    epoch = Epoch(*row)
    _integer(f"{name}.epoch", epoch.epoch, number, number)
    check_number(f"{name}.train_loss", epoch.train_loss, 0)
    check_number(f"{name}.test_loss", epoch.test_loss, 0)
    check_number(f"{name}.test_accuracy", epoch.test_accuracy, 0, 1)
    return epoch


def _integer(name: str, value: JSON, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        expected = str(low) if low == high else f"an integer from {low} to {high}"
        raise ValueError(f"{name} must be {expected}, got {value!r}")
    return value


def _check_step(optimizer: Optimizer, params: Params, slots: OptimizerState, steps: int) -> None:
    """Raise ValueError unless the optimiser can go on: even without a gradient it must not fail."""
    for name, kept in slots.items():
        for slot, array in kept.items():
            if array.dtype.kind in "iu":  # only the number of steps is counted in integers
                _integer(f"slots/{name}/{slot}", array.item(), steps, steps)
    still = {name: np.zeros_like(w) for name, w in params.items()}
    with np.errstate(all="ignore"):
        moved, _ = optimizer.update(params, still, slots)
    for name, w in moved.items():
        if not np.isfinite(w).all():
            raise ValueError(f"slots/{name} must let the optimiser step, and makes NaN or infinity")
