"""A sequence of a cell that is linear in its state: all steps together, by a parallel scan.

Where h_t = f_t ⊙ h_{t-1} + u_t, and neither f nor u looks at h, two steps make one of the same
kind::

    h_t = f_t ⊙ (f_{t-1} ⊙ h_{t-2} + u_{t-1}) + u_t = (f_t f_{t-1}) ⊙ h_{t-2} + (f_t u_{t-1} + u_t)

So T steps become T/2, these T/4, and after log2 T rounds, each a few calls on whole arrays, all
states are there (Blelloch 1990; for recurrent networks Martin & Cundy 2018). The way back is linear
as well, dh_{t-1} = f_t ⊙ dh_t + doutput_{t-1}: the same function, with time reversed.

The gates are numbers in [0, 1], and the scan only multiplies and adds them. It takes no logarithm,
so that candidates may be negative and a gate may be 0; nothing can overflow that a loop would keep
finite. (The scan of Feng et al. 2024, appendix B, runs on logarithms and wants candidates that are
positive.)

Everything else of such a cell sees one step of a sequence at a time, so that T steps of B sequences
are to it one step of T B sequences: the cell itself computes it, forward and back.
"""

from typing import Any, NamedTuple

from npylstm.backend import AnyArray, Array, array_module
from npylstm.cells import Cache, Cell, Params
from npylstm.sequence.unroll import Lengths, alive_mask, check_gradients


class ScanTape(NamedTuple):
    """What a scan keeps: the cell's cache of all T B steps, f (T, B, H), and alive (T, B, 1)."""

    cell: Cell
    cache: Cache
    fs: Array
    alive: AnyArray | None

    def backward(
        self,
        params: Params,
        doutputs: Array | None = None,
        dstate: Any = None,
        need_dxs: bool = True,  # noqa: ARG002  # they cost one product
    ) -> tuple[Array, Any, Params]:
        """Carry the loss gradient back; see `Layer.backward`."""
        cell, cache, fs, alive = self
        xp, T = array_module(fs), len(fs)
        check_gradients(cell, T, fs[0], doutputs, dstate)
        dhs = xp.zeros_like(fs) if doutputs is None else _living(doutputs, alive)
        last = xp.zeros_like(fs[0]) if dstate is None else dstate.h

        # dh_t = f_{t+1} ⊙ dh_{t+1} + doutput_t, from the end; what enters there has no f.
        later = xp.concatenate([xp.ones_like(fs[:1]), fs[:0:-1]])
        dhs = scan(later, dhs[::-1], last)[::-1]
        dstate0 = type(cell.state_sizes)._make([fs[0] * dhs[0]])  # type: ignore[attr-defined]

        dstates = type(dstate0)._make([_as_one_step(_living(dhs, alive))])
        dxs, _, grads = cell.backward(params, cache, dstates)
        return _as_steps(dxs, T), dstate0, grads


def obstacle(cell: Cell, state_mask: Array | None, truncation: Any) -> str | None:
    """Return why a scan can't run a cell; None if it can."""
    if not cell.linear:
        return f"{type(cell).__name__} is not linear in its state"
    if state_mask is not None:
        return "a scan has no dropout of the state"
    if truncation is not None:
        return f"a scan has no truncation={truncation}"
    return None


def forward(
    cell: Cell,
    params: Params,
    xs: Array,
    state0: Any,
    lengths: Lengths = None,
    keep_tape: bool = True,
) -> tuple[Array, Any, ScanTape | None]:
    """Run a cell over a sequence; arguments and results as in `unroll`."""
    xp, T, alive = array_module(xs), len(xs), alive_mask(xs, lengths)
    x = _as_one_step(_living(xs, alive))
    start, cache = cell.forward(params, x, cell.zero_state(x))  # from zero, h is u
    us, fs = _as_steps(start.h, T), _as_steps(cache.f, T)  # type: ignore[attr-defined]
    if alive is not None:  # a sequence that has ended keeps its state
        us, fs = _living(us, alive), xp.where(_beside(alive, fs), fs, xp.ones_like(fs))

    hs = scan(fs, us, state0.h)
    state = type(state0)(hs[-1].copy())
    if not keep_tape:
        return _living(hs, alive), state, None
    before = xp.concatenate([xp.broadcast_to(state0.h, hs[:1].shape), hs[:-1]])
    cache = cache._replace(h_prev=_as_one_step(before))  # type: ignore[attr-defined]
    return _living(hs, alive), state, ScanTape(cell, cache, fs, alive)


def scan(f: Array, u: Array, first: Array) -> Array:
    """Return h_t = f_t ⊙ h_{t-1} + u_t for all steps.

    Parameters
    ----------
    f, u : array (T, ...)
        The factors and the terms of each step.
    first : array (...)
        h before the first step.

    Returns
    -------
    h : array (T, ...)
    """
    h = u.copy()
    h[0] += f[0] * first
    if len(f) > 1:
        # h holds the terms; of each pair of steps the second is one step from pair to pair ...
        pairs = len(f) // 2
        second, second_f = h[1::2], f[1::2]
        second += second_f * h[: 2 * pairs : 2]
        h[1::2] = scan(second_f * f[: 2 * pairs : 2], second, array_module(h).zeros_like(first))
        # ... and each first of a pair follows from the second of the pair before.
        h[2::2] += f[2::2] * h[1 : len(h) - 1 : 2]
    return h


def _as_one_step(a: Array) -> Array:
    """Turn T steps (T, B, n) into one step (T B, n), and (T, S, B, n) into (S, T B, n)."""
    a = array_module(a).moveaxis(a, 0, -3)
    return a.reshape(*a.shape[:-3], a.shape[-3] * a.shape[-2], a.shape[-1])


def _as_steps(a: Array, T: int) -> Array:
    """Turn one step (T B, n) into T steps (T, B, n): the inverse of `_as_one_step`."""
    a = a.reshape(*a.shape[:-2], T, a.shape[-2] // T, a.shape[-1])
    return array_module(a).moveaxis(a, -3, 0)


def _living(a: Array, alive: AnyArray | None) -> Array:
    """Return a (T, B, n) with zeros past each sequence's end."""
    if alive is None:
        return a
    xp = array_module(a)
    return xp.where(_beside(alive, a), a, xp.zeros_like(a))


def _beside(alive: AnyArray, a: Array) -> AnyArray:
    """View alive (T, B, 1) with as many axes of independent networks as a (T, S, B, n) has."""
    return alive.reshape(len(alive), *(1,) * (a.ndim - 3), *alive.shape[-2:])
