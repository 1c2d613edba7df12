"""All numbers of a page: one sequence, one cell, every gradient at every step.

What `numbers` returns is the page's JSON. Its arrays are lists: T steps, D inputs, H units, K
outputs.

=============== ====================================================================================
cell            the class; `options` holds its fields
params          `W_x`, `W_h`, `b`, ... as in the package; `head` holds `W_y` and `b_y`
xs              (T, D), what the cell read
gates           by name, each (T, H); for an LSTM `i`, `f`, `o`, `g`
states          by name, each (T+1, H), the initial state first; for an LSTM `h` and `c`
doutputs        (T, H), the gradient that the loss, or the layer above, injects at each step
dstates         by name, (T, H), ∂L/∂h_t and ∂L/∂c_t in full, through h_t too
dgates          by gate, (T, H), ∂L/∂z
dxs             (T, D)
loss            L of this sequence; beside it `targets`, `outputs` and the `loss_function`
values          other arrays of the equations, by name, (T, H), or (1, H) if it never changes
equations       by name: the formula, the digits that make it come out, its line of code
code            the source of a cell whose equations are not known
norms           Euclidean norms of `dh` and `dc` over the units, (T,); `rnn` has an RNN's norms
what_if         the norms with another bias of the gate that keeps the state
broken          the gradients with one term of the backward pass left out
=============== ====================================================================================
"""

from collections.abc import Sequence
from dataclasses import Field, fields, is_dataclass, replace

import numpy as np
from numpy.typing import NDArray

from npylstm.cells import Cell, RNNCell
from npylstm.explain.equations import (
    Equation,
    Explanation,
    Omission,
    constants,
    digits,
    explanation,
    work_out,
)
from npylstm.explain.recording import Example, Recording, Values, watch_steps
from npylstm.explain.source import line_of, read, with_mistake
from npylstm.files import JSON

BIASES = np.arange(-2, 5.5, 0.5)
"""The biases that the page has computed beforehand."""

LIMIT = 4_000_000
"""How many numbers a page may hold; each takes about 15 bytes."""

_PER_UNIT = 100  # numbers for each unit at each step, all equations and mistakes together


def numbers(example: Example, cell: int = -1, rnn: Example | None = None) -> dict[str, JSON]:
    """Compute all numbers of a page, as lists that JSON can hold.

    Parameters
    ----------
    example : Example
        The model and what it reads.
    cell : int
        Which of the model's cells.
    rnn : Example, optional
        A tanh RNN trained in the same way. Without it the page draws the curve of a new RNN, which
        reads what the cell reads and gets the same gradient from above.

    Raises
    ------
    ValueError
        The model has no such cell, a number is not finite, or there are more numbers than a page
        can hold.
    """
    _check_size(example)
    seen = example.record(cell)
    explained = explanation(seen.cell)
    try:
        values = _values(explained, seen)
    except ArithmeticError:  # an option whose equations are not written here
        explained, values = None, _values(None, seen)
    states = type(seen.cell.zero_state(seen.xs))._fields
    gates = [gate for gate in seen.cell.gates if gate in values]
    dstates = {s: values.get(f"d{s}", values[f"d{s}_next"]) for s in states}
    exact = {
        "params": seen.params,
        "head": {name: example.params[name] for name in ("W_y", "b_y")},
        "xs": seen.xs,
    }
    rounded = {
        "cell": type(seen.cell).__name__,
        "options": {f.name: getattr(seen.cell, f.name) for f in _fields(seen.cell)},
        "loss_function": example.model.loss,
        "every_step": example.model.every_step,
        "targets": example.targets[:, 0] if example.model.every_step else example.targets[0],
        "outputs": seen.outputs,
        "gates": {gate: values[gate] for gate in gates},
        "states": {s: np.vstack([values[f"{s}_prev"][:1], values[s]]) for s in states},
        "doutputs": seen.doutputs,
        "dstates": dstates,
        "dgates": {gate: values[f"dz_{gate}"] for gate in seen.cell.gates},
        "dxs": values["dx"],
        "loss": seen.loss,
        "values": _others(explained, seen, values),
        "norms": _norms(dstates),
        "rnn": _beside(seen, rnn),
    }
    if explained is None:
        code = [read(type(seen.cell).forward)[0], read(type(seen.cell).backward)[0]]
        rounded |= {"equations": {}, "code": code, "what_if": None, "broken": {}}
    else:
        rounded |= {
            "equations": _equations(explained, seen, values, explained.rows),
            "code": [],
            "what_if": _what_if(explained, example, cell, seen),
            "broken": {m.name: _broken(explained, m, seen) for m in explained.mistakes},
        }
    return {name: _plain(value, exact=True) for name, value in exact.items()} | {
        name: _plain(value) for name, value in rounded.items()
    }


def _check_size(example: Example) -> None:
    T, H = len(example.xs), max(cell.hidden_size for cell in example.model.recurrent.cells)
    count = sum(array.size for array in example.params.values()) + T * H * _PER_UNIT
    if count > LIMIT:
        raise ValueError(
            f"model and xs must make a page of at most {LIMIT:,} numbers, got some {count:,} from "
            f"T = {T} steps of H = {H} units: take fewer steps or a smaller model"
        )


def _values(explained: Explanation | None, seen: Recording) -> Values:
    """Return what was seen, and what the equations add."""
    known = seen.values | {"doutput": seen.doutputs}
    return known if explained is None else work_out(explained, seen.params, seen.cell, known)


def _others(explained: Explanation | None, seen: Recording, values: Values) -> dict[str, JSON]:
    """Return what is nowhere else in the JSON, and the biases, which never change."""
    states = type(seen.cell.zero_state(seen.xs))._fields
    told = {"x", "dx", "doutput", *seen.cell.gates, *(f"dz_{gate}" for gate in seen.cell.gates)}
    for s in states:  # the page finds what a step gets from its neighbours in those steps
        told |= {s, f"{s}_prev", f"d{s}", f"d{s}_next"}
    parts = constants(seen.params, seen.cell) if explained else {}
    biases = {name: b[None] for name, b in parts.items() if b.ndim == 1}
    return biases | {name: value for name, value in values.items() if name not in told}


def _equations(
    explained: Explanation, seen: Recording, values: Values, rows: Sequence[Equation]
) -> dict[str, JSON]:
    """Return each row's formula, line of code, and digits: a string for each step, base 36."""
    known = values | constants(seen.params, seen.cell)
    return {
        row.name: {
            "formula": row.formula,
            "code": line_of(type(seen.cell), row.place, row.uses),
            "digits": [
                "".join(map(_BASE36.__getitem__, step))
                for step in digits(row, known, explained.functions)
            ],
        }
        for row in rows
        if row.place
    }


def _norms(dstates: Values) -> Values:
    return {f"d{name}": _norm(d) for name, d in dstates.items()}


def _norm(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each row's Euclidean norm, even where the squares are too small to be numbers."""
    largest = np.abs(rows).max(axis=1)
    scale = np.where(largest > 0, largest, 1)
    norms: NDArray[np.float64] = scale * np.linalg.norm(rows / scale[:, None], axis=1)
    return norms


def _beside(seen: Recording, rnn: Example | None) -> dict[str, JSON]:
    """Return the norms of an RNN, and whether it was trained."""
    if rnn is not None:
        return {"trained": True, "dh": _norm(rnn.record().values["dh"])}
    other = RNNCell(seen.xs.shape[1], seen.doutputs.shape[1])
    dh = watch_steps(other, other.init(0), seen.xs, seen.doutputs)["dh"]
    return {"trained": False, "dh": _norm(dh)}


def _what_if(
    explained: Explanation, example: Example, cell: int, seen: Recording
) -> dict[str, JSON] | None:
    """Return the norms of the gradient with other biases of the gate that keeps the state.

    Nothing else changes: each bias of that gate moves by as much as its initial value would.
    """
    if not explained.keep:
        return None
    cases = []
    for bias in BIASES:
        b = example.params[seen.bias].copy()
        b[seen.cell.gate_columns[explained.keep]] += bias - explained.keep_bias
        moved = replace(example, params=example.params | {seen.bias: b}).record(cell)
        values = _values(explained, moved)
        states = {s: values[f"d{s}"] for s in type(moved.cell.zero_state(moved.xs))._fields}
        gate = values[explained.keep].mean(axis=1)
        cases.append({"bias": bias, "loss": moved.loss, "gate": gate, "norms": _norms(states)})
    return {"gate": explained.keep, "start": explained.keep_bias, "cases": cases}


def _broken(explained: Explanation, mistake: Omission, seen: Recording) -> dict[str, JSON]:
    """Return the gradients with a mistake in the backward pass."""
    wrong = explained.with_mistake(mistake)
    cell = with_mistake(seen.cell, mistake.old, mistake.new)
    known = watch_steps(cell, seen.params, seen.xs, seen.doutputs) | {"doutput": seen.doutputs}
    values = work_out(wrong, seen.params, seen.cell, known)
    rows = [row for row in wrong.rows if row.name.startswith("d")]
    equations = _equations(wrong, seen, values, rows)
    changed = {name: v for name, v in values.items() if name.startswith("d") and name != "doutput"}
    states = {s: values[f"d{s}"] for s in type(seen.cell.zero_state(seen.xs))._fields}
    for name, equation in equations.items():
        del equation["code"]
        if name not in mistake.formulas:
            del equation["formula"]
    return {
        "old": mistake.old,
        "new": mistake.new,
        "rows": list(mistake.formulas),
        "values": {name: v for name, v in changed.items() if not name.endswith("_next")},
        "equations": equations,
        "norms": _norms(states),
    }


def _fields(cell: Cell) -> tuple[Field[object], ...]:
    return fields(cell) if is_dataclass(cell) else ()


_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"


def _plain(value: JSON, exact: bool = False) -> JSON:
    """Return arrays as lists, of 12 significant digits or exact, and other values as they are."""
    if isinstance(value, dict):
        return {name: _plain(item, exact) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, exact) for item in value]
    if isinstance(value, np.generic | np.ndarray) and value.ndim == 0:
        return value.item()
    if not isinstance(value, np.ndarray):
        return value if isinstance(value, str | int | float | bool | None) else str(value)
    if value.dtype.kind != "f" or exact:
        return value.tolist()
    flat = [float(f"{number:.12g}") for number in value.ravel().tolist()]
    array = np.empty(len(flat), object)
    array[:] = flat
    return array.reshape(value.shape).tolist()
