"""Keras: layers from its layers and configs, gradients, states and whole models."""

import numpy as np
import pytest

from npylstm.cells import GRUCell, LSTMCell, LSTMVariant, RNNCell
from npylstm.interop import (
    from_keras,
    gradients_from_keras,
    gradients_to_keras,
    layer_from_keras,
    model_from_keras,
    state_from_keras,
    state_to_keras,
    to_keras,
)
from npylstm.models import SequenceModel
from npylstm.sequence import Bidirectional, Recurrent, Stack

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore")

T, B, D, H = 5, 3, 2, 4


@pytest.fixture(scope="module")
def keras():
    """Keras 3 on PyTorch, so that TensorFlow itself is not needed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_BACKEND", "torch")
        yield pytest.importorskip("keras")


LAYERS = {
    "LSTM": lambda k: k.LSTM(H, return_sequences=True, return_state=True),
    "hard LSTM": lambda k: k.LSTM(
        H, recurrent_activation="hard_sigmoid", activation="softsign", return_sequences=True,
        return_state=True,
    ),
    "LSTM without bias": lambda k: k.LSTM(
        H, use_bias=False, return_sequences=True, return_state=True
    ),
    "GRU": lambda k: k.GRU(H, return_sequences=True, return_state=True, bias_initializer="uniform"),
    "GRU before": lambda k: k.GRU(
        H, reset_after=False, activation="elu", return_sequences=True, return_state=True
    ),
    "GRU without bias": lambda k: k.GRU(
        H, use_bias=False, return_sequences=True, return_state=True
    ),
    "RNN": lambda k: k.SimpleRNN(
        H, activation="sigmoid", return_sequences=True, return_state=True
    ),
    "linear RNN": lambda k: k.SimpleRNN(
        H, activation=None, return_sequences=True, return_state=True
    ),
    "both": lambda k: k.Bidirectional(k.LSTM(H, return_sequences=True, return_state=True)),
    "stacked cells": lambda k: k.RNN(
        [k.LSTMCell(H), k.GRUCell(3)], return_sequences=True, return_state=True
    ),
}  # fmt: skip


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_a_keras_layer_its_gradients_and_its_states_are_ours(keras, make):
    theirs = make(keras.layers)
    rng = np.random.default_rng(0)
    xs = rng.normal(size=(T, B, D)).astype(np.float32)
    tensor = torch.tensor(xs.swapaxes(0, 1).copy(), requires_grad=True)
    outputs, *final = theirs(tensor)
    final = [a for part in final for a in (part if isinstance(part, list | tuple) else [part])]

    layer = layer_from_keras(theirs)
    assert layer == layer_from_keras(keras.layers.serialize(theirs), input_size=D)
    params = from_keras(layer, theirs.get_weights())
    got, state, tape = layer.forward(params, xs)
    close = {"rtol": 0, "atol": 2e-6}
    np.testing.assert_allclose(got.swapaxes(0, 1), outputs.detach(), **close)
    for ours, wanted in zip(state_to_keras(layer, state), final, strict=True):
        np.testing.assert_allclose(ours, wanted.detach(), **close)
    assert repr(state_from_keras(layer, state_to_keras(layer, state))) == repr(state)

    w = rng.normal(size=got.shape).astype(np.float32)
    loss = (outputs * torch.tensor(w.swapaxes(0, 1).copy())).sum()
    their_grads = torch.autograd.grad(loss, [v.value for v in theirs.trainable_weights])
    grads = layer.backward(params, tape, w)[2]
    biased = len(their_grads) == len(to_keras(layer, params))
    for a, b in zip(gradients_to_keras(layer, grads, bias=biased), their_grads, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-5)
    if biased:
        for name, grad in gradients_from_keras(layer, their_grads).items():
            np.testing.assert_allclose(grad, grads[name], rtol=0, atol=2e-5)
    theirs.set_weights(to_keras(layer, params, bias=biased))
    for name, array in from_keras(layer, theirs.get_weights()).items():
        np.testing.assert_array_equal(array, params[name])


@pytest.mark.parametrize("sequences", [False, True])
def test_a_whole_sequential_with_its_head_comes_in_and_goes_out(keras, sequences):
    k = keras.layers
    theirs = keras.Sequential([
        keras.Input((T, D)), k.Bidirectional(k.GRU(H, return_sequences=True)), k.Dropout(0.25),
        k.LSTM(3, return_sequences=sequences), k.Dense(6),
    ])  # fmt: skip
    model, params = model_from_keras(theirs)
    assert model.every_step == sequences
    assert isinstance(model.layer, Stack)
    xs = np.random.default_rng(0).normal(size=(T, B, D)).astype(np.float32)
    wanted = keras.ops.convert_to_numpy(theirs(xs.swapaxes(0, 1)))
    wanted = wanted.swapaxes(0, 1) if sequences else wanted
    np.testing.assert_allclose(model.predict(params, xs), wanted, rtol=0, atol=2e-6)
    theirs.set_weights(to_keras(model, params))
    other = from_keras(model, theirs.get_weights())
    assert all((other[name] == params[name]).all() for name in params)


def test_a_config_alone_is_enough():
    assert layer_from_keras({"units": H}, D, "LSTM").cell == LSTMCell(D, H)
    assert layer_from_keras({"units": H, "activation": "relu"}, D, "SimpleRNN").cell == RNNCell(
        D, H, "relu"
    )
    assert layer_from_keras({"units": H}, D, "GRU").cell == GRUCell(D, H, True, gate_bias=0.0)
    part = {"class_name": "LSTM", "config": {"units": H, "activation": "relu"}}
    both = layer_from_keras({"class_name": "Bidirectional", "config": {"layer": part}}, D)
    assert isinstance(both, Bidirectional)
    cell = LSTMVariant(D, H, input_activation="relu", output_activation="relu")
    assert both.forward_layer == Recurrent(cell)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"units": H, "go_backwards": True}, "go_backwards must be False"),
        ({"units": H, "recurrent_dropout": 0.5}, "recurrent_dropout must be 0, got 0.5"),
        ({"units": H, "activation": "swish"}, "activation must be one of.*'swish'"),
        ({"units": H, "recurrent_activation": "gelu"}, "recurrent_activation must be one of"),
        ({"units": 0}, "hidden_size must be a positive integer"),
    ],
)
def test_a_setting_without_counterpart_is_named(config, message):
    with pytest.raises(ValueError, match=message):
        layer_from_keras(config, D, "LSTM")


def test_what_is_missing_is_named():
    with pytest.raises(ValueError, match="kind must name the layer's class"):
        layer_from_keras({"units": H}, D)
    with pytest.raises(ValueError, match="input_size must be given"):
        layer_from_keras({"units": H}, kind="LSTM")
    with pytest.raises(ValueError, match=r"layer must be one of LSTM.*got Conv1D"):
        layer_from_keras({"units": H}, D, "Conv1D")
    with pytest.raises(TypeError, match="layer must be a Keras layer or its config"):
        layer_from_keras(3)
    both = {"merge_mode": "sum", "layer": {"class_name": "LSTM", "config": {"units": H}}}
    with pytest.raises(ValueError, match="merge_mode must be 'concat', got 'sum'"):
        layer_from_keras({"class_name": "Bidirectional", "config": both}, D)
    with pytest.raises(ValueError, match="states must be a list of 2 arrays, got 1"):
        state_from_keras(LSTMCell(D, H), [np.zeros((B, H))])
    model = SequenceModel(RNNCell(D, H), 6)
    assert [a.shape for a in to_keras(model, model.init(0))] == [(D, H), (H, H), (H,), (H, 6), (6,)]
