"""The minimal GRU, one time step: a gate that does not look at the state."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from npylstm.backend import Array, Rng, array_module
from npylstm.cells.activations import sigmoid
from npylstm.cells.base import Cache, Cell, Params, StateSizes, mT
from npylstm.cells.initializers import cast, check_initializers, draw
from npylstm.checks import check_number, check_size


class MinGRUState(NamedTuple):
    """The state of a minimal GRU: its output h (B, H)."""

    h: Array


class MinGRUCache(NamedTuple):
    """What a step keeps: x (B, D), the rest (B, H)."""

    x: Array
    h_prev: Array
    i: Array
    f: Array
    g: Array


@dataclass(frozen=True)
class MinGRUCell(Cell[MinGRUState]):
    """Minimal GRU (Feng et al. 2024, arXiv 2410.01201, sec. 3.1).

    ::

        z = x W_x + b                       two blocks of H columns: z_i, z_g

        i = σ(z_i)      f = 1 - i           the paper's z and 1 - z
        g = z_g                             the paper's h̃: no squashing

        h = f ⊙ h_prev + i ⊙ g

    and backwards, with dh = ∂L/∂h::

        di = dh ⊙ (g - h_prev)      dg = dh ⊙ i     dh_prev = dh ⊙ f

        dz = [di ⊙ i(1-i),  dg]

        dx = dz W_xᵀ                dW_x = xᵀ dz    db = Σ_batch dz

    No line holds a W_h: z comes from x alone, h is linear in h_prev, and dh_prev is one product
    with f. So all steps can be computed together, see `npylstm.sequence`.

    Parameters
    ----------
    input_size : int
        D, the width of the input.
    hidden_size : int
        H, the number of units.
    forget_bias : float
        f starts near σ(forget_bias), since the gate's half of b starts at -forget_bias.
    kernel_initializer : str
        How W_x is drawn: see `npylstm.cells.draw`.

    Raises
    ------
    ValueError
        A size below one, a forget bias that is not a finite number, an unknown initialiser.

    Examples
    --------
    >>> cell = MinGRUCell(input_size=3, hidden_size=4)
    >>> params = cell.init(rng=0)
    >>> x = np.ones((2, 3))
    >>> state, cache = cell.forward(params, x, cell.zero_state(x))
    >>> dx, dstate_prev, grads = cell.backward(params, cache, MinGRUState(np.ones((2, 4))))
    """

    input_size: int
    hidden_size: int
    forget_bias: float = 1.0
    kernel_initializer: str = "glorot_uniform"
    gates: ClassVar[tuple[str, ...]] = ("i", "g")
    linear: ClassVar[bool] = True
    coupled: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_size("input_size", self.input_size)
        check_size("hidden_size", self.hidden_size)
        check_number("forget_bias", self.forget_bias)
        check_initializers(self.kernel_initializer, None)

    @property
    def param_shapes(self) -> dict[str, tuple[int, ...]]:
        """W_x (D, 2H), b (2H,)."""
        return {"W_x": (self.input_size, 2 * self.hidden_size), "b": (2 * self.hidden_size,)}

    @property
    def state_sizes(self) -> StateSizes:
        """h: H."""
        return MinGRUState._make([self.hidden_size])

    def init(self, rng: Rng = None, dtype: DTypeLike = np.float64) -> Params:
        """Draw W_x; b starts at zero except for the gate's half."""
        rng = np.random.default_rng(rng)
        W_x = draw(self.kernel_initializer, rng, (self.input_size, 2 * self.hidden_size))
        b = np.repeat([-self.forget_bias, 0.0], self.hidden_size)
        return cast({"W_x": W_x, "b": b}, dtype)

    def forward(self, params: Params, x: Array, state: MinGRUState) -> tuple[MinGRUState, Cache]:
        """Run one step; see `Cell.forward`."""
        self.check(params, x, state)
        (h_prev,) = state
        z = x @ params["W_x"] + params["b"][..., None, :]
        z_i, g = array_module(x).split(z, 2, axis=-1)
        i = sigmoid(z_i)
        f = 1 - i
        return MinGRUState(f * h_prev + i * g), MinGRUCache(x, h_prev, i, f, g)

    def backward(
        self, params: Params, cache: Cache, dstate: MinGRUState
    ) -> tuple[Array, MinGRUState, Params]:
        """Carry the gradient one step back; see `Cell.backward`."""
        x, h_prev, i, f, g = cache
        (dh,) = dstate
        di, dg = dh * (g - h_prev), dh * i
        dz = array_module(x).concatenate([di * i * f, dg], axis=-1)
        grads = {"W_x": mT(x) @ dz, "b": dz.sum(axis=-2)}
        return dz @ mT(params["W_x"]), MinGRUState(dh * f), grads
