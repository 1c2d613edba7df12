"""The loop over time: any cell forward through a sequence, and back-propagation through time."""

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from npylstm.backend import AnyArray, Array, array_module, to_numpy
from npylstm.cells import AnyState, Cache, Cell, Params, State, StateT, map_state, unchecked
from npylstm.checks import check_array, check_precision, check_size

Lengths: TypeAlias = Sequence[int] | NDArray[np.integer | np.bool_] | None
"""How many steps each of B sequences has, or a mask (T, B), False at steps to skip; None for all T.

A skipped step, before, between or past the others, carries the state on unchanged and puts out
zeros, as in TensorFlow 1's `dynamic_rnn`. (Keras's masks treat the state alike, but repeat the last
output.) Its input may hold anything, and nothing is sent back to it.
"""

MaybeNone: TypeAlias = Any
"""In `X | MaybeNone`: X, or None if the caller asked for None. `X | None` would make all callers
test for it, and overloads would double the signature in every layer."""


@dataclass(frozen=True)
class Tape:
    """What a forward pass over a sequence keeps for its backward pass.

    Attributes
    ----------
    cell : Cell
        The cell that was run.
    caches : list of T tuples
        Each step's cache.
    alive : array of bool (T, B, 1) or None
        True where a sequence takes step t; None when all take every step.
    state_mask : array (T, B, H) or None
        The factors on h when it left each step.
    truncation : tuple of int or None
        k1 and k2 of `truncated_backward`, for a gradient that `backward` truncates.
    """

    cell: Cell
    caches: list[Cache]
    alive: Array | None
    state_mask: Array | None
    truncation: tuple[int, int] | None = None

    def window(self, start: int, stop: int) -> "Tape":
        """Return the tape of steps `start` to `stop` - 1 alone."""
        return Tape(
            self.cell,
            self.caches[start:stop],
            None if self.alive is None else self.alive[start:stop],
            None if self.state_mask is None else self.state_mask[start:stop],
        )

    def truncated(self, truncation: tuple[int, int] | None) -> "Tape":
        """Return the same tape with a `backward` that carries gradients back at most k2 steps."""
        return replace(self, truncation=truncation)

    def backward(
        self,
        params: Params,
        doutputs: Array | None = None,
        dstate: State | None = None,
        need_dxs: bool = True,  # noqa: ARG002  # a cell always returns dx
    ) -> tuple[Array, AnyState, Params]:
        """Carry the loss gradient back; see `Layer.backward`."""
        if self.truncation is None:
            return unroll_backward(self.cell, params, self, doutputs, dstate)
        if doutputs is None:
            h = self.cell.zero_state(self.caches[0][0])[0]
            doutputs = array_module(h).stack([h] * len(self.caches))
        k1, k2 = self.truncation
        return truncated_backward(self.cell, params, self, doutputs, k1, k2, dstate)


@overload
def unroll(
    cell: Cell[StateT],
    params: Params,
    xs: Array,
    state0: StateT | None = None,
    lengths: Lengths = None,
    state_mask: Array | None = None,
    keep_tape: Literal[True] = True,
) -> tuple[Array, StateT, Tape]: ...
@overload
def unroll(
    cell: Cell[StateT],
    params: Params,
    xs: Array,
    state0: StateT | None = None,
    lengths: Lengths = None,
    state_mask: Array | None = None,
    keep_tape: bool = True,
) -> tuple[Array, StateT, Tape | None]: ...
def unroll(
    cell: Cell[StateT],
    params: Params,
    xs: Array,
    state0: StateT | None = None,
    lengths: Lengths = None,
    state_mask: Array | None = None,
    keep_tape: bool = True,
) -> tuple[Array, StateT, Tape | None]:
    """Run a cell over a sequence.

    Parameters
    ----------
    cell : Cell
        Any cell.
    params : dict of arrays
        The cell's parameters. With one more axis of size S in front of each, they belong to S
        independent networks. Then time comes first and S second in sequences, xs (T, S, B, D) and
        outputs (T, S, B, H), and S first in states, (S, B, H).
    xs : array (T, B, D)
        The inputs, time first.
    state0 : named tuple of arrays (B, H), optional
        The initial state; zeros by default.
    lengths : sequence of int (B,) or array of bool (T, B), optional
        How many steps each sequence has, 0 to T. Past the end of a sequence its outputs are zero
        and its state stays unchanged, as in TensorFlow's `dynamic_rnn`. Or a mask: where it is
        False, the sequence skips the step in the same way.
    state_mask : array (T, B, H), optional
        Factors on the h that goes to the next step (dropout of the state); c stays unchanged.
    keep_tape : bool
        If False, every step's cache is forgotten at once: inference in constant memory.

    Returns
    -------
    outputs : array (T, B, H)
        h at every step.
    state : named tuple of arrays (B, H)
        The state after the last step.
    tape : Tape or None
        What `unroll_backward` needs; None without `keep_tape`.

    Raises
    ------
    TypeError
        Inputs, states or factors are not floating-point arrays.
    ValueError
        Shapes do not fit, a length is outside 0..T, or a mask is not boolean (T, B).
    """
    state = check_entrance(cell, params, xs, state0, state_mask)
    return unroll_steps(cell, params, xs, state, lengths, state_mask, keep_tape)


def unroll_steps(
    cell: Cell,
    params: Params,
    xs: Array,
    state: AnyState,
    lengths: Lengths,
    state_mask: Array | None,
    keep_tape: bool,
) -> tuple[Array, AnyState, Tape | None]:
    """Do what `unroll` does with arguments that have been checked and a state to start from."""
    xp, step = array_module(xs), unchecked(cell).forward
    alive = alive_mask(xs, lengths)

    outputs, caches = [], []
    for t, x in enumerate(xs):
        if alive is not None:
            x = xp.where(alive[t], x, xp.zeros_like(x))  # padding may hold anything, even NaN
        new_state, cache = step(params, x, state)
        output = new_state[0]
        if state_mask is not None:
            new_state = new_state._replace(h=output * state_mask[t])
        if alive is not None:
            output = xp.where(alive[t], output, xp.zeros_like(output))
            new_state = _choose(alive[t], new_state, state)
        state = new_state
        outputs.append(output)
        if keep_tape:
            caches.append(cache)
    tape = Tape(cell, caches, alive, state_mask) if keep_tape else None
    return xp.stack(outputs), state, tape


def backward_steps(
    cell: Cell,
    params: Params,
    tape: Tape,
    doutputs: Array | None = None,
    dstate: AnyState = None,
) -> Iterator[tuple[int, AnyState, Array, AnyState, Params]]:
    """Walk back through time, one step at a time; `unroll_backward` adds up the results.

    Yields
    ------
    t : int
        The step, from T - 1 down to 0.
    dstate : named tuple of arrays (B, H)
        ∂L/∂(state after step t), from step t and all later steps.
    dx : array (B, D)
        ∂L/∂x_t.
    dstate_prev : named tuple of arrays (B, H)
        ∂L/∂(state before step t), from step t and all later steps.
    grads : dict of arrays
        The parameters' gradients from step t alone.
    """
    _check_tape(cell, tape)
    check_gradients(cell, params, len(tape.caches), tape.caches[-1][0], doutputs, dstate)
    dstate = cell.zero_state(tape.caches[-1][0]) if dstate is None else dstate
    xp = array_module(dstate[0])
    for t in reversed(range(len(tape.caches))):
        carried = dstate
        if tape.alive is not None:
            dstate = _choose(tape.alive[t], dstate, map_state(xp.zeros_like, dstate))
        if tape.state_mask is not None:
            dstate = dstate._replace(h=dstate.h * tape.state_mask[t])
        if doutputs is not None:
            dh = doutputs[t]
            if tape.alive is not None:
                dh = xp.where(tape.alive[t], dh, xp.zeros_like(dh))
            dstate = dstate._replace(h=dstate.h + dh)

        dx, dstate_prev, grads = cell.backward(params, tape.caches[t], dstate)
        if tape.alive is not None:
            dstate_prev = _choose(tape.alive[t], dstate_prev, carried)
        yield t, dstate, dx, dstate_prev, grads
        dstate = dstate_prev


def unroll_backward(
    cell: Cell[StateT],
    params: Params,
    tape: Tape,
    doutputs: Array | None = None,
    dstate: StateT | None = None,
) -> tuple[Array, StateT, Params]:
    """Back-propagate through time (Werbos 1990; Graves 2012, sec. 3.2.2).

    Parameters
    ----------
    cell : Cell
    params : dict of arrays
        As in `unroll`.
    tape : Tape
        What `unroll` returned; it is not changed and may be used again.
    doutputs : array (T, B, H), optional
        ∂L/∂outputs, injected at every step; zeros by default.
    dstate : named tuple of arrays (B, H), optional
        ∂L/∂(final state); zeros by default.

    Returns
    -------
    dxs : array (T, B, D)
        ∂L/∂xs.
    dstate0 : named tuple of arrays (B, H)
        ∂L/∂(initial state).
    grads : dict of arrays
        ∂L/∂(each parameter), summed over time and batch.

    Raises
    ------
    TypeError, ValueError
        Parameters or the tape belong to another cell, or gradients do not fit.
    """
    dxs: list[Array] = []
    total: Params = {}
    for _, _, dx, dstate_prev, grads in backward_steps(cell, params, tape, doutputs, dstate):
        dxs.append(dx)
        total = add_params(total, grads)
        dstate0 = dstate_prev
    return array_module(dx).stack(dxs[::-1]), dstate0, total


def truncated_backward(
    cell: Cell[StateT],
    params: Params,
    tape: Tape,
    doutputs: Array,
    k1: int,
    k2: int,
    dstate: StateT | None = None,
) -> tuple[Array, StateT, Params]:
    """Back-propagate through truncated time: BPTT(k2; k1) of Williams & Peng (1990).

    Every k1 steps, counted from the end, the gradients injected in the last k1 steps are carried
    back through at most k2 steps.

    Parameters
    ----------
    cell : Cell
    params : dict of arrays
    tape : Tape
    doutputs : array (T, B, H)
        As in `unroll_backward`.
    k1 : int
        Steps from one backward pass to the next.
    k2 : int
        Steps that each backward pass covers, at least k1.
    dstate : named tuple of arrays (B, H), optional
        As in `unroll_backward`; the last pass carries it back.

    Returns
    -------
    dxs : array (T, B, D)
        The truncated ∂L/∂xs.
    dstate0 : named tuple of arrays (B, H)
        The truncated ∂L/∂(initial state).
    grads : dict of arrays
        The truncated ∂L/∂(each parameter).

    Raises
    ------
    ValueError
        k1 or k2 is below one, or k2 < k1, which would leave out some gradients altogether.
    TypeError, ValueError
        As in `unroll_backward`.
    """
    check_truncation(k1, k2)
    _check_tape(cell, tape)
    T, x = len(tape.caches), tape.caches[-1][0]
    check_gradients(cell, params, T, x, doutputs, dstate)
    dxs: list[Array] = [array_module(x).zeros_like(x)] * T
    dstate0 = cell.zero_state(x)
    total: Params = {}
    for stop in range(T, 0, -k1):
        start = max(stop - k2, 0)
        injected = doutputs[start:stop].copy()
        injected[: max(stop - k1, 0) - start] = 0
        last = dstate if stop == T else None
        steps = backward_steps(cell, params, tape.window(start, stop), injected, last)
        for t, _, dx, dstate_prev, grads in steps:
            dxs[start + t] = dxs[start + t] + dx
            total = add_params(total, grads)
            passed = dstate_prev
        if start == 0:
            dstate0 = map_state(operator.add, dstate0, passed)
    return array_module(x).stack(dxs), dstate0, total


def _check_tape(cell: Cell, tape: object) -> None:
    # A check of an argument, which picks no path: what follows reads the caches of single steps,
    # and other paths keep none. `Recurrent.backward` takes any tape, which knows its own way back.
    if not isinstance(tape, Tape):
        kind = type(tape).__name__
        raise TypeError(f"tape must be from unroll with keep_tape=True, got {kind}")
    if tape.cell != cell:
        raise ValueError(f"tape must be from {cell}, got one from {tape.cell}")


def check_truncation(k1: int, k2: int) -> None:
    """Raise ValueError unless k1 and k2 are whole numbers with 1 <= k1 <= k2."""
    check_size("k1", k1)
    check_size("k2", k2)
    if k2 < k1:
        raise ValueError(f"k2 must be at least k1 = {k1}, got {k2}")


def add_params(total: Params, grads: Params) -> Params:
    """Return the sum of two dictionaries of gradients; an empty one counts as zeros."""
    return {name: total[name] + grads[name] for name in grads} if total else grads


def check_entrance(
    cell: Cell, params: Params, xs: Array, state0: AnyState, state_mask: Array | None = None
) -> AnyState:
    """Check the arguments of a forward pass, once for all steps; return the initial state.

    Raises
    ------
    TypeError, ValueError
        As `unroll`.
    """
    check_sequence(xs, cell.input_size)
    state0 = cell.zero_state(xs[0]) if state0 is None else state0
    cell.check(params, xs[0], state0)
    if state_mask is not None:
        _check_steps("state_mask", state_mask, (*xs.shape[:-1], cell.output_size))
    return state0


def networks_of(cell: Cell, params: Params, xs: Array, state0: State) -> tuple[int, ...]:
    """Return the axes of independent networks that parameters, inputs and states have together."""
    fronts = {params[name].shape[: -len(shape)] for name, shape in cell.param_shapes.items()}
    return np.broadcast_shapes(*{xs.shape[1:-2], *fronts, *(s.shape[:-2] for s in state0)})


def check_sequence(xs: Array, input_size: int) -> None:
    """Raise TypeError or ValueError unless xs is floating, (T, B, D) and has at least one step."""
    check_array("xs", xs, ("T", "B", input_size))
    if len(xs) == 0:
        raise ValueError(f"xs must have at least one time step, got shape {xs.shape}")


def check_gradients(
    cell: Cell, params: Params, T: int, x: Array, doutputs: Array | None, dstate: AnyState
) -> None:
    """Raise TypeError or ValueError unless all that goes into a backward pass fits together.

    The parameters are the cell's, the gradients fit outputs of T steps and the state, and all have
    the precision of the tape. `x` is an array (B, n) of the forward pass, with the axes of
    independent networks in front.
    """
    cell.check_params(params)
    batch = x.shape[:-1]
    if doutputs is not None:
        _check_steps("doutputs", doutputs, (T, *batch, cell.output_size))
    if dstate is not None:
        cell.check_state("dstate", dstate, batch[-1])
    given = {f"params[{name!r}]": w for name, w in params.items()}
    given |= {} if doutputs is None else {"doutputs": doutputs}
    check_precision({"the tape": x} | given | _named("dstate", dstate))


def _named(name: str, state: AnyState) -> dict[str, Array]:
    return {} if state is None else {f"{name}.{f}": s for f, s in state._asdict().items()}


def _check_steps(name: str, array: Array, shape: tuple[int, ...]) -> None:
    """Raise TypeError or ValueError unless the first and the last two axes are as in `shape`.

    These are T, B and a width; the axes of independent networks come after T.
    """
    check_array(name, array, ())
    if array.ndim < 3 or (len(array), *array.shape[-2:]) != (shape[0], *shape[-2:]):
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")


def check_lengths(name: str, lengths: Lengths, T: int, B: int) -> AnyArray | None:
    """Return `lengths` as an array; raise ValueError unless they are B integers from 0 to T."""
    if lengths is None:
        return None
    ends = own_array(lengths)
    whole = ends.dtype.kind in "iu" or ends.size == 0
    if ends.shape != (B,) or not whole or ((ends < 0) | (ends > T)).any():
        got = repr(lengths) if ends.ndim < 2 else f"{ends.dtype} of shape {ends.shape}"
        raise ValueError(f"{name} must be {B} integers between 0 and T = {T}, got {got}")
    return ends


def alive_steps(lengths: Lengths, T: int, B: int) -> NDArray[np.bool_] | None:
    """Return which of B sequences take each of T steps: a new array (T, B); None if all take all.

    Raises
    ------
    ValueError
        `lengths` is neither B integers between 0 and T nor a boolean mask (T, B).
    """
    if lengths is None:
        return None
    given = own_array(lengths)
    if given.dtype == bool and given.shape == (T, B):
        return given
    try:
        ends = check_lengths("lengths", lengths, T, B)
    except ValueError as error:
        raise ValueError(f"{error}; a mask must be bool of shape {(T, B)}") from None
    assert ends is not None
    return np.arange(T)[:, None] < ends


def own_array(lengths: ArrayLike) -> AnyArray:
    """Return a copy in host memory: the caller may change theirs before the backward pass."""
    try:
        return np.array(to_numpy(lengths))
    except ValueError:  # rows that differ in length
        return np.array(lengths, object)


def alive_mask(xs: Array, lengths: Lengths) -> AnyArray | None:
    """Return which sequences take each step of xs (T, B, D), as (T, B, 1); None if all do.

    Raises
    ------
    ValueError
        As `alive_steps`.
    """
    T, B = xs.shape[0], xs.shape[-2]
    alive = alive_steps(lengths, T, B)
    if alive is None:
        return None
    return array_module(xs).asarray(alive.reshape(T, *(1,) * (xs.ndim - 3), B, 1))


def _choose(mask: Array, new: AnyState, old: AnyState) -> AnyState:
    """Take `new` where mask (B, 1) is true and `old` elsewhere, in every array of a state."""
    xp = array_module(mask)
    return map_state(lambda a, b: xp.where(mask, a, b), new, old)
