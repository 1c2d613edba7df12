"""The interface of a kernel: the twin of one cell, arranged for speed."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields
from typing import ClassVar, TypeAlias

import numpy as np

from npylstm.backend import Array
from npylstm.cells import Cell, Params

FOR_INIT = ("forget_bias", "gate_bias", "kernel_initializer", "recurrent_initializer")
"""Options of cells that matter to their `init` alone."""

Rows: TypeAlias = slice
"""Which rows of u or of dz."""

ForwardStep: TypeAlias = Callable[[Array, Array, Array | None], None]
"""(u, h, kept): read u, write h (H, B); write what the way back needs to `kept`, if not None."""

BackwardStep: TypeAlias = Callable[..., None]
"""(kept, dh, ...): write dz, and carry dh and the other states' gradients back, in place."""


class AnyKernel(ABC):
    """What says which cells a kernel is for, on whatever arrays it runs.

    Attributes
    ----------
    cells : tuple of type
        The classes of cells that it can run. Their subclasses are not included, because they may
        compute anything.
    covered : tuple of str
        The options of these cells that may have any value; the others must have their default.
    place : str
        Where the kernel runs, for messages.
    """

    place: ClassVar[str] = ""
    cells: ClassVar[tuple[type[Cell], ...]]
    covered: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def is_for(cls, cell: Cell) -> bool:
        """Return whether the kernel is meant for a cell, perhaps not with all its options."""
        return type(cell) in cls.cells

    @classmethod
    def obstacle(cls, cell: Cell) -> str | None:
        """Return which option of a cell the kernel can't run; None if it can run the cell."""
        for field in fields(cell):
            value, free = getattr(cell, field.name), field.name in (*FOR_INIT, *cls.covered)
            if not free and field.default not in (MISSING, value):
                return f"{field.name}={value!r} has no fused kernel{cls.place}"
        return None


class Kernel(AnyKernel):
    """One time step of a cell on feature-major arrays, forward and back.

    A cell works on (B, n), a kernel on (n, B): each gate is then one contiguous block of memory,
    and every NumPy call on it is one long loop. The products of a step read one array,
    u = [h_prev; 1; x], so that W u = W_h h_prev + b + W_x x is one product.

    The driver (`npylstm.sequence.kernels.driver`) owns all memory that grows with time. It puts
    h_prev, the ones and x in their places, holds the states of sequences that skip a step, injects
    gradients, sums up dz uᵀ and multiplies by W_x. A kernel knows nothing of this. Independent
    networks have axes of their own, before (n, B), and behind the number of a block in (n, H, B).

    A new kernel is one file with one subclass, and one line in `npylstm.sequence.kernels.table`;
    for a cell of your own, call `npylstm.sequence.register_kernel` instead of adding that line.

    Parameters
    ----------
    cell : Cell
        One of the classes in `cells`, for which `obstacle` has returned None.
    params : dict of arrays
        Its parameters, all with the same leading axes.

    Attributes
    ----------
    cells, covered
        As in `AnyKernel`.
    blocks : int
        How many arrays (H, B) each step keeps for the way back, one after the other.
    extra_rows : int
        Rows of u below x that the kernel itself fills.
    """

    blocks: int
    extra_rows: int = 0

    def __init__(self, cell: Cell, params: Params) -> None:
        self.cell, self.params = cell, params
        self.networks: tuple[int, ...] = params["b"].shape[:-1]
        self.dtype: np.dtype[np.floating] = params["b"].dtype

    @abstractmethod
    def forward(self, state0: Sequence[Array]) -> tuple[ForwardStep, list[Array]]:
        """Return the function that makes a step, and the kernel's own states.

        Parameters
        ----------
        state0 : list of arrays (n, B)
            The initial state, h first.

        Returns
        -------
        step : callable
            See `ForwardStep`.
        carried : list of arrays (n, B)
            All states except h; each step changes them in place.
        """

    @abstractmethod
    def backward(self, B: int) -> tuple[BackwardStep, Array]:
        """Return the function that makes a step back, and the dz (rows, B) that it writes."""

    @property
    @abstractmethod
    def products(self) -> list[tuple[Rows, Rows]]:
        """The rows of dz and of u whose sums of dz uᵀ over time are the weights' gradients."""

    @property
    @abstractmethod
    def input_rows(self) -> Rows:
        """The rows of dz that W_x carries back to x."""

    @abstractmethod
    def gradients(self, sums: list[Array]) -> Params:
        """Return the gradients by name, from the sums of u dzᵀ over time, one for each product."""

    def empty(self, *shape: int) -> Array:
        """Return scratch memory, with the networks' axes in front of `shape`."""
        return np.empty((*self.networks, *shape), self.dtype)

    def blocks_of(self, n: int, H: int, B: int) -> Array:
        """Return scratch memory for n arrays (H, B), each of them contiguous."""
        return np.empty((n, *self.networks, H, B), self.dtype)

    def product_into(self, blocks: Array) -> tuple[Array, Array]:
        """Return rows (n H, B) for the result of a product, and a view of them as n blocks (H, B).

        They are the memory of `blocks`, except with several networks, whose products are apart.
        """
        n, (H, B) = len(blocks), blocks.shape[-2:]
        if not self.networks:
            return blocks.reshape(n * H, B), blocks
        rows = self.empty(n * H, B)
        return rows, as_blocks(rows, n)


def stacked_weights(params: Params) -> Array:
    """Return W = [W_h; b; W_x] transposed: a new contiguous array (columns, H+1+D)."""
    stacked = np.concatenate([params["W_h"], params["b"][..., None, :], params["W_x"]], axis=-2)
    *networks, K, columns = stacked.shape
    return transpose_into(np.empty((*networks, columns, K), stacked.dtype), stacked)


def transpose_into(out: Array, a: Array) -> Array:
    """Write the matrix a, transposed, to `out`, and return that.

    A large one is transposed a few rows at a time. Whole columns, a power of two apart, would throw
    each other out of the processor's cache and take four times as long.
    """
    rows = a.shape[-2]
    few = rows if a.nbytes < 2**18 else 8
    for k in range(0, rows, few):
        out[..., k : k + few] = a[..., k : k + few, :].swapaxes(-1, -2)
    return out


def as_blocks(rows: Array, n: int) -> Array:
    """View the rows (n H, B) of a product as n blocks (H, B); this axis precedes the networks'."""
    *networks, nH, B = rows.shape
    return np.moveaxis(rows.reshape(*networks, n, nH // n, B), -3, 0)
