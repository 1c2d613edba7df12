"""Whole sequences at once in NumPy: the answers of `unroll`, several times faster.

Read the cells and `unroll` first; here the same mathematics is arranged for speed. One step of one
cell is a kernel (see `npylstm.sequence.kernels.base`). Everything else is here, and works for all
cells:

- Memory: results go into arrays made before (the last argument of a call), and the tape's memory is
  used again once nobody can see it (`npylstm.sequence.kernels.workspace`).
- Lengths and masks: a sequence that skips a step goes through it with all others. Then its states
  are put back, and its output and the gradients that it would carry back are set to zero.
- Gradients: the gradients injected at each step are added to dh. dz uᵀ is summed over time, with
  many steps in one product if that is faster. The pass ends once all gradients have vanished.
- No denormal numbers: see `_flush`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
from numpy import add, matmul
from numpy.lib.stride_tricks import as_strided
from numpy.typing import DTypeLike

from npylstm.backend import AnyArray, Array
from npylstm.cells import AnyState, Cell, Params, State
from npylstm.sequence.kernels.base import Kernel, transpose_into
from npylstm.sequence.kernels.workspace import borrow
from npylstm.sequence.unroll import Lengths, alive_steps, check_gradients, networks_of

FLUSH_EVERY = 16
"""Steps of the backward pass between two flushes of denormal numbers."""


@dataclass(frozen=True)
class FusedTape:
    """What a forward pass keeps for its backward pass.

    Attributes
    ----------
    cell : Cell
        The cell that was run.
    kernel : type
        The kernel that ran it.
    us : array (T+1, H+1+D, B)
        What the products of each step read: h_prev, ones, x, and the kernel's own rows below them.
    kept : array (T, n, H, B)
        What the kernel left for its way back.
    skipped : list of T arrays of bool (B,) or None
        Which sequences skip each step; None if none does.
    """

    cell: Cell
    kernel: type[Kernel]
    us: Array
    kept: Array
    skipped: Sequence[AnyArray | None]

    def backward(
        self,
        params: Params,
        doutputs: Array | None = None,
        dstate: State | None = None,
        need_dxs: bool = True,
    ) -> tuple[Array | None, AnyState, Params]:
        """Carry the loss gradient back; see `Layer.backward`. The tape is not changed."""
        T, B, networks = len(self.kept), self.us.shape[-1], self.us.shape[1:-2]
        check_gradients(self.cell, params, T, self.us[0].swapaxes(-1, -2), doutputs, dstate)
        kernel = self.kernel(self.cell, _on_networks(self.cell, params, networks))
        step, dz = kernel.backward(B)
        dstates = _columns_of(kernel, dstate, B)
        injected = _Injected(doutputs, self.skipped)
        products = _Products(kernel, dz, self.us, need_dxs)

        kept = list(self.kept)  # views made at once cost less than one by one
        for t in reversed(range(T)):
            if injected.any_at[t]:
                dstates[0] += injected.columns[t]
            if self.skipped[t] is None:
                step(kept[t], *dstates)
            else:
                _step_held(step, self.skipped[t], dstates, dstates, kept[t], *dstates)
            products.add(t)
            if t % FLUSH_EVERY == FLUSH_EVERY - 1:
                _flush(dstates)
                if not (any(map(np.any, dstates)) or any(injected.any_at[:t])):
                    break  # every gradient still to come is zero

        return products.dxs, _state_of(self.cell, dstates), kernel.gradients(products.sums())


def run(
    kernel_type: type[Kernel],
    cell: Cell,
    params: Params,
    xs: Array,
    state0: State,
    lengths: Lengths = None,
    keep_tape: bool = True,
) -> tuple[Array, AnyState, FusedTape | None]:
    """Run a cell's kernel over a sequence.

    Parameters
    ----------
    kernel_type : subclass of Kernel
        The kernel for `cell`.
    cell : Cell
    params : dict of arrays
    xs : array (T, B, D)
    lengths : array of int (B,), optional
    keep_tape : bool
        As in `unroll`, and checked already.
    state0 : named tuple of arrays (B, H)
        The initial state.

    Returns
    -------
    outputs : array (T, B, H)
        h at every step; with a tape and no lengths a view into that tape, and read-only.
    state : named tuple of arrays (B, H)
        The state after the last step.
    tape : FusedTape or None
        None without `keep_tape`.
    """
    networks = networks_of(cell, params, xs, state0)
    kernel = kernel_type(cell, _on_networks(cell, params, networks))
    T, (B, D), H, dtype = len(xs), xs.shape[-2:], cell.output_size, kernel.dtype
    skipped = _skipped(lengths, T, B)
    start = [_spread(s, (*networks, *s.shape[-2:])).swapaxes(-1, -2) for s in state0]
    step, carried = kernel.forward(start)

    # Each step writes its h where the next step's product reads it. These are the outputs, too,
    # unless steps may be skipped: they hand h on and put out zeros.
    us = _entries(T + 1, (*networks, H + 1 + D + kernel.extra_rows, B), dtype, keep_tape)
    us[0, ..., :H, :], us[..., H, :] = start[0], 1
    kept = _entries(T, (kernel.blocks, *networks, H, B), dtype, True) if keep_tape else None
    in_tape = keep_tape and lengths is None
    hs = us[1:, ..., :H, :] if in_tape else np.empty((T, *networks, H, B), dtype)
    views: Iterable[Any] = zip(  # of more than five, `zip` has no type
        us, us[..., H + 1 : H + 1 + D, :], _columns(xs, networks), us[1:, ..., :H, :], skipped,
        repeat(None) if kept is None else kept, hs, strict=False,
    )  # fmt: skip
    for u, u_x, x, h, skip, its_kept, output in views:
        u_x[...] = x
        if skip is None:
            step(u, h, its_kept)
        else:
            _clear(u_x, skip)  # padding may hold anything, even NaN
            _step_held(step, skip, [u[..., :H, :], *carried], [h, *carried], u, h, its_kept)
            _clear(its_kept, skip)
        if not in_tape:
            output[...] = h
            _clear(output, skip)

    outputs = hs.swapaxes(-1, -2)
    outputs.flags.writeable = not in_tape
    tape = None if kept is None else FusedTape(cell, kernel_type, us, kept, skipped)
    return outputs, _state_of(cell, [h, *carried]), tape


def _step_held(
    step: Callable[..., None],
    skipped: AnyArray | None,
    before: Sequence[Array],
    after: Sequence[Array],
    *arguments: Array | None,
) -> None:
    """Make a step, forward or back, whose states are for sequences that skip it those before it."""
    held = [state.copy() for state in before]
    step(*arguments)
    for state, old in zip(after, held, strict=True):
        np.copyto(state, old, where=skipped)


def _clear(written: Array | None, skipped: AnyArray | None) -> None:
    """Set what stands in an array (n, B) for sequences that skip a step to zero."""
    if written is not None and skipped is not None:
        written[..., skipped] = 0


class _Injected:
    """The gradients of the outputs, as columns (T, H, B), which enter step by step.

    Most often the last output alone has a gradient, and the zeros of the others need no adding.
    """

    def __init__(self, doutputs: Array | None, skipped: Sequence[AnyArray | None]) -> None:
        self.any_at = [False] * len(skipped)
        if doutputs is None:
            return
        if any(skip is not None for skip in skipped):
            doutputs = doutputs.copy()
            for d, skip in zip(doutputs, skipped, strict=True):
                if skip is not None:
                    d[..., skip, :] = 0
        self.columns = doutputs.swapaxes(-1, -2)
        self.any_at = list(np.any(doutputs, axis=tuple(range(1, doutputs.ndim))))


class _Products:
    """What becomes of the dz of each step: the weights' gradients, and W_x dz, the inputs'."""

    def __init__(self, kernel: Kernel, dz: Array, us: Array, need_dxs: bool) -> None:
        T, D, B = len(us) - 1, kernel.cell.input_size, us.shape[-1]
        self._sums = [_WeightSum(dz[..., i, :], us[..., j, :]) for i, j in kernel.products]
        self._W_x, self._dz_x = kernel.params["W_x"], dz[..., kernel.input_rows, :]
        self._dxs = np.zeros((T, *kernel.networks, D, B), dz.dtype) if need_dxs else None

    def add(self, t: int) -> None:
        """Use the dz of step t, which stands ready."""
        for weight_sum in self._sums:
            weight_sum.add(t)
        if self._dxs is not None:
            matmul(self._W_x, self._dz_x, self._dxs[t])

    def sums(self) -> list[Array]:
        """Return the sums of u dzᵀ over time."""
        return [weight_sum.by_input() for weight_sum in self._sums]

    @property
    def dxs(self) -> Array | None:
        """The inputs' gradients (T, B, D); zero at steps that were never reached."""
        return None if self._dxs is None else self._dxs.swapaxes(-1, -2)


class _WeightSum:
    """The gradient of the weights in z = W u: the sum of dz uᵀ over the steps.

    If W is large compared with dz and u, adding its terms takes a good part of the product's time.
    Then dz and u of several steps are put side by side and multiplied together. If all are small,
    a transposed copy of u costs less than its product does with a matrix that isn't transposed.
    """

    STEPS = 8
    SMALL = 10**6
    """The most multiplications for which OpenBLAS has kernels that read both matrices in place."""

    def __init__(self, dz: Array, us: Array) -> None:
        *networks, R, B = dz.shape
        K = us.shape[-2]
        self.dz = dz
        self.dW = np.zeros((*networks, R, K), dz.dtype)
        self.term = np.empty_like(self.dW)
        self.waiting = 0
        self.room = self.STEPS if R * K > 2 * B * (R + K) else 1
        if self.room == 1:
            self.uts = list(us.swapaxes(-1, -2))
            self.ut = np.empty((*networks, B, K), dz.dtype) if R * K * B <= self.SMALL else None
        else:
            self.us = list(us)
            self.dzs = np.empty((*networks, R, self.room, B), dz.dtype)
            self.columns = np.empty((*networks, K, self.room, B), dz.dtype)

    def add(self, t: int) -> None:
        """Add the term of step t, whose dz is ready."""
        if self.room == 1:
            ut = self.uts[t]
            if self.ut is not None:
                self.ut[...] = ut
                ut = self.ut
            matmul(self.dz, ut, self.term)
            add(self.dW, self.term, self.dW)
            return
        self.dzs[..., self.waiting, :], self.columns[..., self.waiting, :] = self.dz, self.us[t]
        self.waiting += 1
        if self.waiting == self.room:
            self._add_waiting()

    def _add_waiting(self) -> None:
        n, B = self.waiting, self.dz.shape[-1]
        dz, u = (a[..., :n, :].reshape(*a.shape[:-2], n * B) for a in (self.dzs, self.columns))
        matmul(dz, u.swapaxes(-1, -2), self.term)
        add(self.dW, self.term, self.dW)
        self.waiting = 0

    def by_input(self) -> Array:
        """Return the sum transposed, in memory that is free now."""
        if self.waiting:
            self._add_waiting()
        *networks, R, K = self.dW.shape
        return transpose_into(self.term.reshape(*networks, K, R), self.dW)


def _flush(dstates: list[Array]) -> None:
    """Set gradients to zero if they are too small to change any sum.

    Denormal numbers are below the smallest normal number (1e-38 in float32), and a processor is
    many times slower on them. A vanishing gradient becomes denormal and stays so: the smallest
    denormal number times f > ½ is rounded back to itself. Values below the smallest normal number
    divided by the relative rounding error become zero: 1e-31 in float32 and 1e-292 in float64. Then
    products with slopes and weights above the rounding error don't reach the denormal numbers.
    """
    for d in dstates:
        limits = np.finfo(d.dtype)
        np.copyto(d, 0, where=abs(d) < limits.tiny / limits.eps)


def _on_networks(cell: Cell, params: Params, networks: tuple[int, ...]) -> Params:
    """Give all parameters the networks' axes and native bytes, mostly without copying them."""
    return {
        name: _spread(_native(params[name]), (*networks, *shape))
        for name, shape in cell.param_shapes.items()
    }


def _spread(array: Array, shape: tuple[int, ...]) -> Array:
    """Broadcast, where there is anything to do: NumPy takes microseconds for nothing."""
    return array if array.shape == shape else np.broadcast_to(array, shape)


def _native(array: Array) -> Array:
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _columns(xs: Array, networks: tuple[int, ...]) -> Array:
    """Return xs (T, B, D) as columns (T, D, B), with room for the networks' axes."""
    missing = (1,) * (len(networks) + 3 - xs.ndim)
    return xs.reshape(len(xs), *missing, *xs.shape[1:]).swapaxes(-1, -2)


def _skipped(lengths: Lengths, T: int, B: int) -> list[AnyArray | None]:
    """Return which sequences skip each step; None if none does."""
    alive = alive_steps(lengths, T, B)
    if alive is None:
        return [None] * T
    return [None if row.all() else ~row for row in alive]


def _state_of(cell: Cell, columns: Iterable[Array]) -> AnyState:
    """Return a state of the cell, in arrays (B, n) of its own, from columns (n, B)."""
    return type(cell.state_sizes)(*(a.swapaxes(-1, -2).copy() for a in columns))


def _columns_of(kernel: Kernel, dstate: State | None, B: int) -> list[Array]:
    """Return the gradients of a state (B, n) as new columns (n, B); zeros for None."""
    columns = [kernel.empty(size, B) for size in kernel.cell.state_sizes]
    for k, d in enumerate(columns):
        d[...] = 0 if dstate is None else dstate[k].swapaxes(-1, -2)
    return columns


def _entries(n: int, shape: tuple[int, ...], dtype: DTypeLike, keep: bool) -> Array:
    """Return an array (n, *shape); its n entries share one memory unless they must be kept."""
    if keep:
        return borrow((n, *shape), dtype)
    entry = np.empty(shape, dtype)
    return as_strided(entry, (n, *shape), (0, *entry.strides))
