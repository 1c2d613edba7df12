"""The networks that the pictures look into: fresh, and while they learn."""

from collections.abc import Iterator
from itertools import islice

import numpy as np

from npylstm.cells import Cell, Params
from npylstm.data import Batch, load_mnist, row_sequences, temporal_order
from npylstm.experiments.mnist_rows import examples
from npylstm.experiments.networks import CELLS, prepared
from npylstm.models import SequenceModel
from npylstm.training import Adam, Examples, RMSProp, Trainer, TrainingState

HIDDEN = 25


def fresh(name: str, T: int, rng: np.random.Generator) -> tuple[Cell, Params]:
    """Return a network by its name in `CELLS` for temporal order over T steps."""
    cell = CELLS[name](6, HIDDEN)
    return cell, prepared(name, cell, cell.init(rng), T, rng)


def learning(name: str, T: int, updates: int, seed: int) -> Iterator[tuple[SequenceModel, Params]]:
    """Teach a network temporal order over T steps; yield it at the start and after each update.

    Adam at 3e-3, batches of 20 new sequences, gradients clipped to norm 1, in float32.
    """
    rng = np.random.default_rng(seed)
    cell, start = fresh(name, T, rng)
    trainer = Trainer(SequenceModel(cell, 4), Adam(3e-3), batch_size=20, clip_norm=1.0)
    params = trainer.model.init(rng) | start
    params = {key: array.astype(np.float32) for key, array in params.items()}
    state = TrainingState(params, trainer.optimizer.init(params))
    yield trainer.model, params
    for _ in range(updates):
        batch = temporal_order(rng, T, (trainer.batch_size,))
        state = trainer.step(state, batch.xs, batch.targets)
        yield trainer.model, state.params


def unseen_sequences(T: int, sequences: int, seed: int) -> Batch:
    """Return temporal order sequences that no network has learnt from."""
    return temporal_order(np.random.default_rng([seed, T]), T, (sequences,))


def reading(name: str, updates: int, seed: int) -> Iterator[tuple[SequenceModel, Params]]:
    """Teach a network of 28 units to read digits row by row; yield it as `learning` does.

    RMSProp at 1e-3, batches of 128, the digits that come with the package, in float32.
    """
    mnist = load_mnist()
    trainer = Trainer(SequenceModel(CELLS[name](28, 28), 10), RMSProp(), seed=seed)
    start = trainer.start(np.float32)
    yield trainer.model, start.params
    train, test = examples(mnist.train), examples(mnist.test)
    for state in islice(trainer.states(start, train, test, epochs=updates), updates):
        yield trainer.model, state.params


def unseen_digits(count: int) -> Examples:
    """Return the first digits of those that no network has learnt from."""
    digits = load_mnist().test
    return Examples(row_sequences(digits.images[:count]), digits.labels[:count])
