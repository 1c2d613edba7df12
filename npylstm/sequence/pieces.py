"""Sequences in pieces: the steps of a piece together, and the state from piece to piece.

Code that computes many steps together makes arrays of as many steps. Arrays that leave the
processor's cache cost more than the calls they save, and attention costs T numbers a step. So a
long sequence is cut, and each piece starts from the state that the piece before it left.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias

from npylstm.backend import AnyArray, Array, array_module
from npylstm.cells import AnyState, Cell, Params, State
from npylstm.sequence.unroll import Lengths, add_params, alive_mask, check_gradients


class Piece(Protocol):
    """What a piece keeps for its way back."""

    def backward(
        self, params: Params, dhs: Array, dstate: AnyState
    ) -> tuple[Array, AnyState, Params]:
        """Carry the gradients of all h of the piece, and of the state at its end, back."""
        ...


ForwardPiece: TypeAlias = Callable[..., tuple[Array, AnyState, Piece]]
"""(cell, params, xs, state, alive) -> the h of every step, the state at the end, the piece."""


class PiecesTape(NamedTuple):
    """The pieces of a sequence in the order of time, and the steps of each except the last."""

    cell: Cell
    pieces: list[Piece]
    steps: int
    T: int
    h: Array
    alive: AnyArray | None

    def backward(
        self,
        params: Params,
        doutputs: Array | None = None,
        dstate: State | None = None,
        need_dxs: bool = True,  # noqa: ARG002  # they cost one product
    ) -> tuple[Array, AnyState, Params]:
        """Carry the loss gradient back; see `Layer.backward`."""
        cell, pieces, steps, T, h, alive = self
        check_gradients(cell, params, T, h, doutputs, dstate)
        xp = array_module(h)
        dstate = cell.zero_state(h) if dstate is None else dstate
        if doutputs is None:
            doutputs = xp.zeros((T, *h.shape), h.dtype)
        doutputs = living(doutputs, alive)
        dxs: list[Array] = []
        grads: Params = {}
        for k in reversed(range(len(pieces))):
            dhs = doutputs[k * steps : (k + 1) * steps]
            dx, dstate, its_grads = pieces[k].backward(params, dhs, dstate)
            dxs.insert(0, dx)
            grads = add_params(grads, its_grads)
        return xp.concatenate(dxs), dstate, grads


def run(
    forward: ForwardPiece,
    steps: int,
    cell: Cell,
    params: Params,
    xs: Array,
    state0: State,
    lengths: Lengths,
    keep_tape: bool,
) -> tuple[Array, AnyState, PiecesTape | None]:
    """Run a cell over a sequence, `steps` of it together; other arguments as in `unroll`."""
    alive = alive_mask(xs, lengths)
    xs = living(xs, alive)  # padding may hold anything, even NaN
    state, outputs, pieces = state0, [], []
    for start in range(0, len(xs), steps):
        part = slice(start, start + steps)
        runs = None if alive is None else alive[part]
        hs, state, piece = forward(cell, params, xs[part], state, runs)
        outputs.append(living(hs, runs))
        if keep_tape:
            pieces.append(piece)
    tape = PiecesTape(cell, pieces, steps, len(xs), state[0], alive) if keep_tape else None
    return array_module(xs).concatenate(outputs), state, tape


def living(a: Array, alive: AnyArray | None) -> Array:
    """Return a (T, B, n) with zeros at the steps that a sequence does not take."""
    if alive is None:
        return a
    xp = array_module(a)
    return xp.where(beside(alive, a), a, xp.zeros_like(a))


def beside(alive: AnyArray, a: Array) -> AnyArray:
    """View alive (T, B, 1) with as many axes of independent networks as a (T, S, B, n) has."""
    return alive.reshape(len(alive), *(1,) * (a.ndim - 3), *alive.shape[-2:])
