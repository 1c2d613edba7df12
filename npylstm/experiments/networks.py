"""The networks that studies compare, by name."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from npylstm.cells import (
    Cell,
    GRUCell,
    LRUCell,
    LSTMCell,
    LSTMVariant,
    MinGRUCell,
    MinLSTMCell,
    MLSTMCell,
    Params,
    RNNCell,
    SLSTMCell,
    chrono,
)

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
"""The networks that every task is tried with: (input size, hidden size) -> cell."""

SUCCESSORS: dict[str, Callable[[int, int], Cell]] = {
    "minGRU": MinGRUCell,
    "minLSTM": MinLSTMCell,
    "sLSTM": SLSTMCell,
    "mLSTM": MLSTMCell,
    "LRU": LRUCell,
}
"""What came after the LSTM; its own comparisons leave them out."""

GREFF = ("V", "NIG", "NFG", "NOG", "NIAF", "NOAF", "CIFG", "NP", "FGR")
"""The vanilla LSTM of Greff et al. (2017) and its eight variants."""

CELLS: Mapping[str, Callable[[int, int], Cell]] = (
    STANDARD
    | SUCCESSORS
    | {f"LSTM, forget bias {b}": partial(LSTMCell, forget_bias=float(b)) for b in (0, 1, 2, 3, 5)}
    | {f"Greff {name}": partial(LSTMVariant.preset, name) for name in GREFF}
)
"""All networks. A name that is added here can stand among the `cells` of a study's settings."""


def prepared(name: str, cell: Cell, params: Params, T: int, rng: np.random.Generator) -> Params:
    """Return fresh parameters of a network, with what it is told of the task's length T."""
    return chrono(cell, params, T, rng) if name == "LSTM, chrono" else params
