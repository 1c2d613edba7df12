"""Shards of a batch on threads: each thread runs the fused kernels on a part of the sequences.

NumPy lets go of Python's lock inside its loops and products, so threads really run at once. It pays
for wide layers, where that time outweighs the time between two calls: see docs/performance.md. Each
shard's BLAS stays on one thread, for otherwise the threads of all would fight for the cores.
"""

import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

import numpy as np

from npylstm.backend import Array
from npylstm.cells import Cell, Params, map_state
from npylstm.sequence.fused_numpy import FusedTape, fused, fused_backward
from npylstm.sequence.unroll import Lengths, add_params

Result = TypeVar("Result")

# How many threads BLAS uses is a setting of the whole process: one batch at a time changes it.
_blas_setting = threading.Lock()


class ShardedTape(NamedTuple):
    """The tapes of the shards, and which sequences (a slice of the batch) each has."""

    parts: tuple[slice, ...]
    tapes: tuple[FusedTape, ...]


def sharded(
    cell: Cell,
    params: Params,
    xs: Array,
    state0: Any,
    lengths: Lengths,
    keep_tape: bool,
    threads: int,
) -> tuple[Array, Any, ShardedTape | None]:
    """Run `fused` with the batch divided among `threads` threads."""
    parts = _parts(xs.shape[1], threads)

    def run(part: slice) -> tuple[Array, Any, FusedTape | None]:
        start = state0 and map_state(lambda s: s[part], state0)
        ends = None if lengths is None else np.asarray(lengths)[part]
        return fused(cell, params, xs[:, part], start, ends, keep_tape)

    outputs, states, tapes = zip(*_at_once(run, parts), strict=True)
    tape = ShardedTape(parts, tapes) if keep_tape else None
    return np.concatenate(outputs, axis=1), _joined(states), tape


def sharded_backward(
    cell: Cell,
    params: Params,
    tape: ShardedTape,
    doutputs: Array | None = None,
    dstate: Any = None,
    need_dxs: bool = True,
) -> tuple[Array | None, Any, Params]:
    """Run `fused_backward` on every shard; gradients are summed in the order of the shards.

    The sum is the same whichever thread is done first.
    """

    def run(shard: tuple[slice, FusedTape]) -> tuple[Array | None, Any, Params]:
        part, its_tape = shard
        injected = None if doutputs is None else doutputs[:, part]
        last = dstate and map_state(lambda d: d[part], dstate)
        return fused_backward(cell, params, its_tape, injected, last, need_dxs)

    shards = tuple(zip(tape.parts, tape.tapes, strict=True))
    dxs, dstates0, grads = zip(*_at_once(run, shards), strict=True)
    total = functools.reduce(add_params, grads)
    return np.concatenate(dxs, axis=1) if need_dxs else None, _joined(dstates0), total


def _parts(B: int, threads: int) -> tuple[slice, ...]:
    """Divide B sequences into parts that differ by one at most, none of them empty."""
    bounds = np.linspace(0, B, min(threads, max(B, 1)) + 1).round().astype(int).tolist()
    return tuple(slice(start, stop) for start, stop in pairwise(bounds))


def _joined(states: tuple[Any, ...]) -> Any:
    return map_state(lambda *arrays: np.concatenate(arrays), *states)


def _at_once(run: Callable[[Any], Result], shards: tuple[Any, ...]) -> list[Result]:
    """Run every shard in a thread of its own; results in the order of the shards."""
    errors = np.geterr()

    def with_settings(shard: Any) -> Result:
        with np.errstate(**errors):  # a new thread begins with NumPy's defaults
            return run(shard)

    with (
        _blas_setting,
        _controller().limit(limits=1, user_api="blas"),
        ThreadPoolExecutor(len(shards)) as pool,
    ):
        return list(pool.map(with_settings, shards))


@functools.cache
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController  # here, for few who import us run shards

    return ThreadpoolController()
