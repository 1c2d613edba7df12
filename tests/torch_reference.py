"""PyTorch's recurrent layers with our weights, and their gradients in our layout.

PyTorch orders the gates i, f, g, o where npylstm has i, f, o, g; it keeps weights as rows per unit,
and two biases that are only ever added, of which the second stays zero here.
"""

import numpy as np
import torch

from npylstm.cells.lstm import LSTMCell, LSTMState


def swap_gates(array):
    """Columns i, f, o, g to i, f, g, o or back: the last two of four blocks change places."""
    i, f, third, fourth = np.split(array, 4, axis=-1)
    return np.concatenate([i, f, fourth, third], axis=-1)


def network(cell, *directions, layers=1):
    """Make nn.LSTM or nn.RNN of `cell`'s kind; `directions` lists each (layer, way)'s weights."""
    kind, options = torch.nn.LSTM, {}
    if not isinstance(cell, LSTMCell):
        kind, options = torch.nn.RNN, {"nonlinearity": cell.activation}
    module = kind(
        cell.input_size,
        cell.hidden_size,
        num_layers=layers,
        bidirectional=len(directions) == 2 * layers,
        dtype=torch.float64,
        **options,
    )
    for weights, params in zip(module.all_weights, directions, strict=True):
        order = swap_gates if kind is torch.nn.LSTM else np.asarray
        with torch.no_grad():
            weights[0].copy_(torch.from_numpy(order(params["W_x"]).T.copy()))
            weights[1].copy_(torch.from_numpy(order(params["W_h"]).T.copy()))
            weights[2].copy_(torch.from_numpy(order(params["b"])))
            weights[3].zero_()
    return module


def gradients(module):
    """Return the gradients of each (layer, way) as a dict in our layout."""
    order = swap_gates if isinstance(module, torch.nn.LSTM) else np.asarray
    return [
        {
            "W_x": order(weights[0].grad.numpy().T),
            "W_h": order(weights[1].grad.numpy().T),
            "b": order(weights[2].grad.numpy()),
        }
        for weights in module.all_weights
    ]


def leaf(array):
    """Return a tensor with its own copy of the data, for which a gradient is wanted."""
    return torch.tensor(array, dtype=torch.float64, requires_grad=True)


def stack_states(states):
    """Turn states of (layer, way) pairs into what PyTorch takes: (h, c), or h, each (n, B, H)."""
    parts = tuple(leaf(np.stack(arrays)) for arrays in zip(*states, strict=True))
    return parts if isinstance(states[0], LSTMState) else parts[0]


def as_tuple(state):
    """Return PyTorch's state as a tuple of tensors, LSTM or not."""
    return state if isinstance(state, tuple) else (state,)
