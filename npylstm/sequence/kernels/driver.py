"""Whole sequences at once in NumPy: the answers of `unroll`, several times faster.

Read the cells and `unroll` first; here the same mathematics is arranged for speed. One step of one
cell is a kernel (`npylstm.sequence.kernels.base` says what that is); everything else is here, and
knows no cell:

- Memory: results go into arrays that stand ready (the last argument of a call), and the tape's
  memory is used again once nobody can see it (`npylstm.sequence.kernels.workspace`).
- Lengths: a sequence that has ended goes through the step with all others; then its states are put
  back, its output is set to zero, and so is what it would carry back.
- Gradients: those injected at each step are added to dh; dz uᵀ is summed up over time, over many
  steps in one product where that pays; and once all gradients have vanished, the pass ends.
- No denormal numbers: see `_flush`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
from numpy import add, matmul
from numpy.lib.stride_tricks import as_strided

from npylstm.backend import AnyArray, Array
from npylstm.cells import Cell, Params
from npylstm.sequence.kernels.base import Kernel
from npylstm.sequence.kernels.workspace import borrow
from npylstm.sequence.unroll import Lengths, check_gradients, check_lengths, networks_of

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
        What the products of each step read: h_prev, ones, x, and what a kernel has below them.
    kept : array (T, n, H, B)
        What the kernel left for its way back.
    ended : list of T arrays of bool (B,) or None
        At each step which sequences have ended; None if none has.
    """

    cell: Cell
    kernel: type[Kernel]
    us: Array
    kept: Array
    ended: Sequence[AnyArray | None]

    def backward(
        self,
        params: Params,
        doutputs: Array | None = None,
        dstate: Any = None,
        need_dxs: bool = True,
    ) -> tuple[Array | None, Any, Params]:
        """Carry the loss gradient back; see `Layer.backward`. The tape is not changed."""
        T, B, D = len(self.kept), self.us.shape[-1], self.cell.input_size
        networks = self.us.shape[1:-2]
        check_gradients(self.cell, T, self.us[0].swapaxes(-1, -2), doutputs, dstate)
        kernel = self.kernel(self.cell, _on_networks(self.cell, params, networks))
        step, dz = kernel.backward(B)
        dstates = [kernel.empty(size, B) for size in self.cell.state_sizes]
        for k, d in enumerate(dstates):
            d[...] = 0 if dstate is None else dstate[k].swapaxes(-1, -2)
        sums = [_WeightSum(dz[..., i, :], self.us[..., j, :]) for i, j in kernel.products]
        W_x, dz_x = kernel.params["W_x"], dz[..., kernel.input_rows, :]
        dxs = np.zeros((T, *networks, D, B), dz.dtype) if need_dxs else None
        doutputs, injected = self._injected(doutputs)

        for t in reversed(range(T)):
            if injected[t]:
                dstates[0] += doutputs[t].swapaxes(-1, -2)
            ended = self.ended[t]
            before = [] if ended is None else [d.copy() for d in dstates]
            step(self.kept[t], *dstates)
            for d, held in zip(dstates, before, strict=False):
                np.copyto(d, held, where=ended)
            for weight_sum in sums:
                weight_sum.add(t)
            if dxs is not None:
                matmul(W_x, dz_x, dxs[t])
            if t % FLUSH_EVERY == 0:
                _flush(dstates)
                if not (any(map(np.any, dstates)) or any(injected[:t])):
                    break  # every gradient still to come is zero

        grads = kernel.gradients([weight_sum.by_input() for weight_sum in sums])
        dstate0 = type(self.cell.state_sizes)(*(d.swapaxes(-1, -2).copy() for d in dstates))
        return None if dxs is None else dxs.swapaxes(-1, -2), dstate0, grads

    def _injected(self, doutputs: Array | None) -> tuple[Any, list[bool]]:
        """Return doutputs, zero where a sequence has ended, and which steps have any.

        Most often the last output alone has a gradient, and the zeros of the others need no adding.
        """
        if doutputs is None:
            return None, [False] * len(self.kept)
        if any(ended is not None for ended in self.ended):
            doutputs = doutputs.copy()
            for d, ended in zip(doutputs, self.ended, strict=True):
                if ended is not None:
                    d[..., ended, :] = 0
        steps = doutputs.reshape(len(doutputs), doutputs[0].size)
        return doutputs, list(map(bool, np.any(steps, axis=1)))


def run(
    kernel_type: type[Kernel],
    cell: Cell,
    params: Params,
    xs: Array,
    state0: Any,
    lengths: Lengths = None,
    keep_tape: bool = True,
) -> tuple[Array, Any, FusedTape | None]:
    """Run a cell's kernel over a sequence.

    Parameters
    ----------
    kernel_type : subclass of Kernel
        The one for `cell`.
    cell, params, xs, lengths, keep_tape
        As in `unroll`, checked before.
    state0 : named tuple of arrays (B, H)
        The initial state.

    Returns
    -------
    outputs : array (T, B, H)
        h at every step; with a tape it is a view into that tape, and read-only.
    state : named tuple of arrays (B, H)
        The state after the last step.
    tape : FusedTape or None
        None without `keep_tape`.
    """
    networks = networks_of(cell, params, xs, state0)
    kernel = kernel_type(cell, _on_networks(cell, params, networks))
    T, (B, D), H, dtype = len(xs), xs.shape[-2:], cell.output_size, kernel.dtype
    ends = check_lengths("lengths", lengths, T, B)
    ended = _ended(ends, T)
    xs = _columns(xs, networks)
    start = [np.broadcast_to(s, (*networks, *s.shape[-2:])).swapaxes(-1, -2) for s in state0]
    step, carried = kernel.forward(start)

    # Each step writes its h where the next step's product reads it.
    us = _entries(T + 1, (*networks, H + 1 + D + kernel.extra_rows, B), dtype, keep_tape)
    us[0, ..., :H, :], us[..., H, :] = start[0], 1
    kept = _entries(T, (kernel.blocks, *networks, H, B), dtype, True) if keep_tape else None
    hs = us[1:, ..., :H, :] if keep_tape else np.empty((T, *networks, H, B), dtype)
    views: Iterable[Any] = zip(
        us, us[..., H + 1 : H + 1 + D, :], xs, us[1:, ..., :H, :], ended,
        repeat(None) if kept is None else kept, hs, strict=False,
    )  # fmt: skip
    for u, u_x, x, h, end, its_kept, output in views:
        u_x[...] = x
        if end is None:
            step(u, h, its_kept)
        else:
            u_x[..., end] = 0  # padding may hold anything, even NaN
            before = [c.copy() for c in carried]
            step(u, h, its_kept)
            for c, held in zip(carried, before, strict=True):
                np.copyto(c, held, where=end)
            h[..., end] = 0
            if its_kept is not None:
                its_kept[..., end] = 0
        if kept is None:
            output[...] = h

    outputs = hs.swapaxes(-1, -2)
    last = outputs[-1].copy() if ends is None else _last(outputs, ends, start[0].swapaxes(-1, -2))
    state = type(cell.state_sizes)(last, *(c.swapaxes(-1, -2).copy() for c in carried))
    if kept is None:
        return outputs, state, None
    outputs.flags.writeable = False
    return outputs, state, FusedTape(cell, kernel_type, us, kept, ended)


class _WeightSum:
    """The gradient of the weights in z = W u: the sum of dz uᵀ over the steps.

    Where W is large beside dz and u, adding its terms takes as long as a good part of the product;
    then dz and u of many steps are put side by side, and multiplied at one go.
    """

    STEPS = 16

    def __init__(self, dz: Array, us: Array) -> None:
        *networks, R, B = dz.shape
        K = us.shape[-2]
        self.dz, self.us, self.uts = dz, us, us.swapaxes(-1, -2)
        self.dW = np.zeros((*networks, R, K), dz.dtype)
        self.term = np.empty_like(self.dW)
        self.waiting = 0
        self.room = self.STEPS if R * K > 2 * B * (R + K) else 1
        if self.room > 1:
            self.dzs = np.empty((*networks, R, self.room, B), dz.dtype)
            self.columns = np.empty((*networks, K, self.room, B), dz.dtype)

    def add(self, t: int) -> None:
        """Add the term of step t, whose dz stands ready."""
        if self.room == 1:
            matmul(self.dz, self.uts[t], self.term)
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
        by_input = self.term.reshape(*networks, K, R)
        by_input[...] = self.dW.swapaxes(-1, -2)
        return by_input


def _flush(dstates: list[Array]) -> None:
    """Set gradients to zero that are too small to leave a trace in any sum.

    Below the smallest normal number (1e-38 in float32) lie the denormal numbers, on which a
    processor is many times slower. A vanishing gradient runs into them, and stays: the smallest of
    them times f > ½ is rounded back to itself. Values below that smallest normal number divided by
    the relative rounding error become zero, 1e-31 in float32 and 1e-292 in float64: as long as
    products with slopes and weights above the rounding error don't reach the denormals.
    """
    for d in dstates:
        limits = np.finfo(d.dtype)
        np.copyto(d, 0, where=abs(d) < limits.tiny / limits.eps)


def _on_networks(cell: Cell, params: Params, networks: tuple[int, ...]) -> Params:
    """Give all parameters the networks' axes and native bytes, mostly without copying them."""
    return {
        name: np.broadcast_to(_native(params[name]), (*networks, *shape))
        for name, shape in cell.param_shapes.items()
    }


def _native(array: Array) -> Array:
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _columns(xs: Array, networks: tuple[int, ...]) -> Array:
    """Return xs (T, B, D) as columns (T, D, B), with room for the networks' axes."""
    missing = (1,) * (len(networks) + 3 - xs.ndim)
    return xs.reshape(len(xs), *missing, *xs.shape[1:]).swapaxes(-1, -2)


def _ended(ends: AnyArray | None, T: int) -> list[AnyArray | None]:
    """Return at each step which sequences have ended, None where none has."""
    if ends is None:
        return [None] * T
    first = int(ends.min(initial=T))
    return [None if t < first else ends <= t for t in range(T)]


def _last(outputs: Array, ends: AnyArray, h0: Array) -> Array:
    """Return each sequence's last h (B, H): the initial one where it has no step."""
    place = np.maximum(ends.astype(int) - 1, 0).reshape(*(1,) * (outputs.ndim - 2), -1, 1)
    h = np.take_along_axis(outputs, place, axis=0)[0]
    return np.where(ends[:, None] > 0, h, h0)


def _entries(n: int, shape: tuple[int, ...], dtype: Any, keep: bool) -> Array:
    """Return an array (n, *shape); all n entries are the same memory unless they are to be kept."""
    if keep:
        return borrow((n, *shape), dtype)
    entry = np.empty(shape, dtype)
    return as_strided(entry, (n, *shape), (0, *entry.strides))
