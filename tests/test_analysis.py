"""Gradient flow, gates, truncation: formulas against differences or a case with a known answer."""

import numpy as np
import pytest
from properties import random_params

from npylstm.analysis.flow import gradient_flow
from npylstm.analysis.gates import half_lives, saturation, traces
from npylstm.analysis.jacobians import cell_paths, singular_values
from npylstm.analysis.truncation import truncation_bias
from npylstm.analysis.watching import preactivation_gradients
from npylstm.cells.base import map_state
from npylstm.cells.gru import GRUCell
from npylstm.cells.lstm import LSTMCell
from npylstm.cells.lstm_variant import LSTMVariant
from npylstm.cells.rnn import RNNCell
from npylstm.models.model import SequenceModel
from npylstm.sequence.layers import Recurrent, Stack
from npylstm.sequence.unroll import unroll

CELLS = {
    "tanh": RNNCell(3, 4),
    "lstm": LSTMCell(3, 4),
    "gru": GRUCell(3, 4),
    "gru-reset-after": GRUCell(3, 4, reset_after=True),
    "peepholes": LSTMVariant.preset("V", 3, 4),
    "coupled": LSTMVariant.preset("CIFG", 3, 4),
    "blocks-projection": LSTMVariant(3, 4, block_size=2, projection_size=3, cell_clip=0.5),
    "full-gate-recurrence": LSTMVariant.preset("FGR", 3, 4),
}


def network(cell, K=3):
    model = SequenceModel(cell, K)
    return model, random_params(model, np.random.default_rng(0))


def batch(T=4, B=5, K=3):
    rng = np.random.default_rng(1)
    return rng.standard_normal((T, B, 3)), rng.integers(K, size=B)


# ------------------------------------------------------------------------- gradients at the gates


@pytest.mark.parametrize("name", CELLS)
def test_preactivation_gradients_are_those_of_the_bias_before_the_sum_over_the_batch(name):
    """A bias that one sequence alone has is moved by a complex step: its slope is dz itself."""
    cell, rng = CELLS[name], np.random.default_rng(2)
    params = random_params(cell, rng)
    x = rng.standard_normal((5, 3))
    state = map_state(lambda size: rng.standard_normal((5, size)), cell.state_sizes)
    dstate = map_state(lambda size: rng.standard_normal((5, size)), cell.state_sizes)
    _, cache = cell.forward(params, x, state)
    dz = preactivation_gradients(cell, params, cache, dstate)
    assert tuple(dz) == cell.gates

    apart = {key: np.broadcast_to(array, (5, *array.shape)) for key, array in params.items()}
    for gate, columns in cell.gate_columns.items():
        for k, column in enumerate(range(columns.start, columns.stop)):
            b = apart["b"].astype(complex)
            b[:, column] += 1e-20j
            new, _ = cell.forward(
                apart | {"b": b}, x[:, None], map_state(lambda a: a[:, None], state)
            )
            slopes = map_state(lambda s, ds: (s[:, 0].imag / 1e-20 * ds).sum(-1), new, dstate)
            np.testing.assert_allclose(dz[gate][:, k], sum(slopes), rtol=1e-10, atol=1e-13)


def test_gate_norms_are_relative_to_the_loss_of_each_sequence():
    model, params = network(LSTMCell(3, 4))
    xs, targets = batch()
    flow = gradient_flow(model, params, xs, targets)
    assert flow.gate_norms.keys() == {"z_i", "z_f", "z_o", "z_g"}
    for n in range(5):
        alone = gradient_flow(model, params, xs[:, n : n + 1], targets[n : n + 1])
        for gate, norm in flow.gate_norms.items():
            np.testing.assert_allclose(norm[:, n : n + 1], alone.gate_norms[gate], rtol=1e-10)


def test_gate_norms_belong_to_their_own_step():
    """Where an input goes into z with weight 1, the loss feels a change of it as one of z."""
    model, params = network(RNNCell(3, 1))
    params["W_x"][0] = 1
    xs, targets = batch(B=1)
    norms = gradient_flow(model, params, xs, targets).gate_norms["z_h"]
    for t in range(4):
        step = np.zeros_like(xs)
        step[t, 0, 0] = 1e-5
        (above, _), (below, _) = (
            model.loss_and_grads(params, moved, targets) for moved in (xs + step, xs - step)
        )
        assert norms[t, 0] == pytest.approx(abs(above - below) / 2e-5, rel=1e-6)


def test_the_cells_of_a_stack_are_told_apart():
    model, params = network(Stack((LSTMCell(3, 4), GRUCell(4, 2))))
    flow = gradient_flow(model, params, *batch())
    assert flow.gate_norms.keys() == {f"0.z_{gate}" for gate in "ifog"} | {
        f"1.z_{gate}" for gate in "run"
    }
    assert flow.quantiles("1.z_u", (0.25, 0.75)).shape == (2, 4)


# ----------------------------------------------------------------------------------------- gates


@pytest.mark.parametrize("name", CELLS)
def test_traces_are_those_of_the_cell(name):
    cell = CELLS[name]
    model, params = network(cell)
    xs, _ = batch()
    found = traces(model, params, xs)
    own = {key: params[key] for key in cell.param_shapes}
    outputs, state, tape = unroll(cell, own, xs)
    np.testing.assert_array_equal(found.states["h"], outputs)
    for part, last in state._asdict().items():
        np.testing.assert_array_equal(found.states[part][-1], last)
    assert set(cell.gates) <= set(found.gates)
    for gate, trace in found.gates.items():
        np.testing.assert_array_equal(trace[2], getattr(tape.caches[2], gate))


def test_gates_that_a_cell_does_not_have_are_left_out_but_for_the_forgetting_one():
    xs, _ = batch()
    coupled = traces(*network(CELLS["coupled"]), xs).gates
    np.testing.assert_allclose(coupled["f"], 1 - coupled["i"])
    without = traces(*network(LSTMVariant.preset("NFG", 3, 4)), xs).gates
    assert without.keys() == {"i", "o", "g", "f"}
    assert (without["f"] == 1).all()


def test_a_model_works_the_same_while_it_is_watched():
    model, params = network(Stack((LSTMCell(3, 4), Recurrent(RNNCell(4, 2), path="fused"))))
    xs, _ = batch()
    before = model.predict(params, xs)
    traces(model, params, xs)
    np.testing.assert_array_equal(model.predict(params, xs), before)


def test_saturation_counts_what_lies_beyond_the_limits():
    gate = np.array([[[0.05, 0.5], [0.95, 0.91]], [[0.02, 0.5], [0.5, 0.9]]])
    found = saturation(gate)
    np.testing.assert_array_equal(found.left, [0.5, 0])
    np.testing.assert_array_equal(found.right, [0.25, 0.25])


def test_half_lives_of_gates_that_are_known():
    f = np.array([0.5, np.sqrt(0.5), 0.5**0.1, 1.0, 0.0])
    np.testing.assert_allclose(half_lives(np.tile(f, (3, 2, 1))), [1, 2, 10, np.inf, 0])


def test_a_half_life_counts_the_product_of_the_gates():
    f = np.array([0.9, 0.1, 0.6])[:, None, None]
    left = 1.0
    steps = 0
    while left > 0.5**8:  # 0.9 * 0.1 * 0.6 again and again, until eight half-lives are over
        left *= f[steps % 3, 0, 0]
        steps += 1
    assert half_lives(f)[0] == pytest.approx(steps / 8, abs=3 / 8)


# --------------------------------------------------------------------------------------- truncation


def test_a_window_as_long_as_the_sequence_has_no_bias_and_a_shorter_one_has():
    bias = truncation_bias(*network(LSTMCell(3, 4)), *batch(T=6), [1, 3, 6])
    np.testing.assert_array_equal(bias.lengths, [1, 3, 6])
    assert bias.relative_error[2] == pytest.approx(0, abs=1e-12)
    assert bias.cosine[2] == pytest.approx(1)
    assert (bias.relative_error[:2] > 1e-3).all()


def test_bias_of_a_linear_unit_is_the_tail_of_a_geometric_series():
    """h_t = w h_{t-1} + b from 0: dh_T/db = Σ w^k and dh_T/dw = Σ w^k h_{T-k-1}, cut off at k2."""
    w, b, T = 0.8, 1.5, 10
    model = SequenceModel(RNNCell(1, 1, "identity"), 1, "mean_squared_error")
    params = {"W_x": np.zeros((1, 1)), "W_h": np.array([[w]]), "b": np.array([b]),
              "W_y": np.ones((1, 1)), "b_y": np.zeros(1)}  # fmt: skip
    lengths = np.arange(1, T + 1)
    bias = truncation_bias(model, params, np.zeros((T, 1, 1)), np.zeros((1, 1)), lengths.tolist())
    h = b * (1 - w ** np.arange(T + 1)) / (1 - w)
    k = np.arange(T)
    parts = np.stack([w**k, w**k * h[T - 1 - k]])
    cut = parts.cumsum(axis=1)
    full = cut[:, -1:]
    norm = np.linalg.norm
    np.testing.assert_allclose(
        bias.relative_error, norm(cut - full, axis=0) / norm(full), atol=1e-12
    )
    np.testing.assert_allclose(
        bias.cosine, (cut * full).sum(axis=0) / (norm(cut, axis=0) * norm(full))
    )


def test_every_error_carried_k2_steps_is_less_biased_than_windows_side_by_side():
    model = SequenceModel(LSTMCell(3, 4), 3, every_step=True)
    params = random_params(model, np.random.default_rng(0))
    xs, _ = batch(T=8)
    targets = np.random.default_rng(3).integers(3, size=(8, 5))
    side_by_side = truncation_bias(model, params, xs, targets, [3])
    overlapping = truncation_bias(model, params, xs, targets, [3], k1=1)
    assert overlapping.relative_error < side_by_side.relative_error


def test_only_single_cells_can_be_truncated():
    with pytest.raises(ValueError, match="single cell"):
        truncation_bias(*network(Stack((LSTMCell(3, 4),))), *batch(), [1])


# --------------------------------------------------------------------------------------- Jacobians


def test_singular_values_of_a_known_matrix():
    np.testing.assert_allclose(singular_values(np.array([[0.0, 3.0], [-2.0, 0.0]])), [3, 2])


@pytest.mark.parametrize("name", ["lstm", "peepholes", "full-gate-recurrence", "blocks-projection"])
def test_the_full_cell_path_is_what_the_last_cell_state_feels(name):
    cell = CELLS[name]
    params = random_params(cell, np.random.default_rng(0))
    xs, _ = batch(T=3, B=1)
    full = cell_paths(cell, params, xs).full[2, 0]  # ∂c_2/∂c_0
    state, _ = cell.forward(params, xs[0], cell.zero_state(xs[0]))
    columns = []
    for k in range(4):
        moved = state._replace(c=state.c + 1e-20j * np.eye(4)[k])
        _, last, _ = unroll(cell, params, xs[1:], map_state(lambda a: a.astype(complex), moved))
        columns.append(last.c[0].imag / 1e-20)
    assert full == pytest.approx(np.linalg.norm(np.array(columns).T, ord=2), rel=1e-10)


def test_direct_and_full_cell_path_are_one_without_recurrent_weights():
    cell = LSTMCell(3, 4)
    params = random_params(cell, np.random.default_rng(0))
    params["W_h"][:] = 0
    paths = cell_paths(cell, params, batch()[0])
    np.testing.assert_allclose(paths.direct, paths.full, rtol=1e-12)
    assert paths.direct.shape == (5, 5)
