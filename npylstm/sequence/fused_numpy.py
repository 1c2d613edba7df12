"""Whole sequences at once in NumPy: the answers of `unroll`, several times faster.

Read the cells and `unroll` first; here the same mathematics is arranged for speed.

- Feature-major. Inside, matrices are transposed to (features, B), so each gate is one contiguous
  block of memory and every NumPy call on it is one long loop. With B rows of 4H columns a call on
  one gate would be B short loops.
- One product a step. h, a row of ones and x stand under each other in u = [h; 1; x], so that
  W u = W_h h + b + W_x x is a single matrix product. (A GRU needs two.)
- One tanh for all four gates. σ(z) = ½ tanh(½ z) + ½, so with the rows of the sigmoid gates in W
  halved beforehand one call serves all; the outer halves follow as one product and one sum.
- Slopes on the tape. The backward pass is dz_i = dc ⊙ (g i(1-i)) and so on; what stands in brackets
  is computed on the way forward, while i and g are still in the processor's cache. The backward
  pass only multiplies, and the tape is no larger than one of gates.
- No new memory inside the loops: results go into arrays that stand ready (the last argument of a
  call), and the tape's memory is used again once nobody can see it (`npylstm.sequence.workspace`).
- No denormal numbers: see `_flush`.
- A sequence that has ended needs no masks. With i = 0, f = 1 and o = 0 its gates hold c and put out
  zeros, and every slope comes out as zero but ∂c/∂c_prev = 1.
"""

from dataclasses import MISSING, fields
from typing import Any, NamedTuple

import numpy as np
from numpy import add, matmul, multiply, subtract, tanh
from numpy.lib.stride_tricks import as_strided

from npylstm.backend import Array
from npylstm.cells import Cell, GRUCell, LSTMCell, LSTMVariant, Params, RNNCell, find_activation
from npylstm.sequence.unroll import Lengths, alive_mask, check_gradients, check_sequence
from npylstm.sequence.workspace import borrow

FLUSH_EVERY = 16
"""Steps of the backward pass from one flush of denormal numbers to the next."""


PEEPHOLES = ("p_i", "p_f", "p_o")

FOR_INIT = ("forget_bias", "gate_bias", "kernel_initializer", "recurrent_initializer")
"""Options of a cell that matter to its `init` alone."""

COVERED: dict[type[Cell], tuple[str, ...]] = {
    RNNCell: (*FOR_INIT, "activation"),
    GRUCell: (*FOR_INIT, "reset_after", "activation"),
    LSTMCell: FOR_INIT,
    LSTMVariant: (*FOR_INIT, "peepholes"),
}
"""The cells with a kernel, and which of their options may have any value."""

HOLD = np.array([0.0, 1.0, 0.0])[:, None, None]
"""i, f and o of a sequence that has ended."""


class FusedTape(NamedTuple):
    """What a forward pass keeps for its backward pass.

    The slopes of an LSTM are, with i ⊙ g, f ⊙ c_prev and h = o ⊙ tanh(c) at hand in the forward
    pass and therefore written with them::

        ∂c/∂z_i    = g i(1-i)        = ig - ig i
        ∂c/∂z_f    = c_prev f(1-f)   = fc - fc f
        ∂h/∂z_o    = tanh(c) o(1-o)  = h - h o
        ∂c/∂z_g    = i (1-g²)        = i - ig g
        ∂h/∂c      = o (1-tanh²(c))  = o - h tanh(c)        + p_o ∂h/∂z_o
        ∂c/∂c_prev = f                                      + p_i ∂c/∂z_i + p_f ∂c/∂z_f

    The terms on the right are those of peepholes. A GRU has five slopes, the first two according to
    where its reset gate stands::

        after the product, q = W_hn h_prev + b_h     before it, m = r ⊙ h_prev

        ∂h/∂q      = r ∂h/∂z_n                       ∂m/∂h_prev = r
        ∂h/∂z_r    = q r(1-r) ∂h/∂z_n                ∂m/∂z_r    = h_prev r(1-r)

        ∂h/∂z_u    = (h_prev - n) u(1-u)
        ∂h/∂z_n    = (1-u) φ'
        ∂h/∂h_prev = u

    Attributes
    ----------
    us : array (T+1, H+1+D, B)
        What the product of each step reads: h_prev, ones, x; with m also that (H more rows).
    slopes : array (T, 6, H, B), (T, 5, H, B) for a GRU, or (T, H, B) for an RNN
        Those above in this order, or ∂h/∂z.
    cs : array (T+1, H, B) or None
        c_0 to c_T, for the gradients of peepholes.
    lengths : array of int (B,) or None
        How many steps each sequence has.
    """

    us: Array
    slopes: Array
    cs: Array | None
    lengths: Array | None


def why_not_fused(
    cell: Cell, params: Params, xs: Array, state0: Any = None, state_mask: Array | None = None
) -> str | None:
    """Return why the fused kernels can't compute this sequence; None if they can."""
    if type(cell) not in COVERED:
        return f"there is no fused kernel for {cell}"
    for field in fields(cell):  # type: ignore[arg-type]  # COVERED holds dataclasses
        value = getattr(cell, field.name)
        if field.default not in (MISSING, value) and field.name not in COVERED[type(cell)]:
            return f"the fused kernels have no {field.name} = {value!r} as in {cell}"
    if state_mask is not None:
        return "the fused kernels have no dropout of the state"
    arrays = [xs, *params.values(), *(state0 or ())]
    if any(type(array) is not np.ndarray for array in arrays):
        return "the fused kernels take NumPy arrays"
    dtypes = {array.dtype.char for array in arrays}
    if dtypes not in ({"f"}, {"d"}):
        return "the fused kernels take arrays that are all float32 or all float64"
    if xs.ndim > 3 or any(w.ndim > 2 for w in params.values()):
        return "the fused kernels run one network, without leading axes"
    return None


def fused(
    cell: Cell,
    params: Params,
    xs: Array,
    state0: Any = None,
    lengths: Lengths = None,
    keep_tape: bool = True,
) -> tuple[Array, Any, FusedTape | None]:
    """Run a cell over a sequence.

    Parameters
    ----------
    cell, params, xs, state0, lengths, keep_tape
        As in `unroll`.

    Returns
    -------
    outputs : array (T, B, H)
        h at every step; with a tape it is a view into that tape, and read-only.
    state : named tuple of arrays (B, H)
        The state after the last step.
    tape : FusedTape or None
        What `fused_backward` needs; None without `keep_tape`.

    Raises
    ------
    TypeError, ValueError
        As `unroll`.
    """
    check_sequence(xs, cell.input_size)
    state0 = cell.zero_state(xs[0]) if state0 is None else state0
    cell.check(params, xs[0], state0)
    (T, B, D), H = xs.shape, cell.hidden_size
    alive = alive_mask(xs, lengths)
    ended: list[Array | None] = [None] * T
    ends = None
    if alive is not None:
        ends = np.array(lengths, int)
        xs = np.where(alive, xs, 0)  # padding may hold anything, even NaN
        ended = [None if step.all() else ~step[:, 0] for step in alive]

    # Each step writes its h where the next step's product reads it.
    rows_of_m = H if isinstance(cell, GRUCell) and not cell.reset_after else 0
    us = _entries(T + 1, (H + 1 + D + rows_of_m, B), xs.dtype, keep_tape)
    us[0, :H], us[:, H] = state0[0].T, 1
    hs = us[1:, :H] if keep_tape else np.empty((T, H, B), xs.dtype)
    steps = {GRUCell: _gru_steps, RNNCell: _rnn_steps}.get(type(cell), _lstm_steps)
    slopes, cs, rest = steps(cell, params, xs, state0, us, hs, ended, keep_tape)

    outputs = hs.swapaxes(1, 2)
    h = outputs[-1].copy()
    if ends is not None:
        h = np.where(ends[:, None] > 0, outputs[ends - 1, np.arange(B)], state0[0])
    state = type(cell.state_sizes)(h, *rest)
    if not keep_tape:
        return outputs, state, None
    outputs.flags.writeable = False
    return outputs, state, FusedTape(us, slopes, cs, ends)


def _lstm_steps(
    cell: Cell,
    params: Params,
    xs: Array,
    state0: Any,
    us: Array,
    hs: Array,
    ended: list[Array | None],
    keep_tape: bool,
) -> tuple[Array, Array | None, tuple[Array]]:
    """Fill us (T+1, H+1+D, B) and hs (T, H, B); return the tape's slopes and cs, and c (B, H)."""
    (T, H, B), dtype = hs.shape, hs.dtype
    half = np.array(0.5, dtype)
    W = _stacked_weights(params)
    W[: 3 * H] *= half
    peepholes = None
    if PEEPHOLES[0] in params:
        peepholes = np.stack([params[name] for name in PEEPHOLES])[..., None]  # (3, H, 1)
    slopes = _entries(T, (6, H, B), dtype, keep_tape)
    cs: Any = _entries(T + 1, (H, B), dtype, keep_tape) if peepholes is not None else None

    # In this order neighbours and every other block form the pairs of factors below.
    gates = np.empty((6, H, B), dtype)
    i, f, o, g, c, tanh_c = gates
    z, sigmoids, i_f, g_c = gates[:4].reshape(4 * H, B), gates[:3], gates[:2], gates[3:5]
    products = np.empty((3, H, B), dtype)
    ig, fc, h = products
    ig_fc = products[:2]
    c[...] = state0.c.T
    if cs is not None:
        cs[0] = c

    views = us, us[:, H + 1 :], us[1:, :H], slopes[:, :3], slopes[:, 3:]
    for t, (u, u_x, u_h_next, by_gates, others) in enumerate(zip(*views, strict=False)):
        u_x[...] = xs[t].T
        matmul(W, u, z)
        if peepholes is not None:
            i_f += half * peepholes[:2] * c
            z_o = o.copy()
        tanh(z, z)
        multiply(sigmoids, half, sigmoids)
        add(sigmoids, half, sigmoids)
        if ended[t] is not None:
            np.copyto(sigmoids, HOLD, "unsafe", where=ended[t])

        multiply(i_f, g_c, ig_fc)
        add(ig, fc, c)
        if peepholes is not None:
            cs[t + 1] = c
            o[...] = half * tanh(z_o + half * peepholes[2] * c) + half
            if ended[t] is not None:
                o[:, ended[t]] = 0
        tanh(c, tanh_c)
        multiply(o, tanh_c, h)
        u_h_next[...] = h
        if not keep_tape:
            hs[t] = h
            continue

        c_by_zg, h_by_c, c_by_c = others
        multiply(products, sigmoids, by_gates)
        subtract(products, by_gates, by_gates)
        multiply(ig, g, c_by_zg)
        subtract(i, c_by_zg, c_by_zg)
        multiply(h, tanh_c, h_by_c)
        subtract(o, h_by_c, h_by_c)
        c_by_c[...] = f
        if peepholes is not None:
            h_by_c += peepholes[2] * by_gates[2]
            c_by_c += (peepholes[:2] * by_gates[:2]).sum(axis=0)
    return slopes, cs, (c.T.copy(),)


def _gru_steps(
    cell: Any,
    params: Params,
    xs: Array,
    state0: Any,
    us: Array,
    hs: Array,
    ended: list[Array | None],
    keep_tape: bool,
) -> tuple[Array, None, tuple[()]]:
    """Fill us and hs as `_lstm_steps` does; return the tape's slopes, and nothing more.

    A step has two products. That of the gates reads [h; 1; x], and that of the candidate [1; x], or
    [1; x; m] if the reset gate stands before it. If it stands after it, the rows of q are computed
    with those of the gates. In this function u is the update gate.
    """
    (T, H, B), D, dtype = hs.shape, xs.shape[-1], hs.dtype
    half = np.array(0.5, dtype)
    activation = find_activation(cell.activation)
    q, r, u, n = blocks = np.empty((4, H, B), dtype)
    rq, gap, u_gap = np.empty((3, H, B), dtype)
    gates, q_gates = blocks[1:3], blocks[:3].reshape(3 * H, B)

    W = np.roll(_stacked_weights(params), H, axis=0)  # n, r, u
    W[H:] *= half
    W_n = np.roll(W[:H], -H, axis=1)[:, : us.shape[1] - H]  # by 1, x and perhaps m
    if cell.reset_after:
        W[:H, H], W[:H, H + 1 :] = params["b_h"], 0  # the rows of q in place of those of n
    else:
        W, q_gates = W[H:], q_gates[H:]
    slopes = _entries(T, (5, H, B), dtype, keep_tape)

    columns, columns_n = us[:, : H + 1 + D], us[:, H:]
    u_x, u_m = columns[:, H + 1 :], us[:, H + 1 + D :]
    views = columns, columns_n, us[:, :H], u_x, u_m, us[1:, :H], slopes
    for t, (column, column_n, h_prev, x, m, h, slope) in enumerate(zip(*views, strict=False)):
        x[...] = xs[t].T
        matmul(W, column, q_gates)
        tanh(gates, gates)
        multiply(gates, half, gates)
        add(gates, half, gates)
        if cell.reset_after:
            multiply(r, q, rq)
            matmul(W_n, column_n, n)
            add(n, rq, n)
        else:
            multiply(r, h_prev, m)
            matmul(W_n, column_n, n)
        n[...] = activation.function(n)

        subtract(h_prev, n, gap)
        multiply(u, gap, u_gap)
        add(n, u_gap, h)
        if ended[t] is not None:
            h[:, ended[t]] = 0
        if not keep_tape:
            hs[t] = h
            continue

        by_q, by_zr, by_zu, by_zn, by_h = slope
        multiply(u_gap, u, by_zu)
        subtract(u_gap, by_zu, by_zu)
        subtract(1, u, by_zn)
        multiply(by_zn, activation.slope(n), by_zn)
        if cell.reset_after:
            multiply(by_zn, r, by_q)
            subtract(q, rq, by_zr)
            multiply(by_zr, by_q, by_zr)
        else:
            by_q[...] = r
            multiply(m, r, by_zr)
            subtract(m, by_zr, by_zr)
        by_h[...] = u
        if ended[t] is not None:
            slope[:, :, ended[t]] = 0
            by_h[:, ended[t]] = 1
    return slopes, None, ()


def _rnn_steps(
    cell: Any,
    params: Params,
    xs: Array,
    state0: Any,
    us: Array,
    hs: Array,
    ended: list[Array | None],
    keep_tape: bool,
) -> tuple[Array, None, tuple[()]]:
    """Fill us and hs as `_lstm_steps` does; return ∂h/∂z (T, H, B), and nothing more."""
    T, H, B = hs.shape
    W = _stacked_weights(params)
    activation = find_activation(cell.activation)
    slopes = _entries(T, (H, B), hs.dtype, keep_tape)
    for t in range(T):
        us[t, H + 1 :] = xs[t].T
        h = activation.function(W @ us[t])
        slope = activation.slope(h)
        if ended[t] is not None:
            h[:, ended[t]] = slope[:, ended[t]] = 0
        us[t + 1, :H] = hs[t] = h
        slopes[t] = slope
    return slopes, None, ()


def fused_backward(
    cell: Cell,
    params: Params,
    tape: FusedTape,
    doutputs: Array | None = None,
    dstate: Any = None,
    need_dxs: bool = True,
) -> tuple[Array | None, Any, Params]:
    """Carry the loss gradient back through the sequence.

    Parameters
    ----------
    cell, params, doutputs, dstate
        As in `unroll_backward`.
    tape : FusedTape
        What `fused` returned; it is not changed and may be used again.
    need_dxs : bool
        False leaves dxs out.

    Returns
    -------
    dxs : array (T, B, D) or None
        ∂L/∂xs.
    dstate0 : named tuple of arrays (B, H)
        ∂L/∂(initial state).
    grads : dict of arrays
        ∂L/∂(each parameter), summed over time and batch.
    """
    us, slopes, cs, ends = tape
    W_x, W_h = params["W_x"], params["W_h"]
    H, D, T, B, dtype = len(W_h), len(W_x), len(slopes), us.shape[-1], us.dtype
    check_gradients(cell, T, (B,), doutputs, dstate)
    if ends is not None and doutputs is not None:
        doutputs = np.where(np.arange(T)[:, None, None] < ends[:, None], doutputs, 0)
    # Most often the last output alone has a gradient, and the zeros of the others need no adding.
    injected = [False] * T if doutputs is None else doutputs.any(axis=(1, 2)).tolist()

    dstates = np.zeros((len(cell.state_sizes), H, B), dtype)
    if dstate is not None:
        dstates[...] = [d.T for d in dstate]
    dh, dc = dstates[0], dstates[-1]  # of an RNN or a GRU there is dh alone
    blocks = 5 if isinstance(cell, GRUCell) else W_h.shape[1] // H
    dz = np.empty((blocks, H, B), dtype)
    dz_blocks, scratch = tuple(dz), np.empty((H, B), dtype)
    dz_h = dz_x = dz_rows = dz.reshape(blocks * H, B)  # what W_h carries back to h, and W_x to x
    if isinstance(cell, GRUCell):
        W_h, dz_h, dz_x, sums = _gru_products(cell, params, us, dz_rows)
    else:
        sums = [_WeightSum(dz_h, us)]
    dp = np.zeros((3, H), dtype)
    dxs = np.zeros((T, D, B), dtype) if need_dxs else None

    for t, slope in zip(reversed(range(T)), slopes[::-1], strict=True):
        if doutputs is not None and injected[t]:
            dh += doutputs[t].T
        carried = None if ends is None else dh * (ends <= t)
        if isinstance(cell, GRUCell):
            carried = _gru_dz(cell, params, slope, dh, dz)
        elif slopes.ndim == 3:
            multiply(dh, slope, dz[0])
        else:
            _lstm_dz(slope, dh, dc, dz_blocks, scratch)
        matmul(W_h, dz_h, dh)
        if carried is not None:
            dh += carried

        for weight_sum in sums:
            weight_sum.add(t)
        if cs is not None:
            dp[:2] += (dz[:2] * cs[t]).sum(axis=-1)
            dp[2] += (dz[2] * cs[t + 1]).sum(axis=-1)
        if dxs is not None:
            matmul(W_x, dz_x, dxs[t])
        if t % FLUSH_EVERY == 0:
            _flush(dstates)
            if not (dstates.any() or any(injected[:t])):
                break  # every gradient still to come is zero

    by_input, *more = [weight_sum.by_input() for weight_sum in sums]
    grads = {"W_x": by_input[H + 1 :], "W_h": by_input[:H], "b": by_input[H]}
    if isinstance(cell, GRUCell):
        grads = _gru_grads(cell, by_input, *more)
    if cs is not None:
        grads |= dict(zip(PEEPHOLES, dp, strict=True))
    dstate0 = type(cell.state_sizes)(*(d.T.copy() for d in dstates))
    return None if dxs is None else dxs.swapaxes(1, 2), dstate0, grads


def _lstm_dz(slope: Array, dh: Array, dc: Array, dz: tuple[Array, ...], scratch: Array) -> None:
    """Write ∂L/∂z of a step to dz, and carry dc to the step before, in place; all are (H, B)."""
    c_by_zi, c_by_zf, h_by_zo, c_by_zg, h_by_c, c_by_c = slope
    dz_i, dz_f, dz_o, dz_g = dz
    multiply(dh, h_by_c, scratch)
    add(dc, scratch, dc)
    multiply(dc, c_by_zi, dz_i)
    multiply(dc, c_by_zf, dz_f)
    multiply(dh, h_by_zo, dz_o)
    multiply(dc, c_by_zg, dz_g)
    multiply(dc, c_by_c, dc)


def _gru_products(
    cell: GRUCell, params: Params, us: Array, dz_rows: Array
) -> tuple[Array, Array, Array, list["_WeightSum"]]:
    """Return W_h and the rows of dz that it carries back to h, those of W_x, and both sums."""
    D, H, W_h = cell.input_size, cell.hidden_size, params["W_h"]
    dz_x, dz_n = dz_rows[H : 4 * H], dz_rows[3 * H : 4 * H]
    if cell.reset_after:
        dz_h, W_h = dz_rows[: 3 * H], np.roll(W_h, H, axis=1)  # q, r, u
    else:
        dz_h, W_h = dz_rows[H : 3 * H], W_h[:, : 2 * H]  # r, u
    return W_h, dz_h, dz_x, [_WeightSum(dz_h, us[:, : H + 1 + D]), _WeightSum(dz_n, us[:, H:])]


def _gru_dz(cell: GRUCell, params: Params, slope: Array, dh: Array, dz: Array) -> Array:
    """Write ∂L/∂z of a step to dz (5, H, B); return what goes back to h_prev beside `W_h dz`.

    The blocks of dz are those of q, r, u and n, and dh ⊙ u. With the reset gate before the product
    the first is dm ⊙ r instead, and dh is lost.
    """
    if cell.reset_after:
        multiply(dh, slope, dz)
        return dz[4]
    multiply(dh, slope[2:], dz[2:])
    dm = matmul(params["W_h"][:, 2 * cell.hidden_size :], dz[3], dh)
    multiply(dm, slope[:2], dz[:2])
    return add(dz[0], dz[4], dz[4])


def _gru_grads(cell: GRUCell, by_gates: Array, by_n: Array) -> Params:
    """Return the gradients by name, from those of [h; 1; x] by (q,) r, u and of [1; x; m] by n."""
    D, H = cell.input_size, cell.hidden_size
    grads = {"b_h": by_gates[H, :H]} if cell.reset_after else {}
    dW_hn = by_gates[:H, :H] if cell.reset_after else by_n[1 + D :]
    r_u = by_gates[:, -2 * H :]
    grads["W_x"] = np.concatenate([r_u[H + 1 :], by_n[1 : 1 + D]], axis=1)
    grads["W_h"] = np.concatenate([r_u[:H], dW_hn], axis=1)
    grads["b"] = np.concatenate([r_u[H], by_n[0]])
    return grads


class _WeightSum:
    """The gradient of the weights in z = W u: the sum of dz uᵀ over the steps."""

    def __init__(self, dz: Array, us: Array) -> None:
        self.dz, self.uts = dz, us.swapaxes(1, 2)
        self.dW = np.zeros((len(dz), us.shape[1]), dz.dtype)
        self.term = np.empty_like(self.dW)

    def add(self, t: int) -> None:
        """Add the term of step t, whose dz stands ready."""
        matmul(self.dz, self.uts[t], self.term)
        add(self.dW, self.term, self.dW)

    def by_input(self) -> Array:
        """Return the sum transposed, in memory that is free now."""
        by_input = self.term.reshape(self.dW.shape[::-1])
        by_input[...] = self.dW.T
        return by_input


def _flush(dstates: Array) -> None:
    """Set gradients to zero that are too small to leave a trace in any sum.

    Below the smallest normal number (1e-38 in float32) lie the denormal numbers, on which a
    processor is many times slower. A vanishing gradient runs into them, and stays: the smallest of
    them times f > ½ is rounded back to itself. Cut off is what is below that smallest normal
    number divided by the relative rounding error, 1e-31 in float32 and 1e-292 in float64: as long
    as products with slopes and weights above the rounding error don't reach the denormals.
    """
    limits = np.finfo(dstates.dtype)
    np.copyto(dstates, 0, where=abs(dstates) < limits.tiny / limits.eps)


def _stacked_weights(params: Params) -> Array:
    """Return W = [W_h; b; W_x] transposed, a new contiguous array (4H, H+1+D)."""
    W = np.concatenate([params["W_h"], params["b"][None], params["W_x"]])
    return np.ascontiguousarray(W.T)


def _entries(n: int, shape: tuple[int, ...], dtype: Any, keep: bool) -> Array:
    """Return an array (n, *shape); all n entries are the same memory unless they are to be kept."""
    if keep:
        return borrow((n, *shape), dtype)
    entry = np.empty(shape, dtype)
    return as_strided(entry, (n, *shape), (0, *entry.strides))
