"""Which kernel runs which cell."""

from npylstm.cells import Cell
from npylstm.sequence.kernels.base import Kernel
from npylstm.sequence.kernels.gru import GRUAfterKernel, GRUKernel
from npylstm.sequence.kernels.lstm import LSTMKernel
from npylstm.sequence.kernels.rnn import RNNKernel

KERNELS: list[type[Kernel]] = [LSTMKernel, GRUKernel, GRUAfterKernel, RNNKernel]


def register_kernel(kernel: type[Kernel]) -> type[Kernel]:
    """Let `Recurrent` run the cells named in `kernel.cells` on this kernel; a class decorator.

    Parameters
    ----------
    kernel : subclass of Kernel
        It precedes all others for the same cells.

    Returns
    -------
    subclass of Kernel
        The same.

    Raises
    ------
    TypeError
        Not a subclass of `Kernel` that names its cells.
    """
    named = isinstance(kernel, type) and issubclass(kernel, Kernel) and hasattr(kernel, "cells")
    if not named:
        raise TypeError(f"kernel must be a subclass of Kernel that names its cells, got {kernel!r}")
    if kernel not in KERNELS:
        KERNELS.insert(0, kernel)
    return kernel


def find_kernel(cell: Cell) -> type[Kernel] | str:
    """Return the kernel that runs a cell, or why there is none."""
    reason = f"there is no fused kernel for {type(cell).__name__}"
    for kernel in KERNELS:
        if kernel.is_for(cell):
            obstacle = kernel.obstacle(cell)
            if obstacle is None:
                return kernel
            reason = obstacle
    return reason
