import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from properties import assert_close, assert_identical, leaves, random_params, read_only, transform

from npylstm.analysis.numerical import check_model
from npylstm.cells.lstm import LSTMCell
from npylstm.cells.rnn import RNNCell
from npylstm.models.losses import mean_squared_error, softmax_cross_entropy
from npylstm.models.model import LOSSES, SequenceModel
from npylstm.sequence.layers import Bidirectional, Stack
from npylstm.sequence.unroll import unroll
from npylstm.sequence.wrappers import Dropout

T, B, D, H, K = 5, 4, 3, 6, 2
CELLS = {"lstm": LSTMCell(D, H), "rnn": RNNCell(D, H)}
every_cell = pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
LENGTHS = {
    "full": None,
    "lengths": [5, 1, 3, 2],
    "holes": np.array([[0, 1, 0, 1, 1], [0, 0, 1, 0, 0], [1] * 5, [1, 0, 0, 1, 0]], bool).T,
}
with_lengths = pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
with_ends = pytest.mark.parametrize("lengths", [None, LENGTHS["lengths"]], ids=["full", "lengths"])
every_kind = pytest.mark.parametrize(
    ("loss", "every_step"),
    [(loss, every) for loss in ("cross_entropy", "mean_squared_error") for every in (False, True)],
    ids=["class", "class-every-step", "value", "value-every-step"],
)


def batch(model, rng, T=T, B=B):
    """Random params, xs and targets."""
    xs = rng.standard_normal((T, B, model.recurrent.input_size))
    shape = (T, B) if model.every_step else (B,)
    if model.loss == "cross_entropy":
        targets = rng.integers(0, model.output_size, shape)
    else:
        targets = rng.standard_normal((*shape, model.output_size))
    return random_params(model, rng), xs, targets


@every_cell
@every_kind
@with_lengths
def test_gradients_equal_numerical_ones(cell, loss, every_step, lengths):
    report = check_model(SequenceModel(cell, K, loss, every_step), T, B, lengths, max_entries=20)
    assert report.ok, report


@every_kind
def test_gradients_of_sequences_without_a_step_equal_numerical_ones(loss, every_step):
    model = SequenceModel(LSTMCell(D, H), K, loss, every_step)
    report = check_model(model, T, 3, [0, 5, 0], max_entries=20)
    assert report.ok, report


def test_gradients_of_a_model_with_everything_equal_numerical_ones():
    layer = Dropout(Stack([Bidirectional(LSTMCell(D, 3), RNNCell(D, 2)), LSTMCell(5, 4)]), 0.8, 0.7)
    model = SequenceModel(layer, 3, every_step=True)
    report = check_model(model, lengths=[5, 2, 0], method="complex", max_entries=12)
    assert report.ok, report


@every_cell
@every_kind
@with_ends
def test_loss_and_every_gradient_agree_with_pytorch(
    torch_reference, cell, loss, every_step, lengths
):
    import torch

    model = SequenceModel(cell, K, loss, every_step)
    params, xs, targets = batch(model, np.random.default_rng(0), T=28, B=4)
    ends = np.array([28] * 4 if lengths is None else [28, 1, 13, 7])
    value, grads = model.loss_and_grads(params, xs, targets, None if lengths is None else ends)

    own = {name: params[name] for name in ("W_x", "W_h", "b")}
    module = torch_reference.network(cell, own)
    W_y, b_y = torch_reference.leaf(params["W_y"]), torch_reference.leaf(params["b_y"])
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        torch_reference.leaf(xs), ends, enforce_sorted=False
    )
    outputs, _ = torch.nn.utils.rnn.pad_packed_sequence(module(packed)[0])
    if every_step:
        alive = np.arange(28)[:, None] < ends
        rows, wanted = outputs[torch.tensor(alive)], torch.tensor(targets[alive])
    else:
        rows, wanted = outputs[torch.tensor(ends - 1), torch.arange(4)], torch.tensor(targets)
    y = rows @ W_y + b_y
    if loss == "cross_entropy":
        expected = torch.nn.functional.cross_entropy(y, wanted)
    else:
        expected = K * torch.nn.functional.mse_loss(y, wanted)
    expected.backward()

    assert_close(value, expected.detach().numpy(), rtol=1e-10, atol=1e-10)
    expected_grads = torch_reference.gradients(module)[0] | {
        "W_y": W_y.grad.numpy(),
        "b_y": b_y.grad.numpy(),
    }
    for name in params:
        scale = np.abs(expected_grads[name]).max()
        assert_close(grads[name] / scale, expected_grads[name] / scale, rtol=0, atol=1e-10)


@every_cell
@with_lengths
@pytest.mark.parametrize("every_step", [False, True])
def test_predictions_are_the_head_applied_to_the_last_or_to_every_output(cell, lengths, every_step):
    model = SequenceModel(cell, K, every_step=every_step)
    params, xs, _ = batch(model, np.random.default_rng(0))
    outputs, state, _ = unroll(cell, {n: params[n] for n in cell.param_shapes}, xs, None, lengths)
    read = outputs if every_step else state.h
    assert_close(model.predict(params, xs, lengths), read @ params["W_y"] + params["b_y"])


@every_kind
def test_the_loss_is_that_of_the_predictions(loss, every_step):
    model = SequenceModel(LSTMCell(D, H), K, loss, every_step)
    params, xs, targets = batch(model, np.random.default_rng(0))
    function = {"cross_entropy": softmax_cross_entropy, "mean_squared_error": mean_squared_error}
    values, _ = function[loss](model.predict(params, xs), targets)
    assert_close(model.loss_and_grads(params, xs, targets)[0], np.mean(values))


def test_predicting_drops_nothing_and_training_does():
    cell = LSTMCell(D, H)
    plain, dropping = SequenceModel(cell, K), SequenceModel(Dropout(cell, 0.5, 0.5, 0.5), K)
    params, xs, targets = batch(plain, np.random.default_rng(0))
    assert_identical(dropping.predict(params, xs), plain.predict(params, xs))
    expected = plain.loss_and_grads(params, xs, targets)
    assert_identical(dropping.loss_and_grads(params, xs, targets), expected)
    assert dropping.loss_and_grads(params, xs, targets, rng=0)[0] != expected[0]


@every_kind
@with_lengths
def test_a_leading_axis_trains_independent_networks(loss, every_step, lengths):
    model = SequenceModel(LSTMCell(D, H), K, loss, every_step)
    draws = [batch(model, np.random.default_rng(s)) for s in range(3)]
    axis = 1 if every_step else 0
    losses, grads = model.loss_and_grads(
        {name: np.stack([draw[0][name] for draw in draws]) for name in draws[0][0]},
        np.stack([draw[1] for draw in draws], axis=1),
        np.stack([draw[2] for draw in draws], axis=axis),
        lengths,
    )
    assert losses.shape == (3,)
    for s, draw in enumerate(draws):
        own = losses[s], {name: grad[s] for name, grad in grads.items()}
        assert_close(own, model.loss_and_grads(*draw, lengths))


@every_kind
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), order=st.permutations(range(B)))
def test_the_order_of_a_batch_does_not_matter(loss, every_step, seed, order):
    model = SequenceModel(RNNCell(D, H), K, loss, every_step)
    params, xs, targets = batch(model, np.random.default_rng(seed))
    lengths = np.array([5, 1, 0, 2])
    shuffled = xs[:, order], targets[:, order] if every_step else targets[order], lengths[order]
    assert_close(
        model.loss_and_grads(params, *shuffled), model.loss_and_grads(params, xs, targets, lengths)
    )


@every_kind
@with_lengths
def test_no_argument_is_written_to(loss, every_step, lengths):
    model = SequenceModel(LSTMCell(D, H), K, loss, every_step)
    arguments = batch(model, np.random.default_rng(0))
    assert_identical(
        model.loss_and_grads(*read_only(arguments), lengths),
        model.loss_and_grads(*arguments, lengths),
    )


@every_kind
@with_lengths
def test_single_precision_stays_single(loss, every_step, lengths):
    model = SequenceModel(LSTMCell(D, H), K, loss, every_step)
    params, xs, targets = batch(model, np.random.default_rng(0))
    single = transform(np.float32, (params, xs))
    results = model.loss_and_grads(*single, targets, lengths)
    assert {array.dtype for array in leaves(results)} == {np.dtype(np.float32)}
    assert_close(results, model.loss_and_grads(params, xs, targets, lengths), 1e-4, 1e-4)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_loss_of_padded_sequences_is_the_mean_over_their_real_steps(loss):
    model = SequenceModel(LSTMCell(D, H), K, loss, every_step=True)
    params, xs, targets = batch(model, np.random.default_rng(0))
    lengths = [4, 1, 0, 2]
    total = 0.0
    for b, n in enumerate(lengths):
        if n:
            y = model.predict(params, xs[:n, b : b + 1])
            total += LOSSES[loss](y, targets[:n, b : b + 1])[0].sum()
    got, _ = model.loss_and_grads(params, xs, targets, lengths)
    assert got == pytest.approx(total / sum(lengths), rel=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_batch_without_a_single_step_costs_nothing(loss):
    model = SequenceModel(LSTMCell(D, H), K, loss, every_step=True)
    total, grads = model.loss_and_grads(*batch(model, np.random.default_rng(0)), [0] * B)
    assert total == 0
    assert not any(grad.any() for grad in grads.values())


@pytest.mark.parametrize("loss", LOSSES)
def test_padded_steps_of_the_targets_do_not_count(loss):
    model = SequenceModel(LSTMCell(D, H), K, loss, every_step=True)
    params, xs, targets = batch(model, np.random.default_rng(0))
    lengths = [5, 1, 0, 2]
    expected = model.loss_and_grads(params, xs, targets, lengths)
    past = np.arange(T)[:, None] >= lengths
    targets[past] = 0
    xs[past] = np.nan
    assert_identical(model.loss_and_grads(params, xs, targets, lengths), expected)


@pytest.mark.parametrize(("loss", "junk"), [("cross_entropy", -1), ("mean_squared_error", np.nan)])
def test_padded_steps_of_the_targets_may_hold_anything(loss, junk):
    model = SequenceModel(LSTMCell(D, H), K, loss, every_step=True)
    params, xs, targets = batch(model, np.random.default_rng(0))
    lengths = [5, 1, 0, 2]
    expected = model.loss_and_grads(params, xs, targets, lengths)
    targets[np.arange(T)[:, None] >= lengths] = junk
    assert_identical(model.loss_and_grads(params, xs, targets, lengths), expected)


def test_the_head_starts_from_a_gaussian():
    model = SequenceModel(LSTMCell(2, 200), 100, head_std=0.01)
    params = model.init(0)
    for name, n in ("W_y", 20_000), ("b_y", 100):
        assert abs(params[name].std() - 0.01) < 5 * 0.01 / math.sqrt(2 * n)
        assert abs(params[name].mean()) < 5 * 0.01 / math.sqrt(n)


def test_an_untrained_model_is_as_good_as_guessing():
    model = SequenceModel(LSTMCell(28, 28), 10)
    _, xs, targets = batch(model, np.random.default_rng(0), T=28, B=64)
    loss, _ = model.loss_and_grads(model.init(0), xs, targets)
    assert abs(loss - math.log(10)) < 0.05


def test_a_step_downhill_lowers_the_loss_as_much_as_the_gradient_says():
    model = SequenceModel(LSTMCell(D, H), K)
    params, xs, targets = batch(model, np.random.default_rng(0))
    loss, grads = model.loss_and_grads(params, xs, targets)
    step = {name: params[name] - 1e-4 * grads[name] for name in params}
    expected = 1e-4 * sum((grad**2).sum() for grad in grads.values())
    assert loss - model.loss_and_grads(step, xs, targets)[0] == pytest.approx(expected, rel=1e-2)


def test_the_tutorials_model_has_6674_parameters():
    """LSTM(28) on rows of 28 pixels and a dense head for 10 digits."""
    params = SequenceModel(LSTMCell(28, 28), 10).init(0)
    assert sum(array.size for array in params.values()) == 6674


@pytest.mark.parametrize("layer", [LSTMCell(D, H), Stack([LSTMCell(D, H), RNNCell(H, H)])])
def test_segments_with_carried_state_predict_what_the_whole_sequence_does(layer):
    model = SequenceModel(layer, K, every_step=True, head_std=0.5)
    params, xs, targets = batch(model, np.random.default_rng(0))
    state, ys, losses = None, [], []
    for part in (slice(0, 2), slice(2, 3), slice(3, len(xs))):
        before = state
        y, state = model.predict_segment(params, xs[part], before)
        loss, _, also = model.train_segment(params, xs[part], targets[part], before)
        assert_identical(also, state)
        ys.append(y)
        losses.append(loss * len(y))
    np.testing.assert_allclose(np.concatenate(ys), model.predict(params, xs), rtol=1e-12)
    whole, _ = model.loss_and_grads(params, xs, targets)
    np.testing.assert_allclose(sum(losses) / len(xs), whole, rtol=1e-12)
