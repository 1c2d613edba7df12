"""Chrono initialisation: gate biases that make a cell remember for as long as the task needs."""

import numpy as np

from npylstm.backend import Rng, array_module
from npylstm.cells.base import Cell, Params
from npylstm.checks import check_number


def chrono(cell: Cell, params: Params, T_max: float, rng: Rng = None) -> Params:
    """Return new parameters with b_f = ln τ and b_i = -b_f, τ uniform on [1, T_max - 1].

    A forget gate at σ(ln τ) = 1 / (1 + 1/τ) forgets over about τ steps, so that the units together
    cover every time scale up to T_max (Tallec & Ollivier 2018). With coupled gates only b_i is
    set; in a GRU only the update gate's bias, to ln τ.

    Parameters
    ----------
    cell : Cell
        An LSTM or GRU.
    params : dict of arrays
        As `cell.init` returns them; they are not changed.
    T_max : float
        The longest dependency to expect, in steps, above 2.
    rng : None, int or numpy.random.Generator
        The source of τ.

    Returns
    -------
    dict of arrays
        The same arrays, except `"b"`; each network on a leading axis draws its own τ.

    Raises
    ------
    ValueError
        T_max is 2 or less, or the cell has no gate that forgets.
    """
    check_number("T_max", T_max, low=2, open_low=True)
    columns = cell.gate_columns
    if "f" in columns:
        signs = {"f": 1, "i": -1}
    elif "u" in columns:
        signs = {"u": 1}
    elif getattr(cell, "coupled", False):
        signs = {"i": -1}
    else:
        raise ValueError(f"cell must have a gate that forgets, got {cell!r}")

    b = params["b"].copy()
    shape = b[..., columns[next(iter(signs))]].shape
    log_tau = np.log(np.random.default_rng(rng).uniform(1, T_max - 1, shape))
    for gate in signs.keys() & columns.keys():
        b[..., columns[gate]] = array_module(b).asarray(signs[gate] * log_tau, b.dtype)
    return params | {"b": b}
