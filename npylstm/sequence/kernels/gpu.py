"""A whole sequence on a GPU: two launches a time step, one product and one elementwise kernel.

A small cell on a GPU waits for kernel launches, not for arithmetic. So the product with the inputs
runs once for all steps, everything elementwise in a step is one kernel, and the weight gradients
are one product each after the loop. Nothing is read back to the host. With the same parameters the
results equal the results of `unroll`.

As in `npylstm.sequence.kernels.driver`, the loop here serves all cells; a `GPUKernel` is one cell.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, TypeAlias

from npylstm.backend import Array, Untyped, array_module
from npylstm.cells import AnyState, Cell, Params, State, mT
from npylstm.sequence.kernels.base import AnyKernel
from npylstm.sequence.unroll import Lengths, alive_mask, check_gradients, networks_of

ElementwiseCode: TypeAlias = tuple[str, str, str]
"""What CuPy's ElementwiseKernel is made of: inputs, outputs, and CUDA C run for every element."""


class GPUKernel(AnyKernel):
    """One time step of a cell as elementwise code, forward and back.

    It is for a cell whose step reads x and h in z = x W_x + h_prev W_h + b alone, (B, n H): n
    blocks of H columns. A new one is one file with one subclass, and one line in
    `npylstm.sequence.kernels.table`, or `register_kernel`.

    Arrays come to the code in this order, each (B, H) except `alive` (B, 1), which is 1 for a
    sequence that still runs and 0 for one that has ended and carries its state on:

    - forward, in: alive; the blocks of x W_x + b; the blocks of h_prev W_h; the state before.
      Out: what is kept; the state after, h first.
    - backward, in: alive; the output's gradient; the gradient of each state; the gradient that h
      passed by an ended step; what `read_back` returns. Out: the blocks of dz; the gradient of each
      state but h; the gradient that h passes by this step, if the sequence has ended.

    Parameters
    ----------
    cell : Cell
        One of the classes in `cells`, for which `obstacle` has returned None.

    Attributes
    ----------
    blocks : int
        n, how many blocks of columns z has.
    kept : int
        How many arrays a step keeps for the way back. The first n of them take z's place.
    forward, backward : tuple of str
        The code of a step.
    """

    place = " on a GPU"
    blocks: ClassVar[int]
    kept: ClassVar[int] = 0
    forward: ElementwiseCode
    backward: ElementwiseCode

    def __init__(self, cell: Cell) -> None:
        self.cell = cell

    @abstractmethod
    def read_back(self, kept: list[Array], before: list[Array], after: list[Array]) -> list[Array]:
        """Return what the way back reads: of what was kept, and of the states around a step."""


@dataclass(frozen=True)
class GPUTape:
    """What a forward pass keeps for its backward pass.

    Attributes
    ----------
    cell : Cell
        The cell that was run.
    kernel : GPUKernel
        The kernel that ran it.
    xs : array (T, B, D)
        The inputs, zero past each sequence's end.
    alive : array (T, B, 1)
        1 for a sequence that still runs, 0 for one that has ended.
    states : list of arrays (T + 1, B, H)
        The cell's states, the initial ones first.
    kept : list of arrays (T, B, H)
        What the kernel keeps.
    """

    cell: Cell
    kernel: GPUKernel
    xs: Array
    alive: Array
    states: list[Array]
    kept: list[Array]

    def backward(
        self,
        params: Params,
        doutputs: Array | None = None,
        dstate: State | None = None,
        need_dxs: bool = True,
    ) -> tuple[Array | None, AnyState, Params]:
        """Carry the loss gradient back; see `Layer.backward`. The tape is not changed."""
        xs, hs, n = self.xs, self.states[0], self.kernel.blocks
        T = len(xs)
        xp: Untyped = array_module(xs)  # NumPy has no ElementwiseKernel
        check_gradients(self.cell, params, T, xs[0], doutputs, dstate)
        if doutputs is None:
            doutputs = xp.zeros((T, *(1,) * (xs.ndim - 1)), xs.dtype)
        step = _compiled(xp, *self.kernel.backward)
        W_h = mT(params["W_h"])
        dz = xp.empty((*hs[1:].shape[:-1], n * hs.shape[-1]), hs.dtype)
        dh, *others = [xp.zeros_like(states[0]) for states in self.states]
        if dstate is not None:
            for d, given in zip((dh, *others), dstate, strict=True):
                d[...] = given
        dh_passed = xp.zeros_like(dh)
        for t in reversed(range(T)):
            kept, before, after = _at(t, self.kept), _at(t, self.states), _at(t + 1, self.states)
            step(
                *(self.alive[t], doutputs[t], dh, *others, dh_passed),
                *self.kernel.read_back(kept, before, after),
                *(*_blocks(dz[t], n), *others, dh_passed),
            )
            dh = dz[t] @ W_h

        dstate0 = type(self.cell.state_sizes)(dh + dh_passed, *others)
        dz_all = _merge_time(dz)
        grads = {
            "W_x": mT(_merge_time(xs)) @ dz_all,
            "W_h": mT(_merge_time(hs[:-1])) @ dz_all,
            "b": dz_all.sum(axis=-2),
        }
        return dz @ mT(params["W_x"]) if need_dxs else None, dstate0, grads


def run(
    kernel_type: type[GPUKernel],
    cell: Cell,
    params: Params,
    xs: Array,
    state0: State,
    lengths: Lengths = None,
    keep_tape: bool = True,
) -> tuple[Array, AnyState, GPUTape | None]:
    """Run a cell's kernel over a sequence; as `npylstm.sequence.kernels.driver.run`."""
    xp: Untyped = array_module(xs)  # NumPy has no ElementwiseKernel
    networks = networks_of(cell, params, xs, state0)
    kernel, n = kernel_type(cell), kernel_type.blocks
    missing = (1,) * (len(networks) + 3 - xs.ndim)
    xs = xp.broadcast_to(
        xs.reshape(len(xs), *missing, *xs.shape[1:]), (len(xs), *networks, *xs.shape[-2:])
    )
    alive = xp.ones((len(xs), *(1,) * (xs.ndim - 1)), xs.dtype)
    if (mask := alive_mask(xs, lengths)) is not None:
        alive = mask.astype(xs.dtype)
        xs = xp.where(alive > 0, xs, xp.zeros_like(xs))  # padding may hold anything, even NaN

    z = xs @ params["W_x"] + params["b"][..., None, :]
    states = [_states(xp.broadcast_to(s, (*networks, *s.shape[-2:])), len(xs)) for s in state0]
    hs = states[0]
    more = [xp.empty_like(hs[1:]) for _ in range(n, kernel.kept)]
    kept = [*_blocks(z, n), *more][: kernel.kept]
    step = _compiled(xp, *kernel.forward)
    for t in range(len(xs)):
        step(
            *(alive[t], *_blocks(z[t], n), *_blocks(hs[t] @ params["W_h"], n)),
            *(*_at(t, states), *_at(t, kept), *_at(t + 1, states)),
        )
    state = type(cell.state_sizes)(*(s[-1].copy() for s in states))
    tape = GPUTape(cell, kernel, xs, alive, states, kept) if keep_tape else None
    return alive * hs[1:], state, tape


@cache
def _compiled(xp: Untyped, inputs: str, outputs: str, code: str) -> Callable[..., None]:
    """Compile a kernel once for each library and code."""
    kernel: Callable[..., None] = xp.ElementwiseKernel(inputs, outputs, code, "npylstm_step")
    return kernel


def _blocks(a: Array, n: int) -> list[Array]:
    """Return views of the n blocks of columns of a (..., n H)."""
    H = a.shape[-1] // n
    return [a[..., k * H : (k + 1) * H] for k in range(n)]


def _at(t: int, arrays: Sequence[Array]) -> list[Array]:
    return [array[t] for array in arrays]


def _states(first: Array, T: int) -> Array:
    """Return room for T + 1 states (T + 1, B, H) with the `first` in its place."""
    states = array_module(first).empty((T + 1, *first.shape), first.dtype)
    states[0] = first
    return states


def _merge_time(a: Array) -> Array:
    """Turn (T, B, n) into (T B, n), and (T, S, B, n) into (S, T B, n)."""
    a = array_module(a).moveaxis(a, 0, -3)
    return a.reshape(*a.shape[:-3], -1, a.shape[-1])
