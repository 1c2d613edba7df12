"""Activation functions, each with its derivative written in terms of its own output.

A backward pass still has the output y = φ(z), but no longer the argument z. Every function here
has a derivative that follows from y alone: tanh' = 1 - y², σ' = y (1 - y).

A cell names its activations: `"tanh"`, or, with parameters, `"leaky_relu:0.1"`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

from npylstm.backend import AnyArray, Array, array_module
from npylstm.checks import check_choice, check_number

Passes: TypeAlias = AnyArray | float
"""Where a gradient passes a clip: an array of booleans, or 1 everywhere."""


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
    """A function φ, with the slope that a backward pass needs and the largest slope for a bound.

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
    # Hochreiter & Schmidhuber (1997), eqs. 4 and 5: h in [-1, 1] and g in [-2, 2].
    "logistic_h": Activation(lambda z: 2 * sigmoid(z) - 1, lambda y: (1 - y * y) / 2, 0.5),
    "logistic_g": Activation(lambda z: 4 * sigmoid(z) - 2, lambda y: 1 - y * y / 4, 1.0),
}
"""The activations by name; `logistic_h` and `logistic_g` are the scaled logistics of 1997."""

ALIASES = {"sigmoid": "logistic", "linear": "identity"}
"""Other libraries' names, and the names in `ACTIVATIONS` that they stand for."""


def leaky_relu(alpha: float) -> Activation:
    """Leaky rectifier: z where it is positive, elsewhere α z, with α >= 0."""

    def function(z: Array) -> Array:
        return array_module(z).where(z.real <= 0, alpha * z, z)

    def slope(y: Array) -> Array:
        return array_module(y).where(y.real > 0, y.dtype.type(1), y.dtype.type(alpha))

    return Activation(function, slope, max(1.0, alpha))


def thresholded_relu(alpha: float) -> Activation:
    """Rectifier with a threshold: z where it is above α, elsewhere 0."""

    def function(z: Array) -> Array:
        xp = array_module(z)
        return xp.where(z.real <= alpha, xp.zeros_like(z), z)

    return Activation(function, lambda y: (y.real != 0).astype(y.dtype), 1.0)


def elu(alpha: float) -> Activation:
    """Exponential linear unit: z where it is positive, elsewhere α (exp(z) - 1), with α >= 0."""

    def function(z: Array) -> Array:
        xp = array_module(z)
        below = xp.where(z.real > 0, xp.zeros_like(z), z)
        return xp.where(z.real > 0, z, alpha * xp.expm1(below))

    def slope(y: Array) -> Array:
        return array_module(y).where(y.real > 0, y.dtype.type(1), y + alpha)

    return Activation(function, slope, max(1.0, alpha))


def hard_sigmoid(alpha: float, beta: float) -> Activation:
    """α z + β, where values below 0 become 0 and values above 1 become 1."""

    def function(z: Array) -> Array:
        xp, y = array_module(z), alpha * z + beta
        return xp.where(y.real <= 0, xp.zeros_like(y), xp.where(y.real >= 1, xp.ones_like(y), y))

    def slope(y: Array) -> Array:
        return alpha * ((y.real > 0) & (y.real < 1)).astype(y.dtype)

    return Activation(function, slope, abs(alpha))


def scaled_tanh(alpha: float, beta: float) -> Activation:
    """α tanh(β z)."""

    def slope(y: Array) -> Array:
        return alpha * beta - (beta / alpha * y * y if alpha else 0 * y)

    return Activation(lambda z: alpha * tanh(beta * z), slope, abs(alpha * beta))


def affine(alpha: float, beta: float) -> Activation:
    """α z + β."""
    return Activation(
        lambda z: alpha * z + beta, lambda y: array_module(y).full_like(y, alpha), abs(alpha)
    )


def softsign(z: Array) -> Array:
    """Softsign z / (1 + |z|), with values in (-1, 1)."""
    return z / (1 + _magnitude(z))


def softplus(z: Array) -> Array:
    """log(1 + exp(z)), written so that no exponential overflows."""
    xp = array_module(z)
    return relu(z) + xp.log1p(xp.exp(-_magnitude(z)))


def clip(a: Array, limit: float | None) -> tuple[Array, Passes]:
    """Clip a to [-limit, limit]; return also where the gradient passes: up to the limit itself."""
    if limit is None:
        return a, 1.0
    xp = array_module(a)
    passes = abs(a.real) <= limit
    return xp.where(passes, a, float(limit) * xp.sign(a.real)), passes


def check_clip(argument: str, limit: object) -> None:
    """Raise ValueError unless `limit` is None or a number of at least 0."""
    if limit is not None:
        check_number(argument, limit, low=0)


def _magnitude(a: Array) -> Array:
    """Return |a|; of a complex a the real part decides the sign."""
    return array_module(a).where(a.real < 0, -a, a)


ACTIVATIONS["softsign"] = Activation(softsign, lambda y: (1 - _magnitude(y)) ** 2, 1.0)
ACTIVATIONS["softplus"] = Activation(softplus, lambda y: -array_module(y).expm1(-y), 1.0)

PARAMETRIC: dict[str, tuple[Callable[..., Activation], int]] = {
    "leaky_relu": (leaky_relu, 1),
    "thresholded_relu": (thresholded_relu, 1),
    "elu": (elu, 1),
    "hard_sigmoid": (hard_sigmoid, 2),
    "scaled_tanh": (scaled_tanh, 2),
    "affine": (affine, 2),
}
"""The activations with parameters, α or α and β, and how many each has."""


@cache
def find_activation(name: str) -> Activation:
    """Return the activation called `name`, as `check_activation` takes it."""
    kind, *numbers = check_activation("activation", name).split(":")
    return PARAMETRIC[kind][0](*map(float, numbers)) if numbers else ACTIVATIONS[kind]


def check_activation(argument: str, value: object) -> str:
    """Return an activation's name as this package writes it, `"logistic"` for `"sigmoid"`.

    Raises
    ------
    ValueError
        The name is not in `ACTIVATIONS` or `ALIASES`, and is not one of `PARAMETRIC` with its
        numbers, as in `"leaky_relu:0.1"` and `"hard_sigmoid:0.2:0.5"`; or a number is not finite;
        or α is negative in one of the two functions whose y must show the sign of z.
    """
    kind, *numbers = str(value).split(":")
    if not isinstance(value, str) or kind not in PARAMETRIC:
        known = [*ACTIVATIONS, *ALIASES]
        forms = [f"{name}{':NUMBER' * count}" for name, (_, count) in PARAMETRIC.items()]
        check_choice(argument, value, known if value in known else known + forms)
        return ALIASES.get(str(value), str(value))
    count = PARAMETRIC[kind][1]
    try:
        parameters = [float(number) for number in numbers]
    except ValueError:
        parameters = []
    if len(parameters) != count:
        raise ValueError(f"{argument} must read '{kind}{':NUMBER' * count}', got {value!r}")
    for k, parameter in enumerate(parameters):
        low = 0 if k == 0 and kind in ("leaky_relu", "elu") else -math.inf
        check_number(f"{('alpha', 'beta')[k]} of {argument} {value!r}", parameter, low)
    return ":".join([kind, *map(repr, parameters)])
