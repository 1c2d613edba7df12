"""The minimal LSTM, one time step: two gates that do not look at the state."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from npylstm.backend import Array, Rng, array_module
from npylstm.cells.activations import sigmoid, softplus
from npylstm.cells.base import Cache, Cell, Params, StateSizes, mT
from npylstm.cells.initializers import cast, check_initializers, draw
from npylstm.checks import check_number, check_size


class MinLSTMState(NamedTuple):
    """The state of a minimal LSTM: its output h (B, H), which is its memory, too."""

    h: Array


class MinLSTMCache(NamedTuple):
    """What a step keeps: x (B, D), the rest (B, H).

    i and f are the two shares, which add up to one; slope_i and slope_f are 1 - σ(z_i) and
    1 - σ(z_f), the factors that the slopes of the gates leave.
    """

    x: Array
    h_prev: Array
    i: Array
    f: Array
    g: Array
    slope_i: Array
    slope_f: Array


@dataclass(frozen=True)
class MinLSTMCell(Cell[MinLSTMState]):
    """Minimal LSTM (Feng et al. 2024, arXiv 2410.01201, sec. 3.2), with normalised gates.

    ::

        z = x W_x + b                       three blocks of H columns: z_i, z_f, z_g

        f = σ(z_f) / (σ(z_f) + σ(z_i))      the paper's f'
        i = σ(z_i) / (σ(z_f) + σ(z_i))      the paper's i', which is 1 - f
        g = z_g                             the paper's h̃: no squashing

        h = f ⊙ h_prev + i ⊙ g

    In this form, two gates that are both shut would give 0 / 0. The code computes the same share as
    f = σ(u) with u = ln σ(z_f) - ln σ(z_i). This is safe for every z and makes the slope short::

        du = dh ⊙ (h_prev - g) ⊙ f i        dg = dh ⊙ i     dh_prev = dh ⊙ f

        dz = [-du ⊙ (1 - σ(z_i)),  du ⊙ (1 - σ(z_f)),  dg]

        dx = dz W_xᵀ        dW_x = xᵀ dz    db = Σ_batch dz

    As in `MinGRUCell`, no line holds a W_h.

    Parameters
    ----------
    input_size : int
        D, the width of the input.
    hidden_size : int
        H, the number of units.
    forget_bias : float
        f starts near σ(forget_bias): b_f starts at forget_bias and b_i at -forget_bias.
    kernel_initializer : str
        How W_x is drawn: see `npylstm.cells.draw`.

    Raises
    ------
    ValueError
        A size below one, a forget bias that is not a finite number, an unknown initialiser.

    Examples
    --------
    >>> cell = MinLSTMCell(input_size=3, hidden_size=4)
    >>> params = cell.init(rng=0)
    >>> x = np.ones((2, 3))
    >>> state, cache = cell.forward(params, x, cell.zero_state(x))
    >>> dx, dstate_prev, grads = cell.backward(params, cache, MinLSTMState(np.ones((2, 4))))
    """

    input_size: int
    hidden_size: int
    forget_bias: float = 1.0
    kernel_initializer: str = "glorot_uniform"
    gates: ClassVar[tuple[str, ...]] = ("i", "f", "g")
    linear: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_size("input_size", self.input_size)
        check_size("hidden_size", self.hidden_size)
        check_number("forget_bias", self.forget_bias)
        check_initializers(self.kernel_initializer, None)

    @property
    def param_shapes(self) -> dict[str, tuple[int, ...]]:
        """W_x (D, 3H), b (3H,)."""
        return {"W_x": (self.input_size, 3 * self.hidden_size), "b": (3 * self.hidden_size,)}

    @property
    def state_sizes(self) -> StateSizes:
        """h: H."""
        return MinLSTMState._make([self.hidden_size])

    def init(self, rng: Rng = None, dtype: DTypeLike = np.float64) -> Params:
        """Draw W_x; b starts at zero except for the parts of both gates."""
        rng = np.random.default_rng(rng)
        W_x = draw(self.kernel_initializer, rng, (self.input_size, 3 * self.hidden_size))
        b = np.repeat([-self.forget_bias, self.forget_bias, 0.0], self.hidden_size)
        return cast({"W_x": W_x, "b": b}, dtype)

    def forward(self, params: Params, x: Array, state: MinLSTMState) -> tuple[MinLSTMState, Cache]:
        """Run one step; see `Cell.forward`."""
        self.check(params, x, state)
        (h_prev,) = state
        z = x @ params["W_x"] + params["b"][..., None, :]
        z_i, z_f, g = array_module(x).split(z, 3, axis=-1)
        f = sigmoid(softplus(-z_i) - softplus(-z_f))
        i = 1 - f
        slopes = sigmoid(-z_i), sigmoid(-z_f)
        return MinLSTMState(f * h_prev + i * g), MinLSTMCache(x, h_prev, i, f, g, *slopes)

    def backward(
        self, params: Params, cache: Cache, dstate: MinLSTMState
    ) -> tuple[Array, MinLSTMState, Params]:
        """Carry the gradient one step back; see `Cell.backward`."""
        x, h_prev, i, f, g, slope_i, slope_f = cache
        (dh,) = dstate
        du, dg = dh * (h_prev - g) * f * i, dh * i
        dz = array_module(x).concatenate([-du * slope_i, du * slope_f, dg], axis=-1)
        grads = {"W_x": mT(x) @ dz, "b": dz.sum(axis=-2)}
        return dz @ mT(params["W_x"]), MinLSTMState(dh * f), grads
