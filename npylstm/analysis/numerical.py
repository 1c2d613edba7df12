"""Gradient check: compare a backward pass with derivatives from the forward pass alone.

Two ways to differentiate a function f without a backward pass, with i the imaginary unit::

    complex step           f'(θ) = Im f(θ + ih) / h                                     + O(h²)
    central differences    f'(θ) = (8 (f(θ+h) - f(θ-h)) - (f(θ+2h) - f(θ-2h))) / 12h    + O(h⁴)

The complex step (Squire & Trapp 1998) subtracts nothing. So h can be so small that only rounding
is left, and a gradient of 1e-100 is checked as sharply as a gradient of 1; but f has to take
complex numbers. Differences work for every f, but can't see a gradient that is lost in the rounding
of f.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import EllipsisType
from typing import Any, TypeAlias

import numpy as np

from npylstm.backend import AnyArray, Array, Labels, Rng
from npylstm.cells import AnyState, Cell, Params, map_state
from npylstm.checks import check_choice, check_size
from npylstm.models import SequenceModel
from npylstm.sequence import Layer, Lengths, Recurrent, as_layer, cells_inside

Number: TypeAlias = Any
"""A loss: a float or a complex number, of Python or of NumPy, or an array () of either library."""

Point: TypeAlias = Any
"""Parameters in the caller's own form, one of `Arrays`, real or complex."""

Loss: TypeAlias = Callable[[Point], Number]
"""A function from parameters to a number, complex when the parameters are complex."""

Arrays: TypeAlias = Mapping[str, Array] | Sequence[Array] | Array
"""Parameters or gradients in any form: a dict of arrays, a list of them, or one array."""

Gates: TypeAlias = Mapping[str, Mapping[str, slice]]
"""For a parameter, the columns of each gate in it: `{"b": {"i": slice(0, 4), ...}}`."""

Columns: TypeAlias = EllipsisType | tuple[EllipsisType, slice]
"""The place of a block in its parameter."""

THRESHOLDS = {"complex": 1e-12, "central": 1e-7}
"""The methods, each with the relative error that a right gradient stays below."""

Along: TypeAlias = Callable[[Array, complex], Number]
"""A function from a direction and a step to the loss there."""

_COMPLEX_STEP = 1e-20
_CENTRAL_STEP = 1e-3
_OTHER_STEPS = np.geomspace(0.1, 1e-6, 11)
_DIRECTIONS = 10


@dataclass(frozen=True)
class Row:
    """What the check found for one block.

    Attributes
    ----------
    block : str
        A parameter, or one gate's columns of it, as in `"W_x[f]"`.
    size : int
        How many entries the block has.
    every_entry : bool
        Whether each entry was checked by itself, or the block along random directions.
    errors : dict of float
        For each method the largest error, relative to the norm of the block's own gradient; NaN
        where the gradient is so small that rounding hides it from differences.
    """

    block: str
    size: int
    every_entry: bool
    errors: dict[str, float]

    @property
    def verdict(self) -> str:
        """`"ok"`, `"WRONG"`, or `"can't tell"` when no method could see the gradient."""
        told = {method: error for method, error in self.errors.items() if not math.isnan(error)}
        if not told:
            return "can't tell"
        return "ok" if all(told[method] < THRESHOLDS[method] for method in told) else "WRONG"


@dataclass(frozen=True)
class GradientReport:
    """The outcome of a gradient check; printed, it is a table.

    Attributes
    ----------
    rows : tuple of Row
        One for each block.
    """

    rows: tuple[Row, ...]

    @property
    def ok(self) -> bool:
        """Whether every block has been found right."""
        return all(row.verdict == "ok" for row in self.rows)

    def __str__(self) -> str:
        """Return the table: block, entries checked, largest relative errors, verdict."""
        lines = [["block", "entries checked", *self.rows[0].errors, "verdict"]]
        for row in self.rows:
            checked = "all" if row.every_entry else f"{_DIRECTIONS} directions in"
            errors = ["unseen" if math.isnan(e) else f"{e:.1e}" for e in row.errors.values()]
            lines.append([row.block, f"{checked} {row.size}", *errors, row.verdict])
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        )


def gradient_check(
    loss: Loss,
    params: Arrays,
    grads: Arrays,
    gates: Gates | None = None,
    method: str = "both",
    max_entries: int = 100,
    rng: Rng = 0,
) -> GradientReport:
    """Compare the gradients of any function with numerical ones.

    It needs the memory of a few copies of the parameters, for any number of entries.

    Parameters
    ----------
    loss : callable
        params -> loss, a scalar. It must be deterministic: dropout needs a fixed seed.
    params : dict of arrays, list of arrays, or array
        Where to check, in float64: float32 is too coarse for differences. The loss gets them in
        this same form. The report names the arrays of a list by their numbers, and a single array
        `"params"`.
    grads : dict of arrays, list of arrays, or array
        The gradients to check: the same form, keys and shapes.
    gates : dict, optional
        For each parameter named in it the columns of every gate, as in `Cell.gate_columns`; each
        gate gets a row of its own.
    method : str
        `"complex"`, `"central"` or `"both"`. The complex step needs an analytic function: for
        one with `abs`, a norm or `float()` in it, take `"central"`.
    max_entries : int
        A block of up to this many entries is checked entry by entry, a larger one along ten
        random directions. An entry or a direction costs one run of the loss with the complex step
        and eight with differences, so that a large block takes 91 runs with both; where the loss
        bends sharply, 44 more for a direction.
    rng : None, int or numpy.random.Generator
        The source of the random directions.

    Returns
    -------
    GradientReport
        `.ok` and, for each block, a row. An error is relative to the Euclidean norm of the block's
        own gradient, so that a vanished gradient still has to be right.

    Raises
    ------
    TypeError
        Parameters or gradients are not float64 arrays; or the loss turns complex parameters into
        a real number, so that only `method="central"` can check it.
    ValueError
        Keys or shapes differ, the method is unknown, or the loss is not a scalar.

    Examples
    --------
    >>> theta = {"w": np.array([1.0, 2.0])}
    >>> gradient_check(lambda p: (p["w"] ** 3).sum(), theta, {"w": 3 * theta["w"] ** 2}).ok
    True
    """
    check_choice("method", method, ("both", *THRESHOLDS))
    check_size("max_entries", max_entries)
    theta, form = _as_dict(params)
    slope, _ = _as_dict(grads)
    _check_arguments(theta, slope, partial(_place, params))
    rng = np.random.default_rng(rng)
    rows = []
    for block, name, columns in gate_blocks(theta, gates or {}):
        gradient = slope[name][columns].ravel()
        every_entry = gradient.size <= max_entries
        directions = _Directions(gradient.size, None if every_entry else int(rng.integers(2**32)))
        errors = {}
        if method != "central":
            along = partial(_loss_along, loss, form, theta, name, columns, np.complex128)
            slopes = _complex_slopes(along, directions)
            errors["complex"] = _relative_error(gradient, directions, slopes)
        if method != "complex":
            along = partial(_loss_along, loss, form, theta, name, columns, np.float64)
            slopes, blur = _central_slopes(along, directions)
            errors["central"] = _relative_error(gradient, directions, slopes, blur)
        rows.append(Row(block, gradient.size, every_entry, errors))
    return GradientReport(tuple(rows))


def check_layer(
    layer: Layer | Cell,
    T: int = 5,
    B: int = 3,
    lengths: Lengths = None,
    method: str = "both",
    max_entries: int = 100,
    rng: Rng = 0,
) -> GradientReport:
    """Check a layer's backward pass, or a cell's, on a random sequence.

    Everything is random and nothing is zero: weights, biases, inputs, initial state, and the
    gradients injected at every output and at the final state. ∂L/∂xs and ∂L/∂(initial state) are
    checked beside the parameters' gradients, and dropout masks are held fixed.

    Parameters
    ----------
    layer : Layer or Cell
        A bare cell is unrolled, so that its own step is checked; `Recurrent(cell)` takes a fused
        kernel if there is one.
    T, B : int
        Time steps and batch.
    lengths : sequence of int (B,) or array of bool (T, B), optional
        How many steps each sequence has, or a mask; see `npylstm.unroll`.
    method : str
    max_entries : int
        As in `gradient_check`.
    rng : None, int or numpy.random.Generator
        The source of all random numbers.

    Returns
    -------
    GradientReport
        A row for each gate's columns of each parameter, for `"xs"`, and for each array of the
        initial state, as in `"state0.c"`.
    """
    check_size("T", T)
    check_size("B", B)
    if isinstance(layer, Cell):
        layer = Recurrent(layer, path="unroll")
    rng = np.random.default_rng(rng)
    params = random_params(layer, rng)
    xs = rng.standard_normal((T, B, layer.input_size))
    # It starts in a state that it can reach: not every cell is defined for other states.
    _, state0, _ = layer.forward(params, rng.standard_normal(xs.shape), keep_tape=False)
    seed = int(rng.integers(2**32))

    outputs, state, tape = layer.forward(params, xs, state0, lengths, seed)
    doutputs, dstate = map_state(lambda a: rng.standard_normal(a.shape), (outputs, state))
    dxs, dstate0, grads = layer.backward(params, tape, doutputs, dstate)

    def loss(point: Params) -> Number:
        names = iter(named_arrays("state0", state0))
        start = map_state(lambda _: point[next(names)], state0)
        own = {name: point[name] for name in params}
        outputs, state, _ = layer.forward(own, point["xs"], start, lengths, seed)
        parts = map_state(lambda a, da: (a * da).sum(), (outputs, state), (doutputs, dstate))
        return sum(named_arrays("", parts).values())

    return gradient_check(
        loss,
        {**params, "xs": xs, **named_arrays("state0", state0)},
        {**grads, "xs": dxs, **named_arrays("state0", dstate0)},
        gate_columns(layer),
        method,
        max_entries,
        rng,
    )


def check_model(
    model: SequenceModel,
    T: int = 5,
    B: int = 3,
    lengths: Lengths = None,
    method: str = "both",
    max_entries: int = 100,
    rng: Rng = 0,
) -> GradientReport:
    """Check a whole model's gradients on a random batch with random targets.

    Parameters
    ----------
    model : SequenceModel
        Its loss and its head are included; dropout masks are held fixed.
    T, B, max_entries : int
    lengths : sequence of int (B,), optional
    method : str
    rng : None, int or numpy.random.Generator
        As in `check_layer`.

    Returns
    -------
    GradientReport
        A row for each gate's columns of each parameter, and for the head's `W_y` and `b_y`.
    """
    check_size("T", T)
    check_size("B", B)
    rng = np.random.default_rng(rng)
    params = random_params(model, rng)
    xs = rng.standard_normal((T, B, model.recurrent.input_size))
    shape = (T, B) if model.every_step else (B,)
    targets: Array | Labels
    if model.loss == "cross_entropy":
        targets = rng.integers(model.output_size, size=shape)
    else:
        targets = rng.standard_normal((*shape, model.output_size))
    seed = int(rng.integers(2**32))
    return gradient_check(
        lambda point: model.loss_and_grads(point, xs, targets, lengths, seed)[0],
        params,
        model.loss_and_grads(params, xs, targets, lengths, seed)[1],
        gate_columns(model.recurrent),
        method,
        max_entries,
        rng,
    )


@dataclass(frozen=True)
class _Directions(Sequence[Array]):
    """The directions along which a block is checked, made one at a time.

    All together would be a matrix of the block's size squared. Without a seed there is one
    direction for each entry; with a seed there are ten random directions.
    """

    size: int
    seed: int | None

    def __len__(self) -> int:
        return self.size if self.seed is None else _DIRECTIONS

    def __getitem__(self, k: Any) -> Any:  # a sequence promises slices, too
        if not 0 <= k < len(self):
            raise IndexError(k)
        if self.seed is not None:
            return np.random.default_rng([self.seed, k]).standard_normal(self.size)
        unit = np.zeros(self.size)
        unit[k] = 1
        return unit


Form: TypeAlias = Callable[[Params], Point]
"""Parameters as a dict -> their original form."""


def _as_dict(arrays: Point) -> tuple[Params, Form]:
    """Return arrays as a dict, and a function from such a dict to their original form."""
    if isinstance(arrays, Mapping):
        return dict(arrays), lambda named: named
    if isinstance(arrays, list | tuple):
        kind = type(arrays)
        make = kind._make if hasattr(kind, "_make") else kind
        return {str(k): a for k, a in enumerate(arrays)}, lambda named: make(named.values())
    single = np.asarray(arrays) if isinstance(arrays, float) else arrays
    return {"params": single}, lambda named: named["params"]


def _place(arrays: Point, name: str) -> str:
    """Return how an array is reached in its original form: ['W'] in a dict, [0] in a list."""
    if isinstance(arrays, Mapping):
        return f"[{name!r}]"
    return f"[{name}]" if isinstance(arrays, list | tuple) else ""


def _loss_along(
    loss: Loss,
    form: Form,
    params: Params,
    name: str,
    columns: Columns,
    dtype: type,
    direction: Array,
    step: complex,
) -> Number:
    """Return the loss after a block of one parameter has moved by step · direction.

    The loss may write into its arrays, because they are copies.
    """
    point: dict[str, AnyArray] = {key: array.astype(dtype) for key, array in params.items()}
    point[name][columns] += step * direction.reshape(point[name][columns].shape)
    value = loss(form(point))
    if np.shape(value) != ():
        raise ValueError(f"loss must return a scalar, got an array of shape {np.shape(value)}")
    return value.item() if hasattr(value, "item") else value


def _complex_slopes(along: Along, directions: "_Directions") -> Array:
    """Return f' along each direction by the complex step."""
    h = _COMPLEX_STEP
    try:
        values = [along(direction, 1j * h) for direction in directions]
    except TypeError as error:
        raise TypeError(
            f"loss must take complex parameters, got {error}; "
            "method='central' does without complex numbers"
        ) from error
    if not all(map(np.iscomplexobj, values)):
        raise TypeError(
            "loss must be complex for complex parameters, got a real number; "
            "method='central' does without complex numbers"
        )
    return np.imag(values) / h


def _central_slopes(along: Along, directions: "_Directions") -> tuple[Array, float]:
    """Return f' along each direction by differences, and how far rounding of f may blur it.

    If half the step gives another slope, because f bends or has a kink nearby, the direction gets
    its own step: the step whose slope differs least from its neighbours' slopes. A larger step errs
    by the shape of f, a smaller step by its rounding.
    """

    def slope(direction: Array, h: float) -> Number:
        near = along(direction, h) - along(direction, -h)
        far = along(direction, 2 * h) - along(direction, -2 * h)
        return (8 * near - far) / (12 * h)

    h = _CENTRAL_STEP
    slopes = np.array([slope(direction, h) for direction in directions])
    halved = np.array([slope(direction, h / 2) for direction in directions])
    doubtful = np.abs(slopes - halved) > THRESHOLDS["central"] / 10 * np.abs(slopes).max(initial=0)
    for k in np.flatnonzero(doubtful):
        trials = np.array([slope(directions[k], step) for step in _OTHER_STEPS])
        changes = np.abs(np.diff(trials))
        best = 1 + np.argmin(np.maximum(changes[:-1], changes[1:]))
        slopes[k], h = trials[best], min(h, _OTHER_STEPS[best])
    rounding = 100 * np.finfo(float).eps * abs(along(np.zeros(directions.size), h))
    return slopes, rounding / h


def _relative_error(
    gradient: Array, directions: "_Directions", slopes: Array, blur: float = 0.0
) -> float:
    """Return the largest error, relative to the gradient's norm; NaN if rounding explains it."""
    if not (np.isfinite(gradient).all() and np.isfinite(slopes).all()):
        return math.inf
    steepness = np.array([direction @ gradient for direction in directions])
    error = np.abs(steepness - slopes).max(initial=0.0)
    if error == 0:
        return 0.0
    relative = float(error / max(np.linalg.norm(gradient), np.abs(slopes).max()))
    return math.nan if relative >= THRESHOLDS["central"] and error <= blur else relative


def gate_blocks(params: Params, gates: Gates) -> Iterator[tuple[str, str, Columns]]:
    """Yield each block's label, the parameter it is in, and its place there."""
    for name in params:
        columns = gates.get(name, {})
        if len(columns) < 2:
            yield name, name, ...
            continue
        for gate, place in columns.items():
            yield f"{name}[{gate}]", name, (..., place)


def gate_columns(layer: Layer | Cell) -> dict[str, dict[str, slice]]:
    """Return the gates' columns in every parameter that has them, of every cell in the layer."""
    return {
        prefix + name: cell.gate_columns
        for prefix, cell in cells_inside(as_layer(layer))
        for name in ("W_x", "W_h", "b")
    }


def random_params(part: Layer | SequenceModel, rng: np.random.Generator) -> Params:
    """Draw parameters that are all nonzero, biases and forget biases included."""
    params = part.init(rng)
    return {name: a + 0.2 * rng.standard_normal(a.shape) for name, a in params.items()}


def named_arrays(name: str, state: AnyState) -> Params:
    """Return the arrays of a state, with any nesting, by names such as `state0.c`."""
    if not isinstance(state, tuple):
        return {name: state}
    fields = getattr(state, "_fields", range(len(state)))
    parts = zip(fields, state, strict=True)
    return {
        key: a for field, part in parts for key, a in named_arrays(f"{name}.{field}", part).items()
    }


def _check_arguments(params: Params, grads: Params, place_of: Callable[[str], str]) -> None:
    if not params:
        raise ValueError("params must hold at least one array")
    if params.keys() != grads.keys():
        raise ValueError(f"grads must have the keys {sorted(params)}, got {sorted(grads)}")
    for name, array in params.items():
        place = place_of(name)
        for argument, a in (("params", array), ("grads", grads[name])):
            if getattr(a, "dtype", None) != np.float64:
                kind = getattr(a, "dtype", type(a).__name__)
                raise TypeError(f"{argument}{place} must be an array of float64, got {kind}")
        if grads[name].shape != array.shape:
            raise ValueError(f"grads{place} must have shape {array.shape}, got {grads[name].shape}")
