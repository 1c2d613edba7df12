"""Whole layers whose sequences come batch first."""

import numpy as np
import pytest

from npylstm.cells import LSTMCell
from npylstm.interop import from_torch, gradients_from_torch
from npylstm.models import SequenceModel, from_config, to_config
from npylstm.sequence import BatchFirst, Bidirectional, Dropout, Stack

T, B, D, H = 5, 3, 2, 4


def test_it_agrees_with_pytorch_in_outputs_and_gradients():
    torch = pytest.importorskip("torch")
    inner = Stack([LSTMCell(D, H), LSTMCell(H, H)])
    module = torch.nn.LSTM(D, H, num_layers=2, batch_first=True, dtype=torch.float64)
    xs = np.random.default_rng(0).standard_normal((B, T, D))
    leaf = torch.tensor(xs, requires_grad=True)
    expected, _ = module(leaf)
    (expected**2).sum().backward()

    params = from_torch(inner, module.state_dict())
    layer = BatchFirst(inner)
    outputs, state, tape = layer.forward(params, xs)
    np.testing.assert_allclose(outputs, expected.detach().numpy(), atol=1e-12)
    np.testing.assert_array_equal(state[1].h, outputs[:, -1])
    dxs, _, grads = layer.backward(params, tape, 2 * outputs)
    np.testing.assert_allclose(dxs, leaf.grad.numpy(), atol=1e-12)
    wanted = {name: weight.grad for name, weight in module.named_parameters()}
    for name, grad in gradients_from_torch(inner, wanted).items():
        np.testing.assert_allclose(grads[name], grad, atol=1e-12)


def test_masks_are_batch_first_as_well():
    cell = LSTMCell(D, H)
    params, rng = cell.init(0), np.random.default_rng(0)
    xs, mask = rng.standard_normal((B, T, D)), rng.random((B, T)) < 0.5
    outputs, _, _ = BatchFirst(cell).forward(params, xs, lengths=mask)
    inside, _, _ = BatchFirst(cell).layer.forward(params, xs.swapaxes(0, 1), lengths=mask.T)
    np.testing.assert_array_equal(outputs, inside.swapaxes(0, 1))
    assert not outputs[~mask].any()


@pytest.mark.parametrize(
    "around",
    [
        BatchFirst,
        Dropout,
        lambda layer: Stack([layer]),
        lambda layer: Bidirectional(layer, LSTMCell(D, H)),
        lambda layer: SequenceModel(layer, 3),
    ],
)
def test_inside_another_layer_or_a_model_it_is_refused(around):
    with pytest.raises(TypeError, match=r"must take sequences time first.*BatchFirst around"):
        around(BatchFirst(LSTMCell(D, H)))


def test_it_is_described_and_made_again():
    layer = BatchFirst(LSTMCell(D, H))
    assert from_config(to_config(layer)) == layer
