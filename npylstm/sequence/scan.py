"""A sequence of a cell that is linear in its state: all steps together, by a parallel scan.

If h_t = f_t ⊙ h_{t-1} + u_t, and f and u do not depend on h, two steps make one step of the same
kind::

    h_t = f_t ⊙ (f_{t-1} ⊙ h_{t-2} + u_{t-1}) + u_t = (f_t f_{t-1}) ⊙ h_{t-2} + (f_t u_{t-1} + u_t)

So T steps become T/2, then T/4, and all states are there after log2 T rounds (Blelloch 1990; for
recurrent networks Martin & Cundy 2018). A round is a few calls on whole arrays. The way back is
also linear, dh_{t-1} = f_t ⊙ dh_t + doutput_{t-1}: the same function, with time reversed.

The gates are numbers in [0, 1], and the scan only multiplies and adds them. It takes no logarithm,
so that candidates may be negative and a gate may be 0; nothing can overflow that a loop would keep
finite. (The scan of Feng et al. 2024, appendix B, runs on logarithms and needs positive
candidates.)

The rest of such a cell sees one step of a sequence at a time. So T steps of B sequences look to it
like one step of T B sequences, and the cell itself computes them, forward and back.
"""

from typing import NamedTuple

from npylstm.backend import AnyArray, Array, array_module
from npylstm.cells import AnyState, Cache, Cell, Params
from npylstm.sequence.pieces import beside, living

NUMBERS = 2**14
"""How many numbers an array of h may have: a longer sequence is cut into pieces."""


class ScanPiece(NamedTuple):
    """What a scan keeps: the cell's cache of all T B steps, f (T, B, H), and alive (T, B, 1)."""

    cell: Cell
    cache: Cache
    fs: Array
    alive: AnyArray | None

    def backward(
        self, params: Params, dhs: Array, dstate: AnyState
    ) -> tuple[Array, AnyState, Params]:
        """Carry the gradients of all h, and of the last one, back."""
        cell, cache, fs, alive = self
        xp, T, kind = array_module(fs), len(fs), type(dstate)
        # dh_t = f_{t+1} ⊙ dh_{t+1} + doutput_t, from the end; what enters there has no f.
        later = xp.concatenate([xp.ones_like(fs[:1]), fs[:0:-1]])
        dhs = scan(later, dhs[::-1], dstate.h)[::-1]
        one_step = kind(_as_one_step(living(dhs, alive)))
        dxs, _, grads = cell.backward(params, cache, one_step)
        return _as_steps(dxs, T), kind(fs[0] * dhs[0]), grads


def steps_together(cell: Cell, xs: Array) -> int:
    """Return how many steps of xs (T, B, D) one piece should have."""
    return max(16, NUMBERS // max(1, xs[0, ..., 0].size * cell.hidden_size))


def forward(
    cell: Cell, params: Params, xs: Array, state: AnyState, alive: AnyArray | None
) -> tuple[Array, AnyState, ScanPiece]:
    """Run one piece; see `npylstm.sequence.pieces.ForwardPiece`."""
    xp, T, x = array_module(xs), len(xs), _as_one_step(xs)
    start, cache = cell.forward(params, x, cell.zero_state(x))  # from zero, h is u
    us, fs = _as_steps(start.h, T), _as_steps(cache.f, T)  # type: ignore[attr-defined]
    if alive is not None:  # a skipped step keeps the state
        us, fs = living(us, alive), xp.where(beside(alive, fs), fs, xp.ones_like(fs))

    hs = scan(fs, us, state.h)
    before = xp.concatenate([xp.broadcast_to(state.h, hs[:1].shape), hs[:-1]])
    cache = cache._replace(h_prev=_as_one_step(before))  # type: ignore[attr-defined]
    return hs, type(state)(hs[-1].copy()), ScanPiece(cell, cache, fs, alive)


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
        # h holds the terms; the second step of each pair becomes one step from pair to pair ...
        pairs = len(f) // 2
        second, second_f = h[1::2], f[1::2]
        second += second_f * h[: 2 * pairs : 2]
        h[1::2] = scan(second_f * f[: 2 * pairs : 2], second, array_module(h).zeros_like(first))
        # ... and the first step of each pair follows from the second of the pair before.
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
