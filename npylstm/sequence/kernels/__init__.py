"""Kernels: whole sequences of one cell at a time, arranged for speed."""

from npylstm.sequence.kernels.base import Kernel
from npylstm.sequence.kernels.gpu import GPUKernel
from npylstm.sequence.kernels.table import register_kernel
from npylstm.sequence.kernels.workspace import release_memory

__all__ = ["GPUKernel", "Kernel", "register_kernel", "release_memory"]
