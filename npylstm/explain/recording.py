"""One sequence on its way through one cell of a model, forward and back, in float64."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from npylstm.analysis import WatchedCell, watch
from npylstm.backend import AnyArray, Array, to_numpy
from npylstm.cells import Cell, Params
from npylstm.checks import check_array
from npylstm.models import SequenceModel
from npylstm.sequence import Lengths, check_lengths, unroll, unroll_backward

Values = dict[str, NDArray[np.float64]]
"""What has been seen at every step, by name: each (T, width)."""


@dataclass(frozen=True, eq=False)
class Recording:
    """What one cell of a model did with one sequence.

    Attributes
    ----------
    cell : Cell
        The cell.
    params : dict of arrays
        Its parameters.
    bias : str
        The name of its `b` in the parameters of the model, if it has one.
    xs : array (T, D)
        What it read.
    doutputs : array (T, H)
        ∂L/∂h_t from the head or the layer above, which reads h_t.
    loss : float
        The sequence's own loss L.
    outputs : array (K,), or (T, K) with `every_step`
        The model's outputs.
    values : dict of arrays (T, width)
        See `watch_steps`.
    """

    cell: Cell
    params: Params
    bias: str
    xs: NDArray[np.float64]
    doutputs: NDArray[np.float64]
    loss: float
    outputs: AnyArray
    values: Values


@dataclass(frozen=True, eq=False)
class Example:
    """A model, one sequence for it to read, and the right answer; all are checked.

    Attributes
    ----------
    model : SequenceModel
    params : dict of arrays
        All the model's parameters, in float64.
    xs : array (T, 1, D)
        The sequence, without padding.
    targets : array
        Its targets, in a batch of one.
    """

    model: SequenceModel
    params: Params
    xs: NDArray[np.float64]
    targets: AnyArray

    @classmethod
    def of_batch(
        cls,
        model: SequenceModel,
        params: Params,
        xs: Array,
        targets: AnyArray,
        lengths: Lengths = None,
        sequence: int = 0,
    ) -> "Example":
        """Take sequence number `sequence` out of a batch, without its padding."""
        if not isinstance(model, SequenceModel):
            raise TypeError(f"model must be a SequenceModel, got {type(model).__name__}")
        check_array("xs", xs, ("T", "B", model.recurrent.input_size))
        if xs.ndim != 3 or 0 in xs.shape or xs.dtype.kind != "f":
            raise ValueError(
                f"xs must be real and have shape (T, B, D), none zero, got {xs.dtype} {xs.shape}"
            )
        T, B = xs.shape[:2]
        check_index("sequence", sequence, B)
        if lengths is not None:
            check_lengths("lengths", lengths, T, B)
            T = int(np.asarray(lengths)[sequence])
            if T == 0:
                raise ValueError(f"lengths must be 1 at least for sequence {sequence}, got 0")
        check_finite("xs", xs[:T, sequence])
        if not isinstance(params, Mapping):
            raise TypeError(f"params must be a dict of arrays, got {type(params).__name__}")
        for name, array in params.items():
            if to_numpy(array).dtype.kind != "f":
                raise TypeError(
                    f"params[{name!r}] must hold real floating-point numbers, got "
                    f"{to_numpy(array).dtype}"
                )
            check_finite(f"params[{name!r}]", array)
        batch_axis = 1 if model.every_step else 0
        shape = getattr(targets, "shape", None)
        if shape is None or len(shape) <= batch_axis or shape[batch_axis] != B:
            wanted = "(T, B) or (T, B, K)" if model.every_step else "(B,) or (B, K)"
            raise ValueError(f"targets must be an array {wanted} with B = {B}, got {shape}")
        only = slice(sequence, sequence + 1)
        return cls(
            model,
            {name: to_numpy(array).astype(np.float64) for name, array in params.items()},
            to_numpy(xs[:T, only]).astype(np.float64),
            to_numpy(targets[:T, only] if model.every_step else targets[only]),
        )

    def record(self, cell: int = -1) -> Recording:
        """Run the model there and back, and return what its cell number `cell` did.

        Raises
        ------
        ValueError
            There is no such cell, or a number on the way is not finite.
        """
        watched, cells = watch(self.model)
        check_index("cell", cell, len(cells), low=-len(cells))
        for inside in cells:
            if inside.gates and "b" not in inside.param_shapes:
                raise ValueError(
                    "model must be made of cells whose gates have a bias b, got "
                    f"{type(inside.cell).__name__} with {', '.join(inside.param_shapes)}"
                )
        with np.errstate(over="ignore", invalid="ignore"):
            loss, _ = watched.loss_and_grads(self.params, self.xs, self.targets)
            outputs = self.model.predict(self.params, self.xs)
        seen = cells[cell]
        own = dict(seen.params)
        bias = next((name for name, b in self.params.items() if b is own.get("b")), "")
        values = values_of(seen)
        for name, array in ({"loss": loss} | values).items():
            check_finite(f"the network's {name}", array)
        answer = to_numpy(outputs)[:, 0] if self.model.every_step else to_numpy(outputs)[0]
        doutputs = values["dh"] - values["dh_next"]
        xs = values["x"]
        return Recording(seen.cell, own, bias, xs, doutputs, float(loss), answer, values)


def watch_steps(cell: Cell, params: Params, xs: Array, doutputs: Array) -> Values:
    """Run a cell over xs (T, D) and back from doutputs (T, H); return everything that was seen.

    Returns
    -------
    dict of arrays (T, width)
        What the cell's cache holds, under the same names. For each part s of the state: `s` after
        the step, `s_prev` before it, `ds_next`, which reaches s from the step after, and `ds_prev`,
        which goes on to the step before. Also `dh`, all that reaches h_t; `dz_i`, ... for each
        gate; and `dx`.
    """
    watched = WatchedCell(cell.input_size, cell.hidden_size, cell)
    _, _, tape = unroll(watched, params, xs[:, None])
    unroll_backward(watched, params, tape, doutputs[:, None])
    return values_of(watched)


def values_of(seen: WatchedCell) -> Values:
    """Return what a watched cell has seen of one sequence: see `watch_steps`."""
    caches, states = seen.caches, seen.states
    dstates, dstates_prev = seen.dstates[::-1], seen.dstates_prev[::-1]
    zero = seen.cell.zero_state(caches[0][0])
    values: Values = {"x": _steps(cache[0] for cache in caches)}
    for name in getattr(caches[0], "_fields", ()):
        first = getattr(caches[0], name)
        if isinstance(first, np.ndarray) and first.ndim == 2:
            values[name] = _steps(getattr(cache, name) for cache in caches)
    for name in type(zero)._fields:
        start = getattr(zero, name)
        after = [getattr(state, name) for state in states]
        values |= {name: _steps(after), f"{name}_prev": _steps([start, *after[:-1]])}
        to_previous = [getattr(dstate, name) for dstate in dstates_prev]
        values[f"d{name}_prev"] = _steps(to_previous)
        values[f"d{name}_next"] = _steps([*to_previous[1:], np.zeros_like(start)])
    values["dh"] = _steps(dstate.h for dstate in dstates)
    for gate in seen.cell.gates:
        values[f"dz_{gate}"] = _steps(dz[gate] for dz in seen.dzs[::-1])
    return values | {"dx": _steps(seen.dxs[::-1])}


def check_index(name: str, value: object, stop: int, low: int = 0) -> None:
    """Raise ValueError unless `value` is an integer in [low, stop)."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        raise ValueError(f"{name} must be an integer, got {value!r}")
    if not low <= value < stop:
        raise ValueError(f"{name} must be {low} to {stop - 1}, got {value}")


def check_finite(name: str, array: Array) -> None:
    """Raise ValueError if an array holds NaN or infinity."""
    finite = np.isfinite(to_numpy(array))
    if not finite.all():
        place = tuple(int(k) for k in np.argwhere(~finite)[0])
        raise ValueError(f"{name} must be finite, got NaN or infinity, first at {place}")


def _steps(rows: Iterable[Array]) -> NDArray[np.float64]:
    """Stack rows (1, width), one a step, to (T, width)."""
    return np.concatenate(list(rows), dtype=np.float64)
