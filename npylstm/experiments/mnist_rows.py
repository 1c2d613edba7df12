"""MNIST row by row with four kinds of network: mean and spread over seeds."""

from collections import deque
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import product

import numpy as np

from npylstm.backend import Device
from npylstm.data import Digits, load_mnist, row_sequences
from npylstm.experiments import figures
from npylstm.experiments.blocks import Array
from npylstm.experiments.results import Experiment, Found, Row, spread
from npylstm.experiments.success import CELLS
from npylstm.models import SequenceModel
from npylstm.training import Examples, RMSProp, Trainer

NETWORKS = {
    "tanh RNN": "tanh RNN, glorot",
    "IRNN": "IRNN",
    "GRU": "GRU",
    "LSTM": "LSTM, forget bias 1",
}
"""What the four are called here, and in `CELLS`."""


@dataclass(frozen=True)
class Settings:
    """How the study is run; `data` is a folder with MNIST, None the sample in the package."""

    seeds: int
    epochs: int
    data: str | None = None
    device: Device = "cpu"


def accuracies(name: str, settings: Settings, seed: int) -> Array:
    """Train one network, by its name in `CELLS`; return its test accuracy after each epoch."""
    mnist = load_mnist(settings.data)
    train, test = (examples(part).to(settings.device) for part in (mnist.train, mnist.test))
    model = SequenceModel(CELLS[name](28, 28), 10)
    trainer = Trainer(model, RMSProp(), seed=seed, clip_norm=1.0 if name == "IRNN" else None)
    start = trainer.start(np.float32, settings.device)
    states = trainer.states(start, train, test, settings.epochs)
    (state,) = deque(states, maxlen=1)  # the last one; all of them would fill the memory
    return np.array([epoch.test_accuracy for epoch in state.history])


def examples(digits: Digits) -> Examples:
    """Return digits as sequences of rows."""
    return Examples(row_sequences(digits.images), digits.labels)


def study(settings: Settings, executor: Executor | None) -> Found:
    """Train every kind of network from every seed."""
    jobs = product(NETWORKS.values(), [settings], range(settings.seeds))
    found = np.array(spread(accuracies, jobs, executor))
    curves = dict(zip(NETWORKS, found.reshape(-1, settings.seeds, settings.epochs), strict=True))
    rows: list[Row] = [
        {
            "network": name,
            "test accuracy, %": float(100 * curve[:, -1].mean()),
            "standard deviation": float(100 * curve[:, -1].std(ddof=1)) if len(curve) > 1 else None,
            "worst": float(100 * curve[:, -1].min()),
            "best": float(100 * curve[:, -1].max()),
            "epochs": settings.epochs,
            "networks": settings.seeds,
        }
        for name, curve in curves.items()
    ]
    return rows, curves


EXPERIMENT = Experiment(
    name="mnist-rows",
    title="MNIST row by row: test accuracy of four kinds of network",
    published=(
        "nlintz/TensorFlow-Tutorials, 07_lstm.py: LSTM, 97.5 % (mean of the last 15 of 100 epochs, "
        "each on 256 random test digits)"
    ),
    deviations=(
        "accuracy after the last epoch and on all test digits, no mean over epochs",
        "without a folder of MNIST, the package's sample: 10,000 digits to train on, 2,000 to test",
        "the IRNN's gradient is clipped to norm 1, and its input weights start with a standard "
        "deviation of 0.1, not 0.001",
    ),
    fast=Settings(seeds=2, epochs=8),
    full=Settings(seeds=5, epochs=100),
    study=study,
    plots=(figures.accuracy_against_epoch,),
)
