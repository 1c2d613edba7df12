"""The gated recurrent unit, one time step."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from npylstm.backend import Array, Rng, array_module
from npylstm.cells.activations import Passes, check_activation, check_clip, clip, find_activation
from npylstm.cells.base import Cache, Cell, Params, StateSizes, mT
from npylstm.cells.initializers import cast, check_initializers, draw_kernel
from npylstm.checks import check_flag, check_number, check_size


class GRUState(NamedTuple):
    """The state of a GRU: its output h (B, H)."""

    h: Array


class GRUCache(NamedTuple):
    """What a step keeps: x (B, D), the rest (B, H); q only with `reset_after`.

    `passes` says where a clip let through the arguments of both gates (B, 2H) and of n.
    """

    x: Array
    h_prev: Array
    r: Array
    u: Array
    n: Array
    q: Array | None
    passes: tuple[Passes, Passes]


@dataclass(frozen=True)
class GRUCell(Cell[GRUState]):
    """GRU cell (Cho et al. 2014, eqs. 5-8; the update as in TensorFlow 1.15, PyTorch and Keras).

    ::

        a = x W_x + b                           three blocks of H columns: a_r, a_u, a_n

        r = σ(a_r + h_prev W_hr)                reset gate
        u = σ(a_u + h_prev W_hu)                update gate: 1 keeps the old state
        n = φ(a_n + (r ⊙ h_prev) W_hn)          or φ(a_n + r ⊙ (h_prev W_hn + b_h)): reset_after

        h = u ⊙ h_prev + (1 - u) ⊙ n

    and backwards, with dh = ∂L/∂h and φ' written in terms of n::

        du = dh ⊙ (h_prev - n)                  dn = dh ⊙ (1 - u)
        dz_u = du ⊙ u(1-u)                      dz_n = dn ⊙ φ'(a_n + ...)

        m = r ⊙ h_prev      dm = dz_n W_hnᵀ     dr = dm ⊙ h_prev        dW_hn = mᵀ dz_n
        dz_r = dr ⊙ r(1-r)

        dh_prev = dh ⊙ u + dz_r W_hrᵀ + dz_u W_huᵀ + dm ⊙ r
        dx = dz W_xᵀ        dW_x = xᵀ dz        db = Σ_batch dz

    With the reset gate after the product q = h_prev W_hn + b_h, the lines of dm and dh_prev are::

        dq = dz_n ⊙ r       dr = dz_n ⊙ q       dW_hn = h_prevᵀ dq      db_h = Σ_batch dq
        dh_prev = dh ⊙ u + dz_r W_hrᵀ + dz_u W_huᵀ + dq W_hnᵀ

    With another `gate_activation`, its slope replaces r(1-r) and u(1-u). A
    `preactivation_clip` cuts the arguments of σ and φ; dz is 0 where it cut.

    Parameters
    ----------
    input_size : int
        D, the width of the input.
    hidden_size : int
        H, the number of units.
    reset_after : bool
        False: the reset gate multiplies h_prev before the product, as in Cho et al. and
        TensorFlow 1. True: after it, with a bias b_h of its own, as in cuDNN, PyTorch and Keras.
    activation : str
        φ, as `npylstm.cells.check_activation` takes it.
    gate_bias : float
        What both gates' parts of b start at: 1 in TensorFlow 1, which begins by keeping the
        state; 0 in PyTorch and Keras.
    kernel_initializer : str
        How W_x and W_h are drawn, together as one matrix: see `npylstm.cells.draw`.
    recurrent_initializer : str, optional
        How each gate's block of W_h is drawn instead.
    gate_activation : str
        What makes r and u, in place of σ.
    preactivation_clip : float, optional
        The largest |argument| of a gate or of φ; values beyond it are set to it, as in ONNX's GRU.

    Raises
    ------
    ValueError
        A size below one, a bias that is not a finite number, an unknown activation or initialiser,
        a negative clip.

    Examples
    --------
    >>> cell = GRUCell(input_size=3, hidden_size=4)
    >>> params = cell.init(rng=0)
    >>> x = np.ones((2, 3))
    >>> state, cache = cell.forward(params, x, cell.zero_state(x))
    >>> dx, dstate_prev, grads = cell.backward(params, cache, GRUState(np.ones((2, 4))))
    """

    input_size: int
    hidden_size: int
    reset_after: bool = False
    activation: str = "tanh"
    gate_bias: float = 1.0
    kernel_initializer: str = "glorot_uniform"
    recurrent_initializer: str | None = None
    gate_activation: str = "logistic"
    preactivation_clip: float | None = None
    gates: ClassVar[tuple[str, ...]] = ("r", "u", "n")

    def __post_init__(self) -> None:
        check_size("input_size", self.input_size)
        check_size("hidden_size", self.hidden_size)
        check_flag("reset_after", self.reset_after)
        for name in ("activation", "gate_activation"):
            object.__setattr__(self, name, check_activation(name, getattr(self, name)))
        check_clip("preactivation_clip", self.preactivation_clip)
        check_number("gate_bias", self.gate_bias)
        check_initializers(self.kernel_initializer, self.recurrent_initializer)

    @property
    def param_shapes(self) -> dict[str, tuple[int, ...]]:
        """W_x (D, 3H), W_h (H, 3H), b (3H,); with `reset_after` also b_h (H,)."""
        D, H = self.input_size, self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {"W_x": (D, 3 * H), "W_h": (H, 3 * H), "b": (3 * H,)}
        return shapes | ({"b_h": (H,)} if self.reset_after else {})

    @property
    def state_sizes(self) -> StateSizes:
        """h: H."""
        return GRUState._make([self.hidden_size])

    def init(self, rng: Rng = None, dtype: DTypeLike = np.float64) -> Params:
        """Draw W_x and W_h; the biases start at zero, except the gates' biases."""
        W_x, W_h = draw_kernel(
            np.random.default_rng(rng),
            (self.input_size, self.hidden_size),
            [self.hidden_size] * 3,
            self.kernel_initializer,
            self.recurrent_initializer,
        )
        b = np.repeat([self.gate_bias, self.gate_bias, 0.0], self.hidden_size)
        params = {"W_x": W_x, "W_h": W_h, "b": b}
        if self.reset_after:
            params["b_h"] = np.zeros(self.hidden_size)
        return cast(params, dtype)

    def forward(self, params: Params, x: Array, state: GRUState) -> tuple[GRUState, Cache]:
        """Run one step; see `Cell.forward`."""
        self.check(params, x, state)
        xp, H = array_module(x), self.hidden_size
        (h_prev,) = state
        W_hg, W_hn = params["W_h"][..., : 2 * H], params["W_h"][..., 2 * H :]

        a = x @ params["W_x"] + params["b"][..., None, :]
        z_g, z_g_passes = clip(a[..., : 2 * H] + h_prev @ W_hg, self.preactivation_clip)
        r, u = xp.split(find_activation(self.gate_activation).function(z_g), 2, axis=-1)
        if self.reset_after:
            q = h_prev @ W_hn + params["b_h"][..., None, :]
            z_n: Array = a[..., 2 * H :] + r * q
        else:
            q = None
            z_n = a[..., 2 * H :] + (r * h_prev) @ W_hn
        z_n, z_n_passes = clip(z_n, self.preactivation_clip)
        n = find_activation(self.activation).function(z_n)

        h = u * h_prev + (1 - u) * n
        return GRUState(h), GRUCache(x, h_prev, r, u, n, q, (z_g_passes, z_n_passes))

    def backward(
        self, params: Params, cache: Cache, dstate: GRUState
    ) -> tuple[Array, GRUState, Params]:
        """Carry the gradient one step back; see `Cell.backward`."""
        x, h_prev, r, u, n, q, (z_g_passes, z_n_passes) = cache
        (dh,) = dstate
        xp, H = array_module(x), self.hidden_size
        W_hg, W_hn = params["W_h"][..., : 2 * H], params["W_h"][..., 2 * H :]
        grads: Params = {}

        du, dn = dh * (h_prev - n), dh * (1 - u)
        dz_n = dn * find_activation(self.activation).slope(n) * z_n_passes
        if self.reset_after:
            dr, dq = dz_n * q, dz_n * r
            dW_hn, dh_prev = mT(h_prev) @ dq, dq @ mT(W_hn)
            grads["b_h"] = dq.sum(axis=-2)
        else:
            dm = dz_n @ mT(W_hn)
            dr, dW_hn, dh_prev = dm * h_prev, mT(r * h_prev) @ dz_n, dm * r
        slope = find_activation(self.gate_activation).slope
        dz_g = xp.concatenate([dr * slope(r), du * slope(u)], axis=-1) * z_g_passes
        dz = xp.concatenate([dz_g, dz_n], axis=-1)

        dW_h = xp.concatenate([mT(h_prev) @ dz_g, dW_hn], axis=-1)
        grads |= {"W_x": mT(x) @ dz, "W_h": dW_h, "b": dz.sum(axis=-2)}
        return dz @ mT(params["W_x"]), GRUState(dh * u + dz_g @ mT(W_hg) + dh_prev), grads
