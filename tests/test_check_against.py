"""Our gradients beside other code in its own layout; the courses' functions are written here."""

from functools import partial

import numpy as np
import pytest

from npylstm import GRUCell, LSTMCell, RNNCell, check_against
from npylstm.interop import (
    from_keras,
    gradients_to_keras,
    gradients_to_torch,
    layer_from_torch,
    state_from_keras,
    to_tf1,
    to_torch,
)
from npylstm.sequence import Bidirectional, Stack, as_layer, unroll, unroll_backward
from npylstm.tf1 import BasicLSTMCell, dynamic_rnn

D, H = 2, 4


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


# The functions that CS231n asks for: (N, T, D), gates i, f, o, g side by side.


def cs231n_rnn_forward(x, h0, Wx, Wh, b):
    hs, h = [], h0
    for t in range(x.shape[1]):
        h = np.tanh(x[:, t] @ Wx + h @ Wh + b)
        hs.append(h)
    return np.stack(hs, 1), (x, h0, Wx, Wh, np.stack(hs, 1))


def cs231n_rnn_backward(dh, cache, mistake=False):
    x, h0, Wx, Wh, hs = cache
    dx, dWx, dWh, db, dnext = np.zeros_like(x), 0, 0, 0, 0
    for t in reversed(range(x.shape[1])):
        before = hs[:, t - 1] if t else h0
        dz = (dh[:, t] + dnext) * (1 - hs[:, t] ** 2)
        dx[:, t], dnext = dz @ Wx.T, dz @ Wh.T
        dWx, db = dWx + x[:, t].T @ dz, db + dz.sum(0)
        dWh = dWh + (hs[:, t] if mistake else before).T @ dz
    return dx, dnext, dWx, dWh, db


def cs231n_lstm_forward(x, h0, Wx, Wh, b):
    h, c, caches, hs = h0, np.zeros_like(h0), [], []
    for t in range(x.shape[1]):
        i, f, o, g = np.split(x[:, t] @ Wx + h @ Wh + b, 4, axis=1)
        i, f, o, g = sigmoid(i), sigmoid(f), sigmoid(o), np.tanh(g)
        new = f * c + i * g
        caches.append((x[:, t], h, c, i, f, o, g, new))
        c, h = new, o * np.tanh(new)
        hs.append(h)
    return np.stack(hs, 1), (caches, Wx, Wh)


def cs231n_lstm_backward(dh, cache):
    caches, Wx, Wh = cache
    dx, dWx, dWh, db, dnext, dc = [], 0, 0, 0, 0, 0
    for t in reversed(range(dh.shape[1])):
        x, h, c, i, f, o, g, new = caches[t]
        d = dh[:, t] + dnext
        dc = dc + d * o * (1 - np.tanh(new) ** 2)
        parts = dc * g * i * (1 - i), dc * c * f * (1 - f), d * np.tanh(new) * o * (1 - o)
        dz = np.concatenate([*parts, dc * i * (1 - g**2)], axis=1)
        dx.insert(0, dz @ Wx.T)
        dnext, dc = dz @ Wh.T, dc * f
        dWx, dWh, db = dWx + x.T @ dz, dWh + h.T @ dz, db + dz.sum(0)
    return np.stack(dx, 1), dnext, dWx, dWh, db


def test_functions_in_the_argument_order_of_cs231n_agree_and_a_mistake_is_located():
    report = check_against((cs231n_lstm_forward, cs231n_lstm_backward), LSTMCell(D, H), "cs231n")
    assert report.ok, report
    assert {"outputs", "W_x[f]", "W_h[g]", "b[o]", "xs", "state0.h"} <= {
        row.block for row in report.rows
    }
    pair = cs231n_rnn_forward, cs231n_rnn_backward
    assert check_against(pair, RNNCell(D, H), "cs231n").ok
    wrong = cs231n_rnn_forward, lambda dh, cache: cs231n_rnn_backward(dh, cache, mistake=True)
    report = check_against(wrong, RNNCell(D, H), "cs231n")
    assert [row.block for row in report.rows if not row.ok] == ["W_h"]
    assert "DIFFERENT" in str(report)
    assert not report.ok  # although every other block agrees


def test_code_that_leaves_out_the_first_or_the_last_state_is_found():
    forgetful = lambda x, h0, *weights: cs231n_rnn_forward(x, 0 * h0, *weights)  # noqa: E731
    report = check_against((forgetful, cs231n_rnn_backward), RNNCell(D, H), "cs231n")
    assert "outputs" in {row.block for row in report.rows if not row.ok}

    cell = LSTMCell(D, H)

    def without_dstate(params, xs, state0, doutputs, dstate):
        _, _, tape = unroll(cell, params, xs, state0)
        return unroll_backward(cell, params, tape, doutputs)

    assert not check_against(without_dstate, cell, "npylstm").ok


def test_gradients_of_another_shape_are_refused_with_both():
    def broadcast(dh, cache):
        dx, *others = cs231n_rnn_backward(dh, cache)
        return dx[..., :1], *others

    with pytest.raises(ValueError, match=r"xs must have shape \(5, 3, 2\), got \(5, 3, 1\)"):
        check_against((cs231n_rnn_forward, broadcast), RNNCell(D, H), "cs231n")


# The functions of deeplearning.ai: (n_x, m, T), [a; x] stacked, dictionaries.


def course_forward(x, a0, parameters):
    W, T = parameters, x.shape[2]
    a, c, caches, out = a0, np.zeros_like(a0), [], []
    for t in range(T):
        z = np.concatenate([a, x[:, :, t]])
        f, i, o = (sigmoid(W[f"W{k}"] @ z + W[f"b{k}"]) for k in "fio")
        g = np.tanh(W["Wc"] @ z + W["bc"])
        new = f * c + i * g
        caches.append((z, c, f, i, o, g, new))
        c, a = new, o * np.tanh(new)
        out.append(a)
    return np.stack(out, 2), None, None, (caches, parameters)


def course_backward(da, caches):
    steps, W = caches
    n, T = da.shape[0], da.shape[2]
    grads = {f"d{name}": np.zeros_like(W[name]) for k in "fico" for name in (f"W{k}", f"b{k}")}
    dx, dnext, dc = [], 0, 0
    for t in reversed(range(T)):
        z, c, f, i, o, g, new = steps[t]
        d = da[:, :, t] + dnext
        dc = dc + d * o * (1 - np.tanh(new) ** 2)
        dz = {
            "f": dc * c * f * (1 - f), "i": dc * g * i * (1 - i), "c": dc * i * (1 - g**2),
            "o": d * np.tanh(new) * o * (1 - o),
        }  # fmt: skip
        for k, value in dz.items():
            grads[f"dW{k}"] += value @ z.T
            grads[f"db{k}"] += value.sum(1, keepdims=True)
        back = sum(W[f"W{k}"].T @ value for k, value in dz.items())
        dnext, dc = back[:n], dc * f
        dx.insert(0, back[n:])
    return grads | {"dx": np.stack(dx, 2), "da0": dnext}


def test_functions_in_the_argument_order_of_the_deeplearning_ai_course_agree():
    report = check_against((course_forward, course_backward), LSTMCell(D, H), "deeplearning.ai")
    assert report.ok, report
    assert {"W_h[i]", "b[f]", "xs", "state0.h", "outputs"} <= {row.block for row in report.rows}


# Frameworks.

MODULES = {
    "LSTM": (lambda n: n.LSTM(D, H), LSTMCell(D, H)),
    "batch first": (lambda n: n.GRU(D, H, batch_first=True), GRUCell(D, H, True)),
    "deep": (
        lambda n: n.RNN(D, H, 2, bidirectional=True),
        Stack([
            Bidirectional(RNNCell(D, H), RNNCell(D, H)),
            Bidirectional(RNNCell(2 * H, H), RNNCell(2 * H, H)),
        ]),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("make", "layer"), MODULES.values(), ids=MODULES)
def test_a_pytorch_module_is_run_and_differentiated_by_pytorch(make, layer):
    torch = pytest.importorskip("torch")
    module = make(torch.nn)
    report = check_against(module, layer)
    assert report.ok, report
    assert all(p.grad is None for p in module.parameters())


@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
def test_a_pytorch_module_without_biases_is_compared_without_them(name):
    torch = pytest.importorskip("torch")
    module = getattr(torch.nn, name)(D, H, bias=False)
    report = check_against(module, layer_from_torch(module))
    assert report.ok, report
    blocks = [row.block for row in report.rows]
    assert "xs" in blocks
    assert not [block for block in blocks if block.startswith("b")]


def test_keras_weights_come_without_biases_on_request_and_a_mistake_is_still_found():
    layer = Stack([LSTMCell(D, H), LSTMCell(H, H)])

    def other(weights, xs, state0, doutputs, dstate, mistake=1.0):
        assert [w.shape for w in weights] == [(D, 4 * H), (H, 4 * H), (H, 4 * H), (H, 4 * H)]
        params = from_keras(layer, weights)
        tape = layer.forward(params, xs.swapaxes(0, 1), state_from_keras(layer, state0))[2]
        final = state_from_keras(layer, dstate)
        grads = layer.backward(params, tape, doutputs.swapaxes(0, 1), final)[2]
        W_x, *others = gradients_to_keras(layer, grads, bias=False)
        return [mistake * W_x, *others]

    report = check_against(other, layer, "keras", bias=False)
    assert report.ok, report
    assert not [row for row in report.rows if ".b" in row.block]
    wrong = check_against(partial(other, mistake=1.01), layer, "keras", bias=False)
    assert {row.block[:5] for row in wrong.rows if not row.ok} == {"0.W_x"}


def test_a_function_of_ones_own_may_return_the_gradients_of_the_weights_alone():
    cell = GRUCell(D, H, reset_after=True)

    def other(weights, xs, state0, doutputs, dstate):
        from npylstm.interop import from_torch, state_from_torch

        layer = as_layer(cell)
        params = from_torch(cell, weights)
        tape = layer.forward(params, xs, state_from_torch(cell, state0))[2]
        grads = layer.backward(params, tape, doutputs, state_from_torch(cell, dstate))[2]
        there = gradients_to_torch(cell, grads)
        there["weight_ih_l0"][H : 2 * H] *= -1  # a mistake in the update gate
        return there

    report = check_against(other, cell)
    assert [row.block for row in report.rows if not row.ok] == ["W_x[u]"]


def test_tensorflow_1s_variables_are_converted_too():
    cell = LSTMCell(D, H)

    def other(variables, xs, state0, doutputs, dstate):
        theirs = BasicLSTMCell(H)
        named = {f"rnn/basic_lstm_cell{name[1:]}": a for name, a in variables.items()}
        run = dynamic_rnn(theirs, xs, initial_state=theirs.zero_state(3, "f8")._replace(
            c=state0[0], h=state0[1]), variables=named)  # fmt: skip
        back = run.backward(doutputs, type(run[1])(c=dstate[0], h=dstate[1]))
        dxs, start, grads = back
        return dxs, (start.c, start.h), {f"0/{name.split('/')[-1]}": a for name, a in grads.items()}

    report = check_against(other, cell, "tf1")
    assert report.ok, report
    assert to_tf1(cell, cell.init(0), "0").keys() == {"0/kernel", "0/bias"}


def test_keras_and_onnx_layouts_come_back_as_they_went():
    from npylstm.interop import (
        from_keras,
        from_onnx,
        gradients_to_keras,
        gradients_to_onnx,
        state_from_keras,
        state_from_onnx,
        state_to_keras,
        state_to_onnx,
    )

    cell = LSTMCell(D, H)
    for layout, back, there, state_back, state_there in (
        ("keras", from_keras, gradients_to_keras, state_from_keras, state_to_keras),
        ("onnx", from_onnx, gradients_to_onnx, state_from_onnx, state_to_onnx),
    ):

        def other(params, xs, state0, doutputs, dstate, at=(back, there, state_back, state_there)):
            back, there, state_back, state_there = at
            turn = (lambda a: a.swapaxes(0, 1)) if back is from_keras else (lambda a: a)
            layer, own = as_layer(cell), back(cell, params)
            tape = layer.forward(own, turn(xs), state_back(cell, state0))[2]
            final = state_back(cell, dstate)
            dxs, dstate0, grads = layer.backward(own, tape, turn(doutputs), final)
            return turn(dxs), state_there(cell, dstate0), there(cell, grads)

        assert check_against(other, cell, layout).ok


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="layout must be one of 'npylstm', 'torch'"):
        check_against(None, LSTMCell(D, H), "jax")
    with pytest.raises(TypeError, match=r"other must be the pair \(forward, backward\)"):
        check_against(cs231n_rnn_forward, RNNCell(D, H), "cs231n")
    with pytest.raises(ValueError, match="layout must be a Layout, or for GRU"):
        check_against((cs231n_rnn_forward, cs231n_rnn_backward), GRUCell(D, H), "cs231n")
    with pytest.raises(ValueError, match="gradients must have the keys"):
        check_against(lambda *_: {}, LSTMCell(D, H))
    with pytest.raises(ValueError, match="T must be a positive integer"):
        check_against(None, LSTMCell(D, H), T=0)
    assert to_torch(LSTMCell(D, H), LSTMCell(D, H).init(0))
