"""The cells' equations, line by line: what is computed from what, and where in the code.

A formula is written for one unit, with the names that the code uses, as Python would read it. The
page shows it with symbols and with numbers; `work_out` works it out for all steps and units.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np

from npylstm.backend import AnyArray, Array, Untyped
from npylstm.cells import (
    Cell,
    GRUCell,
    LSTMCell,
    Params,
    RNNCell,
    find_activation,
    sigmoid,
    tanh,
)
from npylstm.explain.recording import Values

NAME = re.compile(r"[^\W\d]\w*")

Function: TypeAlias = Callable[[Array], Array]


@dataclass(frozen=True)
class Equation:
    """One equation.

    Attributes
    ----------
    name : str
        What it defines.
    formula : str
        It uses names defined before. With `@` it is a product of matrices, which has too many terms
        to be shown with numbers.
    place : str
        The method of the cell and the variable, or `return`, whose line computes it.
    uses : tuple of str
        Names on the line, where the method assigns the variable more than once.
    """

    name: str
    formula: str
    place: str = ""
    uses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Omission:
    """One term left out of the backward pass; the exercises' checker knows the same mistakes.

    Attributes
    ----------
    name : str
        What it is called on the page.
    old, new : str
        A piece of `backward`, and what replaces it.
    formulas : dict of str
        The equations that change, by name, as they then read; the first is where it was made.
    """

    name: str
    old: str
    new: str
    formulas: dict[str, str]


@dataclass(frozen=True)
class Explanation:
    """The equations of a cell in the order of the code, and what can be tried with them.

    Attributes
    ----------
    rows : tuple of Equation
    mistakes : tuple of Omission
    keep : str
        The gate that multiplies the old state, if there is one.
    keep_bias : float
        What its part of b started at.
    functions : dict of callables
        The activations that have no formula here: φ and its slope φ_slope, ψ and ψ_slope.
    """

    rows: tuple[Equation, ...]
    mistakes: tuple[Omission, ...]
    keep: str = ""
    keep_bias: float = 0.0
    functions: dict[str, Function] = field(default_factory=dict)

    def with_mistake(self, mistake: Omission) -> "Explanation":
        """Return the equations as they read with a mistake."""
        rows = (
            replace(row, formula=mistake.formulas.get(row.name, row.formula)) for row in self.rows
        )
        return replace(self, rows=tuple(rows))


def work_out(explained: Explanation, params: Params, cell: Cell, seen: Values) -> Values:
    """Work out every equation, and return what was seen and what the equations add.

    Raises
    ------
    ArithmeticError
        An equation does not give what the cell computed: the two disagree.
    """
    values: dict[str, AnyArray] = seen | constants(params, cell)
    for row in explained.rows:
        result = _result(row.formula, values, explained.functions)
        if row.name in seen:
            if not np.allclose(result, seen[row.name], rtol=1e-6, atol=1e-9):
                raise ArithmeticError(
                    f"{row.name} = {row.formula} is not what {type(cell).__name__} computes"
                )
        else:
            values[row.name] = np.broadcast_to(result, seen["h"].shape)
    return {name: values[name] for name in [*seen, *(row.name for row in explained.rows)]}


def constants(params: Params, cell: Cell) -> Params:
    """Return each gate's columns of the parameters, named for the gate: Wx_i, Wh_i, b_i, ..."""
    parts: Params = {}
    for gate, columns in cell.gate_columns.items():
        parts[f"Wx_{gate}"] = params["W_x"][:, columns]
        parts[f"Wh_{gate}"] = params["W_h"][:, columns]
        parts[f"b_{gate}"] = params["b"][columns]
    return parts | ({"b_q": params["b_h"]} if "b_h" in params else {})


def digits(row: Equation, values: dict[str, AnyArray], functions: dict[str, Function]) -> AnyArray:
    """Return how many digits of the numbers in a formula make it give what stands behind its `=`.

    The result is shown to 4 digits; (T, H) of int, from 4 to 12.
    """
    names = [name for name in NAME.findall(row.formula) if name in values]
    result = np.broadcast_to(_result(row.formula, values, functions), values["h"].shape)
    target, unit = _rounded(result, 4)
    needed = np.full(result.shape, 12)
    for count in range(11, 3, -1):
        coarse = {name: _rounded(values[name], count)[0] for name in names}
        close = np.abs(_result(row.formula, coarse, functions) - target) <= 0.49 * unit
        needed[close & (needed == count + 1)] = count
    return needed


def _rounded(a: AnyArray, count: int) -> tuple[AnyArray, AnyArray]:
    """Round to `count` significant digits; return also the value of one in the last digit."""
    with np.errstate(divide="ignore"):
        exponent = np.floor(np.log10(np.abs(a)))
    unit = 10.0 ** np.maximum(exponent - count + 1, -300)  # below it numbers lose digits
    return np.round(a / unit) * unit, unit


def _result(formula: str, values: dict[str, AnyArray], functions: dict[str, Function]) -> AnyArray:
    usual = {"σ": sigmoid, "tanh": tanh, "max": np.maximum}
    result: AnyArray = eval(formula, {"__builtins__": {}}, usual | functions | values)
    return result


# ------------------------------------------------------------------ the cells


def _pre_activation(gate: str) -> list[Equation]:
    return [
        Equation(f"xW_{gate}", f"x @ Wx_{gate}"),
        Equation(f"hW_{gate}", f"h_prev @ Wh_{gate}"),
    ]


def _returned(gate: str) -> Equation:
    """Return what the error of a gate sends back through its recurrent weights."""
    return Equation(f"dzW_{gate}", f"dz_{gate} @ Wh_{gate}.T")


ACTIVATED = {
    "tanh": ("tanh(z)", "1 - y * y"),
    "relu": ("max(z, 0)", "(y > 0) * 1"),
    "logistic": ("σ(z)", "y * (1 - y)"),
    "identity": ("z", "1"),
    "logistic_h": ("2 * σ(z) - 1", "(1 - y * y) / 2"),
    "logistic_g": ("4 * σ(z) - 2", "1 - y * y / 4"),
}
"""Each activation y of z, and its slope in terms of y."""


def _activated(activation: str, z: str, y: str, symbol: str = "φ") -> tuple[str, str]:
    """Return the formula of y, and the formula of its slope."""
    function, slope = ACTIVATED.get(activation, (f"{symbol}(z)", f"{symbol}_slope(y)"))
    return re.sub(r"\bz\b", z, function), re.sub(r"\by\b", y, slope)


def _functions(**activations: str) -> dict[str, Function]:
    """Return each activation and its slope by symbol."""
    found = {symbol: find_activation(name) for symbol, name in activations.items()}
    return {symbol: activation.function for symbol, activation in found.items()} | {
        f"{symbol}_slope": activation.slope for symbol, activation in found.items()
    }


def _lstm(cell: LSTMCell) -> Explanation:
    gates = "ifog"
    rows = [row for gate in gates for row in _pre_activation(gate)]
    rows += [
        Equation(f"z_{gate}", f"xW_{gate} + hW_{gate} + b_{gate}", "forward z") for gate in gates
    ]
    rows += [Equation(gate, f"σ(z_{gate})", f"forward {gate}") for gate in "ifo"]
    rows += [
        Equation("g", "tanh(z_g)", "forward g"),
        Equation("c", "f * c_prev + i * g", "forward c"),
        Equation("tanh_c", "tanh(c)", "forward tanh_c"),
        Equation("h", "o * tanh_c", "forward h"),
        Equation("dh", "doutput + dh_next", "walk dstate", ("dh",)),
        Equation("do", "dh * tanh_c", "backward do"),
        Equation("dtanh_c", "dh * o", "backward dc", ("dh", "o")),
        Equation("dc_h", "dh * o * (1 - tanh_c * tanh_c)", "backward dc", ("dh", "o")),
        Equation("dc", "dc_next + dh * o * (1 - tanh_c * tanh_c)", "backward dc", ("dh", "o")),
        Equation("di", "dc * g", "backward di"),
        Equation("df", "dc * c_prev", "backward df"),
        Equation("dg", "dc * i", "backward dg"),
        *(
            Equation(f"dz_{gate}", f"d{gate} * {gate} * (1 - {gate})", "backward dz")
            for gate in "ifo"
        ),
        Equation("dz_g", "dg * (1 - g * g)", "backward dz"),
        *(_returned(gate) for gate in gates),
        Equation("dc_prev", "dc * f", "backward dc_prev"),
        Equation("dh_prev", "dzW_i + dzW_f + dzW_o + dzW_g", "backward dh_prev"),
    ]
    through_h = "dh * o * (1 - tanh_c**2)"
    mistakes = (
        Omission(
            "carry",
            f"dc + {through_h}",
            through_h,
            {"dc": "dh * o * (1 - tanh_c * tanh_c)"},
        ),
        Omission("factor", "dc * f", "dc", {"dc_prev": "dc"}),
        Omission("slope", through_h, "dh * o", {"dc": "dc_next + dh * o", "dc_h": "dh * o"}),
    )
    return Explanation(tuple(rows), mistakes, "f", cell.forget_bias)


def _rnn(cell: RNNCell) -> Explanation:
    function, slope = _activated(cell.activation, "z_h", "h")
    rows = (
        *_pre_activation("h"),
        Equation("z_h", "xW_h + hW_h + b_h", "forward z", ("x",)),
        Equation("h", function, "forward h"),
        Equation("dh", "doutput + dh_next", "walk dstate", ("dh",)),
        Equation("slope", slope, "backward dz"),
        Equation("dz_h", "dh * slope", "backward dz"),
        _returned("h"),
        Equation("dh_prev", "dzW_h", "backward return"),
    )
    mistakes = (
        Omission("carry", "dz @ mT(params['W_h'])", "0 * dh", {"dh_prev": "0 * dh"}),
        Omission("weight", "dz @ mT(params['W_h'])", "dz", {"dh_prev": "dz_h"}),
        Omission("slope", "dh * find_activation(self.activation).slope(h)", "dh", {"dz_h": "dh"}),
    )
    return Explanation(rows, mistakes, functions=_functions(φ=cell.activation))


def _gru(cell: GRUCell) -> Explanation:
    function, slope = _activated(cell.activation, "z_n", "n")
    rows = [row for gate in "run" for row in _pre_activation(gate)]
    gated = {gate: _activated(cell.gate_activation, f"z_{gate}", gate, "ψ") for gate in "ru"}
    for gate in "ru":
        rows += [
            Equation(f"z_{gate}", f"xW_{gate} + hW_{gate} + b_{gate}", "forward z_g"),
            Equation(gate, gated[gate][0], f"forward {gate}"),
        ]
    if cell.reset_after:
        rows += [
            Equation("q", "hW_n + b_q", "forward q", ("h_prev",)),
            Equation("z_n", "xW_n + b_n + r * q", "forward z_n", ("q",)),
        ]
    else:
        rows += [
            Equation("mW_n", "(r * h_prev) @ Wh_n"),
            Equation("z_n", "xW_n + b_n + mW_n", "forward z_n", ("h_prev",)),
        ]
    rows += [
        Equation("n", function, "forward n"),
        Equation("h", "u * h_prev + (1 - u) * n", "forward h"),
        Equation("dh", "doutput + dh_next", "walk dstate", ("dh",)),
        Equation("du", "dh * (h_prev - n)", "backward du"),
        Equation("dn", "dh * (1 - u)", "backward dn"),
        Equation("slope", slope, "backward dz_n"),
        Equation("dz_n", "dn * slope", "backward dz_n"),
    ]
    if cell.reset_after:
        rows += [
            Equation("dq", "dz_n * r", "backward dq"),
            Equation("dr", "dz_n * q", "backward dr", ("q",)),
            Equation("dqW_n", "dq @ Wh_n.T"),
        ]
    else:
        rows += [_returned("n"), Equation("dr", "dzW_n * h_prev", "backward dr", ("dm",))]
    last = "dqW_n" if cell.reset_after else "dzW_n * r"
    rows += [
        Equation("dz_r", f"dr * {gated['r'][1]}", "backward dz_g"),
        Equation("dz_u", f"du * {gated['u'][1]}", "backward dz_g"),
        _returned("r"),
        _returned("u"),
        Equation("dh_prev", f"dh * u + dzW_r + dzW_u + {last}", "backward return"),
    ]
    carry = "dh * u + dz_g @ mT(W_hg)"
    mistakes = (
        Omission("carry", carry, "dz_g @ mT(W_hg)", {"dh_prev": f"dzW_r + dzW_u + {last}"}),
        Omission("factor", "dh * u", "dh", {"dh_prev": f"dh + dzW_r + dzW_u + {last}"}),
        Omission("slope", "dn * find_activation(self.activation).slope(n)", "dn", {"dz_n": "dn"}),
    )
    functions = _functions(φ=cell.activation, ψ=cell.gate_activation)
    return Explanation(tuple(rows), mistakes, "u", cell.gate_bias, functions)


EXPLAINED: dict[type, Callable[[Untyped], Explanation]] = {
    LSTMCell: _lstm,
    RNNCell: _rnn,
    GRUCell: _gru,
}


def explanation(cell: Cell) -> Explanation | None:
    """Return the equations of a cell, or None for a kind whose equations are not written here."""
    kind = EXPLAINED.get(type(cell))
    return None if kind is None else kind(cell)
