"""Activation functions, each with its derivative written in terms of its own output.

A backward pass has the output y = φ(z) at hand but no longer the argument z, and every function
here has a derivative that y alone gives: tanh' = 1 - y², σ' = y (1 - y).
"""

from collections.abc import Callable
from dataclasses import dataclass

from npylstm.backend import Array, array_module
from npylstm.checks import check_choice


def tanh(z: Array) -> Array:
    """Hyperbolic tangent, with values in (-1, 1)."""
    return array_module(z).tanh(z)


def sigmoid(z: Array) -> Array:
    """Logistic function 1 / (1 + exp(-z)), with values in (0, 1).

    Written as (1 + tanh(z/2)) / 2: the same function, without an exponential that overflows.
    """
    return 0.5 * tanh(0.5 * z) + 0.5


def relu(z: Array) -> Array:
    """Rectifier max(z, 0); of a complex z the real part decides. NaN stays NaN."""
    xp = array_module(z)
    return xp.where(z.real <= 0, xp.zeros_like(z), z)


def identity(z: Array) -> Array:
    """Return z itself."""
    return z


@dataclass(frozen=True)
class Activation:
    """A function φ with what a backward pass and a bound need to know of it.

    Attributes
    ----------
    function : callable
        z -> y = φ(z), elementwise.
    slope : callable
        y -> φ'(z), from the output y alone.
    max_slope : float
        The largest |φ'|: γ in the bounds on vanishing gradients (Pascanu et al. 2013, sec. 2.1).
    """

    function: Callable[[Array], Array]
    slope: Callable[[Array], Array]
    max_slope: float


def _relu_slope(y: Array) -> Array:
    return (y.real > 0).astype(y.dtype)


ACTIVATIONS: dict[str, Activation] = {
    "tanh": Activation(tanh, lambda y: 1 - y * y, 1.0),
    "relu": Activation(relu, _relu_slope, 1.0),
    "logistic": Activation(sigmoid, lambda y: y * (1 - y), 0.25),
    "identity": Activation(identity, lambda y: array_module(y).ones_like(y), 1.0),
    # The two of Hochreiter & Schmidhuber (1997), eqs. 4 and 5: h in [-1, 1] and g in [-2, 2].
    "logistic_h": Activation(lambda z: 2 * sigmoid(z) - 1, lambda y: (1 - y * y) / 2, 0.5),
    "logistic_g": Activation(lambda z: 4 * sigmoid(z) - 2, lambda y: 1 - y * y / 4, 1.0),
}
"""The activations by name; `logistic_h` and `logistic_g` are the scaled logistics of 1997."""


def check_activation(name: str, value: str) -> None:
    """Raise ValueError unless `value` names one of `ACTIVATIONS`."""
    check_choice(name, value, ACTIVATIONS)
