import numpy as np
import pytest

from npylstm.analysis.jacobians import (
    cell_paths,
    direct_cell_path,
    jacobian_by_products,
    jacobians,
    rnn_bound,
    span_products,
    spectral_norms,
    spectral_radii,
    step_jacobian,
)
from npylstm.analysis.lyapunov import lyapunov_spectrum
from npylstm.cells.base import map_state
from npylstm.cells.gru import GRUCell
from npylstm.cells.lstm import LSTMCell
from npylstm.cells.lstm_variant import LSTMVariant
from npylstm.cells.rnn import RNNCell

CELLS = {
    "tanh": RNNCell(3, 4),
    "relu": RNNCell(3, 4, "relu"),
    "lstm": LSTMCell(3, 4),
    "gru": GRUCell(3, 4),
    "peepholes": LSTMVariant.preset("V", 3, 4),
    "full-gate-recurrence": LSTMVariant.preset("FGR", 3, 4),
}


def random_step(cell, seed=0, B=2):
    rng = np.random.default_rng(seed)
    params = {name: rng.standard_normal(array.shape) for name, array in cell.init(0).items()}
    x = rng.standard_normal((B, cell.input_size))
    state = map_state(lambda size: rng.standard_normal((B, size)), cell.state_sizes)
    return params, x, state


def complex_step_jacobian(cell, params, x, state):
    """∂s/∂s_prev column by column, from the forward pass alone."""
    sizes = cell.state_sizes
    flat = np.concatenate(state, axis=-1).astype(complex)
    columns = []
    for k in range(flat.shape[-1]):
        moved = flat.copy()
        moved[:, k] += 1e-20j
        parts = np.split(moved, np.cumsum(sizes)[:-1], axis=-1)
        new, _ = cell.forward(params, x, type(sizes)(*parts))
        columns.append(np.concatenate(new, axis=-1).imag / 1e-20)
    return np.stack(columns, axis=-1)


@pytest.mark.parametrize("jacobian", [step_jacobian, jacobian_by_products])
@pytest.mark.parametrize("name", CELLS)
def test_jacobians_equal_the_complex_step(name, jacobian):
    cell = CELLS[name]
    params, x, state = random_step(cell)
    _, cache = cell.forward(params, x, state)
    expected = complex_step_jacobian(cell, params, x, state)
    np.testing.assert_allclose(jacobian(cell, params, cache), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", CELLS)
def test_products_of_jacobians_carry_the_gradient_over_a_span(name):
    cell = CELLS[name]
    params, _, state0 = random_step(cell)
    xs = np.random.default_rng(1).standard_normal((5, 2, 3))
    product = span_products(jacobians(cell, params, xs, state0))[5]

    def run(state):
        for x in xs:
            state, _ = cell.forward(params, x, state)
        return state

    sizes = cell.state_sizes
    flat = np.concatenate(state0, axis=-1).astype(complex)
    for k in range(flat.shape[-1]):
        moved = flat.copy()
        moved[:, k] += 1e-20j
        last = run(type(sizes)(*np.split(moved, np.cumsum(sizes)[:-1], axis=-1)))
        expected = np.concatenate(last, axis=-1).imag / 1e-20
        np.testing.assert_allclose(product[:, :, k], expected, rtol=1e-10, atol=1e-13)


def test_the_measured_norm_stays_below_the_bound():
    cell = RNNCell(3, 6)
    params, _, state = random_step(cell)
    xs = np.random.default_rng(2).standard_normal((20, 2, 3))
    norms = spectral_norms(span_products(jacobians(cell, params, xs, state)))
    bound = rnn_bound(cell, params, np.arange(21))
    assert (norms <= bound[:, None] * (1 + 1e-12)).all()
    assert norms[-1].max() < bound[-1]  # and far below it, in a network whose units saturate


def test_the_bound_of_a_logistic_network_has_its_slope_of_a_quarter():
    params = RNNCell(3, 2, "logistic").init(0) | {"W_h": np.diag([2.0, 1.0])}
    bound = rnn_bound(RNNCell(3, 2, "logistic"), params, np.arange(3))
    np.testing.assert_allclose(bound, [1, 1 / 2, 1 / 4])


def test_norm_and_radius_of_a_matrix_with_known_values():
    shear = np.array([[0.5, 10.0], [0.0, 0.25]])
    assert spectral_radii(shear) == pytest.approx(0.5)
    assert spectral_norms(shear) == pytest.approx(np.sqrt(np.linalg.eigvalsh(shear.T @ shear)[-1]))
    quarter_turn = np.array([[0.0, -0.5], [0.5, 0.0]])  # its eigenvalues are imaginary
    assert spectral_radii(quarter_turn) == pytest.approx(0.5)


def test_the_direct_path_is_the_whole_one_when_the_gates_do_not_see_the_state():
    cell = LSTMCell(3, 4)
    params, _, state0 = random_step(cell)
    params["W_h"] = np.zeros_like(params["W_h"])
    xs = np.random.default_rng(3).standard_normal((6, 2, 3))
    state, f = state0, []
    for x in xs:
        state, cache = cell.forward(params, x, state)
        f.append(cache.f)
    path = direct_cell_path(np.stack(f))
    dc_dc = span_products(jacobians(cell, params, xs, state0))[..., 4:, 4:]
    np.testing.assert_allclose(np.diagonal(dc_dc, axis1=-2, axis2=-1), path, rtol=1e-12)
    paths = cell_paths(cell, params, xs, state0)
    np.testing.assert_allclose(paths.direct, path.max(axis=-1), rtol=1e-12)
    np.testing.assert_allclose(paths.full, paths.direct, rtol=1e-12)


def test_exponents_of_a_linear_network_are_the_logarithms_of_its_eigenvalues():
    cell = RNNCell(2, 4, "identity")
    params, _, _ = random_step(cell)
    eigenvectors = np.random.default_rng(4).standard_normal((4, 4))
    eigenvalues = np.array([1.5, 0.9, 0.5, 0.2])
    params["W_h"] = eigenvectors @ np.diag(eigenvalues) @ np.linalg.inv(eigenvectors)
    xs = np.zeros((400, 1, 2))
    params["b"][:] = 0
    spectrum = lyapunov_spectrum(cell, params, xs, skip=100)
    np.testing.assert_allclose(spectrum[0], np.log(eigenvalues), rtol=1e-6, atol=1e-6)


def test_a_direction_that_the_later_step_loses_has_the_exponent_minus_infinity():
    """Unit 1 alone is open in the first step, unit 2 alone in the second, and 1 never reaches 2."""
    cell = RNNCell(2, 2, "relu")
    params = {"W_x": np.eye(2), "W_h": np.array([[0.5, 0.0], [0.7, 0.9]]), "b": np.zeros(2)}
    xs = np.array([[[1.0, -5.0]], [[-5.0, 5.0]]])
    assert lyapunov_spectrum(cell, params, xs, exponents=1, skip=0) == -np.inf
    assert np.isfinite(lyapunov_spectrum(cell, params, xs[::-1], exponents=1, skip=0))


def test_exponents_of_an_isolated_cell_are_the_mean_logarithm_of_its_forget_gate():
    cell = LSTMCell(3, 4)
    params, _, state0 = random_step(cell)
    params["W_h"] = np.zeros_like(params["W_h"])
    xs = np.random.default_rng(5).standard_normal((1000, 2, 3))
    z_f = xs @ params["W_x"][:, 4:8] + params["b"][4:8]
    expected = -np.log1p(np.exp(-z_f)).mean(axis=0)
    spectrum = lyapunov_spectrum(cell, params, xs, state0, exponents=4, skip=0)
    np.testing.assert_allclose(spectrum, -np.sort(-expected), atol=0.02)


def test_exponents_sum_to_the_mean_logarithm_of_the_determinant():
    cell = RNNCell(3, 5)
    params, _, state0 = random_step(cell)
    xs = np.random.default_rng(6).standard_normal((50, 2, 3))
    _, log_det = np.linalg.slogdet(jacobians(cell, params, xs, state0))
    spectrum = lyapunov_spectrum(cell, params, xs, state0, skip=0)
    np.testing.assert_allclose(spectrum.sum(axis=-1), log_det.mean(axis=0), rtol=1e-10)


@pytest.mark.parametrize(("exponents", "skip"), [(0, 0), (9, 0), (2, -1), (2, 20)])
def test_impossible_requests_are_refused(exponents, skip):
    cell = LSTMCell(3, 4)
    xs = np.zeros((20, 1, 3))
    with pytest.raises(ValueError, match=r"exponents|skip"):
        lyapunov_spectrum(cell, cell.init(0), xs, exponents=exponents, skip=skip)
