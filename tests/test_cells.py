import math

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
from npylstm.cells.activations import ACTIVATIONS
from npylstm.cells.base import map_state
from npylstm.cells.gru import GRUCell
from npylstm.cells.lru import LRUCell
from npylstm.cells.lstm import LSTMCell, LSTMState
from npylstm.cells.lstm_variant import PRESETS, LSTMVariant
from npylstm.cells.min_gru import MinGRUCell
from npylstm.cells.min_lstm import MinLSTMCell
from npylstm.cells.mlstm import MLSTMCell
from npylstm.cells.rnn import RNNCell, RNNState
from npylstm.cells.slstm import SLSTMCell

CELLS = {
    "lstm": LSTMCell(3, 4),
    "gru": GRUCell(3, 4),
    "gru-after": GRUCell(3, 4, reset_after=True),
    **{name: RNNCell(3, 4, name) for name in ACTIVATIONS},
    "rnn-clip": RNNCell(3, 4, preactivation_clip=0.8),
    **{name: LSTMVariant.preset(name, 3, 4, truncated=False) for name in PRESETS},
    "min-gru": MinGRUCell(3, 4),
    "min-lstm": MinLSTMCell(3, 4),
    "slstm": SLSTMCell(3, 4, heads=2),
    "mlstm": MLSTMCell(3, 4, heads=2),
    "lru": LRUCell(3, 4),
}
every_cell = pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)


def step(cell, rng, B=5, axes=()):
    """Random arguments of one step: params, x, state, dstate; with leading axes if wanted."""
    drawn = [random_params(cell, rng) for _ in range(math.prod(axes))]
    params = {
        name: np.stack([p[name] for p in drawn]).reshape(*axes, *drawn[0][name].shape)
        for name in drawn[0]
    }
    x = rng.standard_normal((*axes, B, cell.input_size))
    state, dstate = (random_like(rng, cell.zero_state(x)) for _ in range(2))
    return params, x, state, dstate


def run(cell, params, x, state, dstate):
    """Forward and backward: everything that comes out of one step."""
    new_state, cache = cell.forward(params, x, state)
    return new_state, cell.backward(params, cache, dstate)


# ------------------------------------------------------------------ values and gradients


@every_cell
@pytest.mark.parametrize("T", [1, 4])
@pytest.mark.parametrize("rng", [0, 1])
def test_gradients_equal_numerical_ones(cell, T, rng):
    report = check_layer(cell, T=T, rng=rng)
    assert report.ok, report


def test_lstm_step_by_hand_with_one_unit():
    """Every gate differs, so that no two can be exchanged."""
    cell = LSTMCell(1, 1)
    params = {
        "W_x": np.array([[0.1, -0.2, 0.3, 0.4]]),
        "W_h": np.array([[0.5, 0.6, -0.7, 0.8]]),
        "b": np.array([0.9, -1.0, 1.1, -1.2]),
    }
    x, h, c = 0.7, -0.3, 1.3
    sigmoid = lambda z: 1 / (1 + math.exp(-z))  # noqa: E731
    i = sigmoid(0.1 * x + 0.5 * h + 0.9)
    f = sigmoid(-0.2 * x + 0.6 * h - 1.0)
    o = sigmoid(0.3 * x - 0.7 * h + 1.1)
    g = math.tanh(0.4 * x + 0.8 * h - 1.2)
    new_c = f * c + i * g
    state, _ = cell.forward(params, np.array([[x]]), LSTMState(np.array([[h]]), np.array([[c]])))
    np.testing.assert_allclose(state.c, [[new_c]], rtol=1e-14)
    np.testing.assert_allclose(state.h, [[o * math.tanh(new_c)]], rtol=1e-14)


@pytest.mark.parametrize("name", ["lstm", "tanh", "relu"])
def test_a_step_agrees_with_pytorch(torch_reference, name):
    cell = CELLS[name]
    params, x, state, dstate = step(cell, np.random.default_rng(0))
    new_state, (dx, dstate_prev, grads) = run(cell, params, x, state, dstate)

    module = torch_reference.network(cell, params)
    torch_x, torch_state = torch_reference.leaf(x[None]), torch_reference.stack_states([state])
    _, final = module(torch_x, torch_state)
    final = torch_reference.as_tuple(final)
    sum(
        (a * torch_reference.leaf(da)).sum() for a, da in zip(final, dstate, strict=True)
    ).backward()

    assert_close(new_state, tuple(a.detach().numpy()[0] for a in final))
    assert_close(dx, torch_x.grad.numpy()[0])
    starts = torch_reference.as_tuple(torch_state)
    assert_close(dstate_prev, tuple(a.grad.numpy()[0] for a in starts))
    assert_close(grads, torch_reference.gradients(module)[0])


# ------------------------------------------------------------------ properties of any step


@every_cell
def test_a_second_backward_gives_the_same(cell):
    params, x, state, dstate = step(cell, np.random.default_rng(0))
    _, cache = cell.forward(params, x, state)
    first = transform(np.copy, cell.backward(params, cache, dstate))
    assert_identical(cell.backward(params, cache, dstate), first)


@every_cell
def test_no_argument_is_written_to(cell):
    params, x, state, dstate = read_only(step(cell, np.random.default_rng(0)))
    new_state, cache = cell.forward(params, x, state)
    cell.backward(params, read_only(cache), dstate)
    assert not any(np.shares_memory(a, b) for a in leaves(new_state) for b in leaves(state))


@every_cell
def test_memory_order_does_not_matter(cell):
    arguments = step(cell, np.random.default_rng(0))
    assert_close(run(cell, *strided(arguments)), run(cell, *arguments))


@every_cell
@pytest.mark.parametrize("axes", [(2,), (2, 3)], ids=str)
def test_leading_axes_run_independent_networks(cell, axes):
    params, x, state, dstate = step(cell, np.random.default_rng(0), axes=axes)
    together = run(cell, params, x, state, dstate)
    for s in np.ndindex(*axes):
        alone = run(cell, *transform(lambda a, s=s: a[s], (params, x, state, dstate)))
        assert_close(transform(lambda a, s=s: a[s], together), alone)


@every_cell
def test_independent_networks_can_share_their_input(cell):
    params, _, _, dstate = step(cell, np.random.default_rng(0), axes=(3,))
    x = np.random.default_rng(1).standard_normal((5, 3))
    together = run(cell, params, x, cell.zero_state(x), dstate)
    copies = np.stack([x] * 3)
    assert_close(together, run(cell, params, copies, cell.zero_state(copies), dstate))


@every_cell
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), B=st.integers(1, 5), a=st.floats(-3, 3), b=st.floats(-3, 3))
def test_backward_is_linear_in_the_gradient_it_is_given(cell, seed, B, a, b):
    rng = np.random.default_rng(seed)
    params, x, state, one = step(cell, rng, B)
    two = random_like(rng, one)
    _, cache = cell.forward(params, x, state)
    mixed = cell.backward(params, cache, map_state(lambda u, v: a * u + b * v, one, two))
    parts = [leaves(cell.backward(params, cache, dstate)) for dstate in (one, two)]
    assert_close(mixed, [a * u + b * v for u, v in zip(*parts, strict=True)], atol=1e-11)


@every_cell
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), order=st.permutations(range(5)))
def test_the_order_of_a_batch_does_not_matter(cell, seed, order):
    params, x, state, dstate = step(cell, np.random.default_rng(seed))
    new_state, (dx, dstate_prev, grads) = run(cell, params, x, state, dstate)
    shuffled = transform(lambda a: a[order], (x, state, dstate))
    got_state, (got_dx, got_prev, got_grads) = run(cell, params, *shuffled)
    expected = transform(lambda a: a[order], (new_state, dx, dstate_prev))
    assert_close((got_state, got_dx, got_prev), expected)
    assert_close(got_grads, grads)


@every_cell
def test_parameter_gradients_of_a_batch_are_the_sum_over_its_rows(cell):
    params, x, state, dstate = step(cell, np.random.default_rng(0))
    _, (_, _, grads) = run(cell, params, x, state, dstate)
    rows = [
        run(cell, params, *transform(lambda a, k=k: a[k : k + 1], (x, state, dstate)))[1][2]
        for k in range(len(x))
    ]
    assert_close(grads, {name: sum(row[name] for row in rows) for name in grads})


@every_cell
def test_an_empty_batch_gives_zero_gradients(cell):
    new_state, (dx, _, grads) = run(cell, *step(cell, np.random.default_rng(0), B=0))
    assert new_state[0].shape == (0, 4)
    assert dx.shape == (0, 3)
    assert all((grad == 0).all() for grad in grads.values())


@every_cell
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_results_have_the_dtype_of_the_arguments(cell, dtype):
    arguments = transform(lambda a: a.astype(dtype), step(cell, np.random.default_rng(0)))
    assert {array.dtype for array in leaves(run(cell, *arguments))} == {np.dtype(dtype)}


@every_cell
def test_float32_agrees_with_float64_to_its_precision(cell):
    arguments = step(cell, np.random.default_rng(0))
    single = run(cell, *transform(lambda a: a.astype(np.float32), arguments))
    assert_close(single, run(cell, *arguments), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "name", [name for name in CELLS if name not in ("relu", "identity", "mlstm", "lru")]
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e4, 1e30])
def test_saturated_units_stay_finite_and_raise_no_warning(name, dtype, size):
    cell = CELLS[name]
    params, x, state, dstate = step(cell, np.random.default_rng(0))
    params["b"] = size * np.resize([1.0, -1.0], params["b"].shape)
    arguments = transform(lambda a: a.astype(dtype), (params, x, state, dstate))
    with np.errstate(all="raise", under="ignore"):
        new_state, results = run(cell, *arguments)
    assert all(np.isfinite(array).all() for array in leaves((new_state, results)))
    if isinstance(cell, LSTMCell):
        assert (np.abs(new_state.h) <= 1).all()


@every_cell
def test_subnormal_gradients_are_carried_without_warnings(cell):
    params, x, state, dstate = step(cell, np.random.default_rng(0))
    tiny = map_state(lambda a: np.full_like(a, 1e-310), dstate)
    with np.errstate(all="raise", under="ignore"):
        _, results = run(cell, params, x, state, tiny)
    assert all((np.abs(array) < 1e-300).all() for array in leaves(results))


def test_no_gradient_reaches_a_state_that_the_forget_gate_shuts_out():
    cell = LSTMCell(3, 4)
    params, x, state, dstate = step(cell, np.random.default_rng(0))
    params["b"][4:8] = -1e4
    params["W_h"] *= 0
    _, (_, dstate_prev, _) = run(cell, params, x, state, dstate)
    assert (dstate_prev.c == 0).all()
    assert (dstate_prev.h == 0).all()


def test_an_open_forget_gate_carries_the_cell_gradient_unchanged():
    """The constant error carousel: with f = 1 and o = 0, dc passes as it is."""
    cell = LSTMCell(3, 4)
    params, x, state, dstate = step(cell, np.random.default_rng(0))
    params["b"] += np.repeat([0.0, 1e4, -1e4, 0.0], 4)
    _, (_, dstate_prev, _) = run(cell, params, x, state, dstate)
    np.testing.assert_array_equal(dstate_prev.c, dstate.c)


# ------------------------------------------------------------------ initial parameters


@every_cell
def test_initial_parameters_have_the_promised_keys_and_shapes(cell):
    params = cell.init(0)
    assert {name: array.shape for name, array in params.items()} == cell.param_shapes


@every_cell
def test_the_same_seed_draws_the_same_and_another_one_something_else(cell):
    assert_identical(cell.init(3), cell.init(np.random.default_rng(3)))
    assert (cell.init(3)["W_x"] != cell.init(4)["W_x"]).all()


@every_cell
def test_float32_parameters_are_the_float64_ones_rounded(cell):
    double, single = cell.init(0), cell.init(0, np.float32)
    assert_identical(single, {name: a.astype(np.float32) for name, a in double.items()})


@pytest.mark.parametrize("forget_bias", [1.0, 0.0, 2.5])
def test_the_forget_bias_is_part_of_b(forget_bias):
    b = LSTMCell(3, 4, forget_bias=forget_bias).init(0)["b"]
    np.testing.assert_array_equal(b, [0] * 4 + [forget_bias] * 4 + [0] * 8)


def test_the_default_forget_bias_is_one():
    assert LSTMCell(3, 4) == LSTMCell(3, 4, forget_bias=1.0)


def test_the_kernel_is_drawn_as_tensorflow_draws_it():
    """One Glorot draw over all gates: sqrt(6 / (56 + 112)) for LSTM(28) on 28 inputs."""
    params = LSTMCell(28, 28).init(0)
    largest = max(np.abs(params[name]).max() for name in ("W_x", "W_h"))
    assert 0.99 * 0.18898 < largest <= 0.18899


def test_recurrent_initialisers_draw_each_gate_by_itself():
    W_h = LSTMCell(3, 4, recurrent_initializer="orthogonal").init(0)["W_h"]
    gates = np.split(W_h, 4, axis=1)
    for gate in gates:
        np.testing.assert_allclose(gate @ gate.T, np.eye(4), atol=1e-14)
    assert not np.allclose(gates[0], gates[1])


def test_irnn_starts_from_the_identity():
    cell = RNNCell(3, 4, activation="relu", recurrent_initializer="identity")
    np.testing.assert_array_equal(cell.init(0)["W_h"], np.eye(4))


def test_zero_state_follows_the_input():
    x = np.ones((2, 5, 3), np.float32)
    state = LSTMCell(3, 4).zero_state(x)
    assert isinstance(state, LSTMState)
    assert [array.shape for array in state] == [(2, 5, 4)] * 2
    assert state.c.dtype == np.float32
    assert not any(array.any() for array in state)
    assert isinstance(RNNCell(3, 4).zero_state(x), RNNState)


def test_gate_columns_are_the_blocks_in_the_documented_order():
    columns = LSTMCell(3, 4).gate_columns
    assert list(columns) == ["i", "f", "o", "g"]
    assert columns["o"] == slice(8, 12)
