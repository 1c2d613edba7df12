"""LSTM and RNN cells in plain NumPy, with back-propagation through time written out by hand."""

from npylstm.analysis import check_against, check_layer, check_model, gradient_check
from npylstm.backend import available_devices
from npylstm.cells import (
    GRUCell,
    GRUState,
    LSTMCell,
    LSTMState,
    LSTMVariant,
    RNNCell,
    RNNState,
    chrono,
)
from npylstm.data import load_mnist, row_sequences
from npylstm.models import (
    SequenceModel,
    load_model,
    mean_squared_error,
    register,
    save_model,
    softmax_cross_entropy,
)
from npylstm.sequence import (
    Bidirectional,
    Dropout,
    Recurrent,
    Residual,
    Reverse,
    Stack,
    Stream,
    register_kernel,
    truncated_backward,
    unroll,
    unroll_backward,
)
from npylstm.training import SGD, Adam, AdamW, RMSProp, clip_by_global_norm, clip_by_value

__version__ = "0.1.0"

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Bidirectional",
    "Dropout",
    "GRUCell",
    "GRUState",
    "LSTMCell",
    "LSTMState",
    "LSTMVariant",
    "RMSProp",
    "RNNCell",
    "RNNState",
    "Recurrent",
    "Residual",
    "Reverse",
    "SequenceModel",
    "Stack",
    "Stream",
    "available_devices",
    "check_against",
    "check_layer",
    "check_model",
    "chrono",
    "clip_by_global_norm",
    "clip_by_value",
    "gradient_check",
    "load_mnist",
    "load_model",
    "mean_squared_error",
    "register",
    "register_kernel",
    "row_sequences",
    "save_model",
    "softmax_cross_entropy",
    "truncated_backward",
    "unroll",
    "unroll_backward",
]
