"""The training loop: mini-batches, one step, one epoch, and the state of a run.

A run is a chain of states, and `Trainer.states` walks along it::

    trainer = Trainer(SequenceModel(LSTMCell(28, 28), 10), RMSProp(), seed=1)
    for state in trainer.states(trainer.start(), train, test, epochs=10):
        ...

Any state can be kept, saved, and continued. Randomness depends only on the seed and the place in
the run, so a run that continues from a state gets the same batches and the same dropout masks.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from numbers import Integral

import numpy as np
from numpy.typing import DTypeLike

from npylstm.backend import (
    AnyArray,
    Array,
    Device,
    Labels,
    array_module,
    resolve_device,
    to_device,
    to_numpy,
)
from npylstm.cells import Params
from npylstm.checks import check_array, check_number, check_size
from npylstm.models import SequenceModel, softmax_cross_entropy
from npylstm.training.optimizers import (
    Optimizer,
    clip_by_global_norm,
    clip_by_value,
)
from npylstm.training.state import Epoch, TrainingState

GPU_PATIENCE = 64
"""Steps on a GPU between two checks of the loss; each check makes the host wait."""


@dataclass(frozen=True, eq=False)
class Examples:
    """N sequences of the same length, each with a label.

    Attributes
    ----------
    xs : array (T, N, D)
        Finite floating-point numbers, time first.
    labels : array (N,) of int
        Class numbers from 0.

    Raises
    ------
    TypeError
        `xs` are not floating-point numbers, or `labels` not integers.
    ValueError
        Shapes that do not fit, no sequences at all, or an `xs` that is NaN or infinite.
    """

    xs: Array
    labels: Labels

    def __post_init__(self) -> None:
        check_array("xs", self.xs, ("T", "N", "D"))
        if self.xs.ndim != 3 or 0 in self.xs.shape:
            raise ValueError(f"xs must have shape (T, N, D), none zero, got {self.xs.shape}")
        dtype = getattr(self.labels, "dtype", None)
        if dtype is None or dtype.kind not in "iu":
            kind = f"dtype {dtype}" if dtype else type(self.labels).__name__
            raise TypeError(f"labels must be an array of integers, got {kind}")
        if self.labels.shape != self.xs.shape[1:2]:
            raise ValueError(
                f"labels must have shape ({len(self)},), one for each sequence, "
                f"got {self.labels.shape}"
            )
        bad = ~to_numpy(array_module(self.xs).isfinite(self.xs).all(axis=(0, 2)))
        if bad.any():
            raise ValueError(
                f"xs must be finite, got NaN or infinity in {bad.sum()} of {len(self)} "
                f"sequences, first in number {bad.argmax()}"
            )

    def __len__(self) -> int:
        return int(self.xs.shape[1])

    def to(self, device: Device) -> "Examples":
        """Return the examples on a device."""
        return Examples(**to_device({"xs": self.xs, "labels": self.labels}, device))


@dataclass(frozen=True)
class Trainer:
    """A model and how to train it.

    Parameters
    ----------
    model : SequenceModel
        A classifier of whole sequences: loss `"cross_entropy"`, one output for each sequence.
    optimizer : Optimizer
        How to step.
    batch_size : int
        Sequences in a batch. What an epoch leaves over at its end is dropped.
    shuffle : bool
        Whether to draw a new order for each epoch; else the batches come in the order of the data.
    clip_value, clip_norm : float, optional
        Bounds on each entry of the gradient, then on its global norm.
    seed : int
        Of the initial parameters, the order and the dropout masks.

    Raises
    ------
    ValueError
        A model of another kind, a size below one, a bound or a seed out of its range.
    """

    model: SequenceModel
    optimizer: Optimizer
    batch_size: int = 128
    shuffle: bool = False
    clip_value: float | None = None
    clip_norm: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.model.loss != "cross_entropy" or self.model.every_step:
            raise ValueError(
                f"model must be a classifier of whole sequences, with loss='cross_entropy' and "
                f"every_step=False, got {self.model}"
            )
        check_size("batch_size", self.batch_size)
        for name in ("clip_value", "clip_norm"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), low=0, open_low=True)
        if not isinstance(self.seed, Integral) or self.seed < 0:
            raise ValueError(f"seed must be a non-negative integer, got {self.seed!r}")

    def start(self, dtype: DTypeLike = np.float64, device: Device = "cpu") -> TrainingState:
        """Return the state before the first step."""
        params = to_device(self.model.init(self.seed, dtype), resolve_device(device))
        return TrainingState(params, self.optimizer.init(params))

    def states(
        self, state: TrainingState, train: Examples, test: Examples, epochs: int
    ) -> Iterator[TrainingState]:
        """Return an iterator that trains until `epochs` are done, with the state after each step.

        The state after the last step of an epoch has that epoch in its history.

        Parameters
        ----------
        state : TrainingState
            Where to go on from.
        train, test : Examples
            What to train on, and what to evaluate on after each epoch, where `state` is.
        epochs : int
            When to stop, counted from the very start.

        Raises
        ------
        ValueError
            `epochs` below one, less than a batch of examples, examples of another dtype than the
            parameters, or labels beyond the model's classes.
        FloatingPointError
            A loss that is not finite (while iterating); the message says at which step.
        """
        check_size("epochs", epochs)
        if len(train) < self.batch_size:
            raise ValueError(
                f"batch_size must be at most the {len(train)} training sequences, "
                f"got {self.batch_size}"
            )
        dtype = state.params["W_y"].dtype
        for name, examples in (("train", train), ("test", test)):
            if examples.xs.dtype != dtype:
                raise ValueError(
                    f"{name}.xs must be of the parameters' dtype, {dtype}, got {examples.xs.dtype}"
                )
            labels = to_numpy(examples.labels)
            if labels.min() < 0 or labels.max() >= self.model.output_size:
                raise ValueError(
                    f"{name}.labels must be 0 to {self.model.output_size - 1}, "
                    f"got {labels.min()} to {labels.max()}"
                )
        # A single sequence shows what can't be trained before anything is begun.
        with np.errstate(over="ignore", invalid="ignore"):
            self.model.loss_and_grads(
                state.params, train.xs[:, :1], train.labels[:1], rng=self._rng(0)
            )
        return self._states(state, train, test, epochs)

    def _states(
        self, state: TrainingState, train: Examples, test: Examples, epochs: int
    ) -> Iterator[TrainingState]:
        look_every = 1 if isinstance(train.xs, np.ndarray) else GPU_PATIENCE
        batches = len(train) // self.batch_size
        while (epoch := len(state.history)) < epochs:
            order = self._rng(epoch).permutation(len(train)) if self.shuffle else None
            while state.batch < batches:
                start = state.batch * self.batch_size
                part: slice | AnyArray = slice(start, start + self.batch_size)
                if order is not None:
                    part = array_module(train.xs).asarray(order[part])
                rng = self._rng(epoch, state.batch)
                state = self.step(state, train.xs[:, part], train.labels[part], rng)
                if state.batch % look_every == 0 or state.batch == batches:
                    _check_loss(state.loss_sum, epoch * batches + state.batch)
                if state.batch < batches:
                    yield state
            state = self._finish_epoch(state, test)
            yield state

    def step(
        self,
        state: TrainingState,
        xs: Array,
        labels: Labels,
        rng: np.random.Generator | None = None,
    ) -> TrainingState:
        """Take one step on a batch xs (T, B, D), labels (B,); `rng` draws dropout masks."""
        # No overflow passes unseen: it ends in a loss that is not finite, and that is looked for.
        with np.errstate(over="ignore", invalid="ignore"):
            loss, grads = self.model.loss_and_grads(state.params, xs, labels, rng=rng)
            if self.clip_value is not None:
                grads = clip_by_value(grads, self.clip_value)
            if self.clip_norm is not None:
                grads, _ = clip_by_global_norm(grads, self.clip_norm)
            params, slots = self.optimizer.update(state.params, grads, state.slots)
        loss_sum = state.loss_sum + loss.astype(np.float64)
        return replace(state, params=params, slots=slots, batch=state.batch + 1, loss_sum=loss_sum)

    def _finish_epoch(self, state: TrainingState, test: Examples) -> TrainingState:
        train_loss = float(to_numpy(state.loss_sum)) / state.batch
        with np.errstate(over="ignore", invalid="ignore"):
            test_loss, test_accuracy = evaluate(self.model, state.params, test)
        epoch = Epoch(len(state.history) + 1, train_loss, test_loss, test_accuracy)
        _check_loss(test_loss, epoch.epoch * state.batch)
        return replace(state, history=(*state.history, epoch), batch=0, loss_sum=0.0)

    def _rng(self, *place: int) -> np.random.Generator:
        """Return the generator of a place in the run: an epoch, or an epoch and a batch."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=place))


def evaluate(model: SequenceModel, params: Params, examples: Examples) -> tuple[float, float]:
    """Return the mean loss and the accuracy over all examples."""
    logits, labels = predict(model, params, examples.xs), to_numpy(examples.labels)
    loss, _ = softmax_cross_entropy(logits, labels)
    return float(loss), float((logits.argmax(axis=-1) == labels).mean())


def predict(model: SequenceModel, params: Params, xs: Array, chunk: int = 1000) -> AnyArray:
    """Return the logits (N, K) of sequences xs (T, N, D) in host memory.

    They are computed `chunk` sequences at a time, so that memory does not grow with N.
    """
    parts = [model.predict(params, xs[:, n : n + chunk]) for n in range(0, xs.shape[1], chunk)]
    return np.concatenate([to_numpy(part) for part in parts])


def _check_loss(loss: Array | float, step: int) -> None:
    value = float(to_numpy(loss))
    if not math.isfinite(value):
        raise FloatingPointError(f"the loss became {value} at step {step}")
