"""The paths through a sequence; `Recurrent` takes the first that can run.

Each path says what prevents it, computes the same as `unroll`, and leaves a tape that knows its own
way back.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np

from npylstm.backend import Array, array_module
from npylstm.cells import AnyState, Cell, MLSTMCell, Params, State
from npylstm.sequence import parallel, pieces, scan
from npylstm.sequence.kernels import GPUKernel, Kernel, driver, gpu
from npylstm.sequence.kernels.table import find_kernel
from npylstm.sequence.unroll import Lengths, MaybeNone, unroll_steps


class ForwardPass(NamedTuple):
    """A forward pass to be made: the checked arguments of `unroll`, and k1, k2 of the way back."""

    cell: Cell
    params: Params
    xs: Array
    state0: State
    lengths: Lengths
    state_mask: Array | None
    keep_tape: bool
    truncation: tuple[int, int] | None


class AnyTape(Protocol):
    """The attributes and methods of every path's tape."""

    @property
    def cell(self) -> Cell:
        """The cell that was run."""
        ...

    def backward(
        self,
        params: Params,
        doutputs: Array | None = None,
        dstate: AnyState = None,
        need_dxs: bool = True,
    ) -> tuple[Array | MaybeNone, AnyState, Params]:
        """Carry the loss gradient back; see `Layer.backward`."""
        ...


Passed: TypeAlias = tuple[Array, AnyState, AnyTape | None]
"""What a forward pass returns: outputs, state, and the tape if it is kept."""


class Path(NamedTuple):
    """One way through a sequence.

    Attributes
    ----------
    name : str
        Its name in `Recurrent(path=...)`.
    takes : callable
        Cell -> whether the path is meant for cells of this kind.
    obstacle : callable
        ForwardPass -> what prevents it, in words; None if nothing does.
    forward : callable
        ForwardPass -> outputs, state, tape, as `unroll` returns them.
    """

    name: str
    takes: Callable[[Cell], bool]
    obstacle: Callable[[ForwardPass], str | None]
    forward: Callable[[ForwardPass], Passed]


def choose(run: ForwardPass, name: str = "auto") -> Path:
    """Return the first path that can run; with a name other than `"auto"`, the first so named.

    Raises
    ------
    ValueError
        No path of that name can run; the message says what prevents the first that is meant for
        the cell.
    """
    obstacles = []
    for path in PATHS:
        if name in ("auto", path.name) and path.takes(run.cell):
            obstacle = path.obstacle(run)
            if obstacle is None:
                return path
            obstacles.append(obstacle)
    raise ValueError(f"path={name!r} cannot be taken: {obstacles[0]}; path='unroll' can")


def has_kernel(cell: Cell) -> bool:
    """Return whether a fused kernel, a scan or a parallel form runs the cell on NumPy arrays."""
    return _is_linear(cell) or _is_mlstm(cell) or not isinstance(find_kernel(cell, Kernel), str)


def _option_in_the_way(run: ForwardPass) -> str | None:
    if run.truncation is not None:
        return f"the fused kernels have no truncation={run.truncation}"
    if run.state_mask is not None:
        return "the fused kernels have no dropout of the state"
    return None


def _kernel(run: ForwardPass) -> type[Kernel] | type[GPUKernel] | str:
    """Return the kernel for the cell and the arrays, or why there is none."""
    if _on_gpu(run):
        return find_kernel(run.cell, GPUKernel)
    return find_kernel(run.cell, Kernel)


def _on_gpu(run: ForwardPass) -> bool:
    # NumPy looks long for an attribute that it lacks.
    return type(run.xs) is not np.ndarray and hasattr(array_module(run.xs), "ElementwiseKernel")


def _kernel_obstacle(run: ForwardPass) -> str | None:
    arrays = [run.xs, *run.params.values(), *run.state0]
    library = type(run.xs) if _on_gpu(run) else np.ndarray
    if any(type(array) is not library for array in arrays):
        return "the fused kernels take arrays of NumPy, or of CuPy, and no others"
    if any(array.dtype.char not in "fd" for array in arrays):
        return f"the fused kernels take float32 and float64, not {run.xs.dtype}"
    kernel = _kernel(run)
    return kernel if isinstance(kernel, str) else _option_in_the_way(run)


def _kernel_forward(run: ForwardPass) -> Passed:
    kernel, arguments = _kernel(run), (*run[:5], run.keep_tape)
    assert not isinstance(kernel, str)
    if issubclass(kernel, GPUKernel):
        return gpu.run(kernel, *arguments)
    return driver.run(kernel, *arguments)


def _unroll(run: ForwardPass) -> Passed:
    outputs, state, tape = unroll_steps(*run[:-1])
    return outputs, state, tape and tape.truncated(run.truncation)


def _is_linear(cell: Cell) -> bool:
    return cell.linear


def _scan_forward(run: ForwardPass) -> Passed:
    steps = scan.steps_together(run.cell, run.xs)
    return pieces.run(scan.forward, steps, *run[:5], run.keep_tape)


def _is_mlstm(cell: Cell) -> bool:
    return type(cell) is MLSTMCell


def _parallel_obstacle(run: ForwardPass) -> str | None:
    obstacle = parallel.obstacle(run.params, run.xs, run.lengths)
    return obstacle or _option_in_the_way(run)


def _parallel_forward(run: ForwardPass) -> Passed:
    return pieces.run(parallel.forward, parallel.STEPS, *run[:5], run.keep_tape)


PATHS = (
    Path("fused", _is_mlstm, _parallel_obstacle, _parallel_forward),
    Path("fused", _is_linear, _option_in_the_way, _scan_forward),
    Path("fused", lambda _: True, _kernel_obstacle, _kernel_forward),
    Path("unroll", lambda _: True, lambda _: None, _unroll),
)
"""The paths, in the order in which they are tried."""
