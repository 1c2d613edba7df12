"""One step at a time computes what the whole sequence does, and states are kept on request."""

import numpy as np
import pytest

from npylstm import GRUCell, LSTMCell, LSTMVariant, RNNCell, Stream
from npylstm.sequence import (
    Bidirectional,
    Residual,
    Reverse,
    Stack,
    all_states,
    as_layer,
    unroll,
)

T, B, D, H = 6, 3, 2, 4
LAYERS = {
    "LSTM": LSTMCell(D, H),
    "peepholes": LSTMVariant(D, H, peepholes=True),
    "no kernel": LSTMVariant(D, H, projection_size=3),
    "GRU": GRUCell(D, H),
    "GRU after": GRUCell(D, H, reset_after=True),
    "RNN": RNNCell(D, H),
    "stack": Stack([LSTMCell(D, H), Residual(GRUCell(H, H)), RNNCell(H, 3)]),
    "stack of one": Stack([LSTMCell(D, H)]),
}
EVERY = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)


def same(a, b):
    if isinstance(a, tuple):
        assert type(a) is type(b)
        for x, y in zip(a, b, strict=True):
            same(x, y)
    else:
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("given", [False, True], ids=["zeros", "state given"])
@EVERY
def test_steps_compute_what_the_whole_sequence_does(layer, given):
    layer = as_layer(layer)
    params, xs = layer.init(0), np.random.default_rng(0).normal(size=(T, B, D))
    state0 = layer.forward(params, xs[::-1])[1] if given else None
    outputs, state, _ = layer.forward(params, xs, state0)
    stream = Stream(layer, params, state0, batch_size=B)
    steps = [stream(x) for x in xs]
    same(np.stack(steps), outputs)
    same(stream.state, state)
    again = [steps[0].copy(), stream(xs[0])]
    same(steps[0], again[0])  # what a step returned is the caller's own


@EVERY
def test_neither_later_steps_nor_later_changes_of_the_parameters_reach_what_was_given(layer):
    layer = as_layer(layer)
    params, xs = layer.init(0), np.random.default_rng(0).normal(size=(T, B, D))
    _, state, _ = layer.forward(params, xs[:1])
    outputs, _, _ = layer.forward(params, xs)
    stream = Stream(layer, params, batch_size=B)
    steps, after_one = [stream(xs[0])], stream.state
    for array in params.values():
        array[...] = 7
    steps += [stream(x) for x in xs[1:]]
    same(after_one, state)
    same(np.stack(steps), outputs)


def test_float32_and_a_batch_of_one_by_default():
    cell = LSTMCell(D, H)
    stream = Stream(cell, cell.init(0, np.float32))
    assert stream(np.ones((1, D), np.float32)).dtype == np.float32
    with pytest.raises(ValueError, match=r"x must have shape \(1, 2\), got \(2, 2\)"):
        stream(np.ones((2, D), np.float32))
    both = Bidirectional(RNNCell(D, H), RNNCell(D, H))
    for layer in (both, Reverse(cell)):
        with pytest.raises(ValueError, match="layer must read forwards only"):
            Stream(layer, layer.init(0))


@pytest.mark.parametrize("lengths", [None, [6, 0, 4]])
@EVERY
def test_all_states_are_those_of_the_cell_at_every_step(layer, lengths):
    layer = as_layer(layer)
    params, xs = layer.init(0), np.random.default_rng(0).normal(size=(T, B, D))
    states = all_states(layer, params, xs, lengths=lengths)
    for t in (0, 3, T - 1):
        ends = None if lengths is None else np.minimum(lengths, t + 1)
        expected = layer.forward(params, xs[: t + 1], lengths=ends)[1]

        def at(part, t=t):
            if isinstance(part, tuple):
                made = [at(p) for p in part]
                return type(part)(*made) if hasattr(part, "_fields") else tuple(made)
            return part[t]

        same(at(states), expected)


def test_the_cs_of_an_lstm_are_those_of_its_own_steps():
    cell = LSTMCell(D, H)
    params, xs = cell.init(0), np.random.default_rng(0).normal(size=(T, B, D))
    _, _, tape = unroll(cell, params, xs)
    c_prevs = [cache.c_prev for cache in tape.caches]
    same(all_states(cell, params, xs).c[:-1], np.stack(c_prevs[1:]))
