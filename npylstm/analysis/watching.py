"""Look into a model at work: see what passes through each of its cells at every step."""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import DTypeLike

from npylstm.backend import Array, Rng
from npylstm.cells import AnyState, Cache, Cell, Params, StateSizes, map_state
from npylstm.models import SequenceModel
from npylstm.sequence import Recurrent, with_recurrent


@dataclass(frozen=True)
class WatchedCell(Cell):
    """A cell that computes the same as the cell inside it, and keeps what it has seen.

    Attributes
    ----------
    states : list of T named tuples
        The state after each step that has been run, first to last.
    caches : list of T tuples
        The cache of each of these steps.
    dstates : list of T named tuples
        ∂L/∂(state after the step) of each step that has been run backwards, last to first.
    dzs : list of T dicts
        ∂L/∂z of each of these steps, as from `preactivation_gradients`.
    dxs : list of T arrays
        ∂L/∂x of each of these steps.
    dstates_prev : list of T named tuples
        ∂L/∂(state before the step) of each of these steps.
    params : dict of arrays
        The parameters of the last step that has been run.
    """

    input_size: int
    hidden_size: int
    cell: Cell
    states: list[AnyState] = field(default_factory=list, compare=False)
    caches: list[Cache] = field(default_factory=list, compare=False)
    dstates: list[AnyState] = field(default_factory=list, compare=False)
    dzs: list[dict[str, Array]] = field(default_factory=list, compare=False)
    dxs: list[Array] = field(default_factory=list, compare=False)
    dstates_prev: list[AnyState] = field(default_factory=list, compare=False)
    params: Params = field(default_factory=dict, compare=False)

    @property
    def gates(self) -> tuple[str, ...]:
        """The cell's gates."""
        return self.cell.gates

    @property
    def param_shapes(self) -> dict[str, tuple[int, ...]]:
        """The cell's parameters."""
        return self.cell.param_shapes

    @property
    def state_sizes(self) -> StateSizes:
        """The cell's state."""
        return self.cell.state_sizes

    def init(self, rng: Rng = None, dtype: DTypeLike = np.float64) -> Params:
        """Draw the cell's parameters."""
        return self.cell.init(rng, dtype)

    def forward(self, params: Params, x: Array, state: AnyState) -> tuple[AnyState, Cache]:
        """Run one step, and keep its state and its cache."""
        state, cache = self.cell.forward(params, x, state)
        self.states.append(state)
        self.caches.append(cache)
        self.params.update(params)
        return state, cache

    def backward(
        self, params: Params, cache: Cache, dstate: AnyState
    ) -> tuple[Array, AnyState, Params]:
        """Carry the gradient one step back, and keep it."""
        self.dstates.append(dstate)
        self.dzs.append(preactivation_gradients(self.cell, params, cache, dstate))
        dx, dstate_prev, grads = self.cell.backward(params, cache, dstate)
        self.dxs.append(dx)
        self.dstates_prev.append(dstate_prev)
        return dx, dstate_prev, grads


def watch(model: SequenceModel) -> tuple[SequenceModel, list[WatchedCell]]:
    """Return the same model with all its cells watched, and these cells in the model's order."""
    cells: list[WatchedCell] = []

    def watched(layer: Recurrent) -> Recurrent:
        inside = layer.cell
        cells.append(WatchedCell(inside.input_size, inside.hidden_size, inside))
        return Recurrent(cells[-1])

    layer = with_recurrent(model.recurrent, watched)
    if not cells:
        raise TypeError(f"model must have a cell inside to watch, got {model}")
    return replace(model, layer=layer), cells


def preactivation_gradients(
    cell: Cell, params: Params, cache: Cache, dstate: AnyState
) -> dict[str, Array]:
    """Return dz = ∂L/∂z of every gate at one step, where z is what the gate's φ is applied to.

    The gradient of b is dz summed over the batch. If every sequence is a batch of its own, on a
    leading axis, that sum has one term. So any cell's backward pass returns dz itself.

    Parameters
    ----------
    cell : Cell
    params : dict of arrays
    cache : tuple
    dstate : named tuple of arrays (B, H)
        As in `Cell.backward`, without leading axes.

    Returns
    -------
    dz : dict of array (B, H)
        For each of `cell.gates` its columns of dz.
    """

    def apart(a: Array) -> Array:
        return a[:, None, :] if getattr(a, "ndim", 0) == 2 else a

    _, _, grads = cell.backward(params, map_state(apart, cache), map_state(apart, dstate))
    return {gate: grads["b"][:, columns] for gate, columns in cell.gate_columns.items()}


def label(k: int, cells: list[WatchedCell], name: str) -> str:
    """Return the name of a result of cell k: `name`, after its number if there are several."""
    return name if len(cells) == 1 else f"{k}.{name}"
