"""The vanilla recurrent network, one time step."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from npylstm.backend import Array, Rng
from npylstm.cells.activations import Passes, check_activation, check_clip, clip, find_activation
from npylstm.cells.base import Cache, Cell, Params, StateSizes, mT
from npylstm.cells.initializers import cast, check_initializers, draw_kernel
from npylstm.checks import check_size


class RNNState(NamedTuple):
    """The state of a vanilla RNN: its output h (B, H)."""

    h: Array


class RNNCache(NamedTuple):
    """What a step keeps: x (B, D), h_prev and h (B, H), and where a clip let z pass."""

    x: Array
    h_prev: Array
    h: Array
    passes: Passes


@dataclass(frozen=True)
class RNNCell(Cell[RNNState]):
    """Vanilla recurrent cell (Elman 1990; Graves 2012, sec. 3.2).

    ::

        z = x W_x + h_prev W_h + b
        h = φ(z)

    and backwards, with dh = ∂L/∂h and φ' written in terms of h::

        dz      = dh ⊙ φ'(z)            with `preactivation_clip` 0 where z was cut
        dx      = dz W_xᵀ           dW_x = xᵀ dz
        dh_prev = dz W_hᵀ           dW_h = h_prevᵀ dz        db = Σ_batch dz

    Parameters
    ----------
    input_size : int
        D, the width of the input.
    hidden_size : int
        H, the number of units.
    activation : str
        φ, as `npylstm.cells.check_activation` takes it.
    kernel_initializer : str
        How W_x and W_h are drawn, together as one matrix: see `npylstm.cells.draw`.
    recurrent_initializer : str, optional
        How W_h is drawn instead: `"orthogonal"`, or `"identity"`, which with
        `activation="relu"` makes an IRNN (Le, Jaitly & Hinton 2015).
    preactivation_clip : float, optional
        The largest |z|; values beyond it are set to it, as in ONNX's RNN.

    Raises
    ------
    ValueError
        A size below one, an unknown activation or initialiser, a negative clip.

    Examples
    --------
    >>> cell = RNNCell(input_size=3, hidden_size=4)
    >>> params = cell.init(rng=0)
    >>> x = np.ones((2, 3))
    >>> state, cache = cell.forward(params, x, cell.zero_state(x))
    >>> dx, dstate_prev, grads = cell.backward(params, cache, RNNState(np.ones((2, 4))))
    """

    input_size: int
    hidden_size: int
    activation: str = "tanh"
    kernel_initializer: str = "glorot_uniform"
    recurrent_initializer: str | None = None
    preactivation_clip: float | None = None
    gates: ClassVar[tuple[str, ...]] = ("h",)

    def __post_init__(self) -> None:
        check_size("input_size", self.input_size)
        check_size("hidden_size", self.hidden_size)
        activation = check_activation("activation", self.activation)
        object.__setattr__(self, "activation", activation)
        check_clip("preactivation_clip", self.preactivation_clip)
        check_initializers(self.kernel_initializer, self.recurrent_initializer)

    @property
    def param_shapes(self) -> dict[str, tuple[int, ...]]:
        """W_x (D, H), W_h (H, H), b (H,)."""
        D, H = self.input_size, self.hidden_size
        return {"W_x": (D, H), "W_h": (H, H), "b": (H,)}

    @property
    def state_sizes(self) -> StateSizes:
        """h: H."""
        return RNNState._make([self.hidden_size])

    def init(self, rng: Rng = None, dtype: DTypeLike = np.float64) -> Params:
        """Draw W_x and W_h; b starts at zero."""
        W_x, W_h = draw_kernel(
            np.random.default_rng(rng),
            (self.input_size, self.hidden_size),
            [self.hidden_size],
            self.kernel_initializer,
            self.recurrent_initializer,
        )
        b = np.zeros(self.hidden_size)
        return cast({"W_x": W_x, "W_h": W_h, "b": b}, dtype)

    def forward(self, params: Params, x: Array, state: RNNState) -> tuple[RNNState, Cache]:
        """Run one step; see `Cell.forward`."""
        self.check(params, x, state)
        (h_prev,) = state
        z: Array = x @ params["W_x"] + h_prev @ params["W_h"] + params["b"][..., None, :]
        z, passes = clip(z, self.preactivation_clip)
        h = find_activation(self.activation).function(z)
        return RNNState(h), RNNCache(x, h_prev, h, passes)

    def backward(
        self, params: Params, cache: Cache, dstate: RNNState
    ) -> tuple[Array, RNNState, Params]:
        """Carry the gradient one step back; see `Cell.backward`."""
        x, h_prev, h, passes = cache
        (dh,) = dstate
        dz = dh * find_activation(self.activation).slope(h) * passes
        grads = {"W_x": mT(x) @ dz, "W_h": mT(h_prev) @ dz, "b": dz.sum(axis=-2)}
        return dz @ mT(params["W_x"]), RNNState(dz @ mT(params["W_h"])), grads
