"""The LSTM, one time step: the plain cell with a forget gate."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from npylstm.backend import Array, Rng, array_module
from npylstm.cells.activations import sigmoid, tanh
from npylstm.cells.base import Cache, Cell, Params, StateSizes, mT
from npylstm.cells.initializers import cast, check_initializers, draw_kernel
from npylstm.checks import check_number, check_size


class LSTMState(NamedTuple):
    """The state of an LSTM: its output h (B, H) and its cell state c (B, H)."""

    h: Array
    c: Array


class LSTMCache(NamedTuple):
    """What a step keeps: x (B, D), the rest (B, H)."""

    x: Array
    h_prev: Array
    c_prev: Array
    i: Array
    f: Array
    o: Array
    g: Array
    tanh_c: Array


@dataclass(frozen=True)
class LSTMCell(Cell[LSTMState]):
    """LSTM cell with forget gate (Gers, Schmidhuber & Cummins 2000; Graves 2012, ch. 4).

    ::

        z = x W_x + h_prev W_h + b          four blocks of H columns: z_i, z_f, z_o, z_g

        i = σ(z_i)    f = σ(z_f)    o = σ(z_o)    g = tanh(z_g)

        c = f ⊙ c_prev + i ⊙ g
        h = o ⊙ tanh(c)

    and backwards, where dh and dc are the gradients that arrive from the loss and step t + 1::

        do = dh ⊙ tanh(c)
        dc = dc + dh ⊙ o ⊙ (1 - tanh²(c))       all that reaches c: δc of Greff et al. (2017)
        di = dc ⊙ g     df = dc ⊙ c_prev     dg = dc ⊙ i     dc_prev = dc ⊙ f

        dz = [di ⊙ i(1-i),  df ⊙ f(1-f),  do ⊙ o(1-o),  dg ⊙ (1-g²)]

        dx      = dz W_xᵀ           dW_x = xᵀ dz
        dh_prev = dz W_hᵀ           dW_h = h_prevᵀ dz        db = Σ_batch dz

    Parameters
    ----------
    input_size : int
        D, the width of the input.
    hidden_size : int
        H, the number of cells.
    forget_bias : float
        What the forget gate's quarter of b starts at. It is a part of b and is trained, unlike
        TensorFlow 1's, which is added at run time.
    kernel_initializer : str
        How W_x and W_h are drawn, together as one matrix: see `npylstm.cells.draw`.
    recurrent_initializer : str, optional
        How each gate's block of W_h is drawn instead.

    Raises
    ------
    ValueError
        A size below one, a forget bias that is not a finite number, an unknown initialiser.

    Examples
    --------
    >>> cell = LSTMCell(input_size=3, hidden_size=4)
    >>> params = cell.init(rng=0)
    >>> x = np.ones((2, 3))
    >>> state, cache = cell.forward(params, x, cell.zero_state(x))
    >>> dstate = LSTMState(h=np.ones((2, 4)), c=np.zeros((2, 4)))
    >>> dx, dstate_prev, grads = cell.backward(params, cache, dstate)
    """

    input_size: int
    hidden_size: int
    forget_bias: float = 1.0
    kernel_initializer: str = "glorot_uniform"
    recurrent_initializer: str | None = None
    gates: ClassVar[tuple[str, ...]] = ("i", "f", "o", "g")

    def __post_init__(self) -> None:
        check_size("input_size", self.input_size)
        check_size("hidden_size", self.hidden_size)
        check_number("forget_bias", self.forget_bias)
        check_initializers(self.kernel_initializer, self.recurrent_initializer)

    @property
    def param_shapes(self) -> dict[str, tuple[int, ...]]:
        """W_x (D, 4H), W_h (H, 4H), b (4H,)."""
        D, H = self.input_size, self.hidden_size
        return {"W_x": (D, 4 * H), "W_h": (H, 4 * H), "b": (4 * H,)}

    @property
    def state_sizes(self) -> StateSizes:
        """h: H, c: H."""
        return LSTMState._make([self.hidden_size] * 2)

    def init(self, rng: Rng = None, dtype: DTypeLike = np.float64) -> Params:
        """Draw W_x and W_h; b starts at zero, except the forget gate's quarter."""
        W_x, W_h = draw_kernel(
            np.random.default_rng(rng),
            (self.input_size, self.hidden_size),
            [self.hidden_size] * 4,
            self.kernel_initializer,
            self.recurrent_initializer,
        )
        b = np.repeat([0.0, self.forget_bias, 0.0, 0.0], self.hidden_size)
        return cast({"W_x": W_x, "W_h": W_h, "b": b}, dtype)

    def forward(self, params: Params, x: Array, state: LSTMState) -> tuple[LSTMState, Cache]:
        """Run one step; see `Cell.forward`."""
        self.check(params, x, state)
        xp, H = array_module(x), self.hidden_size
        h_prev, c_prev = state

        z = x @ params["W_x"] + h_prev @ params["W_h"] + params["b"][..., None, :]
        i, f, o = xp.split(sigmoid(z[..., : 3 * H]), 3, axis=-1)
        g = tanh(z[..., 3 * H :])

        c = f * c_prev + i * g
        tanh_c = tanh(c)
        h = o * tanh_c
        return LSTMState(h, c), LSTMCache(x, h_prev, c_prev, i, f, o, g, tanh_c)

    def backward(
        self, params: Params, cache: Cache, dstate: LSTMState
    ) -> tuple[Array, LSTMState, Params]:
        """Carry the gradient one step back; see `Cell.backward`."""
        x, h_prev, c_prev, i, f, o, g, tanh_c = cache
        dh, dc = dstate
        xp = array_module(x)

        do = dh * tanh_c
        dc = dc + dh * o * (1 - tanh_c**2)
        di, df, dg = dc * g, dc * c_prev, dc * i
        dz = xp.concatenate(
            [di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g**2)], axis=-1
        )

        grads = {"W_x": mT(x) @ dz, "W_h": mT(h_prev) @ dz, "b": dz.sum(axis=-2)}
        dx, dh_prev, dc_prev = dz @ mT(params["W_x"]), dz @ mT(params["W_h"]), dc * f
        return dx, LSTMState(dh_prev, dc_prev), grads
