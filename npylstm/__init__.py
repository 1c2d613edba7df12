"""LSTM and RNN cells in plain NumPy, with back-propagation through time written out by hand."""

from npylstm.analysis.gradient_check import check_layer, check_model, gradient_check
from npylstm.backend import available_devices
from npylstm.cells.chrono import chrono
from npylstm.cells.gru import GRUCell, GRUState
from npylstm.cells.lstm import LSTMCell, LSTMState
from npylstm.cells.lstm_variant import LSTMVariant
from npylstm.cells.rnn import RNNCell, RNNState
from npylstm.data import load_mnist, row_sequences
from npylstm.losses import mean_squared_error, softmax_cross_entropy
from npylstm.models import SequenceModel, load_model, save_model
from npylstm.optimizers import SGD, Adam, RMSProp, clip_by_global_norm, clip_by_value
from npylstm.sequence.layers import Bidirectional, Recurrent, Stack
from npylstm.sequence.unroll import truncated_backward, unroll, unroll_backward
from npylstm.sequence.wrappers import Dropout, Residual

__version__ = "0.1.0"

__all__ = [
    "SGD",
    "Adam",
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
    "SequenceModel",
    "Stack",
    "available_devices",
    "check_layer",
    "check_model",
    "chrono",
    "clip_by_global_norm",
    "clip_by_value",
    "gradient_check",
    "load_mnist",
    "load_model",
    "mean_squared_error",
    "row_sequences",
    "save_model",
    "softmax_cross_entropy",
    "truncated_backward",
    "unroll",
    "unroll_backward",
]
