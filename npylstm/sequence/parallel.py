"""The mLSTM's parallel form: many steps together, as attention with weights that fade.

With F_t = Σ ln f up to step t, everything that step s wrote is still there at step t, times
exp(F_t - F_s). So C_t = Σ_s i_s exp(F_t - F_s) v_s k_sᵀ, and reading the memory does not need the
memory itself (Beck et al. 2024, arXiv 2405.04517, appendix A.3)::

    W_ts = exp(ln i_s + F_t - F_s - m_t)    for s <= t, otherwise 0: how much of s is left at t
    P_ts = W_ts q_tᵀ k_s
    C_t q_t = Σ_s P_ts v_s                  nᵀ_t q_t = Σ_s P_ts

The memory before the first step adds its share, exp(F_t + m_0 - m_t). W takes T numbers for each
step, so a long sequence is cut into pieces of `STEPS`. h and its gradients do not depend on m; the
memory that is handed on at the end of a piece does.

A difference F_t - F_s is as exact as the sums. A gate that z_f = -10⁶ shuts costs 6 of 16 digits in
the rest of its piece; the loop over time would keep them.
"""

from typing import NamedTuple

import numpy as np

from npylstm.backend import AnyArray, Array
from npylstm.cells import AnyState, MLSTMCell, MLSTMState, Params, mT
from npylstm.sequence.unroll import Lengths

STEPS = 32
"""How many steps are computed together."""


class AttentionPiece(NamedTuple):
    """What one piece of T steps keeps.

    xs (T, B, D); the states before and after it; o and y (T, B, H), slope_f (T, B, N); log_i
    (B, N, T); leaders (B, N, T+1), whose largest is m - F, m_0's first; q, k, v
    (B, N, T, d); W (B, N, T, T); left, r and ∂r/∂(nᵀ q) (B, N, T, 1).
    """

    cell: MLSTMCell
    xs: Array
    start: MLSTMState
    end: MLSTMState
    o: Array
    slope_f: Array
    log_i: Array
    leaders: Array
    q: Array
    k: Array
    v: Array
    W: Array
    left: Array
    r: Array
    sign: Array
    y: Array

    def backward(
        self, params: Params, dhs: Array, dstate: AnyState
    ) -> tuple[Array, AnyState, Params]:
        """Carry the gradients of all h, and of the state at the end, back."""
        return _backward(self, params, dhs, dstate)


def obstacle(params: Params, xs: Array, lengths: Lengths) -> str | None:
    """Return why the parallel form can't run an `MLSTMCell`; None if it can."""
    if lengths is not None:
        return "the parallel form takes no lengths and no mask"
    if type(xs) is not np.ndarray or xs.dtype.char not in "fd":
        return "the parallel form takes NumPy arrays of float32 or float64"
    if params["b"].dtype != xs.dtype or params["b"].ndim != xs.ndim - 2:
        return "the parallel form takes inputs of each network's own, in the dtype of its weights"
    return None


def forward(
    cell: MLSTMCell, params: Params, xs: Array, start: MLSTMState, alive: AnyArray | None
) -> tuple[Array, MLSTMState, AttentionPiece]:
    """Run one piece; see `npylstm.sequence.pieces.ForwardPiece`."""
    assert alive is None
    log_i, log_f, slope_f, o, *qkv = cell.read(params, xs)
    log_i, F = _time_last(log_i), _time_last(log_f).cumsum(axis=-1)
    q, k, v = (_heads(a, cell.heads) for a in qkv)
    C_0, n_0, m_0 = _memory(start, cell.heads)

    # m_t = max(ln f_t + m_{t-1}, ln i_t, 0), without the loop.
    leaders = np.concatenate([m_0, np.maximum(log_i, 0) - F], axis=-1)
    m = F + np.maximum.accumulate(leaders, axis=-1)[..., 1:]
    exponents = (F - m)[..., :, None] + (log_i - F)[..., None, :]
    seen = np.tri(len(xs), dtype=bool)
    W: Array = np.exp(np.where(seen, exponents, exponents.dtype.type(-np.inf)))
    left = np.exp(F + m_0 - m)[..., None]

    P = W * (q @ mT(k))
    nq = P.sum(axis=-1, keepdims=True) + left * (q @ n_0)
    bound = np.exp(-m)[..., None]
    sign = np.sign(nq) * (abs(nq) >= bound)
    r = np.where(sign == 0, bound, sign * nq)
    y = _rows((P @ v + left * (q @ mT(C_0))) / r)

    last, last_left = W[..., -1, :, None], left[..., -1:, :]
    C, n = mT(last * v) @ k + last_left * C_0, mT(k) @ last + last_left * n_0
    hs = o * y
    end = _state(hs[-1].copy(), C, n, m[..., -1:])
    kept = o, slope_f, log_i, leaders, q, k, v, W, left, r, sign, y
    return hs, end, AttentionPiece(cell, xs, start, end, *kept)


def _backward(
    piece: AttentionPiece, params: Params, dhs: Array, dend: MLSTMState
) -> tuple[Array, MLSTMState, Params]:
    """Carry the gradients of a piece's outputs, and of the state at its end, back."""
    cell, xs, start, end, o, slope_f, log_i, leaders, q, k, v, W, left, r, sign, y = piece
    dhs = np.concatenate([dhs[:-1], dhs[-1:] + dend.h])
    C_0, n_0, _ = _memory(start, cell.heads)
    C, n, _ = _memory(end, cell.heads)
    dC, dn, dm = _memory(dend, cell.heads)

    # Through the outputs. They do not depend on m, which counts as a constant here.
    do, dy = dhs * y, _heads(dhs * o, cell.heads)
    dread = dy / r
    dnq = -(dread * _heads(y, cell.heads)).sum(axis=-1, keepdims=True) * sign
    scores, dP = q @ mT(k), dread @ mT(v) + dnq
    dscores, dlog_W = dP * W, dP * W * scores
    dleft = (dread * (q @ mT(C_0))).sum(axis=-1, keepdims=True) + dnq * (q @ n_0)
    dq = dscores @ k + left * (dread @ C_0 + dnq * mT(n_0))
    dk, dv = mT(dscores) @ q, mT(W * scores) @ dread
    dC_0, dn_0 = mT(left * dread) @ q, mT(q) @ (left * dnq)

    # Through the memory at the end.
    last, last_left = W[..., -1, :, None], left[..., -1:, :]
    dlog_W[..., -1, :] += (last * ((k @ mT(dC)) * v + k * mT(dn))).sum(axis=-1)
    dleft[..., -1:, :] += _dot(dC, C_0) + _dot(dn, n_0)
    dk, dv = dk + last * (v @ dC + mT(dn)), dv + last * (k @ mT(dC))
    dC_0, dn_0 = dC_0 + last_left * dC, dn_0 + last_left * dn
    dlog_left = (dleft * left)[..., 0]

    # m at the end is F plus the largest of the leaders, and divides the memory there.
    dm = dm - (_dot(dC, C) + _dot(dn, n))[..., 0]
    share = dm * (np.arange(leaders.shape[-1]) == leaders.argmax(axis=-1)[..., None])
    dlog_i = dlog_W.sum(axis=-2) + share[..., 1:] * (log_i > 0)
    dF = dlog_W.sum(axis=-1) - dlog_W.sum(axis=-2) + dlog_left - share[..., 1:]
    dF[..., -1:] += dm
    dlog_f = dF[..., ::-1].cumsum(axis=-1)[..., ::-1]
    dm_0 = dlog_left.sum(axis=-1, keepdims=True) + share[..., :1]

    dz = [_time_first(dlog_i), _time_first(dlog_f) * slope_f, do * o * (1 - o)]
    dxs, grads = cell.read_backward(params, xs, [*dz, _rows(dq), _rows(dk), _rows(dv)])
    dstart = _state(np.zeros_like(y[0]), dC_0, dn_0, dm_0)
    return dxs, dstart, {name: a.sum(axis=0) for name, a in grads.items()}


def _heads(a: Array, N: int) -> Array:
    """Turn (T, B, H) into (B, N, T, d)."""
    heads: Array = a.reshape(*a.shape[:-1], N, a.shape[-1] // N)
    return np.moveaxis(heads, 0, -2)


def _rows(a: Array) -> Array:
    """Turn (B, N, T, d) into (T, B, H): the inverse of `_heads`."""
    a = np.moveaxis(a, -2, 0)
    return a.reshape(*a.shape[:-2], a.shape[-2] * a.shape[-1])


def _time_last(a: Array) -> Array:
    return np.moveaxis(a, 0, -1)


def _time_first(a: Array) -> Array:
    return np.moveaxis(a, -1, 0)


def _dot(a: Array, b: Array) -> Array:
    """Return the sum of a ⊙ b for each head (B, N, 1, 1)."""
    total: Array = (a * b).sum(axis=(-2, -1), keepdims=True)
    return total


def _memory(state: MLSTMState, N: int) -> tuple[Array, Array, Array]:
    """Return C (B, N, d, d), n (B, N, d, 1) and m (B, N, 1) of a state."""
    *batch, H = state.n.shape
    d = H // N
    return state.C.reshape(*batch, N, d, d), state.n.reshape(*batch, N, d, 1), state.m[..., None]


def _state(h: Array, C: Array, n: Array, m: Array) -> MLSTMState:
    """Return a state as the cell has it: the inverse of `_memory`."""
    *batch, N, d, _ = C.shape
    return MLSTMState(h, C.reshape(*batch, N * d * d), n.reshape(*batch, N * d), m[..., 0])
