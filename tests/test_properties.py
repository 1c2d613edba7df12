"""What holds for every cell and every layer, whatever the sizes, dtypes and values.

A case is drawn as a whole: what runs, on which path, on how many steps, sequences and independent
networks, in which precision, with which lengths, and from which memory.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from properties import assert_close, leaves, random_like, random_params, read_only, strided, taken
from properties import transform as each

from npylstm.cells.gru import GRUCell
from npylstm.cells.lstm import LSTMCell
from npylstm.cells.lstm_variant import PRESETS, LSTMVariant
from npylstm.cells.rnn import RNNCell
from npylstm.models.model import SequenceModel
from npylstm.sequence.layers import Bidirectional, Layer, Recurrent, Stack
from npylstm.sequence.wrappers import Dropout, Residual

D = 3
SEED = 7

CELLS = {
    "lstm": LSTMCell(D, 4),
    "gru": GRUCell(D, 4),
    "gru-after": GRUCell(D, 4, reset_after=True),
    **{phi: RNNCell(D, 4, phi) for phi in ("tanh", "relu", "logistic", "identity")},
    **{name: LSTMVariant.preset(name, D, 4) for name in PRESETS},
    "projection": LSTMVariant(D, 4, projection_size=2, projection_clip=0.5, cell_clip=0.7),
    "one-unit": LSTMCell(1, 1),
    "wide-input": RNNCell(9, 2),
    "blocks": LSTMVariant(D, 4, block_size=2, peepholes=True, gate_recurrence="all"),
}
CAUSAL = {
    **{name: Recurrent(cell) for name, cell in CELLS.items()},
    "lstm-unrolled": Recurrent(CELLS["lstm"], "unroll"),
    "tanh-unrolled": Recurrent(CELLS["tanh"], "unroll"),
    "stack": Stack([LSTMCell(D, 2), GRUCell(2, D), Residual(LSTMVariant.preset("V", D, D))]),
}
PLAIN = CAUSAL | {
    "bidirectional": Bidirectional(LSTMCell(D, 2), GRUCell(D, 3)),
    "bidirectional-stacks": Bidirectional(
        Stack([LSTMVariant.preset("FGR", D, 2), Residual(RNNCell(2, 2))]), LSTMCell(D, 2)
    ),
    "truncated": Recurrent(CELLS["lstm"], truncation=(2, 3)),
}
# With one mask for the whole sequence, the same seed drops the same in any part of it.
REPEATED = {
    "dropout-sequence": Dropout(LSTMCell(D, 4), 0.6, 0.7, 0.5, "sequence"),
    "dropout-batch": Dropout(GRUCell(D, 4), 0.6, 0.7, 0.5, "batch"),
}
LAYERS = PLAIN | REPEATED | {"dropout": Dropout(LSTMVariant.preset("V", D, 4), 0.6, 0.7, 0.5)}
FUSED = ["lstm", "V", "NP", "gru", "gru-after", "tanh", "relu"]

NETWORKS = (), (0,), (1,), (3,)
"""No leading axis, or one of this many networks."""

QUIET = {"all": "raise", "under": "ignore"}
"""Every floating-point warning is an error, but for numbers that become too small."""


@dataclass(frozen=True)
class Case:
    """A layer and all that its two passes take; `args` are params, xs, state0, doutputs, dstate."""

    layer: Layer
    lengths: np.ndarray | None
    args: Any

    def run(self, args=None):
        """Outputs, final state, dxs, dstate0, grads."""
        params, xs, state0, doutputs, dstate = args or self.args
        with np.errstate(**QUIET):
            outputs, state, tape = self.layer.forward(params, xs, state0, self.lengths, SEED)
            dxs, dstate0, grads = self.layer.backward(params, tape, doutputs, dstate)
        return outputs, state, dxs, dstate0, grads


@st.composite
def cases(
    draw, layers, networks=NETWORKS, dtypes=(np.float64,), batch=(0, 4), steps=(1, 6), masks=True
):
    """Draw a case; of one network, or of S networks on a leading axis (S,)."""
    layer = layers[draw(st.sampled_from(sorted(layers)))]
    T, B = draw(st.integers(*steps)), draw(st.integers(*batch))
    axes = draw(st.sampled_from(networks))
    lengths = draw(st.none() | st.lists(st.integers(0, T), min_size=B, max_size=B))
    if lengths is not None:
        lengths = np.array(lengths, draw(st.sampled_from([np.int64, np.uint8, np.uint64])))
    if masks and draw(st.booleans()):
        lengths = np.array(draw(st.lists(st.booleans(), min_size=T * B, max_size=T * B)), bool)
        lengths = lengths.reshape(T, B)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    params = random_params(layer, rng)
    params = {name: w + 0.2 * rng.standard_normal((*axes, *w.shape)) for name, w in params.items()}
    xs = rng.standard_normal((T, *axes, B, layer.input_size))
    doutputs = rng.standard_normal((T, *axes, B, layer.output_size))
    state0, dstate = (random_like(rng, layer.zero_state(xs[0])) for _ in range(2))
    dtype = draw(st.sampled_from(dtypes))
    args = each(lambda a: a.astype(dtype), (params, xs, state0, doutputs, dstate))
    return Case(layer, lengths, args)


def quick(examples):
    return settings(max_examples=examples, deadline=None)


@quick(150)
@given(
    case=cases(LAYERS, dtypes=(np.float32, np.float64)),
    memory=st.sampled_from([read_only, strided]),
)
def test_shapes_dtypes_and_memory(case, memory):
    """Results have the shapes and the dtype of the arguments, which may lie anywhere in memory."""
    params, xs, state0, doutputs, _ = case.args
    results = case.run()
    like = doutputs, state0, xs, state0, params
    assert [a.shape for a in leaves(results)] == [a.shape for a in leaves(like)]
    assert {a.dtype for a in leaves(results)} == {xs.dtype}
    assert all(np.isfinite(a).all() for a in leaves(results))
    single = xs.dtype == np.float32
    assert_close(case.run(memory(case.args)), results, *([1e-3, 1e-4] if single else []))
    if 0 in xs.shape:
        assert not any(grad.any() for grad in leaves(results[4]))


@quick(100)
@given(case=cases(PLAIN, networks=NETWORKS[1:]))
def test_networks_on_a_leading_axis_are_independent(case):
    outputs, state, dxs, dstate0, grads = case.run()
    params, xs, state0, doutputs, dstate = case.args
    for s in range(xs.shape[1]):
        own = lambda a, s=s: a[s]  # noqa: E731
        inputs = each(own, params), xs[:, s], each(own, state0), doutputs[:, s], each(own, dstate)
        expected = outputs[:, s], each(own, state), dxs[:, s], each(own, dstate0), each(own, grads)
        assert_close(case.run(inputs), expected)


@quick(50)
@given(case=cases(PLAIN, networks=NETWORKS[2:]))
def test_networks_may_share_their_input(case):
    params, xs, *rest = case.args
    repeated = np.repeat(xs[:, :1], xs.shape[1], axis=1)
    assert_close(case.run((params, xs[:, 0], *rest)), case.run((params, repeated, *rest)))


@quick(100)
@given(case=cases(LAYERS), a=st.floats(-3, 3), b=st.floats(-3, 3), seed=st.integers(0, 2**32 - 1))
def test_backward_is_linear(case, a, b, seed):
    *inputs, doutputs, dstate = case.args
    one, two = (doutputs, dstate), random_like(np.random.default_rng(seed), (doutputs, dstate))
    parts = [leaves(case.run((*inputs, *given))[2:]) for given in (one, two)]
    mixed = [a * u + b * v for u, v in zip(leaves(one), leaves(two), strict=True)]
    order = iter(mixed)
    mixed = each(lambda _: next(order), one)
    got = case.run((*inputs, *mixed))[2:]
    assert_close(got, [a * u + b * v for u, v in zip(*parts, strict=True)], atol=1e-10)


@quick(100)
@given(case=cases(PLAIN | {"dropout-batch": REPEATED["dropout-batch"]}), data=st.data())
def test_the_order_of_the_batch_does_not_matter(case, data):
    params, xs, state0, doutputs, dstate = case.args
    order = np.array(data.draw(st.permutations(range(xs.shape[-2]))), int)
    mixed = lambda a: a[..., order, :]  # noqa: E731
    lengths = None if case.lengths is None else case.lengths[..., order]
    args = params, *each(mixed, (xs, state0, doutputs, dstate))
    got = Case(case.layer, lengths, args).run()
    *results, grads = case.run()
    assert_close(got, (*each(mixed, tuple(results)), grads))


@quick(100)
@given(case=cases(CAUSAL | REPEATED, steps=(2, 6)), data=st.data())
def test_two_parts_with_carried_state_equal_one_run(case, data):
    params, xs, state0, doutputs, dstate = case.args
    cut = data.draw(st.integers(1, len(xs) - 1))
    early = late = None
    if case.lengths is not None:
        alive = taken(case.lengths, len(xs))
        early, late = alive[:cut], alive[cut:]
    layer = case.layer
    outputs1, middle, tape1 = layer.forward(params, xs[:cut], state0, early, SEED)
    outputs2, state, tape2 = layer.forward(params, xs[cut:], middle, late, SEED)
    dxs2, dmiddle, grads2 = layer.backward(params, tape2, doutputs[cut:], dstate)
    dxs1, dstate0, grads1 = layer.backward(params, tape1, doutputs[:cut], dmiddle)
    outputs, dxs = np.concatenate([outputs1, outputs2]), np.concatenate([dxs1, dxs2])
    grads = {name: grads1[name] + grads2[name] for name in grads1}
    assert_close((outputs, state, dxs, dstate0, grads), case.run(), atol=1e-11)


@quick(50)
@given(
    case=cases({"two": Bidirectional(LSTMCell(D, 4), LSTMCell(D, 4))}, networks=((),), masks=False)
)
def test_time_reversed_and_directions_exchanged_is_the_same(case):
    """Everything turned round, once on the way in and once on the way out, cancels."""
    T, B, _ = case.args[1].shape
    ends = np.full(B, T) if case.lengths is None else case.lengths

    def turn(xs):
        turned = xs.copy()
        for b, end in enumerate(ends):
            turned[:end, b] = xs[:end, b][::-1]
        return turned

    def exchange_halves(a):
        return np.roll(a, 4, axis=-1)

    def exchange_names(params):
        other = {"forward": "backward", "backward": "forward"}
        return {f"{other[k.split('.')[0]]}.{k.split('.')[1]}": w for k, w in params.items()}

    params, xs, state0, doutputs, dstate = case.args
    turned = exchange_names(params), turn(xs), state0[::-1], exchange_halves(turn(doutputs))
    outputs, state, dxs, dstate0, grads = case.run((*turned, dstate[::-1]))
    back = turn(exchange_halves(outputs)), state[::-1], turn(dxs), dstate0[::-1]
    assert_close((*back, exchange_names(grads)), case.run())


@quick(150)
@given(
    case=cases(LAYERS, dtypes=(np.float32, np.float64), steps=(1, 4)),
    size=st.sampled_from([0.0, 1.0, 1e4, 1e-30]),
    bias=st.sampled_from([0.0, 1e4, -1e4]),
    gradient=st.sampled_from([1.0, 0.0, "subnormal"]),
)
def test_extreme_values_stay_finite(case, size, bias, gradient):
    """Saturated gates, vanished and subnormal gradients: no warning, no NaN, no infinity."""
    params, xs, state0, doutputs, dstate = case.args
    for name, w in params.items():
        if name.split(".")[-1] == "b":
            w += np.asarray(bias, w.dtype) * np.sign(w)
    if gradient == "subnormal":
        gradient = np.finfo(xs.dtype).smallest_subnormal * 100
    scaled = each(lambda a: a * np.asarray(gradient, a.dtype), (doutputs, dstate))
    results = case.run((params, xs * np.asarray(size, xs.dtype), state0, *scaled))
    assert all(np.isfinite(a).all() for a in leaves(results))
    if gradient == 0:
        assert not any(a.any() for a in leaves(results[2:]))


@quick(100)
@given(case=cases(LAYERS, batch=(2, 4)), value=st.sampled_from([np.nan, np.inf, -np.inf]))
def test_a_number_gone_bad_stays_in_its_own_sequence(case, value):
    params, xs, *rest = case.args
    results = case.run()
    bad = xs.copy()
    bad[0, ..., 0, :] = value
    with np.errstate(invalid="ignore", over="ignore"):
        outputs, state, tape = case.layer.forward(params, bad, rest[0], case.lengths, SEED)
        dxs, dstate0, _ = case.layer.backward(params, tape, *rest[1:])
    others = lambda a: a[..., 1:, :]  # noqa: E731
    assert_close(each(others, (outputs, state, dxs, dstate0)), each(others, results[:4]))


@quick(60)
@given(
    case=cases(CAUSAL, networks=((),), batch=(1, 4), dtypes=(np.float32, np.float64)),
    every_step=st.booleans(),
    size=st.sampled_from([1e4, 1e30]),
)
def test_a_model_with_logits_of_any_size_has_finite_gradients(case, every_step, size):
    model = SequenceModel(case.layer, 3, every_step=every_step)
    params, xs, *_ = case.args
    head = np.array([size, -size, 0], xs.dtype)
    params |= {"W_y": np.ones((case.layer.output_size, 3), xs.dtype), "b_y": head}
    labels = np.arange(xs[..., 0].size).reshape(xs.shape[:2]) % 3
    targets = labels if every_step else labels[0]
    with np.errstate(**QUIET):
        loss, grads = model.loss_and_grads(params, xs, targets, case.lengths)
    assert all(np.isfinite(a).all() for a in leaves((loss, grads)))


@pytest.mark.parametrize("name", FUSED)
@quick(25)
@given(data=st.data())
def test_both_paths_agree_in_single_precision_on_vanishing_gradients(name, data):
    """Flushing subnormal numbers to zero changes no gradient by more than it is worth."""
    cell = CAUSAL[name].cell
    case = data.draw(
        cases({name: CAUSAL[name]}, ((),), (np.float32,), batch=(1, 3), steps=(20, 60))
    )
    params, xs, state0, _, dstate = case.args
    shrunk = params | {"W_h": np.float32(1e-2) * params["W_h"]}
    args = shrunk, xs, state0, None, dstate
    unrolled = Case(Recurrent(cell, "unroll"), case.lengths, args)
    for got, expected in zip(leaves(case.run(args)), leaves(unrolled.run()), strict=True):
        np.testing.assert_allclose(
            got, expected, rtol=1e-4, atol=1e-5 * abs(expected).max() + 1e-30
        )
