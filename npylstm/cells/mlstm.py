"""The mLSTM, one time step: a matrix memory that keys write into and queries read from."""

import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from npylstm.backend import AnyArray, Array, Rng, array_module
from npylstm.cells.activations import sigmoid
from npylstm.cells.base import Cache, Cell, Params, StateSizes, mT
from npylstm.cells.initializers import cast, check_initializers, draw
from npylstm.cells.slstm import FORGET_GATES, check_heads, log_forget
from npylstm.checks import check_choice, check_number, check_size


class MLSTMState(NamedTuple):
    """The state of an mLSTM with N heads of d = H/N units.

    h (B, H) is the output; C (B, N d²) the memory, each head's (d, d) matrix written as a row,
    values down and keys across; n (B, H) the normaliser; m (B, N) the stabiliser. C and n stand
    for C exp(m) and n exp(m).
    """

    h: Array
    C: Array
    n: Array
    m: Array


class MLSTMCache(NamedTuple):
    """What a step keeps: x (B, D), C_prev and C (B, N d²), o to v, n and y (B, H), the rest (B, N).

    i and f are the stabilised gates, the paper's i' and f'; y is C q / r; slope_f is ∂(ln f)/∂z_f.
    input_leads and memory_leads are true where m is ln i and where it is ln f + m_prev.
    """

    x: Array
    C_prev: Array
    n_prev: Array
    i: Array
    f: Array
    o: Array
    q: Array
    k: Array
    v: Array
    C: Array
    n: Array
    m: Array
    y: Array
    slope_f: Array
    input_leads: AnyArray
    memory_leads: AnyArray


@dataclass(frozen=True)
class MLSTMCell(Cell[MLSTMState]):
    """LSTM with matrix memory (Beck et al. 2024, arXiv 2405.04517, sec. 2.3).

    ::

        z = x W_x + b       z_i, z_f: one column a head; z_o, q, k, v: d columns a head
                            in k = x W_k/√d + b_k, the product alone is divided       (eqs. 22-24)

        i = exp(z_i)    f = σ(z_f) or exp(z_f)    o = σ(z_o)                          (eqs. 25-27)

    and in each head, with q, k, v and n as columns::

        C = f C_prev + i v kᵀ                                                         (eq. 19)
        n = f n_prev + i k                                                            (eq. 20)
        h = o ⊙ C q / max(|nᵀ q|, 1)                                                  (eq. 21)

    C and n are kept divided by exp(m)::

        m  = max(ln f + m_prev, ln i, 0)
        i' = exp(ln i - m)      f' = exp(ln f + m_prev - m)

    replace i and f, and exp(-m) replaces the 1 in the maximum, so that h is the same to the last
    term. The paper's m (eq. 15) is without the 0; with it exp(-m) can't overflow either. Backwards,
    dh, dC, dn and dm are the gradients that arrive, r = max(|nᵀ q|, exp(-m)) and y = C q / r::

        do = dh ⊙ y     dy = dh ⊙ o     dr = -dyᵀ y / r       d(nᵀ q) = ± dr, where |nᵀ q| is r
        dC = dC + (dy/r) qᵀ             dn = dn + d(nᵀ q) q
        dq = Cᵀ dy/r + d(nᵀ q) n        dv = i' dC k        dk = i' (dCᵀ v + dn)
        di' = vᵀ dC k + dnᵀ k           df' = <dC, C_prev> + dnᵀ n_prev
        dC_prev = f' dC                 dn_prev = f' dn

    From di' and df' to z_i, z_f and m the equations are those in `SLSTMCell`. No line holds a W_h.

    Parameters
    ----------
    input_size : int
        D, the width of the input.
    hidden_size : int
        H, the number of units of all heads together.
    heads : int
        N, the number of memories; each is a matrix of d = H/N rows and columns.
    forget_gate : str
        `"sigmoid"` or `"exp"`.
    forget_bias : float
        What the forget gates' part of b starts at.
    kernel_initializer : str
        How W_x is drawn: see `npylstm.cells.draw`.

    Raises
    ------
    ValueError
        A size below one, heads that do not divide H, an unknown forget gate or initialiser, a
        forget bias that is not a finite number.

    Examples
    --------
    >>> cell = MLSTMCell(input_size=3, hidden_size=4, heads=2)
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
    gates: ClassVar[tuple[str, ...]] = ("i", "f", "o", "q", "k", "v")

    def __post_init__(self) -> None:
        check_size("input_size", self.input_size)
        check_size("hidden_size", self.hidden_size)
        check_heads(self.heads, self.hidden_size)
        check_choice("forget_gate", self.forget_gate, FORGET_GATES)
        check_number("forget_bias", self.forget_bias)
        check_initializers(self.kernel_initializer, None)

    @property
    def gate_columns(self) -> dict[str, slice]:
        """The columns in `W_x` and `b`: N each of i and f, then H each of o, q, k and v."""
        N, H = self.heads, self.hidden_size
        rows = {gate: 2 * N + at * H for at, gate in enumerate("oqkv")}
        columns = {gate: slice(start, start + H) for gate, start in rows.items()}
        return {"i": slice(0, N), "f": slice(N, 2 * N)} | columns

    @property
    def param_shapes(self) -> dict[str, tuple[int, ...]]:
        """W_x (D, 2N+4H), b (2N+4H,)."""
        width = 2 * self.heads + 4 * self.hidden_size
        return {"W_x": (self.input_size, width), "b": (width,)}

    @property
    def state_sizes(self) -> StateSizes:
        """h: H, C: N d² = H d, n: H, m: N."""
        H, N = self.hidden_size, self.heads
        return MLSTMState._make([H, H * (H // N), H, N])

    def init(self, rng: Rng = None, dtype: DTypeLike = np.float64) -> Params:
        """Draw W_x; b starts at zero except for the forget gates."""
        rng = np.random.default_rng(rng)
        params = {
            "W_x": draw(self.kernel_initializer, rng, self.param_shapes["W_x"]),  # type: ignore[arg-type]
            "b": np.zeros(self.param_shapes["b"]),
        }
        params["b"][self.gate_columns["f"]] = self.forget_bias
        return cast(params, dtype)

    def forward(self, params: Params, x: Array, state: MLSTMState) -> tuple[MLSTMState, Cache]:
        """Run one step; see `Cell.forward`."""
        self.check(params, x, state)
        _, C_prev, n_prev, m_prev = state
        xp = array_module(x)
        log_i, log_f, slope_f, o, *qkv = self.read(params, x)

        kept = log_f + m_prev
        memory_leads = (kept.real > 0) & (kept.real >= log_i.real)
        input_leads = (log_i.real > 0) & ~memory_leads
        m = xp.where(memory_leads, kept, xp.where(input_leads, log_i, xp.zeros_like(kept)))
        i, f = xp.exp(log_i - m), xp.exp(kept - m)

        q, k, v = (self._heads(a) for a in qkv)
        C: Array = _each(f, 2) * self._matrices(C_prev) + _each(i, 2) * _outer(v, k)
        n: Array = _each(f) * self._heads(n_prev) + _each(i) * k
        r, _ = _divisor(n, q, m)
        y = _row((C @ q[..., None])[..., 0] / _each(r))

        C, n, q, k, v = _row(C, 3), *(_row(a) for a in (n, q, k, v))
        cache = MLSTMCache(
            *(x, C_prev, n_prev, i, f, o, q, k, v, C, n, m, y),
            *(slope_f, input_leads, memory_leads),
        )
        return MLSTMState(o * y, C, n, m), cache

    def backward(
        self, params: Params, cache: Cache, dstate: MLSTMState
    ) -> tuple[Array, MLSTMState, Params]:
        """Carry the gradient one step back; see `Cell.backward`."""
        x, C_prev, n_prev, i, f, o, q, k, v, C, n, m, y, slope_f, input_leads, memory_leads = cache
        dh, dC, dn, dm = dstate
        xp = array_module(x)
        q, k, v, n, n_prev, dn = (self._heads(a) for a in (q, k, v, n, n_prev, dn))
        C, C_prev, dC = (self._matrices(a) for a in (C, C_prev, dC))

        do, dy = dh * y, self._heads(dh * o)
        r, sign = _divisor(n, q, m)
        dread = dy / _each(r)
        dr = -(dread * self._heads(y)).sum(axis=-1)
        dnq, dm = dr * sign, dm - dr * r * (sign == 0)

        dC, dn = dC + _outer(dread, q), dn + _each(dnq) * q
        dq = (mT(C) @ dread[..., None])[..., 0] + _each(dnq) * n
        dCk = (dC @ k[..., None])[..., 0]
        dv = _each(i) * dCk
        dk = _each(i) * ((mT(dC) @ v[..., None])[..., 0] + dn)
        di = (v * dCk).sum(axis=-1) + (dn * k).sum(axis=-1)
        df = (dC * C_prev).sum(axis=(-2, -1)) + (dn * n_prev).sum(axis=-1)

        dlog_i, dkept = di * i, df * f
        to_maximum = dm - dlog_i - dkept
        dlog_i = dlog_i + to_maximum * input_leads
        dkept = dkept + to_maximum * memory_leads
        dqkv = (_row(da) for da in (dq, dk, dv))
        dx, grads = self.read_backward(
            params, x, [dlog_i, dkept * slope_f, do * o * (1 - o), *dqkv]
        )
        dC_prev, dn_prev = _row(_each(f, 2) * dC, 3), _row(_each(f) * dn)
        return dx, MLSTMState(xp.zeros_like(dh), dC_prev, dn_prev, dkept), grads

    def read(self, params: Params, x: Array) -> tuple[Array, ...]:
        """Return what depends on x alone: ln i, ln f, its slope (B, N), o, q, k and v (B, H)."""
        z = x @ params["W_x"] * self._scale(x) + params["b"][..., None, :]
        log_i, z_f, z_o, q, k, v = (z[..., columns] for columns in self.gate_columns.values())
        return log_i, *log_forget(z_f, self.forget_gate), sigmoid(z_o), q, k, v

    def read_backward(self, params: Params, x: Array, dz: list[Array]) -> tuple[Array, Params]:
        """Carry dz, one array for each of `gates`, back to x and to the parameters."""
        dz_all = array_module(x).concatenate(dz, axis=-1)
        da = dz_all * self._scale(x)
        return da @ mT(params["W_x"]), {"W_x": mT(x) @ da, "b": dz_all.sum(axis=-2)}

    def _scale(self, x: Array) -> Array:
        """Return what x W_x is multiplied by (2N+4H,): 1/√d in the columns of k, 1 elsewhere."""
        scale = array_module(x).ones(self.param_shapes["b"], x.dtype)
        scale[self.gate_columns["k"]] = (self.heads / self.hidden_size) ** 0.5
        return scale

    def _heads(self, a: Array) -> Array:
        """Turn rows (B, H) into a vector for each head (B, N, d)."""
        return a.reshape(*a.shape[:-1], self.heads, self.hidden_size // self.heads)

    def _matrices(self, a: Array) -> Array:
        """Turn rows (B, N d²) into a matrix for each head (B, N, d, d)."""
        d = self.hidden_size // self.heads
        return a.reshape(*a.shape[:-1], self.heads, d, d)


def _row(a: Array, axes: int = 2) -> Array:
    """Write the last axes, heads first, as one row: the inverse of `_heads` and `_matrices`."""
    return a.reshape(*a.shape[:-axes], math.prod(a.shape[-axes:]))


def _each(a: Array, axes: int = 1) -> Array:
    """Add axes behind one number a head (B, N), so that it multiplies everything in the head."""
    return a.reshape(*a.shape, *(1,) * axes)


def _outer(a: Array, b: Array) -> Array:
    """Return a bᵀ for each head: two vectors (B, N, d) to a matrix (B, N, d, d)."""
    return a[..., :, None] * b[..., None, :]


def _divisor(n: Array, q: Array, m: Array) -> tuple[Array, Array]:
    """Return r = max(|nᵀ q|, exp(-m)) (B, N), and ∂r/∂(nᵀ q): 1, -1 or, where exp(-m) is r, 0."""
    xp = array_module(n)
    nq, bound = (n * q).sum(axis=-1), xp.exp(-m)
    sign = xp.sign(nq.real) * (abs(nq.real) >= bound.real)
    return xp.where(sign == 0, bound, sign * nq), sign
