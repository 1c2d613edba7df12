"""TensorFlow 1's names and semantics over this package's cells: programs port line by line.

Arguments, defaults and results are the same as in TensorFlow 1.15, with three differences, because
there is no graph and no session here: arrays come in and arrays come out.

**Variables** are a plain dictionary with TensorFlow's names. Where TensorFlow makes them behind
your back, `cell.build` returns them, and a driver is told which ones to use::

    lstm_cell = BasicLSTMCell(28, forget_bias=1.0)
    variables = lstm_cell.build(28, rng=0)        # "rnn/basic_lstm_cell/kernel" and ".../bias"
    outputs, states = static_rnn(lstm_cell, X_split, dtype=np.float32, variables=variables)

**The backward pass** is a method. The result of a driver unpacks as in TensorFlow, and its method
`backward` carries gradients the other way::

    rnn = static_rnn(lstm_cell, X_split, dtype=np.float32, variables=variables)
    outputs, states = rnn
    ...                                          # the loss, and its gradient doutputs
    dinputs, dinitial_state, grads = rnn.backward(doutputs)

**Dropout** draws its masks from the `rng` that a driver is given; without one nothing is dropped.
A wrapper therefore takes no seed.

This package refuses what TensorFlow refuses, and also what TensorFlow accepts by accident: no
units, a keep probability of 0, lengths below 0 or beyond the sequence, one cell object in two
places. `reuse` changes nothing; other arguments that only control the graph (`parallel_iterations`,
`swap_memory`, `use_locking`, numbers of shards) don't exist.
"""

from npylstm.tf1.base import ACTIVATIONS, RNNCell, Unrolled
from npylstm.tf1.cells import BasicLSTMCell, BasicRNNCell, GRUCell, LSTMCell, LSTMStateTuple
from npylstm.tf1.drivers import (
    bidirectional_dynamic_rnn,
    dynamic_rnn,
    static_bidirectional_rnn,
    static_rnn,
)
from npylstm.tf1.mnist import DataSet, Datasets, read_data_sets
from npylstm.tf1.training import RMSPropOptimizer, softmax_cross_entropy_with_logits
from npylstm.tf1.wrappers import DropoutWrapper, MultiRNNCell, ResidualWrapper

__all__ = [
    "ACTIVATIONS",
    "BasicLSTMCell",
    "BasicRNNCell",
    "DataSet",
    "Datasets",
    "DropoutWrapper",
    "GRUCell",
    "LSTMCell",
    "LSTMStateTuple",
    "MultiRNNCell",
    "RMSPropOptimizer",
    "RNNCell",
    "ResidualWrapper",
    "Unrolled",
    "bidirectional_dynamic_rnn",
    "dynamic_rnn",
    "read_data_sets",
    "softmax_cross_entropy_with_logits",
    "static_bidirectional_rnn",
    "static_rnn",
]
