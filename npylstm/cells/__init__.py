"""Cells: one time step of a recurrent network, forward and backward."""

from npylstm.cells.activations import (
    ACTIVATIONS,
    ALIASES,
    PARAMETRIC,
    check_activation,
    find_activation,
    sigmoid,
    tanh,
)
from npylstm.cells.base import (
    AnyState,
    Cache,
    Cell,
    Params,
    State,
    StateSizes,
    StateT,
    map_state,
    mT,
    unchecked,
)
from npylstm.cells.chrono_bias import chrono
from npylstm.cells.gru import GRUCell, GRUState
from npylstm.cells.initializers import (
    cast,
    check_initializers,
    draw,
    draw_kernel,
    orthogonal,
    parse,
)
from npylstm.cells.lru import LRUCell, LRUState
from npylstm.cells.lstm import LSTMCell, LSTMState
from npylstm.cells.lstm_variant import PRESETS, LSTMVariant
from npylstm.cells.min_gru import MinGRUCell, MinGRUState
from npylstm.cells.min_lstm import MinLSTMCell, MinLSTMState
from npylstm.cells.mlstm import MLSTMCell, MLSTMState
from npylstm.cells.rnn import RNNCell, RNNState
from npylstm.cells.slstm import SLSTMCell, SLSTMState

__all__ = [
    "ACTIVATIONS",
    "ALIASES",
    "PARAMETRIC",
    "PRESETS",
    "AnyState",
    "Cache",
    "Cell",
    "GRUCell",
    "GRUState",
    "LRUCell",
    "LRUState",
    "LSTMCell",
    "LSTMState",
    "LSTMVariant",
    "MLSTMCell",
    "MLSTMState",
    "MinGRUCell",
    "MinGRUState",
    "MinLSTMCell",
    "MinLSTMState",
    "Params",
    "RNNCell",
    "RNNState",
    "SLSTMCell",
    "SLSTMState",
    "State",
    "StateSizes",
    "StateT",
    "cast",
    "check_activation",
    "check_initializers",
    "chrono",
    "draw",
    "draw_kernel",
    "find_activation",
    "mT",
    "map_state",
    "orthogonal",
    "parse",
    "sigmoid",
    "tanh",
    "unchecked",
]
