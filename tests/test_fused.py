"""The fused kernels give the answers of `unroll`, and leave everything they are given alone."""

import gc
import os
import threading
import time
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from properties import (
    assert_identical,
    leaves,
    random_like,
    random_params,
    read_only,
    strided,
    transform,
)

from npylstm.cells.gru import GRUCell, GRUState
from npylstm.cells.lstm import LSTMCell, LSTMState
from npylstm.cells.lstm_variant import LSTMVariant
from npylstm.cells.min_gru import MinGRUCell
from npylstm.cells.mlstm import MLSTMCell
from npylstm.cells.rnn import RNNCell
from npylstm.models.model import SequenceModel
from npylstm.sequence import register_kernel, release_memory
from npylstm.sequence.kernels import table, workspace
from npylstm.sequence.kernels.base import transpose_into
from npylstm.sequence.kernels.driver import FLUSH_EVERY, FusedTape
from npylstm.sequence.kernels.lstm import LSTMKernel
from npylstm.sequence.layers import Bidirectional, Recurrent, Stack
from npylstm.sequence.unroll import Tape, unroll, unroll_backward
from npylstm.sequence.wrappers import Dropout, Residual

T, B, D, H = 40, 5, 3, 4
CELLS = {
    "lstm": LSTMCell(D, H),
    "peepholes": LSTMVariant(D, H, peepholes=True),
    "no-options": LSTMVariant(D, H),
    "gru": GRUCell(D, H),
    "gru-after": GRUCell(D, H, reset_after=True),
    "gru-relu": GRUCell(D, H, activation="relu"),
    "gru-after-logistic": GRUCell(D, H, reset_after=True, activation="logistic"),
    **{phi: RNNCell(D, H, phi) for phi in ("tanh", "relu", "identity", "logistic")},
}
every_cell = pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
LENGTHS = {
    "full": None,
    "lengths": [40, 0, 17, 1, 40],
    "all-short": [3, 2, 1, 0, 3],
    "holes": np.random.default_rng(0).random((T, B)) < [0.5, 0, 0.8, 0.1, 1],
}
with_lengths = pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
both_dtypes = pytest.mark.parametrize(
    ("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-5)], ids=["float64", "float32"]
)


def sequence(cell, rng, T=T, B=B, dtype=np.float64, networks=()):
    """Random params, xs, state0, doutputs and dstate, of one network or several."""
    params = {name: 0.7 * w for name, w in random_params(cell, rng).items()}
    params = {
        name: w + 0.1 * rng.standard_normal((*networks, *w.shape)) for name, w in params.items()
    }
    xs = rng.standard_normal((T, *networks, B, cell.input_size))
    state0 = random_like(rng, cell.zero_state(xs[0]))
    doutputs = rng.standard_normal((T, *networks, B, cell.output_size))
    every = params, xs, state0, doutputs, random_like(rng, state0)
    return transform(lambda array: array.astype(dtype), every)


def fused(cell, params, xs, state0=None, lengths=None, keep_tape=True):
    return Recurrent(cell, "fused").forward(params, xs, state0, lengths, keep_tape=keep_tape)


def fused_backward(cell, params, tape, doutputs=None, dstate=None):
    return Recurrent(cell, "fused").backward(params, tape, doutputs, dstate)


def run_fused(cell, params, xs, state0, doutputs, dstate, lengths=None):
    outputs, state, tape = fused(cell, params, xs, state0, lengths)
    dxs, dstate0, grads = fused_backward(cell, params, tape, doutputs, dstate)
    return outputs, state, dxs, dstate0, grads


def run_unroll(cell, params, xs, state0, doutputs, dstate, lengths=None):
    outputs, state, tape = unroll(cell, params, xs, state0, lengths)
    dxs, dstate0, grads = unroll_backward(cell, params, tape, doutputs, dstate)
    return outputs, state, dxs, dstate0, grads


def assert_agree(got, expected, tolerance):
    """Assert the same shapes and dtypes, and values within `tolerance` of the block's largest."""

    def compare(a, b):
        assert type(a) is type(b)
        if isinstance(b, tuple):
            for pair in zip(a, b, strict=True):
                compare(*pair)
        elif isinstance(b, dict):
            assert a.keys() == b.keys()
            for name in b:
                compare(a[name], b[name])
        else:
            assert (a.shape, a.dtype) == (b.shape, b.dtype)
            np.testing.assert_allclose(
                a, b, rtol=0, atol=tolerance * max(abs(b).max(initial=0), 1e-6)
            )

    compare(got, expected)


# ------------------------------------------------------------------ values and gradients


@every_cell
@with_lengths
@both_dtypes
def test_values_and_every_gradient_equal_those_of_unroll(cell, lengths, dtype, tolerance):
    arrays = sequence(cell, np.random.default_rng(0), dtype=dtype)
    assert_agree(run_fused(cell, *arrays, lengths), run_unroll(cell, *arrays, lengths), tolerance)


@every_cell
@with_lengths
def test_what_is_left_out_counts_as_zeros(cell, lengths):
    params, xs, state0, doutputs, dstate = sequence(cell, np.random.default_rng(1))
    for given_ in ((None, doutputs, None), (state0, None, dstate), (None, None, None)):
        got = run_fused(cell, params, xs, *given_, lengths)
        assert_agree(got, run_unroll(cell, params, xs, *given_, lengths), 1e-12)


@settings(max_examples=40, deadline=None)
@given(
    cell=st.sampled_from(["lstm", "peepholes", "gru", "gru-after", "tanh", "relu"]),
    sizes=st.tuples(*[st.integers(1, n) for n in (20, 5, 4, 6)]),
    networks=st.sampled_from([(), (0,), (1,), (3,), (2, 3)]),
    data=st.data(),
)
def test_any_sizes_lengths_and_networks_agree_with_unroll(cell, sizes, networks, data):
    T, B, D, H = sizes
    lengths = data.draw(st.none() | st.lists(st.integers(0, T), min_size=B, max_size=B))
    cell = replace(CELLS[cell], input_size=D, hidden_size=H)
    rng = np.random.default_rng(sum(sizes))
    arguments = cell, *sequence(cell, rng, T, B, networks=networks), lengths
    assert_agree(run_fused(*arguments), run_unroll(*arguments), 1e-12)


@every_cell
@with_lengths
@both_dtypes
def test_networks_on_a_leading_axis_equal_those_of_unroll(cell, lengths, dtype, tolerance):
    arrays = sequence(cell, np.random.default_rng(12), dtype=dtype, networks=(3,))
    assert_agree(run_fused(cell, *arrays, lengths), run_unroll(cell, *arrays, lengths), tolerance)


@every_cell
@pytest.mark.parametrize("own", ["params", "xs", "xs state0", "params state0"])
def test_what_networks_share_needs_no_axis_of_its_own(cell, own):
    """Parameters, inputs or states that all networks have in common are given once."""
    rng = np.random.default_rng(13)
    params, xs, state0, doutputs, dstate = sequence(cell, rng, networks=(3,))
    if "params" not in own:
        params = {name: w[0] for name, w in params.items()}
    if "xs" not in own:
        xs = xs[:, 0]
    if "state0" not in own:
        state0 = transform(lambda s: s[0], state0)
    arrays = params, xs, state0, doutputs, dstate
    assert_agree(run_fused(cell, *arrays), run_unroll(cell, *arrays), 1e-12)


@every_cell
def test_weight_gradients_summed_over_many_steps_at_a_time_are_the_same(cell):
    """With few sequences and wide weights, products take eight steps, and here four in the end."""
    wide = replace(cell, hidden_size=24)
    arrays = sequence(wide, np.random.default_rng(14), T=44, B=2)
    assert_agree(run_fused(wide, *arrays), run_unroll(wide, *arrays), 1e-12)


@every_cell
def test_gradients_that_come_late_and_early_are_all_carried(cell):
    """Steps without a gradient of their own are skipped; those that have one must not be."""
    params, xs, state0, doutputs, _ = sequence(cell, np.random.default_rng(2))
    doutputs[[0, 3, 4, 20]] *= 0
    doutputs[21:] = 0
    arrays = params, xs, state0, doutputs, None
    assert_agree(run_fused(cell, *arrays), run_unroll(cell, *arrays), 1e-12)


@every_cell
def test_padding_may_hold_anything(cell):
    params, xs, state0, doutputs, dstate = sequence(cell, np.random.default_rng(3))
    lengths = [40, 0, 17, 1, 40]
    expected = run_fused(cell, params, xs, state0, doutputs, dstate, lengths)
    past = np.arange(T)[:, None] >= np.array(lengths)
    xs[past] = doutputs[past] = np.nan
    assert_identical(run_fused(cell, params, xs, state0, doutputs, dstate, lengths), expected)


@every_cell
def test_an_empty_batch_passes(cell):
    arrays = sequence(cell, np.random.default_rng(0), B=0)
    outputs, _, dxs, _, grads = run_fused(cell, *arrays)
    assert outputs.shape == (T, 0, H)
    assert dxs.shape == (T, 0, D)
    assert all(not grad.any() for grad in grads.values())


# ------------------------------------------------------------------ vanished gradients


@pytest.mark.parametrize("cell", ["lstm", "gru", "gru-after", "tanh"])
def test_a_vanished_gradient_becomes_zero_and_leaves_the_sums_as_they_are(cell):
    """float32 against float64, which does not run into denormal numbers here."""
    cell = replace(CELLS[cell], input_size=1, hidden_size=8)
    rng = np.random.default_rng(0)
    params = {name: 0.3 * w for name, w in cell.init(rng).items()}
    xs = rng.standard_normal((600, 4, 1))
    dh = rng.standard_normal((4, 8))
    doutputs = np.zeros((600, 4, 8))
    doutputs[-1] = dh
    exact = run_unroll(cell, params, xs, None, doutputs, None)
    single = transform(lambda array: array.astype(np.float32), (params, xs, doutputs))
    got = run_fused(cell, single[0], single[1], None, single[2], None)

    dxs, dstate0, grads = got[2:]
    assert not any(d.any() for d in dstate0)
    denormal = (dxs != 0) & (abs(dxs) < np.finfo(np.float32).tiny)
    assert denormal.any(axis=(1, 2)).sum() <= FLUSH_EVERY
    for name, grad in grads.items():
        expected = exact[4][name]
        np.testing.assert_allclose(grad, expected, rtol=0, atol=2e-6 * abs(expected).max())


@pytest.mark.parametrize("cell", ["lstm", "gru", "gru-after"])
def test_gradients_as_small_as_float32_can_carry_are_kept(cell):
    cell = CELLS[cell]
    params, xs, state0, doutputs, dstate = sequence(cell, np.random.default_rng(0), T=15)
    small = 1e-25
    arrays = params, xs, state0, small * doutputs, transform(lambda d: small * d, dstate)
    single = transform(lambda array: array.astype(np.float32), arrays)
    expected = run_unroll(cell, *arrays)[4]
    for name, grad in run_fused(cell, *single)[4].items():
        np.testing.assert_allclose(grad / small, expected[name] / small, rtol=1e-4, atol=1e-4)


# ------------------------------------------------------------------ nothing hidden, nothing spoilt


@every_cell
@with_lengths
def test_arguments_are_left_alone_and_need_no_special_memory(cell, lengths):
    arrays = sequence(cell, np.random.default_rng(4))
    expected = run_fused(cell, *arrays, lengths)
    assert_identical(run_fused(cell, *read_only(arrays), lengths), expected)
    assert_agree(run_fused(cell, *strided(arrays), lengths), expected, 1e-12)


@every_cell
def test_a_second_backward_pass_gives_the_same_answer(cell):
    params, xs, state0, doutputs, dstate = sequence(cell, np.random.default_rng(5))
    _, _, tape = fused(cell, params, xs, state0)
    first = fused_backward(cell, params, tape, doutputs, dstate)
    assert_identical(fused_backward(cell, params, tape, doutputs, dstate), first)


@every_cell
def test_tapes_that_live_at_once_do_not_share_memory(cell):
    runs = [sequence(cell, np.random.default_rng(seed)) for seed in range(3)]
    expected = [run_fused(cell, *arrays) for arrays in runs]
    tapes = [fused(cell, *arrays[:3])[2] for arrays in runs]
    for (params, *_, doutputs, dstate), tape, (*_, dxs, dstate0, grads) in zip(
        runs, tapes, expected, strict=True
    ):
        got = fused_backward(cell, params, tape, doutputs, dstate)
        assert_identical(got, (dxs, dstate0, grads))


@every_cell
def test_outputs_outlive_their_tape(cell):
    params, xs, state0, _, _ = sequence(cell, np.random.default_rng(6))
    outputs, _, tape = fused(cell, params, xs, state0)
    kept = outputs.copy()
    last = outputs[-1]
    del outputs, tape
    gc.collect()
    for _ in range(3):
        fused(cell, params, xs + 1, state0)
    assert_identical(last, kept[-1])


def test_outputs_that_look_into_the_tape_cannot_be_written_to():
    cell = LSTMCell(D, H)
    params, xs, *_ = sequence(cell, np.random.default_rng(7))
    outputs, state, tape = fused(cell, params, xs)
    with pytest.raises(ValueError, match="read-only"):
        outputs[0] = 0
    assert not any(np.shares_memory(s, kept) for s in state for kept in (tape.us, tape.kept))
    outputs, _, tape = fused(cell, params, xs, keep_tape=False)
    outputs[0] = 0
    assert tape is None


@pytest.mark.parametrize(
    ("wanted", "reused"), [(1001, False), (1000, True), (500, True), (499, False)]
)
def test_memory_that_nobody_sees_is_used_again_where_it_fits(wanted, reused):
    workspace._idle.clear()
    workspace.borrow((1000,), np.float64)  # and given back at once
    (memory,) = workspace._idle
    assert np.shares_memory(workspace.borrow((wanted,), np.float64), memory) == reused


def test_one_network_reads_batches_on_a_leading_axis():
    cell = LSTMCell(D, H)
    params, xs, *_ = sequence(cell, np.random.default_rng(7))
    both = np.stack([xs, -xs], axis=1)
    assert_agree(fused(cell, params, both)[:2], unroll(cell, params, both)[:2], 1e-12)


def test_threads_of_the_user_do_not_disturb_each_other():
    cell = LSTMCell(D, H)
    runs = [sequence(cell, np.random.default_rng(seed)) for seed in range(4)]
    expected = [run_fused(cell, *arrays) for arrays in runs]
    failures = []

    def work(arrays, right):
        for _ in range(25):
            try:
                assert_identical(run_fused(cell, *arrays), right)
            except AssertionError as error:
                failures.append(error)

    threads = [
        threading.Thread(target=work, args=pair) for pair in zip(runs, expected, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


# ------------------------------------------------------------------ inference


@every_cell
@with_lengths
def test_inference_gives_the_same_outputs(cell, lengths):
    params, xs, state0, *_ = sequence(cell, np.random.default_rng(8))
    outputs, state, _ = fused(cell, params, xs, state0, lengths)
    free_outputs, free_state, tape = fused(cell, params, xs, state0, lengths, keep_tape=False)
    assert_identical((free_outputs, free_state), (outputs, state))
    assert tape is None


def peak_memory(run):
    """The most bytes in use while `run` runs, beyond what was there before."""
    workspace._idle.clear()
    gc.collect()
    tracemalloc.start()
    result = run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    del result
    return peak


@every_cell
def test_inference_needs_no_memory_that_grows_with_time_but_its_outputs(cell):
    big = replace(cell, hidden_size=32)
    params = big.init(0)

    def beyond_outputs(T):
        xs = np.zeros((T, 16, D))
        return peak_memory(lambda: fused(big, params, xs, keep_tape=False)) - T * 16 * 32 * 8

    assert beyond_outputs(400) < beyond_outputs(50) + 30_000


def test_a_training_step_needs_little_more_memory_than_its_tape_must_hold():
    T, B, D, H = 100, 64, 10, 32
    model = SequenceModel(LSTMCell(D, H), 10)
    params = model.init(0, np.float32)
    rng = np.random.default_rng(0)
    xs, labels = rng.standard_normal((T, B, D)).astype(np.float32), rng.integers(0, 10, B)
    # x, h, c, tanh(c) and four gates at every step.
    must_hold = T * B * (D + 7 * H) * 4
    assert peak_memory(lambda: model.loss_and_grads(params, xs, labels)) < 1.5 * must_hold


# ------------------------------------------------------------------ the choice of path


@pytest.mark.parametrize("path", ["fused", "auto"])
def test_a_layer_takes_the_fused_path_where_it_can(path):
    cell = LSTMCell(D, H)
    params, xs, *_ = sequence(cell, np.random.default_rng(0))
    assert isinstance(Recurrent(cell, path).forward(params, xs)[2], FusedTape)
    assert isinstance(Recurrent(cell, "unroll").forward(params, xs)[2], Tape)


class OwnCell(LSTMCell):
    """A cell whose step may be anything."""


UNFUSED = {
    "subclass": (OwnCell(D, H), {}),
    "projection": (LSTMVariant(D, H, peepholes=True, projection_size=2), {}),
    "coupled": (LSTMVariant(D, H, coupled=True), {}),
    "complex": (LSTMCell(D, H), {"dtype": complex}),
    "half": (LSTMCell(D, H), {"dtype": np.float16}),
}


@pytest.mark.parametrize(("cell", "options"), UNFUSED.values(), ids=UNFUSED)
def test_everything_else_is_unrolled_and_says_why(cell, options):
    params, xs, *_ = sequence(cell, np.random.default_rng(0), dtype=options.get("dtype", float))
    outputs, state, tape = Recurrent(cell).forward(params, xs)
    assert_identical((outputs, state), unroll(cell, params, xs)[:2])
    Recurrent(cell).backward(params, tape, outputs)
    with pytest.raises(ValueError, match=r"path='fused' cannot be taken: .*fused kernel"):
        Recurrent(cell, "fused").forward(params, xs)


@pytest.mark.parametrize("cell", [MinGRUCell(D, H), MLSTMCell(D, H)], ids=["scan", "parallel"])
def test_the_obstacle_named_is_that_of_the_path_meant_for_the_cell(cell):
    params, xs = cell.init(0), np.zeros((T, B, D))
    with pytest.raises(ValueError, match=r"cannot be taken: .* no dropout of the state; path="):
        Recurrent(cell, "fused").forward(params, xs, state_mask=np.ones((T, B, H)))


def test_an_unknown_path_and_a_missing_tape_are_reported():
    with pytest.raises(ValueError, match="path must be one of 'auto', 'fused', 'unroll', got 'x'"):
        Recurrent(LSTMCell(D, H), "x")
    cell = LSTMCell(D, H)
    params, xs, _, doutputs, _ = sequence(cell, np.random.default_rng(0))
    layer = Recurrent(cell)
    _, _, tape = layer.forward(params, xs, keep_tape=False)
    with pytest.raises(ValueError, match="keep_tape=True"):
        layer.backward(params, tape, doutputs)


@pytest.mark.parametrize(
    "change",
    [
        {"params": {}},
        {"xs": np.zeros((T, B, D + 1))},
        {"xs": np.zeros((0, B, D))},
        {"xs": np.zeros((T, B, D), int)},
        {"state0": LSTMState(np.zeros((B, H)), np.zeros((B + 1, H)))},
        {"lengths": [1, 2, 3]},
        {"lengths": [T + 1] * B},
    ],
)
def test_bad_input_gets_the_error_of_unroll(change):
    cell = LSTMCell(D, H)
    arguments = {"params": cell.init(0), "xs": np.zeros((T, B, D)), **change}
    with pytest.raises((ValueError, TypeError)) as expected:
        unroll(cell, **arguments)
    with pytest.raises(type(expected.value)) as got:
        fused(cell, **arguments)
    assert str(got.value) == str(expected.value)


def layers(path):
    def layer(D, H):
        return Recurrent(LSTMCell(D, H), path)

    return Stack(
        [
            Bidirectional(layer(D, H), Recurrent(RNNCell(D, H), path)),
            Dropout(layer(2 * H, 2 * H), 0.8, 0.7, variational="sequence"),
            Residual(layer(2 * H, 2 * H)),
        ]
    )


@with_lengths
@pytest.mark.parametrize("need_dxs", [True, False])
def test_layers_of_layers_agree_whatever_their_path(lengths, need_dxs):
    rng = np.random.default_rng(9)
    params, xs = random_params(layers("unroll"), rng), rng.standard_normal((T, B, D))
    doutputs = rng.standard_normal((T, B, 2 * H))
    got = []
    for path in ("fused", "unroll"):
        layer = layers(path)
        outputs, state, tape = layer.forward(params, xs, None, lengths, rng=0)
        dxs, *rest = layer.backward(params, tape, doutputs, need_dxs=need_dxs)
        got.append((outputs, state, dxs if need_dxs else np.zeros(1), *rest))
        assert need_dxs or path == "unroll" or dxs is None
    assert_agree(*got, 1e-12)


# ------------------------------------------------------------------ numbers at the edge


@pytest.mark.parametrize("path", ["fused", "unroll"])
@pytest.mark.parametrize("reset_after", [False, True])
def test_a_gru_that_keeps_its_state_keeps_it_to_the_last_bit(path, reset_after):
    """u = 1 and a large n: n + u (h - n) would lose the digits of h."""
    cell = GRUCell(1, 1, reset_after, activation="identity")
    params = {name: np.zeros(shape, np.float32) for name, shape in cell.param_shapes.items()}
    params["b"][:] = 0, 1e4, 1e6
    h0 = GRUState(np.array([[0.1]], np.float32))
    outputs, *_ = Recurrent(cell, path).forward(params, np.zeros((50, 1, 1), np.float32), h0)
    np.testing.assert_array_equal(outputs, h0.h[0, 0])


@every_cell
@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_an_infinite_input_spoils_the_same_entries_on_both_paths(cell, value):
    params, xs, state0, doutputs, dstate = sequence(cell, np.random.default_rng(15))
    xs[7, 2, 1] = value
    arrays = params, xs, state0, doutputs, dstate
    with np.errstate(invalid="ignore", over="ignore"):
        got, expected = run_fused(cell, *arrays), run_unroll(cell, *arrays)
    for a, b in zip(leaves(got), leaves(expected), strict=True):
        np.testing.assert_array_equal(np.isfinite(a), np.isfinite(b))


@every_cell
@pytest.mark.parametrize("path", ["fused", "unroll"])
@with_lengths
def test_big_endian_input_gives_native_results(cell, path, lengths):
    arrays = sequence(cell, np.random.default_rng(16))
    big = transform(lambda a: a.astype(a.dtype.newbyteorder(">")), arrays)
    run = run_fused if path == "fused" else run_unroll
    got = run(cell, *big, lengths)
    assert all(a.dtype.isnative for a in leaves(got))
    assert_agree(got, run(cell, *arrays, lengths), 1e-12)


# ------------------------------------------------------------------ memory and processes


def test_idle_memory_can_be_given_back():
    cell = LSTMCell(D, H)
    params, xs, *_ = sequence(cell, np.random.default_rng(17))
    fused(cell, params, xs)
    assert workspace._idle
    release_memory()
    assert not workspace._idle
    fused(cell, params, xs)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system can't fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_while_another_thread_computes_does_not_hang():
    """Nothing here may hold a lock that the child would wait for."""
    cell = LSTMCell(D, H)
    params, xs, *_ = sequence(cell, np.random.default_rng(18))
    stop = threading.Event()

    def work():
        while not stop.is_set():
            fused(cell, params, xs)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(5):
            child = os.fork()
            if child == 0:
                fused(cell, params, xs)
                os._exit(0)
            end = time.monotonic() + 20
            while os.waitpid(child, os.WNOHANG) == (0, 0):
                assert time.monotonic() < end, "the child hangs"
                time.sleep(0.01)
    finally:
        stop.set()
        thread.join()


# ------------------------------------------------------------------ kernels of one's own


def test_a_kernel_for_ones_own_cell_is_taken_once_it_is_registered(monkeypatch):
    monkeypatch.setattr(table, "KERNELS", list(table.KERNELS))
    cell = OwnCell(D, H)
    params, xs, state0, doutputs, dstate = sequence(cell, np.random.default_rng(19))
    with pytest.raises(ValueError, match="there is no fused kernel for OwnCell"):
        fused(cell, params, xs)

    @register_kernel
    class OwnKernel(LSTMKernel):
        cells = (OwnCell,)

    arrays = params, xs, state0, doutputs, dstate
    assert_agree(run_fused(cell, *arrays), run_unroll(cell, *arrays), 1e-12)
    assert Recurrent(cell).forward(params, xs)[2].kernel is OwnKernel
    with pytest.raises(TypeError, match="kernel must be a subclass of Kernel that names its cells"):
        register_kernel(OwnCell)


@pytest.mark.parametrize("shape", [(5, 3), (2, 5, 3), (403, 101), (2, 205, 101)])
def test_a_matrix_is_transposed_whole_whether_small_or_large(shape):
    a = np.random.default_rng(0).standard_normal(shape)
    out = np.empty((*shape[:-2], shape[-1], shape[-2]))
    assert transpose_into(out, a) is out
    assert_identical(out, a.swapaxes(-1, -2).copy())
