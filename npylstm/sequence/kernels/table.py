"""Which kernel runs which cell."""

from typing import TypeVar

from npylstm.cells import Cell
from npylstm.sequence.kernels.base import AnyKernel
from npylstm.sequence.kernels.gpu_lstm import LSTMOnGPU
from npylstm.sequence.kernels.gpu_rnn import RNNOnGPU
from npylstm.sequence.kernels.gru import GRUAfterKernel, GRUKernel
from npylstm.sequence.kernels.lstm import LSTMKernel
from npylstm.sequence.kernels.rnn import RNNKernel

KERNELS: list[type[AnyKernel]] = [
    *(LSTMKernel, GRUKernel, GRUAfterKernel, RNNKernel),
    *(LSTMOnGPU, RNNOnGPU),
]

K = TypeVar("K", bound=AnyKernel)


def register_kernel(kernel: type[K]) -> type[K]:
    """Let `Recurrent` run the cells named in `kernel.cells` on this kernel; a class decorator.

    Parameters
    ----------
    kernel : subclass of Kernel, or of GPUKernel
        It precedes all others for the same cells and arrays.

    Returns
    -------
    subclass of Kernel, or of GPUKernel
        The same class.

    Raises
    ------
    TypeError
        Not such a subclass that names its cells.
    """
    named = isinstance(kernel, type) and issubclass(kernel, AnyKernel) and hasattr(kernel, "cells")
    if not named:
        raise TypeError(
            "kernel must be a subclass of Kernel that names its cells, or of GPUKernel, "
            f"got {kernel!r}"
        )
    if kernel not in KERNELS:
        KERNELS.insert(0, kernel)
    return kernel


def find_kernel(cell: Cell, kind: type[K]) -> type[K] | str:
    """Return the kernel that runs a cell, of kind `Kernel` or `GPUKernel`, or why there is none."""
    reason = f"there is no fused kernel for {type(cell).__name__}{kind.place}"
    for kernel in KERNELS:
        if issubclass(kernel, kind) and kernel.is_for(cell):
            obstacle = kernel.obstacle(cell)
            if obstacle is None:
                return kernel
            reason = obstacle
    return reason
