import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npylstm.cells.activations import (
    ACTIVATIONS,
    ALIASES,
    check_activation,
    find_activation,
    identity,
    relu,
    sigmoid,
    tanh,
)
from npylstm.cells.gru import GRUCell
from npylstm.cells.lstm_variant import LSTMVariant
from npylstm.cells.rnn import RNNCell

WITH_PARAMETERS = [
    "leaky_relu:0.1",
    "thresholded_relu:0.7",
    "elu:1.3",
    "hard_sigmoid:0.2:0.5",
    "scaled_tanh:1.7:0.6",
    "affine:-0.5:0.25",
]
UNBOUNDED = ("relu", "identity", "leaky", "thresholded", "elu", "affine", "softplus")
every_activation = pytest.mark.parametrize("name", [*ACTIVATIONS, *WITH_PARAMETERS])
Z = np.linspace(-6, 6, 97) + 0.01


@pytest.mark.parametrize(
    ("name", "torch_name"),
    [("tanh", "tanh"), ("relu", "relu"), ("logistic", "sigmoid"), ("identity", "clone")],
)
def test_values_and_slopes_agree_with_pytorch(name, torch_name):
    torch = pytest.importorskip("torch")
    z = torch.tensor(Z, requires_grad=True)
    y = getattr(torch, torch_name)(z)
    y.sum().backward()
    activation = ACTIVATIONS[name]
    got = activation.function(Z)
    np.testing.assert_allclose(got, y.detach().numpy(), rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(activation.slope(got), z.grad.numpy(), rtol=1e-9, atol=1e-15)


def test_the_scaled_logistics_of_1997():
    """Hochreiter & Schmidhuber (1997): h(x) = 2/(1+e^-x) - 1 and g(x) = 4/(1+e^-x) - 2."""
    np.testing.assert_allclose(
        ACTIVATIONS["logistic_h"].function(Z), 2 / (1 + np.exp(-Z)) - 1, atol=1e-15
    )
    np.testing.assert_allclose(
        ACTIVATIONS["logistic_g"].function(Z), 4 / (1 + np.exp(-Z)) - 2, atol=1e-15
    )


@every_activation
def test_slopes_equal_the_complex_step(name):
    activation = find_activation(name)
    slope = activation.function(Z + 1e-20j).imag / 1e-20
    np.testing.assert_allclose(activation.slope(activation.function(Z)), slope, atol=1e-15)


@every_activation
def test_no_slope_exceeds_the_stated_one_and_some_reach_it(name):
    activation = find_activation(name)
    slopes = activation.slope(activation.function(np.linspace(-10, 10, 2001)))
    assert abs(slopes).max() <= activation.max_slope
    assert abs(slopes).max() > 0.999 * activation.max_slope


@every_activation
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_kept(name, dtype):
    y = find_activation(name).function(Z.astype(dtype))
    assert y.dtype == find_activation(name).slope(y).dtype == dtype


@every_activation
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_arguments_raise_no_warning(name, dtype):
    z = np.array([0, -0.0, 1e4, -1e4, 1e30, -1e30, 1e-38, np.inf, -np.inf], dtype)
    with np.errstate(all="raise", under="ignore"):
        y = find_activation(name).function(z[:-2] if name == "softsign" else z)
    assert not np.isnan(y).any()
    if not name.startswith(UNBOUNDED):
        assert (np.abs(y) <= 2).all()


@settings(deadline=None)
@given(st.floats(-30, 700))
def test_sigmoid_equals_its_definition(z):
    np.testing.assert_allclose(sigmoid(np.array(z)), 1 / (1 + np.exp(-z)), rtol=0, atol=3e-16)


@settings(deadline=None)
@given(st.floats(-1e300, 1e300))
def test_sigmoid_is_a_probability_and_symmetric(z):
    y, mirrored = sigmoid(np.array(z)), sigmoid(np.array(-z))
    assert 0 <= y <= 1
    assert abs(y + mirrored - 1) < 1e-15


def test_relu_of_a_complex_number_goes_by_its_real_part():
    z = np.array([1 + 2j, -1 + 2j, -3 - 1j])
    np.testing.assert_array_equal(relu(z), [1 + 2j, 0, 0])


def test_arguments_are_not_written_to():
    z = Z.copy()
    z.flags.writeable = False
    for function in (tanh, sigmoid, relu, identity):
        function(z)
    np.testing.assert_array_equal(z, Z)


def test_an_unknown_name_is_refused_and_the_known_ones_listed():
    with pytest.raises(ValueError, match=r"activation must be one of 'tanh', .* got 'swish'"):
        check_activation("activation", "swish")


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_nan_stays_nan(name):
    assert np.isnan(find_activation(name).function(np.array([np.nan]))).all()


@pytest.mark.parametrize(
    ("name", "torch_function"),
    [
        ("leaky_relu:0.1", lambda F, z: F.leaky_relu(z, 0.1)),
        ("thresholded_relu:0.7", lambda F, z: F.threshold(z, 0.7, 0.0)),
        ("elu:1.3", lambda F, z: F.elu(z, 1.3)),
        ("hard_sigmoid:0.2:0.5", lambda F, z: (0.2 * z + 0.5).clamp(0, 1)),
        ("scaled_tanh:1.7:0.6", lambda F, z: 1.7 * (0.6 * z).tanh()),
        ("softsign", lambda F, z: F.softsign(z)),
        ("softplus", lambda F, z: F.softplus(z, threshold=1e9)),
    ],
)
def test_the_activations_of_onnx_agree_with_pytorch(name, torch_function):
    torch = pytest.importorskip("torch")
    z = torch.tensor(Z, requires_grad=True)
    y = torch_function(torch.nn.functional, z)
    y.sum().backward()
    got = find_activation(name).function(Z)
    np.testing.assert_allclose(got, y.detach().numpy(), rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(find_activation(name).slope(got), z.grad.numpy(), rtol=1e-9)


@pytest.mark.parametrize("name", [*ACTIVATIONS, *WITH_PARAMETERS])
def test_no_activation_overflows(name):
    with np.errstate(all="raise", under="ignore"):
        y = find_activation(name).function(np.array([-1e4, 1e4]))
        assert np.isfinite(find_activation(name).slope(y)).all()


@pytest.mark.parametrize(("other", "ours"), ALIASES.items())
def test_the_names_of_other_libraries_mean_the_same_cell(other, ours):
    for make in (
        lambda a: RNNCell(2, 3, a),
        lambda a: GRUCell(2, 3, activation=a),
        lambda a: LSTMVariant(2, 3, input_activation=a, output_activation=a),
    ):
        assert make(other) == make(ours)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("swish", "phi must be one of 'tanh'"),
        ("leaky_relu", "phi must read 'leaky_relu:NUMBER', got 'leaky_relu'"),
        ("hard_sigmoid:0.2", "phi must read 'hard_sigmoid:NUMBER:NUMBER'"),
        ("elu:x", "phi must read 'elu:NUMBER'"),
        ("elu:-1", r"alpha of phi 'elu:-1' must be a finite number in \[0"),
        ("affine:nan:0", "alpha of phi 'affine:nan:0' must be a finite number"),
        ("tanh:1", "phi must be one of"),
        (None, "phi must be one of"),
    ],
)
def test_a_name_that_is_none_is_refused(name, message):
    with pytest.raises(ValueError, match=message):
        check_activation("phi", name)
