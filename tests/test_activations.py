import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npylstm.cells.activations import ACTIVATIONS, check_activation, identity, relu, sigmoid, tanh

every_activation = pytest.mark.parametrize("name", ACTIVATIONS)
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
    activation = ACTIVATIONS[name]
    slope = activation.function(Z + 1e-20j).imag / 1e-20
    np.testing.assert_allclose(activation.slope(activation.function(Z)), slope, atol=1e-15)


@every_activation
def test_no_slope_exceeds_the_stated_one_and_some_reach_it(name):
    activation = ACTIVATIONS[name]
    slopes = activation.slope(activation.function(np.linspace(-10, 10, 2001)))
    assert slopes.max() <= activation.max_slope
    assert slopes.max() > 0.999 * activation.max_slope


@every_activation
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_kept(name, dtype):
    y = ACTIVATIONS[name].function(Z.astype(dtype))
    assert y.dtype == ACTIVATIONS[name].slope(y).dtype == dtype


@every_activation
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_arguments_raise_no_warning(name, dtype):
    z = np.array([0, -0.0, 1e4, -1e4, 1e30, -1e30, 1e-38, np.inf, -np.inf], dtype)
    with np.errstate(all="raise", under="ignore"):
        y = ACTIVATIONS[name].function(z)
    assert not np.isnan(y).any()
    if name not in ("relu", "identity"):
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
    assert np.isnan(ACTIVATIONS[name].function(np.array([np.nan]))).all()
