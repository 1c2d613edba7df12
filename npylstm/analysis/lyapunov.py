"""Lyapunov exponents: the rates at which a recurrent network forgets or blows up.

The first exponent λ_1 is the mean logarithm, per step, of the factor by which the network stretches
a small change of its state: ||∂s_t/∂s_k|| grows like exp(λ_1 (t - k)). Gradients vanish if it is
below zero and explode if it is above zero. The exponents of all directions make the spectrum.
"""

import numpy as np
from numpy.typing import NDArray

from npylstm.analysis.jacobians import step_jacobian
from npylstm.backend import Array, to_numpy
from npylstm.cells import Cell, Params, State, orthogonal
from npylstm.checks import check_number, check_size


def lyapunov_spectrum(
    cell: Cell,
    params: Params,
    xs: Array,
    state0: State | None = None,
    exponents: int | None = None,
    skip: int = 10,
) -> NDArray[np.float64]:
    """Return the largest Lyapunov exponents of a cell driven by inputs.

    A set of orthonormal directions is carried along and made orthonormal again at every step by a
    QR decomposition, J_t Q_{t-1} = Q_t R_t; then λ_i is the mean of ln |R_t[i, i]| (Benettin et al.
    1980; for recurrent networks Engelken, Wolf & Abbott 2023 and Vogt et al. 2022).

    Parameters
    ----------
    cell : Cell
        Any cell.
    params : dict of arrays
        Its parameters.
    xs : array (T, B, D)
        The inputs that drive it.
    state0 : named tuple of arrays (B, H), optional
        The initial state; zeros by default.
    exponents : int, optional
        How many, from the largest down; all n of them by default.
    skip : int
        How many steps at the start to leave out of the mean, until the directions have turned.

    Returns
    -------
    spectrum : array (B, exponents)
        Per step, in nats, for each sequence. A direction that is lost completely has -inf.

    Raises
    ------
    ValueError
        `exponents` not in 1..n, or `skip` not in 0..T-1.
    """
    n, B = sum(cell.state_sizes), xs.shape[-2]
    count = n if exponents is None else exponents
    check_size("exponents", count)
    check_number("exponents", count, high=n)
    check_number("skip", skip, low=0, high=len(xs) - 1)

    state = cell.zero_state(xs[0]) if state0 is None else state0
    Q = np.broadcast_to(orthogonal(np.random.default_rng(0), (n, count)), (B, n, count))
    log_stretch = np.zeros((B, count))
    for t, x in enumerate(xs):
        state, cache = cell.forward(params, x, state)
        Q, R = np.linalg.qr(to_numpy(step_jacobian(cell, params, cache)) @ Q)
        if t >= skip:
            with np.errstate(divide="ignore"):
                log_stretch += np.log(np.abs(np.diagonal(R, axis1=-2, axis2=-1)))
    return log_stretch / (len(xs) - skip)
