"""Masks with holes: steps that a sequence skips, wherever they are."""

import numpy as np
import pytest
from properties import assert_close, assert_identical, random_like, random_params

from npylstm.cells import GRUCell, LRUCell, LSTMCell, LSTMVariant, MinGRUCell, MLSTMCell, RNNCell
from npylstm.interop import from_keras, gradients_from_keras, layer_from_keras, state_from_keras
from npylstm.models import SequenceModel
from npylstm.sequence import Bidirectional, Recurrent, Residual, Reverse, Stack, all_states

T, B, D, H = 7, 4, 3, 4
MASK = np.random.default_rng(0).random((T, B)) < [0.6, 0.4, 1, 0]
MASK[3, 0] = True

LAYERS = {
    "lstm": Recurrent(LSTMCell(D, H)),
    "gru": Recurrent(GRUCell(D, H)),
    "gru-after": Recurrent(GRUCell(D, H, reset_after=True)),
    "rnn": Recurrent(RNNCell(D, H, activation="relu")),
    "peepholes": Recurrent(LSTMVariant(D, H, peepholes=True)),
    "unroll": Recurrent(LSTMCell(D, H), path="unroll"),
    "truncated": Recurrent(LSTMCell(D, H), truncation=(T, T)),
    "scan": Recurrent(MinGRUCell(D, H)),
    "lru": Recurrent(LRUCell(D, H)),
    "mlstm": Recurrent(MLSTMCell(D, H)),
    "residual": Residual(LSTMCell(D, D)),
    "stack": Stack([GRUCell(D, 2), LSTMCell(2, H)]),
}
every_layer = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)


def sequence(layer, rng, T=T, B=B):
    params, xs = random_params(layer, rng), rng.standard_normal((T, B, layer.input_size))
    states = [random_like(rng, layer.zero_state(xs[0])) for _ in range(2)]
    return params, xs, states[0], rng.standard_normal((T, B, layer.output_size)), states[1]


def run(layer, params, xs, state0, doutputs, dstate, lengths):
    outputs, state, tape = layer.forward(params, xs, state0, lengths)
    return outputs, state, *layer.backward(params, tape, doutputs, dstate)


def one(tree, b):
    """Return sequence b of a state's arrays."""
    if isinstance(tree, tuple):
        parts = [one(part, b) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)
    return tree[b : b + 1]


@every_layer
def test_a_mask_equals_running_each_sequence_over_its_own_steps_alone(layer):
    params, xs, state0, doutputs, dstate = sequence(layer, np.random.default_rng(0))
    xs[~MASK] = np.nan
    outputs, state, dxs, dstate0, grads = run(layer, params, xs, state0, doutputs, dstate, MASK)
    assert not outputs[~MASK].any()
    assert not dxs[~MASK].any()
    total = dict.fromkeys(grads, 0)
    for b, steps in enumerate(MASK.T):
        if not steps.any():
            assert_identical(one(state, b), one(state0, b))
            assert_identical(one(dstate0, b), one(dstate, b))
            continue
        own = xs[steps, b : b + 1], one(state0, b), doutputs[steps, b : b + 1], one(dstate, b)
        expected = run(layer, params, *own, None)
        got = outputs[steps, b : b + 1], one(state, b), dxs[steps, b : b + 1], one(dstate0, b)
        assert_close(got, expected[:-1])
        total = {name: total[name] + grad for name, grad in expected[-1].items()}
    assert_close(grads, total)


@pytest.mark.parametrize("layer", [*LAYERS.values(), Bidirectional(LSTMCell(D, 2), GRUCell(D, H))])
def test_a_mask_that_ends_once_is_lengths(layer):
    ends = np.array([T, 0, 3, 1])
    arguments = sequence(layer, np.random.default_rng(0))
    mask = np.arange(T)[:, None] < ends
    assert_identical(run(layer, *arguments, mask), run(layer, *arguments, ends))


@every_layer
def test_inference_and_every_single_state_agree_on_masks(layer):
    params, xs, state0, *_ = sequence(layer, np.random.default_rng(0))
    outputs, state, _ = layer.forward(params, xs, state0, MASK)
    free, end, _ = layer.forward(params, xs, state0, MASK, keep_tape=False)
    assert_close((free, end), (outputs, state))
    if isinstance(state0, tuple) and hasattr(state0, "_fields"):
        last = type(state)(*(a[-1] for a in all_states(layer, params, xs, state0, MASK)))
        assert_close(last, state)


def test_a_reversed_layer_reads_the_steps_taken_from_the_last_to_the_first():
    layer = LAYERS["lstm"]
    params, xs, state0, *_ = sequence(layer, np.random.default_rng(0))
    outputs, state, _ = Reverse(layer).forward(params, xs, state0, MASK)
    back, end, _ = layer.forward(params, xs[::-1], state0, MASK[::-1])
    assert_close((outputs, state), (back[::-1], end))


@pytest.mark.parametrize("every_step", [False, True])
def test_in_a_model_skipped_steps_do_not_count(every_step):
    model = SequenceModel(LSTMCell(D, H), 3, every_step=every_step)
    rng = np.random.default_rng(0)
    params, xs = random_params(model, rng), rng.standard_normal((T, B, D))
    labels = rng.integers(3, size=(T, B) if every_step else B)
    mask = MASK.copy()
    mask[0] = True
    loss, grads = model.loss_and_grads(params, xs, labels, mask)
    losses, total = [], dict.fromkeys(grads, 0)
    for b, steps in enumerate(mask.T):
        own = labels[steps, b : b + 1] if every_step else labels[b : b + 1]
        value, grad = model.loss_and_grads(params, xs[steps, b : b + 1], own)
        weight = steps.sum() / mask.sum() if every_step else 1 / B
        losses.append(weight * value)
        total = {name: total[name] + weight * grad[name] for name in grad}
    assert_close(loss, sum(losses))
    assert_close(grads, total)
    xs[~mask] = np.nan
    if every_step:
        labels[~mask] = -1
    assert_identical(model.loss_and_grads(params, xs, labels, mask), (loss, grads))


@pytest.fixture(scope="module")
def keras():
    """Keras 3 on PyTorch, so that TensorFlow itself is not needed."""
    pytest.importorskip("torch")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_BACKEND", "torch")
        yield pytest.importorskip("keras")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN", "Bidirectional"])
def test_states_outputs_and_gradients_agree_with_keras(keras, kind):
    import torch

    def made(name):
        return getattr(keras.layers, name)(H, return_sequences=True, return_state=True)

    theirs = keras.layers.Bidirectional(made("LSTM")) if kind == "Bidirectional" else made(kind)
    xs = np.random.default_rng(0).standard_normal((T, B, D)).astype(np.float32)
    leaf = torch.tensor(xs.swapaxes(0, 1).copy(), requires_grad=True)
    outputs, *states = theirs(leaf, mask=torch.tensor(MASK.T.copy()))
    taken = torch.tensor(MASK.T[..., None].copy())
    (sum((s * s).sum() for s in states) + (outputs * outputs * taken).sum()).backward()

    layer = layer_from_keras(theirs, input_size=D)
    params = from_keras(layer, theirs.get_weights())
    got, state, tape = layer.forward(params, xs, None, MASK)
    expected = outputs.detach().numpy().swapaxes(0, 1)
    np.testing.assert_allclose(got, np.where(MASK[..., None], expected, 0), atol=1e-6)
    end = state_from_keras(layer, [s.detach().numpy() for s in states])
    assert_close(state, end, 1e-5, 1e-6)
    doubled = tuple(type(s)(*(2 * a for a in s)) for s in state) if kind == "Bidirectional" else (
        type(state)(*(2 * a for a in state))
    )  # fmt: skip
    dxs, _, grads = layer.backward(params, tape, 2 * got, doubled)
    np.testing.assert_allclose(dxs, leaf.grad.numpy().swapaxes(0, 1), atol=1e-5)
    wanted = [w.value.grad.numpy() for w in theirs.trainable_weights]
    assert_close(grads, gradients_from_keras(layer, wanted), 1e-4, 1e-5)
