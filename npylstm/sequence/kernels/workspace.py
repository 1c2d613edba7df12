"""Large arrays that are used again.

Fresh memory from the operating system is slow at its first use, because every page is mapped and
zeroed then. A large array that is freed goes back to the system. A training step makes the same
arrays as the step before, so it is faster to use the same memory again.
"""

import math
from collections import deque
from typing import TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from npylstm.backend import AnyArray

Memory: TypeAlias = NDArray[np.uint8]

_idle: deque[Memory] = deque(maxlen=8)


class _Loan:
    """The owner of borrowed memory: an array and its views refer to it; the last gives it back.

    So memory is never handed out again while anybody can still see its array.
    """

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.__array_interface__ = memory.__array_interface__

    def __del__(self, idle: deque[Memory] = _idle) -> None:
        idle.append(self.memory)


def borrow(shape: tuple[int, ...], dtype: DTypeLike) -> AnyArray:
    """Return an array with arbitrary contents, like `np.empty`, from idle memory if some fits."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    array: AnyArray = np.asarray(_Loan(_take(size)))[:size].view(dtype).reshape(shape)
    return array


def release_memory() -> None:
    """Give all idle memory of the fused kernels back to the system; memory in use stays."""
    _idle.clear()


def _take(size: int) -> Memory:
    """Return `size` to 2 `size` bytes; if nothing idle fits, the oldest idle memory is freed."""
    for _ in range(len(_idle)):
        try:
            memory = _idle.popleft()
        except IndexError:  # another thread was faster
            break
        if size <= memory.size <= 2 * size:
            return memory
        _idle.append(memory)
    if _idle:
        _idle.popleft()
    return np.empty(size, np.uint8)
