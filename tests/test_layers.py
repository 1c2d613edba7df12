import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from properties import (
    assert_close,
    assert_identical,
    leaves,
    random_like,
    random_params,
    read_only,
    taken,
    transform,
)

from npylstm.analysis.numerical import check_layer
from npylstm.analysis.watching import watch
from npylstm.cells.gru import GRUCell
from npylstm.cells.lstm import LSTMCell, LSTMState
from npylstm.cells.rnn import RNNCell
from npylstm.interop import from_keras, from_torch, to_keras, to_torch
from npylstm.models import SequenceModel, generate
from npylstm.sequence import cells_inside
from npylstm.sequence.layers import Bidirectional, Layer, Recurrent, Stack, as_layer, reverse
from npylstm.sequence.unroll import truncated_backward, unroll, unroll_backward
from npylstm.sequence.wrappers import Dropout, Residual

T, B, D, H = 5, 3, 4, 4

LAYERS = {
    "recurrent": Recurrent(LSTMCell(D, H)),
    "unroll": Recurrent(LSTMCell(D, H), path="unroll"),
    "stack": Stack([LSTMCell(D, 3), RNNCell(3, 5), LSTMCell(5, 2)]),
    "bidirectional": Bidirectional(LSTMCell(D, 3), RNNCell(D, 2)),
    "residual": Residual(LSTMCell(D, D)),
    "dropout": Dropout(LSTMCell(D, H), 0.6, 0.7, 0.5),
    "dropout-sequence": Dropout(LSTMCell(D, H), 0.6, 0.7, 0.5, "sequence"),
    "dropout-batch": Dropout(RNNCell(D, H), 0.6, 0.7, 0.5, "batch"),
    "stack-of-bidirectional": Stack(
        [Bidirectional(RNNCell(D, 2), LSTMCell(D, 3)), Bidirectional(LSTMCell(5, 2), RNNCell(5, 2))]
    ),
    "bidirectional-stacks": Bidirectional(
        Stack([LSTMCell(D, 3), RNNCell(3, 2)]), Stack([RNNCell(D, 3), LSTMCell(3, 2)])
    ),
    "everything": Dropout(
        Stack(
            [
                Residual(Dropout(LSTMCell(D, D), 0.8, 0.8, 0.8)),
                Residual(Bidirectional(LSTMCell(D, 2), Dropout(RNNCell(D, 2), 0.7))),
                Dropout(Residual(RNNCell(D, D)), output_keep_prob=0.7, variational="sequence"),
            ]
        ),
        input_keep_prob=0.8,
        output_keep_prob=0.7,
    ),
}
every_layer = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
LENGTHS = {
    "full": None,
    "lengths": [5, 0, 2],
    "holes": np.array([[0, 1, 0, 1, 1], [0] * 5, [1, 0, 0, 1, 0]], bool).T,
}
with_lengths = pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)


def sequence(layer, rng, T=T, B=B):
    """Random params, xs, state0, doutputs and dstate."""
    xs = rng.standard_normal((T, B, layer.input_size))
    state0 = random_like(rng, layer.zero_state(xs[0]))
    doutputs = rng.standard_normal((T, B, layer.output_size))
    return random_params(layer, rng), xs, state0, doutputs, random_like(rng, state0)


def run(layer, params, xs, state0, doutputs, dstate, lengths=None, rng=7):
    """Forward and backward, with dropout: outputs, final state, (dxs, dstate0, grads)."""
    outputs, state, tape = layer.forward(params, xs, state0, lengths, rng)
    return outputs, state, layer.backward(params, tape, doutputs, dstate)


# ------------------------------------------------------------------ every layer


@every_layer
@with_lengths
def test_gradients_equal_numerical_ones(layer, lengths):
    """With dropout too: the masks are drawn anew from the same seed at every evaluation."""
    method = "both" if lengths is None else "complex"
    report = check_layer(layer, T, B, lengths, method, max_entries=12)
    assert report.ok, report


@every_layer
@with_lengths
def test_a_second_backward_gives_the_same(layer, lengths):
    params, xs, state0, doutputs, dstate = sequence(layer, np.random.default_rng(0))
    _, _, tape = layer.forward(params, xs, state0, lengths, rng=7)
    first = transform(np.copy, layer.backward(params, tape, doutputs, dstate))
    assert_identical(layer.backward(params, tape, doutputs, dstate), first)


@every_layer
@with_lengths
def test_leaving_out_the_gradient_of_the_inputs_changes_no_other(layer, lengths):
    params, xs, state0, doutputs, dstate = sequence(layer, np.random.default_rng(0))
    _, _, tape = layer.forward(params, xs, state0, lengths, rng=7)
    _, *expected = layer.backward(params, tape, doutputs, dstate)
    _, *got = layer.backward(params, tape, doutputs, dstate, need_dxs=False)
    assert_close(got, expected)


@every_layer
def test_several_runs_may_be_open_at_once(layer):
    runs = [sequence(layer, np.random.default_rng(s)) for s in range(3)]
    expected = [transform(np.copy, run(layer, *arguments)) for arguments in runs]
    forwards = [layer.forward(*arguments[:3], rng=7) for arguments in runs]
    for k in (1, 0, 2):
        params, _, _, doutputs, dstate = runs[k]
        outputs, state, tape = forwards[k]
        gradients = layer.backward(params, tape, doutputs, dstate)
        assert_identical((outputs, state, gradients), expected[k])


@every_layer
@with_lengths
def test_no_argument_is_written_to(layer, lengths):
    arguments = sequence(layer, np.random.default_rng(0))
    assert_identical(run(layer, *read_only(arguments), lengths), run(layer, *arguments, lengths))


@every_layer
def test_missing_states_and_gradients_count_as_zeros(layer):
    params, xs, _, doutputs, dstate = sequence(layer, np.random.default_rng(0))
    zeros = layer.zero_state(xs[0])
    assert_identical(
        run(layer, params, xs, None, doutputs, None),
        run(layer, params, xs, zeros, doutputs, zeros),
    )
    assert_identical(
        run(layer, params, xs, None, None, dstate),
        run(layer, params, xs, zeros, 0 * doutputs, dstate),
    )


@every_layer
@with_lengths
def test_inference_computes_the_same(layer, lengths):
    params, xs, state0, *_ = sequence(layer, np.random.default_rng(0))
    kept = layer.forward(params, xs, state0, lengths)
    assert_identical(layer.forward(params, xs, state0, lengths, keep_tape=False)[:2], kept[:2])


@every_layer
@with_lengths
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_results_have_the_dtype_of_the_arguments(layer, lengths, dtype):
    arguments = transform(lambda a: a.astype(dtype), sequence(layer, np.random.default_rng(0)))
    results = run(layer, *arguments, lengths)
    assert {array.dtype for array in leaves(results)} == {np.dtype(dtype)}


@every_layer
@with_lengths
def test_padding_may_hold_anything(layer, lengths):
    params, xs, state0, doutputs, dstate = sequence(layer, np.random.default_rng(0))
    expected = run(layer, params, xs, state0, doutputs, dstate, lengths)
    if lengths is not None:
        past = ~taken(lengths, T)
        xs[past] = doutputs[past] = np.nan
    assert_identical(run(layer, params, xs, state0, doutputs, dstate, lengths), expected)


@pytest.mark.parametrize(
    "layer",
    [layer for name, layer in LAYERS.items() if "dropout" not in name and name != "everything"],
)
@with_lengths
def test_a_leading_axis_runs_independent_networks(layer, lengths):
    draws = [sequence(layer, np.random.default_rng(s)) for s in range(2)]

    def stacked(*trees, axis=0):
        if isinstance(trees[0], tuple):
            parts = [stacked(*parts) for parts in zip(*trees, strict=True)]
            return type(trees[0])(*parts) if hasattr(trees[0], "_fields") else tuple(parts)
        return np.stack(trees, axis)

    together = run(
        layer,
        {name: np.stack([draw[0][name] for draw in draws]) for name in draws[0][0]},
        np.stack([draw[1] for draw in draws], axis=1),
        stacked(*(draw[2] for draw in draws)),
        np.stack([draw[3] for draw in draws], axis=1),
        stacked(*(draw[4] for draw in draws)),
        lengths,
    )
    outputs, state, (dxs, dstate0, grads) = together
    for s, draw in enumerate(draws):
        pick = lambda a, s=s: a[s]  # noqa: E731
        alone = run(layer, *draw, lengths)
        assert_close((outputs[:, s], transform(pick, state)), alone[:2])
        assert_close((dxs[:, s], transform(pick, dstate0), transform(pick, grads)), alone[2])


@every_layer
def test_parameters_and_gradients_have_the_same_keys_and_shapes(layer):
    params, *rest = sequence(layer, np.random.default_rng(0))
    _, _, (dxs, dstate0, grads) = run(layer, params, *rest)
    assert {n: a.shape for n, a in grads.items()} == {n: a.shape for n, a in params.items()}
    assert dxs.shape == rest[0].shape
    assert [a.shape for a in leaves(dstate0)] == [a.shape for a in leaves(rest[1])]


@every_layer
def test_the_same_seed_draws_the_same_parameters(layer):
    assert_identical(layer.init(3), layer.init(np.random.default_rng(3)))
    assert_identical(layer.init(3, np.float32), transform(np.float32, layer.init(3)))


@every_layer
def test_no_two_matrices_are_drawn_alike(layer):
    drawn = [w.ravel()[:4] for seed in (3, 4) for w in layer.init(seed).values() if w.ndim > 1]
    assert len({tuple(w) for w in drawn}) == len(drawn)


# ------------------------------------------------------------------ Recurrent and Stack


@with_lengths
def test_recurrent_is_the_cell_unrolled(lengths):
    cell = LSTMCell(D, H)
    params, xs, state0, doutputs, dstate = sequence(Recurrent(cell), np.random.default_rng(0))
    outputs, state, tape = unroll(cell, params, xs, state0, lengths)
    expected = outputs, state, unroll_backward(cell, params, tape, doutputs, dstate)
    got = run(Recurrent(cell), params, xs, state0, doutputs, dstate, lengths)
    assert_close(got, expected)


def test_stack_feeds_each_layer_with_the_outputs_of_the_one_below():
    below, above = LSTMCell(D, 3), RNNCell(3, 5)
    params, xs, state0, *_ = sequence(Stack([below, above]), np.random.default_rng(0))
    part = lambda k: {name[2:]: a for name, a in params.items() if name[0] == k}  # noqa: E731
    middle, state_below, _ = unroll(below, part("0"), xs, state0[0])
    top, state_above, _ = unroll(above, part("1"), middle, state0[1])
    outputs, state, _ = Stack([below, above]).forward(params, xs, state0)
    assert_close((outputs, state), (top, (state_below, state_above)))


def test_inner_parameters_carry_their_layers_name():
    stack = Stack([LSTMCell(D, 3), Bidirectional(RNNCell(3, 2), RNNCell(3, 2))])
    names = [f"{layer}.{name}" for layer in ("0", "1.forward", "1.backward") for name in
             ("W_x", "W_h", "b")]  # fmt: skip
    assert list(stack.init(0)) == names


def test_a_stack_of_eleven_keeps_its_layers_apart():
    """Layer 1 must not take the parameters of layer 10."""
    stack = Stack([RNNCell(2, 2) for _ in range(11)])
    report = check_layer(stack, T=2, B=2, method="complex")
    assert report.ok, report


# ------------------------------------------------------------------ against PyTorch


@pytest.mark.parametrize("cell_type", [LSTMCell, RNNCell])
@pytest.mark.parametrize("lengths", [None, [5, 1, 3]], ids=["full", "packed"])
@pytest.mark.parametrize("ways", [1, 2], ids=["one-way", "two-way"])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_stacked_and_bidirectional_layers_agree_with_pytorch(
    torch_reference, cell_type, lengths, ways, depth
):
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    widths = [D] + [ways * H] * (depth - 1)
    if ways == 1:
        layer = Stack([cell_type(width, H) for width in widths])
        prefixes = [f"{k}." for k in range(depth)]
    else:
        layer = Stack([Bidirectional(cell_type(w, H), cell_type(w, H)) for w in widths])
        prefixes = [f"{k}.{way}." for k in range(depth) for way in ("forward", "backward")]
    params, xs, state0, doutputs, dstate = sequence(layer, np.random.default_rng(0))
    outputs, state, (dxs, dstate0, grads) = run(
        layer, params, xs, state0, doutputs, dstate, lengths
    )

    flat = lambda nested: list(nested) if ways == 1 else [s for pair in nested for s in pair]  # noqa: E731
    parts = [
        {n.removeprefix(prefix): a for n, a in params.items() if n.startswith(prefix)}
        for prefix in prefixes
    ]
    module = torch_reference.network(cell_type(D, H), *parts, layers=depth)
    torch_xs, start = torch_reference.leaf(xs), torch_reference.stack_states(flat(state0))
    packed = torch_xs
    if lengths is not None:
        packed = pack_padded_sequence(torch_xs, lengths, enforce_sorted=False)
    torch_outputs, final = module(packed, start)
    if lengths is not None:
        torch_outputs, _ = pad_packed_sequence(torch_outputs)
    final = torch_reference.as_tuple(final)
    loss = (torch_outputs * torch_reference.leaf(doutputs)).sum()
    for k, dpart in enumerate(flat(dstate)):
        for a, da in zip(final, dpart, strict=True):
            loss = loss + (a[k] * torch_reference.leaf(da)).sum()
    loss.backward()

    assert_close(outputs, torch_outputs.detach().numpy())
    assert_close(dxs, torch_xs.grad.numpy())
    starts = torch_reference.as_tuple(start)
    for k, (part, dpart) in enumerate(zip(flat(state), flat(dstate0), strict=True)):
        assert_close(tuple(part), tuple(a[k].detach().numpy() for a in final))
        assert_close(tuple(dpart), tuple(a.grad[k].numpy() for a in starts))
    for prefix, expected in zip(prefixes, torch_reference.gradients(module), strict=True):
        assert_close({name: grads[prefix + name] for name in expected}, expected, rtol=1e-11)


# ------------------------------------------------------------------ Bidirectional and Residual


def test_reverse_turns_each_sequence_within_its_own_length():
    xs = np.arange(1.0, 9).reshape(4, 2, 1)
    assert reverse(xs)[:, 0, 0].tolist() == [7, 5, 3, 1]
    turned = reverse(xs, np.array([3, 0], np.uint64))  # less a signed number it would be a float
    assert turned[:, 0, 0].tolist() == [5, 3, 1, 7]
    assert turned[:, 1, 0].tolist() == [2, 4, 6, 8]


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.none() | st.lists(st.integers(0, T), min_size=B, max_size=B),
    axes=st.lists(st.integers(1, 3), max_size=2),
)
def test_reversing_twice_changes_nothing(lengths, axes):
    xs = np.random.default_rng(0).standard_normal((T, *axes, B, D))
    assert_identical(reverse(reverse(xs, lengths), lengths), xs)


@with_lengths
def test_the_backward_side_reads_the_reversed_sequence(lengths):
    cell = LSTMCell(D, 3)
    layer = Bidirectional(RNNCell(D, 2), cell)
    params, xs, state0, *_ = sequence(layer, np.random.default_rng(0))
    outputs, state, _ = layer.forward(params, xs, state0, lengths)
    own = {n.removeprefix("backward."): a for n, a in params.items() if n.startswith("backward")}
    back, end, _ = unroll(cell, own, reverse(xs, lengths), state0[1], lengths)
    assert_close((outputs[..., 2:], state[1]), (reverse(back, lengths), end))


@with_lengths
def test_residual_adds_its_input_to_the_output_and_not_to_the_state(lengths):
    cell = LSTMCell(D, D)
    params, xs, state0, *_ = sequence(Recurrent(cell), np.random.default_rng(0))
    plain, plain_state, _ = unroll(cell, params, xs, state0, lengths)
    outputs, state, _ = Residual(cell).forward(params, xs, state0, lengths)
    assert_close(state, plain_state)
    alive = taken(np.full(B, T) if lengths is None else lengths, T)
    assert_close(outputs, plain + alive[..., None] * xs)


# ------------------------------------------------------------------ Dropout


class Identity(RNNCell):
    """h = x + h_prev with unit weights: what comes out shows what went in."""

    def init(self, rng=None, dtype=np.float64):
        n = self.hidden_size
        return {
            "W_x": np.eye(n, dtype=dtype),
            "W_h": np.eye(n, dtype=dtype),
            "b": np.zeros(n, dtype),
        }


def identity_run(n=50, T=20, B=40, **options):
    """Outputs (T, B, n) and states after each step for an input of one at step 0 alone."""
    cell = Identity(n, n, activation="identity")
    xs = np.zeros((T, B, n))
    xs[0] = 1
    layer = Dropout(cell, **options)
    outputs, state, _ = layer.forward(layer.init(), xs, rng=0)
    return outputs, state


@pytest.mark.parametrize("p", [0.2, 0.5, 0.9])
def test_inputs_are_kept_with_probability_p_and_divided_by_it(p):
    outputs, _ = identity_run(input_keep_prob=p)
    first = outputs[0]
    assert set(np.unique(first)) == {0, 1 / p}
    assert abs((first > 0).mean() - p) < 5 * np.sqrt(p * (1 - p) / first.size)
    assert (outputs == first).all(), "the input of step 0 is carried on, dropped or not"


@pytest.mark.parametrize("p", [0.2, 0.5, 0.9])
def test_outputs_are_dropped_but_the_carried_state_is_not(p):
    outputs, state = identity_run(output_keep_prob=p)
    assert set(np.unique(outputs)) == {0, 1 / p}
    assert abs((outputs > 0).mean() - p) < 5 * np.sqrt(p * (1 - p) / outputs.size)
    assert (state.h == 1).all()


def test_a_dropped_state_stays_dropped_and_the_mask_comes_after_the_output():
    p = 0.9
    outputs, state = identity_run(state_keep_prob=p)
    assert (outputs[0] == 1).all(), "the output of a step comes before its state is dropped"
    kept = outputs > 0
    assert (kept[1:] <= kept[:-1]).all()
    for t in range(1, 6):
        assert abs(kept[t].mean() - p**t) < 0.05
        np.testing.assert_allclose(outputs[t][kept[t]], p**-t)
    assert ((state.h > 0) <= kept[-1]).all()


@pytest.mark.parametrize("where", ["input_keep_prob", "output_keep_prob", "state_keep_prob"])
@pytest.mark.parametrize(
    ("variational", "same_over_time", "same_over_batch"),
    [(None, False, False), ("sequence", True, False), ("batch", True, True)],
)
def test_masks_repeat_as_the_kind_of_dropout_says(
    where, variational, same_over_time, same_over_batch
):
    n = 30
    cell = Identity(n, n, activation="identity")
    layer = Dropout(cell, variational=variational, **{where: 0.5})
    params = layer.init() | {"W_h": np.zeros((n, n))}  # each step by itself
    if where == "state_keep_prob":  # outputs show the mask of the step before
        params |= {"W_x": np.zeros((n, n)), "W_h": np.eye(n), "b": np.ones(n)}
    outputs, _, _ = layer.forward(params, np.ones((8, 6, n)), rng=0)
    kept = outputs > outputs.min()
    if where == "state_keep_prob":
        kept = outputs[1:] > 1
    assert (kept == kept[:1]).all() == same_over_time
    assert (kept == kept[:, :1]).all() == same_over_batch
    assert 0.3 < kept.mean() < 0.7


def test_c_is_never_dropped():
    """With shut gates c stays as it was, while h is dropped at every step."""
    cell = LSTMCell(D, H)
    layer = Dropout(cell, 0.5, 0.5, 0.5)
    params = {name: 0 * a for name, a in layer.init(0).items()}
    params["b"] = np.repeat([-1e4, 1e4, 1e4, 0.0], H)  # i = 0, f = 1, o = 1
    state0 = cell.zero_state(np.ones((B, D)))._replace(c=np.ones((B, H)))
    _, state, tape = layer.forward(params, np.ones((T, B, D)), state0, rng=0)
    assert (state.c == 1).all()
    assert (state.h == 0).any()
    _, dstate0, _ = layer.backward(params, tape, None, state._replace(h=0 * state.h))
    assert (dstate0.c == 1).all()


def test_without_a_source_of_randomness_nothing_is_dropped():
    cell = LSTMCell(D, H)
    params, xs, *_ = sequence(Recurrent(cell), np.random.default_rng(0))
    layer = Dropout(cell, 0.1, 0.1, 0.1)
    assert_close(layer.forward(params, xs)[:2], unroll(cell, params, xs)[:2])


def test_keeping_everything_changes_nothing_and_draws_nothing():
    cell = LSTMCell(D, H)
    params, xs, *_ = sequence(Recurrent(cell), np.random.default_rng(0))
    rng = np.random.default_rng(0)
    got = Dropout(cell, 1.0, 1.0, 1.0).forward(params, xs, rng=rng)
    assert_close(got[:2], unroll(cell, params, xs)[:2])
    assert rng.random() == np.random.default_rng(0).random()


@every_layer
def test_the_same_seed_drops_the_same_and_a_generator_moves_on(layer):
    params, xs, state0, *_ = sequence(layer, np.random.default_rng(0))
    first = layer.forward(params, xs, state0, rng=3)[0]
    assert_identical(layer.forward(params, xs, state0, rng=np.random.default_rng(3))[0], first)
    rng = np.random.default_rng(3)
    again = [layer.forward(params, xs, state0, rng=rng)[0] for _ in range(2)]
    random = not np.array_equal(layer.forward(params, xs, state0)[0], first)
    assert np.array_equal(*again) != random


def test_layers_of_a_stack_draw_different_masks():
    n = 40
    dropped = [Dropout(Identity(n, n, activation="identity"), 0.5) for _ in range(2)]
    stack = Stack(dropped)
    outputs, _, _ = stack.forward(stack.init(), np.ones((1, 1, n)), rng=0)
    assert set(np.unique(outputs)) == {0, 4}
    assert (outputs == 0).mean() > 0.6, "a single mask, applied twice, would drop half"


def test_dropout_keeps_the_mean_of_what_it_drops():
    outputs, _ = identity_run(n=100, B=200, T=1, input_keep_prob=0.6, output_keep_prob=0.7)
    assert abs(outputs.mean() - 1) < 5 * np.sqrt((1 / 0.42 - 1) / outputs.size)


# ------------------------------------------------------------------ bare cells


def test_a_bare_cell_stands_for_a_recurrent_layer():
    cell = LSTMCell(D, D)
    assert as_layer(cell) == Recurrent(cell)
    assert Residual(cell).inner == Recurrent(cell)
    assert as_layer(Residual(cell)) == Residual(cell)


@pytest.mark.parametrize("truncation", [(2, 3), (5, 5), (1, 9)])
def test_a_truncated_layer_carries_gradients_back_like_truncated_backward(truncation):
    cell = LSTMCell(D, H)
    params, rng = cell.init(0), np.random.default_rng(1)
    xs, doutputs = rng.standard_normal((5, 2, D)), rng.standard_normal((5, 2, H))
    state0, dstate = (LSTMState(*rng.standard_normal((2, 2, H))) for _ in range(2))
    _, _, tape = unroll(cell, params, xs, state0)
    expected = truncated_backward(cell, params, tape, doutputs, *truncation, dstate)
    layer = Recurrent(cell, truncation=truncation)
    _, _, its_tape = layer.forward(params, xs, state0)
    got = layer.backward(params, its_tape, doutputs, dstate)
    np.testing.assert_array_equal(got[0], expected[0])
    np.testing.assert_array_equal(got[1], expected[1])
    for name in params:
        np.testing.assert_array_equal(got[2][name], expected[2][name])


def test_a_truncated_layer_without_gradients_at_its_outputs_carries_back_the_last_state_alone():
    cell = LSTMCell(D, H)
    params, rng = cell.init(0), np.random.default_rng(1)
    dstate = LSTMState(*rng.standard_normal((2, 2, H)))
    layer = Recurrent(cell, truncation=(2, 3))
    _, _, tape = layer.forward(params, rng.standard_normal((5, 2, D)))
    without = layer.backward(params, tape, None, dstate)
    zeros = layer.backward(params, tape, np.zeros((5, 2, H)), dstate)
    np.testing.assert_array_equal(without[0], zeros[0])
    assert np.any(without[0])
    for name in params:
        np.testing.assert_array_equal(without[2][name], zeros[2][name])


# ------------------------------------------------------------------ layers of one's own


class Doubled(Layer):
    """What somebody writes who has read `Layer`, and nothing of the tree of layers."""

    def __init__(self, layer):
        self.within = as_layer(layer)

    input_size = property(lambda self: self.within.input_size)
    output_size = property(lambda self: self.within.output_size)

    def init(self, rng=None, dtype=np.float64):
        return self.within.init(rng, dtype)

    def zero_state(self, x):
        return self.within.zero_state(x)

    def forward(self, params, xs, state0=None, lengths=None, rng=None, keep_tape=True):
        return self.within.forward(params, 2 * xs, state0, lengths, rng, keep_tape)

    def backward(self, params, tape, doutputs=None, dstate=None, need_dxs=True):
        dxs, *rest = self.within.backward(params, tape, doutputs, dstate, need_dxs)
        return (2 * dxs if need_dxs else None, *rest)


class ForwardDoubled(Doubled):
    causal = True


class WithGain(ForwardDoubled):
    """A layer with a parameter of its own."""

    def init(self, rng=None, dtype=np.float64):
        return {"inner.gain": np.ones(3, dtype)} | self.within.init(rng, dtype)


class Named(ForwardDoubled):
    """A layer whose child's parameters have a name that nobody can guess."""

    def init(self, rng=None, dtype=np.float64):
        return {f"deep_{name}": w for name, w in self.within.init(rng, dtype).items()}

    def forward(self, params, *given, **options):
        own = {name.removeprefix("deep_"): w for name, w in params.items()}
        return super().forward(own, *given, **options)

    def backward(self, params, *given, **options):
        own = {name.removeprefix("deep_"): w for name, w in params.items()}
        dxs, dstate0, grads = super().backward(own, *given, **options)
        return dxs, dstate0, {f"deep_{name}": grad for name, grad in grads.items()}


def symbols(layer):
    return SequenceModel(layer, layer.input_size, every_step=True)


def test_a_layer_of_ones_own_is_checked_watched_converted_and_generates():
    layer = Stack([ForwardDoubled(LSTMCell(3, 4)), GRUCell(4, 3)])
    assert [prefix for prefix, _ in cells_inside(layer)] == ["0.", "1."]

    report = check_layer(layer, T=3)
    assert report.ok
    assert {"0.W_x[f]", "1.b[u]"} <= {row.block for row in report.rows}

    model = symbols(layer)
    params = model.init(1)
    watched, cells = watch(model)
    xs = np.random.default_rng(0).standard_normal((5, 2, 3))
    np.testing.assert_allclose(watched.predict(params, xs), model.predict(params, xs), rtol=1e-12)
    assert [len(cell.states) for cell in cells] == [5, 5]
    assert type(layer.inner[0].within) is Recurrent
    assert layer.inner[0].within.cell == LSTMCell(3, 4)

    weights = to_keras(layer, layer.init(2))
    assert_identical(from_keras(layer, weights), layer.init(2))
    assert len(generate(model, params, [0, 1], 4, rng=0)) == 4


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (Doubled(LSTMCell(3, 4)), "Doubled, which doesn't say that it reads forwards only"),
        (Doubled(Bidirectional(LSTMCell(3, 2), LSTMCell(3, 2))), "Doubled, which doesn't say"),
        (
            ForwardDoubled(Bidirectional(LSTMCell(3, 2), LSTMCell(3, 2))),
            "Bidirectional, which reads backwards",
        ),
        (Residual(Stack([Bidirectional(LSTMCell(3, 2), LSTMCell(3, 1))])), "reads backwards"),
        (Stack([LSTMCell(3, 3), Doubled(LSTMCell(3, 4))]), "Doubled, which doesn't say"),
    ],
)
def test_only_what_reads_forwards_for_sure_generates(layer, reason):
    model = symbols(layer)
    with pytest.raises(
        ValueError, match=f"model must read forwards only, got one with a.*{reason}"
    ):
        generate(model, model.init(0), [0], 2)


def test_a_layer_with_parameters_of_its_own_is_not_converted_in_part():
    layer = WithGain(LSTMCell(3, 4))
    params = LSTMCell(3, 4).init(0)
    for convert in (
        lambda: to_torch(layer, params),
        lambda: from_torch(layer, to_torch(LSTMCell(3, 4), params)),
    ):
        with pytest.raises(TypeError, match="got a WithGain with parameters of its own"):
            convert()


def test_a_layer_that_hides_the_names_of_its_childs_parameters_is_refused_with_the_reason():
    layer = Named(LSTMCell(3, 4))
    for use in (
        lambda: check_layer(layer),
        lambda: watch(symbols(layer)),
        lambda: to_torch(layer, layer.init(0)),
        lambda: generate(symbols(layer), symbols(layer).init(0), [0], 1),
    ):
        with pytest.raises(TypeError, match="or override `children`"):
            use()


def test_two_lists_of_layers_whose_names_are_the_same_are_refused_with_the_reason():
    """The second list's would be taken for the first's, whose parameters nobody would look at."""

    class Towers(ForwardDoubled):
        def __init__(self):
            self.left, self.right = ([as_layer(LSTMCell(3, 4))] for _ in range(2))

    with pytest.raises(TypeError, match=r"Towers must override `children`.* the name '0'"):
        _ = Towers().children


def test_a_layer_that_keeps_its_children_out_of_reach_is_not_watched():
    class Hidden(ForwardDoubled):
        def __init__(self, layer):
            self.box = {"deep": as_layer(layer)}

        within = property(lambda self: self.box["deep"])
        children = property(lambda self: {"": self.box["deep"]})

    with pytest.raises(TypeError, match="Hidden must hold the layers inside it as attributes"):
        watch(symbols(Hidden(LSTMCell(3, 4))))
