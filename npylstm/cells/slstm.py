"""The sLSTM, one time step: exponential gates, a normaliser and a stabiliser."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from npylstm.backend import AnyArray, Array, Rng, array_module
from npylstm.cells.activations import sigmoid, softplus, tanh
from npylstm.cells.base import Cache, Cell, Params, StateSizes, mT
from npylstm.cells.initializers import cast, check_initializers, draw_kernel
from npylstm.checks import check_choice, check_number, check_size


class SLSTMState(NamedTuple):
    """The state of an sLSTM, each (B, H): h, and c, n and m, which stand for c exp(m), n exp(m).

    h is the output, c the cell state, n the normaliser and m the stabiliser. n = 0 is an empty
    memory, as at the start; after the first step n is positive.
    """

    h: Array
    c: Array
    n: Array
    m: Array


class SLSTMCache(NamedTuple):
    """What a step keeps: x (B, D), the rest (B, H).

    i and f are the stabilised gates, the paper's i' and f'; slope_f is ∂(ln f)/∂z_f, and
    input_leads is true where m is the input gate's.
    """

    x: Array
    h_prev: Array
    c_prev: Array
    n_prev: Array
    i: Array
    f: Array
    o: Array
    g: Array
    c: Array
    n: Array
    slope_f: Array
    input_leads: AnyArray


@dataclass(frozen=True)
class SLSTMCell(Cell[SLSTMState]):
    """LSTM with scalar memory and exponential gates (Beck et al. 2024, arXiv 2405.04517, sec. 2.2).

    ::

        z = x W_x + h_prev W_h + b              four blocks of H columns: z_i, z_f, z_o, z_g

        i = exp(z_i)    f = σ(z_f) or exp(z_f)    o = σ(z_o)    g = tanh(z_g)     (eqs. 11-14)

        c = f ⊙ c_prev + i ⊙ g                                                    (eq. 8)
        n = f ⊙ n_prev + i                                                        (eq. 9)
        h = o ⊙ c / n                                                             (eq. 10)

    c and n are kept divided by exp(m), so that no exponential overflows; h stays the same::

        m  = max(ln f + m_prev, ln i)                                             (eq. 15)
        i' = exp(ln i - m)      f' = exp(ln f + m_prev - m)                       (eqs. 16, 17)

    replace i and f. Backwards, where dh, dc, dn and dm are the gradients that arrive::

        do = dh ⊙ c/n
        dc = dc + dh ⊙ o/n      dn = dn - dh ⊙ o ⊙ c/n²
        di' = dc ⊙ g + dn       df' = dc ⊙ c_prev + dn ⊙ n_prev     dg = dc ⊙ i'
        dc_prev = dc ⊙ f'       dn_prev = dn ⊙ f'

        d(ln i) = di' ⊙ i'      d(ln f + m_prev) = df' ⊙ f'
        dm = dm - d(ln i) - d(ln f + m_prev)    goes to the larger of the two in the maximum

        dz = [d(ln i),  df' ⊙ f' ⊙ ∂(ln f)/∂z_f,  do ⊙ o(1-o),  dg ⊙ (1-g²)]

        dx      = dz W_xᵀ           dW_x = xᵀ dz
        dh_prev = dz W_hᵀ           dW_h = h_prevᵀ dz        db = Σ_batch dz

    The gradient of the maximum is dm - dc ⊙ c - dn ⊙ n. It is zero at every step when the loss
    depends only on h: then the gradients do not depend on the stabiliser. It matters only if the
    loss reads c, n or m.

    Parameters
    ----------
    input_size : int
        D, the width of the input.
    hidden_size : int
        H, the number of cells.
    heads : int
        The number of groups of cells; W_h connects only cells of the same group. Its shape is
        (H/heads, 4H): the column of a cell has a weight for each cell of its own group.
    forget_gate : str
        `"sigmoid"` or `"exp"`.
    forget_bias : float
        What the forget gate's quarter of b starts at.
    kernel_initializer : str
        How W_x and W_h are drawn, together as one matrix: see `npylstm.cells.draw`.
    recurrent_initializer : str, optional
        How each gate's block of W_h is drawn instead, in each head by itself.

    Raises
    ------
    ValueError
        A size below one, heads that do not divide H, an unknown forget gate or initialiser, a
        forget bias that is not a finite number.

    Examples
    --------
    >>> cell = SLSTMCell(input_size=3, hidden_size=4, heads=2)
    >>> params = cell.init(rng=0)
    >>> x = np.ones((2, 3))
    >>> state, cache = cell.forward(params, x, cell.zero_state(x))
    >>> dstate = cell.zero_state(x)._replace(h=np.ones((2, 4)))
    >>> dx, dstate_prev, grads = cell.backward(params, cache, dstate)
    """

    input_size: int
    hidden_size: int
    heads: int = 1
    forget_gate: str = "sigmoid"
    forget_bias: float = 1.0
    kernel_initializer: str = "glorot_uniform"
    recurrent_initializer: str | None = None
    gates: ClassVar[tuple[str, ...]] = ("i", "f", "o", "g")

    def __post_init__(self) -> None:
        check_size("input_size", self.input_size)
        check_size("hidden_size", self.hidden_size)
        check_heads(self.heads, self.hidden_size)
        check_choice("forget_gate", self.forget_gate, FORGET_GATES)
        check_number("forget_bias", self.forget_bias)
        check_initializers(self.kernel_initializer, self.recurrent_initializer)

    @property
    def param_shapes(self) -> dict[str, tuple[int, ...]]:
        """W_x (D, 4H), W_h (H/heads, 4H), b (4H,)."""
        D, H = self.input_size, self.hidden_size
        return {"W_x": (D, 4 * H), "W_h": (H // self.heads, 4 * H), "b": (4 * H,)}

    @property
    def state_sizes(self) -> StateSizes:
        """h, c, n and m: H each."""
        return SLSTMState._make([self.hidden_size] * 4)

    def init(self, rng: Rng = None, dtype: DTypeLike = np.float64) -> Params:
        """Draw W_x and W_h; b starts at zero except for the forget gate's quarter."""
        width = self.hidden_size // self.heads
        W_x, W_h = draw_kernel(
            np.random.default_rng(rng),
            (self.input_size, width),
            [width] * (4 * self.heads),
            self.kernel_initializer,
            self.recurrent_initializer,
        )
        b = np.repeat([0.0, self.forget_bias, 0.0, 0.0], self.hidden_size)
        return cast({"W_x": W_x, "W_h": W_h, "b": b}, dtype)

    def forward(self, params: Params, x: Array, state: SLSTMState) -> tuple[SLSTMState, Cache]:
        """Run one step; see `Cell.forward`."""
        self.check(params, x, state)
        h_prev, c_prev, n_prev, m_prev = state
        xp, N = array_module(x), self.heads

        mixed = join_heads(split_heads(h_prev, N) @ split_heads(params["W_h"], N, 4), 4)
        z = x @ params["W_x"] + mixed + params["b"][..., None, :]
        log_i, z_f, z_o, z_g = xp.split(z, 4, axis=-1)
        log_f, slope_f = log_forget(z_f, self.forget_gate)
        o, g = sigmoid(z_o), tanh(z_g)

        kept = _unless_lost(log_f + m_prev, log_i, n_prev)
        input_leads = log_i.real > kept.real
        m = xp.where(input_leads, log_i, kept)
        i, f = xp.exp(log_i - m), xp.exp(kept - m)

        c = f * c_prev + i * g
        n = f * n_prev + i
        h = o * c / n
        cache = SLSTMCache(x, h_prev, c_prev, n_prev, i, f, o, g, c, n, slope_f, input_leads)
        return SLSTMState(h, c, n, m), cache

    def backward(
        self, params: Params, cache: Cache, dstate: SLSTMState
    ) -> tuple[Array, SLSTMState, Params]:
        """Carry the gradient one step back; see `Cell.backward`."""
        x, h_prev, c_prev, n_prev, i, f, o, g, c, n, slope_f, input_leads = cache
        dh, dc, dn, dm = dstate
        xp, N = array_module(x), self.heads

        do = dh * c / n
        dc = dc + dh * o / n
        dn = dn - dh * o * (c / n) / n
        di, df, dg = dc * g + dn, dc * c_prev + dn * n_prev, dc * i

        dlog_i, dkept = di * i, df * f
        to_maximum = dm - dlog_i - dkept
        dlog_i = dlog_i + to_maximum * input_leads
        dkept = dkept + to_maximum * ~input_leads
        dz = xp.concatenate([dlog_i, dkept * slope_f, do * o * (1 - o), dg * (1 - g**2)], axis=-1)

        dz_heads = split_heads(dz, N, 4)
        dW_h = join_heads(mT(split_heads(h_prev, N)) @ dz_heads, 4)
        dh_prev = join_heads(dz_heads @ mT(split_heads(params["W_h"], N, 4)))
        grads = {"W_x": mT(x) @ dz, "W_h": dW_h, "b": dz.sum(axis=-2)}
        return dz @ mT(params["W_x"]), SLSTMState(dh_prev, dc * f, dn * f, dkept), grads


FORGET_GATES = ("sigmoid", "exp")
"""What the forget gate of an sLSTM or an mLSTM may be."""


def check_heads(heads: int, hidden_size: int) -> None:
    """Raise ValueError unless `heads` is a size that divides `hidden_size`."""
    check_size("heads", heads)
    if hidden_size % heads:
        raise ValueError(f"heads must divide hidden_size = {hidden_size}, got {heads}")


def log_forget(z_f: Array, gate: str) -> tuple[Array, Array]:
    """Return ln f and its slope in z_f, where f = σ(z_f) or exp(z_f)."""
    if gate == "exp":
        return z_f, array_module(z_f).ones_like(z_f)
    return -softplus(-z_f), sigmoid(-z_f)


def split_heads(a: Array, heads: int, blocks: int = 1) -> Array:
    """Turn (B, blocks H) into (heads, B, blocks H/heads): each head's columns of every block."""
    width = a.shape[-1] // (blocks * heads)
    a = a.reshape(*a.shape[:-1], blocks, heads, width)
    a = array_module(a).moveaxis(a, -2, -4)
    return a.reshape(*a.shape[:-2], blocks * width)


def join_heads(a: Array, blocks: int = 1) -> Array:
    """Turn (heads, B, blocks H/heads) into (B, blocks H): the inverse of `split_heads`."""
    width = a.shape[-1] // blocks
    a = array_module(a).moveaxis(a.reshape(*a.shape[:-1], blocks, width), -4, -2)
    return a.reshape(*a.shape[:-3], blocks * a.shape[-2] * width)


def _unless_lost(kept: Array, log_i: Array, n_prev: Array) -> Array:
    """Return ln f + m_prev, or -inf where it would leave n = 0.

    An empty memory, n_prev = 0, must take in some of the first input, even if its gate is almost
    shut. If i' would underflow beside the scale of an empty memory, that scale is dropped: then
    f' = 0 and i' = 1.
    """
    xp = array_module(kept)
    lost = (n_prev == 0) & (log_i.real - kept.real < np.log(np.finfo(kept.dtype).tiny))
    return xp.where(lost, xp.full_like(kept, -np.inf), kept)
