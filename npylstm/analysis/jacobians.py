"""Jacobians of the state from one step to the next: they multiply a gradient on its way back.

With s_t the state as one row (h and c side by side for an LSTM), J_t = ∂s_t/∂s_{t-1} carries a
gradient from step t to step t - 1, and a product of Jacobians carries it over many::

    ∂L/∂s_k = ∂L/∂s_T J_T J_{T-1} ... J_{k+1}

If every factor shrinks what it multiplies, the product vanishes exponentially in the number of
steps (Hochreiter 1991; Bengio, Simard & Frasconi 1994; Pascanu, Mikolov & Bengio 2013).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from npylstm.backend import AnyArray, Array, array_module
from npylstm.cells import Cache, Cell, LSTMCell, Params, RNNCell, State, find_activation, mT
from npylstm.sequence import unroll


def step_jacobian(cell: Cell, params: Params, cache: Cache) -> Array:
    """Return ∂s_t/∂s_{t-1} of one step, from a formula if there is one.

    Parameters
    ----------
    cell : Cell
        Any cell. For `RNNCell` and `LSTMCell` the Jacobian is written out; for others it comes
        from `jacobian_by_products`.
    params : dict of arrays
        The cell's parameters.
    cache : tuple
        What `cell.forward` returned.

    Returns
    -------
    J : array (B, n, n)
        J[b, j, k] = ∂s_t[j]/∂s_{t-1}[k], with n the width of the whole state, its parts in the
        order of `cell.state_sizes`: n = H for an RNN, n = 2H, first h and then c, for an LSTM.
    """
    if isinstance(cell, RNNCell):
        return _rnn_jacobian(cell, params, cache)
    if isinstance(cell, LSTMCell):
        return _lstm_jacobian(params, cache)
    return jacobian_by_products(cell, params, cache)


def _rnn_jacobian(cell: RNNCell, params: Params, cache: Cache) -> Array:
    """Return J = diag(φ'(z)) W_hᵀ (Pascanu et al. 2013, eq. 5, for rows)."""
    _, _, h, passes = cache
    slope = find_activation(cell.activation).slope(h) * passes
    jacobian: Array = slope[..., None] * mT(params["W_h"])
    return jacobian


def _lstm_jacobian(params: Params, cache: Cache) -> Array:
    """Put together the four blocks, with U_i, U_f, U_o, U_g the transposed blocks of W_h.

    ::

        ∂c/∂c_prev = diag(f)
        ∂c/∂h_prev = diag(g i(1-i)) U_i + diag(c_prev f(1-f)) U_f + diag(i (1-g²)) U_g
        ∂h/∂c_prev = D diag(f)                                D = diag(o (1-tanh²(c)))
        ∂h/∂h_prev = D ∂c/∂h_prev + diag(tanh(c) o(1-o)) U_o
    """
    _, _, c_prev, i, f, o, g, tanh_c = cache
    xp = array_module(f)
    U_i, U_f, U_o, U_g = xp.split(mT(params["W_h"]), 4, axis=-2)

    def rows(scale: Array, matrix: Array) -> Array:
        return scale[..., None] * matrix

    dc_dc = rows(f, xp.eye(f.shape[-1], dtype=f.dtype))
    dc_dh = rows(g * i * (1 - i), U_i) + rows(c_prev * f * (1 - f), U_f) + rows(i * (1 - g**2), U_g)
    D = o * (1 - tanh_c**2)
    dh_dc = rows(D, dc_dc)
    dh_dh = rows(D, dc_dh) + rows(tanh_c * o * (1 - o), U_o)
    upper = xp.concatenate([dh_dh, dh_dc], axis=-1)
    lower = xp.concatenate([dc_dh, dc_dc], axis=-1)
    return xp.concatenate([upper, lower], axis=-2)


def jacobian_by_products(cell: Cell, params: Params, cache: Cache) -> Array:
    """Return ∂s_t/∂s_{t-1} of any cell from its backward pass alone.

    The backward pass is a product of a row vector with the Jacobian; given the rows of the
    identity, all at once on a leading axis, it returns the Jacobian's rows. Arguments and result
    as for `step_jacobian`.
    """
    xp, x, sizes = array_module(cache[0]), cache[0], cell.state_sizes
    n = sum(sizes)
    identity = xp.broadcast_to(xp.eye(n, dtype=x.dtype)[:, None, :], (n, x.shape[-2], n))
    parts = xp.split(identity, np.cumsum(sizes)[:-1].tolist(), axis=-1)
    _, dstate_prev, _ = cell.backward(params, cache, type(sizes)(*parts))
    return xp.moveaxis(xp.concatenate(dstate_prev, axis=-1), 0, -2)


def jacobians(cell: Cell, params: Params, xs: Array, state0: State | None = None) -> Array:
    """Return the Jacobian of every step along a sequence.

    Parameters
    ----------
    cell : Cell
        Any cell.
    params : dict of arrays
        Its parameters.
    xs : array (T, B, D)
        The inputs, time first.
    state0 : named tuple of arrays (B, H), optional
        The initial state; zeros by default.

    Returns
    -------
    J : array (T, B, n, n)
        J[t] = ∂s_t/∂s_{t-1} as in `step_jacobian`. It takes 8 T B n² bytes in float64.
    """
    _, _, tape = unroll(cell, params, xs, state0)
    return array_module(xs).stack([step_jacobian(cell, params, cache) for cache in tape.caches])


def span_products(J: AnyArray) -> Array:
    """Return the products that carry a gradient back from the last step over 0..T steps.

    Parameters
    ----------
    J : array (T, B, n, n)
        What `jacobians` returns.

    Returns
    -------
    products : array (T + 1, B, n, n)
        products[k] = J_T J_{T-1} ... J_{T-k+1} = ∂s_T/∂s_{T-k}; products[0] is the identity.
    """
    products = np.empty((len(J) + 1, *J.shape[1:]), J.dtype)
    products[0] = np.eye(J.shape[-1])
    for k, step in enumerate(J[::-1]):
        products[k + 1] = products[k] @ step
    return products


def singular_values(J: AnyArray) -> Array:
    """Return the n singular values (..., n) of every matrix in J (..., n, n), largest first."""
    values: Array = np.linalg.svd(J, compute_uv=False)
    return values


def spectral_norms(J: AnyArray) -> Array:
    """Return the largest singular value of every matrix in J (..., n, n): the most it stretches."""
    norms: Array = np.linalg.norm(J, ord=2, axis=(-2, -1))
    return norms


def spectral_radii(J: AnyArray) -> Array:
    """Return the largest absolute eigenvalue of every matrix in J (..., n, n)."""
    radii: Array = np.abs(np.linalg.eigvals(J)).max(axis=-1)
    return radii


def rnn_bound(cell: RNNCell, params: Params, lags: AnyArray) -> Array:
    """Return the bound (σ_max(W_h) max φ')^k on the norm of a product of k Jacobians.

    If the bound is below one for every step, gradients vanish. A bound above one says nothing, and
    is common even for gradients that vanish (Pascanu et al. 2013, sec. 2.1).

    Parameters
    ----------
    cell : RNNCell
        A vanilla RNN.
    params : dict of arrays
        Its parameters.
    lags : array of int (k,)
        Numbers of steps.
    """
    sigma_max = np.linalg.norm(params["W_h"], ord=2)
    factor = float(sigma_max * find_activation(cell.activation).max_slope)
    bound: Array = np.power(factor, lags)
    return bound


def direct_cell_path(f: AnyArray) -> Array:
    """Return ∏ f_t over the last 0..T steps: the part of ∂c_T/∂c_{T-k} that stays in the cell.

    It is the only path if the gates do not see the state (W_h = 0), and by construction in the
    truncated LSTM of 1997, whose f is 1.

    Parameters
    ----------
    f : array (T, B, H)
        The forget gate at every step.

    Returns
    -------
    path : array (T + 1, B, H)
        path[k] = f_T f_{T-1} ... f_{T-k+1}, elementwise.
    """
    ones = np.ones((1, *f.shape[1:]), f.dtype)
    return np.concatenate([ones, np.cumprod(f[::-1], axis=0)])


@dataclass(frozen=True)
class CellPaths:
    """How much of a gradient gets from the last cell state to earlier states, and on which path.

    Attributes
    ----------
    direct : array (T + 1, B)
        Norm of the diagonal matrix ∏ f_t over the last k steps, k = 0..T: from cell to cell alone.
    full : array (T + 1, B)
        Norm of ∂c_T/∂c_{T-k}, on all paths, also through h and the gates.
    """

    direct: Array
    full: Array


def cell_paths(cell: Cell, params: Params, xs: AnyArray, state0: State | None = None) -> CellPaths:
    """Measure the direct path through an LSTM's cell state beside all paths together.

    Both norms are spectral: the largest factor by which a direction is stretched.

    Parameters
    ----------
    cell : LSTMCell or LSTMVariant
        An LSTM.
    params : dict of arrays
        Its parameters.
    xs : array (T, B, D)
        The inputs.
    state0 : named tuple of arrays (B, H), optional
        The initial state; zeros by default.
    """
    caches: list[Any] = unroll(cell, params, xs, state0)[2].caches  # with f, an LSTM's
    J = np.stack([step_jacobian(cell, params, cache) for cache in caches])
    h, c = cell.state_sizes[:2]
    return CellPaths(
        direct_cell_path(np.stack([cache.f for cache in caches])).max(axis=-1),
        spectral_norms(span_products(J)[..., h : h + c, h : h + c]),
    )
