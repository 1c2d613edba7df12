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
    strided,
    transform,
)

from npylstm.analysis.numerical import check_layer
from npylstm.cells.base import map_state
from npylstm.cells.gru import GRUCell
from npylstm.cells.lstm import LSTMCell, LSTMState
from npylstm.cells.lstm_variant import LSTMVariant
from npylstm.cells.rnn import RNNCell
from npylstm.sequence.unroll import (
    backward_steps,
    truncated_backward,
    unroll,
    unroll_backward,
)

T, B, D, H = 6, 4, 3, 5
PLAIN_CELLS = {"lstm": LSTMCell(D, H), "rnn": RNNCell(D, H), "relu": RNNCell(D, H, "relu")}
CELLS = PLAIN_CELLS | {
    "gru": GRUCell(D, H),
    "peepholes": LSTMVariant.preset("V", D, H),
    "recurrent-gates": LSTMVariant.preset("FGR", D, H),
}
every_plain_cell = pytest.mark.parametrize("cell", PLAIN_CELLS.values(), ids=PLAIN_CELLS)
every_cell = pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
LENGTHS = {
    "full": None,
    "lengths": [6, 0, 3, 1],
    "holes": np.array([[0, 1, 1, 0, 1, 0], [0] * 6, [1] * 6, [1, 0, 0, 1, 1, 1]], bool).T,
}
with_lengths = pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
with_ends = pytest.mark.parametrize("lengths", [None, LENGTHS["lengths"]], ids=["full", "lengths"])


def sequence(cell, rng, T=T, B=B):
    """Random params, xs, state0, doutputs and dstate."""
    xs = rng.standard_normal((T, B, D))
    state0 = random_like(rng, cell.zero_state(xs[0]))
    doutputs = rng.standard_normal((T, B, H))
    return random_params(cell, rng), xs, state0, doutputs, random_like(rng, state0)


def run(cell, params, xs, state0, doutputs, dstate, lengths=None):
    """Forward and backward: outputs, final state, (dxs, dstate0, grads)."""
    outputs, state, tape = unroll(cell, params, xs, state0, lengths)
    return outputs, state, unroll_backward(cell, params, tape, doutputs, dstate)


# ------------------------------------------------------------------ values and gradients


@every_plain_cell
@with_lengths
@pytest.mark.parametrize("rng", [0, 1])
def test_gradients_equal_numerical_ones(cell, lengths, rng):
    report = check_layer(cell, T, B, lengths, rng=rng)
    assert report.ok, report


@pytest.mark.parametrize("cell", [LSTMCell(D, H), RNNCell(D, H)], ids=["lstm", "rnn"])
def test_gradients_over_a_hundred_steps_equal_numerical_ones(cell):
    report = check_layer(cell, T=100, B=2, lengths=[100, 37], method="complex")
    assert report.ok, report


@every_plain_cell
def test_a_sequence_agrees_with_pytorch(torch_reference, cell):
    params, xs, state0, doutputs, dstate = sequence(cell, np.random.default_rng(0), T=20)
    outputs, state, (dxs, dstate0, grads) = run(cell, params, xs, state0, doutputs, dstate)

    module = torch_reference.network(cell, params)
    torch_xs, start = torch_reference.leaf(xs), torch_reference.stack_states([state0])
    torch_outputs, final = module(torch_xs, start)
    final = torch_reference.as_tuple(final)
    loss = (torch_outputs * torch_reference.leaf(doutputs)).sum()
    for a, da in zip(final, dstate, strict=True):
        loss = loss + (a[0] * torch_reference.leaf(da)).sum()
    loss.backward()

    assert_close(outputs, torch_outputs.detach().numpy())
    assert_close(state, tuple(a.detach().numpy()[0] for a in final))
    assert_close(dxs, torch_xs.grad.numpy())
    starts = torch_reference.as_tuple(start)
    assert_close(dstate0, tuple(a.grad.numpy()[0] for a in starts))
    assert_close(grads, torch_reference.gradients(module)[0], rtol=1e-11)


@every_plain_cell
def test_lengths_agree_with_packed_sequences_of_pytorch(torch_reference, cell):
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    lengths = [2, 6, 1, 4]
    params, xs, state0, doutputs, dstate = sequence(cell, np.random.default_rng(0))
    outputs, state, (dxs, dstate0, grads) = run(cell, params, xs, state0, doutputs, dstate, lengths)

    module = torch_reference.network(cell, params)
    torch_xs, start = torch_reference.leaf(xs), torch_reference.stack_states([state0])
    packed, final = module(pack_padded_sequence(torch_xs, lengths, enforce_sorted=False), start)
    torch_outputs, _ = pad_packed_sequence(packed)
    final = torch_reference.as_tuple(final)
    loss = (torch_outputs * torch_reference.leaf(doutputs)).sum()
    for a, da in zip(final, dstate, strict=True):
        loss = loss + (a[0] * torch_reference.leaf(da)).sum()
    loss.backward()

    assert_close(outputs, torch_outputs.detach().numpy())
    assert_close(state, tuple(a.detach().numpy()[0] for a in final))
    assert_close(dxs, torch_xs.grad.numpy())
    starts = torch_reference.as_tuple(start)
    assert_close(dstate0, tuple(a.grad.numpy()[0] for a in starts))
    assert_close(grads, torch_reference.gradients(module)[0], rtol=1e-11)


# ------------------------------------------------------------------ properties


@every_cell
@with_lengths
def test_a_second_backward_gives_the_same(cell, lengths):
    params, xs, state0, doutputs, dstate = sequence(cell, np.random.default_rng(0))
    _, _, tape = unroll(cell, params, xs, state0, lengths)
    first = transform(np.copy, unroll_backward(cell, params, tape, doutputs, dstate))
    assert_identical(unroll_backward(cell, params, tape, doutputs, dstate), first)


@every_cell
@with_lengths
def test_no_argument_is_written_to(cell, lengths):
    arguments = sequence(cell, np.random.default_rng(0))
    assert_identical(run(cell, *read_only(arguments), lengths), run(cell, *arguments, lengths))


@every_cell
@with_lengths
def test_memory_order_does_not_matter(cell, lengths):
    arguments = sequence(cell, np.random.default_rng(0))
    assert_close(run(cell, *strided(arguments), lengths), run(cell, *arguments, lengths))


@every_cell
def test_missing_states_and_gradients_count_as_zeros(cell):
    params, xs, _, doutputs, dstate = sequence(cell, np.random.default_rng(0))
    zeros = cell.zero_state(xs[0])
    assert_identical(
        run(cell, params, xs, None, doutputs, None),
        run(cell, params, xs, zeros, doutputs, zeros),
    )
    assert_identical(
        run(cell, params, xs, None, None, dstate),
        run(cell, params, xs, zeros, 0 * doutputs, dstate),
    )


@every_cell
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), cut=st.integers(1, T - 1), lengths=st.booleans())
def test_a_sequence_in_two_parts_with_carried_state_equals_one_run(cell, seed, cut, lengths):
    rng = np.random.default_rng(seed)
    params, xs, state0, doutputs, dstate = sequence(cell, rng)
    ends = rng.integers(0, T, B, endpoint=True) if lengths else np.full(B, T)
    outputs, state, (dxs, dstate0, grads) = run(cell, params, xs, state0, doutputs, dstate, ends)

    early, late = np.minimum(ends, cut), np.maximum(ends - cut, 0)
    outputs1, middle, tape1 = unroll(cell, params, xs[:cut], state0, early)
    outputs2, state2, tape2 = unroll(cell, params, xs[cut:], middle, late)
    dxs2, dmiddle, grads2 = unroll_backward(cell, params, tape2, doutputs[cut:], dstate)
    dxs1, dstart, grads1 = unroll_backward(cell, params, tape1, doutputs[:cut], dmiddle)

    assert_close((np.concatenate([outputs1, outputs2]), state2), (outputs, state))
    assert_close((np.concatenate([dxs1, dxs2]), dstart), (dxs, dstate0))
    assert_close({name: grads1[name] + grads2[name] for name in grads1}, grads)


@every_cell
@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    lengths=st.lists(st.integers(0, T), min_size=B, max_size=B),
)
def test_lengths_equal_running_each_sequence_by_itself(cell, seed, lengths):
    params, xs, state0, doutputs, dstate = sequence(cell, np.random.default_rng(seed))
    outputs, state, (dxs, dstate0, grads) = run(cell, params, xs, state0, doutputs, dstate, lengths)
    total = dict.fromkeys(grads, 0.0)
    for b, length in enumerate(lengths):
        row = slice(b, b + 1)
        assert (outputs[length:, b] == 0).all()
        assert (dxs[length:, b] == 0).all()
        start, dend = map_state(lambda a, row=row: a[row], (state0, dstate))
        if length == 0:  # nothing happens: the state and its gradient pass through
            assert_identical(map_state(lambda a, row=row: a[row], (state, dstate0)), (start, dend))
            continue
        alone = run(cell, params, xs[:length, row], start, doutputs[:length, row], dend)
        assert_close(outputs[:length, row], alone[0])
        assert_close(map_state(lambda a, row=row: a[row], state), alone[1])
        assert_close(dxs[:length, row], alone[2][0])
        assert_close(map_state(lambda a, row=row: a[row], dstate0), alone[2][1])
        total = {name: total[name] + alone[2][2][name] for name in total}
    if any(lengths):
        assert_close(grads, total)


@every_cell
def test_full_lengths_change_nothing(cell):
    arguments = sequence(cell, np.random.default_rng(0))
    assert_identical(run(cell, *arguments, [T] * B), run(cell, *arguments))


@every_cell
@pytest.mark.parametrize("junk", [np.nan, np.inf, 1e300])
def test_padding_may_hold_anything(cell, junk):
    """Neither the padded inputs nor the gradients of padded outputs are ever used."""
    lengths = [6, 0, 3, 1]
    params, xs, state0, doutputs, dstate = sequence(cell, np.random.default_rng(0))
    expected = run(cell, params, xs, state0, doutputs, dstate, lengths)
    past = np.arange(T)[:, None] >= lengths
    xs[past] = junk
    doutputs[past] = junk
    assert_identical(run(cell, params, xs, state0, doutputs, dstate, lengths), expected)


@every_cell
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), order=st.permutations(range(B)))
def test_the_order_of_a_batch_does_not_matter(cell, seed, order):
    params, xs, state0, doutputs, dstate = sequence(cell, np.random.default_rng(seed))
    lengths = np.array([6, 0, 3, 1])
    outputs, state, (dxs, dstate0, grads) = run(cell, params, xs, state0, doutputs, dstate, lengths)
    rows, columns = (lambda a: a[order]), (lambda a: a[:, order])
    got = run(
        cell,
        params,
        xs[:, order],
        map_state(rows, state0),
        doutputs[:, order],
        map_state(rows, dstate),
        lengths[order],
    )
    assert_close(got[:2], (columns(outputs), map_state(rows, state)))
    assert_close(got[2], (columns(dxs), map_state(rows, dstate0), grads))


@every_cell
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), a=st.floats(-3, 3), b=st.floats(-3, 3))
def test_backward_is_linear_in_the_gradients_it_is_given(cell, seed, a, b):
    rng = np.random.default_rng(seed)
    params, xs, state0, *one = sequence(cell, rng)
    two = [rng.standard_normal((T, B, H)), random_like(rng, state0)]
    _, _, tape = unroll(cell, params, xs, state0, [6, 0, 3, 1])
    mixed = map_state(lambda u, v: a * u + b * v, tuple(one), tuple(two))
    parts = [leaves(unroll_backward(cell, params, tape, *given)) for given in (one, two)]
    got = leaves(unroll_backward(cell, params, tape, *mixed))
    assert_close(got, [a * u + b * v for u, v in zip(*parts, strict=True)], atol=1e-10)


@every_cell
@with_lengths
@pytest.mark.parametrize("shared_input", [False, True])
def test_a_leading_axis_runs_independent_networks(cell, lengths, shared_input):
    S = 3
    draws = [sequence(cell, np.random.default_rng(s)) for s in range(S)]
    params = {name: np.stack([draw[0][name] for draw in draws]) for name in draws[0][0]}
    xs = np.stack([draw[1] for draw in draws], axis=1)
    if shared_input:
        xs = draws[0][1]
    doutputs = np.stack([draw[3] for draw in draws], axis=1)
    state0, dstate = (
        map_state(lambda *a: np.stack(a), *(draw[part] for draw in draws)) for part in (2, 4)
    )
    outputs, state, (dxs, dstate0, grads) = run(cell, params, xs, state0, doutputs, dstate, lengths)
    for s, draw in enumerate(draws):
        alone = run(cell, draw[0], draws[0][1] if shared_input else draw[1], *draw[2:], lengths)
        pick = lambda a, s=s: a[s]  # noqa: E731
        assert_close((outputs[:, s], map_state(pick, state)), alone[:2])
        assert_close((dxs[:, s], map_state(pick, dstate0), transform(pick, grads)), alone[2])


@every_cell
def test_inference_keeps_nothing_and_computes_the_same(cell):
    params, xs, state0, *_ = sequence(cell, np.random.default_rng(0))
    outputs, state, tape = unroll(cell, params, xs, state0, keep_tape=False)
    assert tape is None
    assert_identical((outputs, state), unroll(cell, params, xs, state0)[:2])


@every_cell
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@with_lengths
def test_results_have_the_dtype_of_the_arguments(cell, dtype, lengths):
    arguments = transform(lambda a: a.astype(dtype), sequence(cell, np.random.default_rng(0)))
    assert {array.dtype for array in leaves(run(cell, *arguments, lengths))} == {np.dtype(dtype)}


@every_cell
def test_an_empty_batch_gives_zero_gradients(cell):
    outputs, _, (dxs, _, grads) = run(cell, *sequence(cell, np.random.default_rng(0), B=0))
    assert outputs.shape == (T, 0, H)
    assert dxs.shape == (T, 0, D)
    assert all((grad == 0).all() for grad in grads.values())


@every_cell
def test_outputs_depend_on_no_later_input(cell):
    params, xs, state0, *_ = sequence(cell, np.random.default_rng(0))
    outputs, _, tape = unroll(cell, params, xs, state0)
    changed = xs.copy()
    changed[4:] += 1
    assert_identical(unroll(cell, params, changed, state0)[0][:4], outputs[:4])
    doutputs = np.zeros_like(outputs)
    doutputs[:4] = 1
    dxs, _, _ = unroll_backward(cell, params, tape, doutputs)
    assert (dxs[4:] == 0).all()
    assert (dxs[3] != 0).any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("cell", [LSTMCell(D, H), RNNCell(D, H)], ids=["lstm", "rnn"])
def test_huge_inputs_saturate_without_warnings(cell, dtype):
    arguments = transform(lambda a: a.astype(dtype), sequence(cell, np.random.default_rng(0)))
    params, xs, *rest = arguments
    with np.errstate(all="raise", under="ignore"):
        results = run(cell, params, 1e4 * xs, *rest)
    assert all(np.isfinite(array).all() for array in leaves(results))


def test_a_gradient_that_vanishes_below_the_smallest_number_ends_in_zero():
    cell = RNNCell(D, H)
    params, xs, state0, _, dstate = sequence(cell, np.random.default_rng(0), T=200)
    params["W_h"] *= 1e-3
    with np.errstate(all="raise", under="ignore"):
        _, _, tape = unroll(cell, params, xs, state0)
        dxs, dstate0, grads = unroll_backward(cell, params, tape, None, dstate)
    assert (dstate0.h == 0).all()
    assert (dxs[0] == 0).all()
    assert (dxs[-1] != 0).all()
    assert all(np.isfinite(grad).all() for grad in grads.values())


# ------------------------------------------------------------------ step by step, and truncated


@every_cell
@with_ends
def test_steps_backwards_yield_the_gradient_of_every_state(cell, lengths):
    """The yielded gradients equal those of a run that begins or ends at that step."""
    params, xs, state0, doutputs, dstate = sequence(cell, np.random.default_rng(0))
    _, _, tape = unroll(cell, params, xs, state0, lengths)
    steps = list(backward_steps(cell, params, tape, doutputs, dstate))
    assert [t for t, *_ in steps] == list(reversed(range(T)))
    ends = np.full(B, T) if lengths is None else np.array(lengths)
    after = dstate
    for t, dstate_t, _, dstate_prev, _ in steps:
        _, before, _ = unroll(cell, params, xs, state0, np.minimum(ends, t))
        tail = run(cell, params, xs[t:], before, doutputs[t:], dstate, np.maximum(ends - t, 0))
        assert_close(dstate_prev, tail[2][1])
        alive = (t < ends)[:, None]
        assert_close(dstate_t.h, np.where(alive, after.h + doutputs[t], 0))
        assert_close(dstate_t[1:], tuple(np.where(alive, a, 0) for a in after[1:]))
        after = dstate_prev


@every_cell
@with_lengths
@pytest.mark.parametrize("k1", [1, 4, T])
@pytest.mark.parametrize("dropped", [False, True])
def test_truncation_at_or_beyond_the_whole_sequence_is_no_truncation(cell, lengths, k1, dropped):
    rng = np.random.default_rng(0)
    params, xs, state0, doutputs, dstate = sequence(cell, rng)
    state_mask = rng.integers(0, 2, (T, B, H)) * 2.0 if dropped else None
    _, _, tape = unroll(cell, params, xs, state0, lengths, state_mask)
    everything = unroll_backward(cell, params, tape, doutputs, dstate)
    truncated = truncated_backward(cell, params, tape, doutputs, k1, T + 3, dstate)
    assert_close(truncated, everything)


@every_plain_cell
@pytest.mark.parametrize(("k1", "k2"), [(1, 1), (2, 2), (4, 4), (1, 3), (2, 5), (4, 5)])
def test_truncation_agrees_with_detached_states_of_pytorch(torch_reference, cell, k1, k2):
    params, xs, state0, doutputs, _ = sequence(cell, np.random.default_rng(0), T=10)
    _, _, tape = unroll(cell, params, xs, state0)
    dxs, _, grads = truncated_backward(cell, params, tape, doutputs, k1, k2)

    module = torch_reference.network(cell, params)
    torch_xs, start = torch_reference.leaf(xs), torch_reference.stack_states([state0])
    for stop in range(10, 0, -k1):
        begin, injected = max(stop - k2, 0), max(stop - k1, 0)
        state = start
        if begin:
            _, state = module(torch_xs[:begin], start)
        cut = tuple(a.detach() for a in torch_reference.as_tuple(state))
        outputs, _ = module(torch_xs[begin:stop], cut if len(cut) == 2 else cut[0])
        weights = torch_reference.leaf(doutputs[injected:stop])
        (outputs[injected - begin :] * weights).sum().backward()
    assert_close(dxs, torch_xs.grad.numpy())
    assert_close(grads, torch_reference.gradients(module)[0], rtol=1e-11)


@every_cell
@with_ends
@pytest.mark.parametrize(("k1", "k2"), [(1, 3), (2, 2), (2, 5), (4, 5)])
def test_truncation_is_a_backward_pass_over_each_window_by_itself(cell, lengths, k1, k2):
    rng = np.random.default_rng(0)
    params, xs, state0, doutputs, dstate = sequence(cell, rng)
    mask = rng.integers(0, 2, (T, B, H)) * 2.0
    _, _, tape = unroll(cell, params, xs, state0, lengths, mask)
    ends = np.full(B, T) if lengths is None else np.array(lengths)

    dxs, dstate0 = np.zeros_like(xs), map_state(np.zeros_like, state0)
    grads = {name: np.zeros_like(w) for name, w in params.items()}
    for stop in range(T, 0, -k1):
        start, before = max(stop - k2, 0), state0
        if start > 0:
            first = np.minimum(ends, start)
            _, before, _ = unroll(cell, params, xs[:start], state0, first, mask[:start])
        part, length = slice(start, stop), np.clip(ends - start, 0, stop - start)
        _, _, window = unroll(cell, params, xs[part], before, length, mask[part])
        injected = doutputs[part] * (np.arange(start, stop) >= stop - k1)[:, None, None]
        last = dstate if stop == T else None
        dx, dbefore, grad = unroll_backward(cell, params, window, injected, last)
        dxs[part] += dx
        grads = {name: grads[name] + grad[name] for name in grads}
        if start == 0:
            dstate0 = map_state(np.add, dstate0, dbefore)

    assert_close(
        truncated_backward(cell, params, tape, doutputs, k1, k2, dstate), (dxs, dstate0, grads)
    )


@every_cell
@with_lengths
def test_truncation_leaves_its_arguments_alone(cell, lengths):
    params, xs, state0, doutputs, _ = read_only(sequence(cell, np.random.default_rng(0)))
    _, _, tape = unroll(cell, params, xs, state0, lengths)
    first = transform(np.copy, truncated_backward(cell, params, tape, doutputs, 2, 3))
    assert_identical(truncated_backward(cell, params, tape, doutputs, 2, 3), first)


def test_state_mask_scales_h_between_steps_and_leaves_c_alone():
    cell = LSTMCell(D, H)
    rng = np.random.default_rng(0)
    params, xs, state0, *_ = sequence(cell, rng, T=2)
    mask = rng.integers(0, 2, (2, B, H)) * 2.0
    outputs, state, _ = unroll(cell, params, xs, state0, state_mask=mask)

    first, _ = cell.forward(params, xs[0], state0)
    second, _ = cell.forward(params, xs[1], LSTMState(first.h * mask[0], first.c))
    assert_identical(outputs, np.stack([first.h, second.h]))
    assert_identical(state, LSTMState(second.h * mask[1], second.c))
