"""A whole sequence on a GPU: two launches a time step, one product and one elementwise kernel.

A small cell on a GPU waits for kernel launches, not for arithmetic. So the product with the inputs
runs once for all steps, everything elementwise in a step is one kernel, and the weight gradients
are one product each after the loop. Nothing is read back on the host. The results are those of
`unroll`, with the same parameters.

The kernels are CuPy's ElementwiseKernel: a list of inputs, a list of outputs and lines of CUDA C
that are run for every element. `alive` is 1 for a sequence that still runs and 0 for one that has
ended, whose state is carried on.
"""

from functools import cache
from typing import Any, NamedTuple

from npylstm.backend import Array, array_module
from npylstm.cells import Cell, LSTMCell, LSTMState, Params, RNNCell, RNNState, map_state, mT
from npylstm.sequence.unroll import Lengths, alive_mask, check_gradients, networks_of

LSTM_FORWARD = (
    "T alive, T x_i, T x_f, T x_o, T x_g, T r_i, T r_f, T r_o, T r_g, T h_prev, T c_prev",
    "T i, T f, T o, T g, T tanh_c, T h, T c",
    """
    i = T(0.5) * tanh(T(0.5) * (x_i + r_i)) + T(0.5);
    f = T(0.5) * tanh(T(0.5) * (x_f + r_f)) + T(0.5);
    o = T(0.5) * tanh(T(0.5) * (x_o + r_o)) + T(0.5);
    g = tanh(x_g + r_g);
    T c_new = f * c_prev + i * g;
    tanh_c = tanh(c_new);
    h = alive * o * tanh_c + (T(1) - alive) * h_prev;
    c = alive * c_new + (T(1) - alive) * c_prev;
    """,
)
LSTM_BACKWARD = (
    "T alive, T doutput, T dh, T dc, T dh_carried, T i, T f, T o, T g, T tanh_c, T c_prev",
    "T dz_i, T dz_f, T dz_o, T dz_g, T dc_prev, T dh_passed",
    """
    T dh_here = alive * (doutput + dh + dh_carried);
    T dc_here = alive * dc + dh_here * o * (T(1) - tanh_c * tanh_c);
    T dc_old = dc_here * f + (T(1) - alive) * dc;
    dh_passed = (T(1) - alive) * (dh + dh_carried);
    dz_i = dc_here * g * i * (T(1) - i);
    dz_f = dc_here * c_prev * f * (T(1) - f);
    dz_o = dh_here * tanh_c * o * (T(1) - o);
    dz_g = dc_here * i * (T(1) - g * g);
    dc_prev = dc_old;
    """,
)
RNN_FORWARD = (
    "T alive, T x, T r, T h_prev",
    "T h",
    "h = alive * {function} + (T(1) - alive) * h_prev;",
)
RNN_BACKWARD = (
    "T alive, T doutput, T dh, T dh_carried, T h",
    "T dz, T dh_passed",
    """
    T dh_all = dh + dh_carried;
    dz = alive * (doutput + dh_all) * {slope};
    dh_passed = (T(1) - alive) * dh_all;
    """,
)
RNN_ACTIVATIONS = {
    "tanh": {"function": "tanh(x + r)", "slope": "(T(1) - h * h)"},
    "relu": {"function": "(x + r) * T(x + r > T(0))", "slope": "T(h > T(0))"},
}


class GPUTape(NamedTuple):
    """What the forward pass keeps, for all T steps.

    xs are the inputs, zero past each sequence's end; hs and cs (T + 1, B, H) the states, the
    initial one first; gates (T, B, 4H) i, f, o, g after their activation; tanh_c (T, B, H);
    alive (T, B, 1). A vanilla RNN has neither cs nor gates nor tanh_c.
    """

    cell: Cell
    xs: Array
    alive: Array
    hs: Array
    cs: Array = None
    gates: Array = None
    tanh_c: Array = None

    def backward(
        self,
        params: Params,
        doutputs: Array | None = None,
        dstate: Any = None,
        need_dxs: bool = True,
    ) -> tuple[Array, Any, Params]:
        """Carry the loss gradient back; see `Layer.backward`."""
        return backward(self.cell, params, self, doutputs, dstate, need_dxs)


def applies(cell: Cell, xs: Array) -> bool:
    """Whether the kernels here can run `cell` on xs: on a GPU, a plain LSTM, tanh or relu RNN."""
    known = type(cell) is LSTMCell or (
        type(cell) is RNNCell
        and cell.activation in RNN_ACTIVATIONS
        and cell.preactivation_clip is None
    )
    return known and hasattr(array_module(xs), "ElementwiseKernel")


def forward(
    cell: Any,
    params: Params,
    xs: Array,
    state0: Any = None,
    lengths: Lengths = None,
    keep_tape: bool = True,
) -> tuple[Array, Any, GPUTape | None]:
    """Run a cell over a sequence; arguments and results as in `unroll`."""
    xp, networks = array_module(xs), networks_of(cell, params, xs, state0)
    missing = (1,) * (len(networks) + 3 - xs.ndim)
    xs = xp.broadcast_to(
        xs.reshape(len(xs), *missing, *xs.shape[1:]), (len(xs), *networks, *xs.shape[-2:])
    )
    state0 = map_state(lambda s: xp.broadcast_to(s, (*networks, *s.shape[-2:])), state0)
    alive = xp.ones((len(xs), *(1,) * (xs.ndim - 1)), xs.dtype)
    if lengths is not None:
        alive = alive_mask(xs, lengths).astype(xs.dtype)
        xs = xp.where(alive > 0, xs, xp.zeros_like(xs))  # padding may hold anything, even NaN

    z = xs @ params["W_x"] + params["b"][..., None, :]
    hs = _states(state0.h, len(xs))
    if isinstance(cell, LSTMCell):
        tape = GPUTape(cell, xs, alive, hs, _states(state0.c, len(xs)), z, xp.empty_like(hs[1:]))
        _lstm_forward(params["W_h"], tape)
        state: Any = LSTMState(hs[-1], tape.cs[-1])
    else:
        tape = GPUTape(cell, xs, alive, hs)
        _rnn_forward(cell, params["W_h"], z, tape)
        state = RNNState(hs[-1])
    outputs = hs[1:] if lengths is None else alive * hs[1:]
    return outputs, state, tape if keep_tape else None


def backward(
    cell: Any,
    params: Params,
    tape: GPUTape,
    doutputs: Array | None = None,
    dstate: Any = None,
    need_dxs: bool = True,
) -> tuple[Array, Any, Params]:
    """Back-propagate through time; arguments and results as in `unroll_backward`."""
    xs, hs = tape.xs, tape.hs
    xp = array_module(xs)
    check_gradients(cell, len(xs), xs[0], doutputs, dstate)
    dstate = cell.zero_state(xs[0]) if dstate is None else type(cell.state_sizes)(*dstate)
    if doutputs is None:
        doutputs = xp.zeros((len(xs), *(1,) * (xs.ndim - 1)), xs.dtype)
    dstate0: Any
    if isinstance(cell, LSTMCell):
        dz, dstate0 = _lstm_backward(params["W_h"], tape, doutputs, dstate)
    else:
        dz, dstate0 = _rnn_backward(cell, params["W_h"], tape, doutputs, dstate)

    dz_all = _merge_time(dz)
    grads = {
        "W_x": mT(_merge_time(xs)) @ dz_all,
        "W_h": mT(_merge_time(hs[:-1])) @ dz_all,
        "b": dz_all.sum(axis=-2),
    }
    return dz @ mT(params["W_x"]) if need_dxs else None, dstate0, grads


def _lstm_forward(W_h: Array, tape: GPUTape) -> None:
    """Fill the tape, whose gates hold x W_x + b so far."""
    _, _, alive, hs, cs, gates, tanh_c = tape
    step = _kernel(array_module(hs), *LSTM_FORWARD)
    for t in range(len(gates)):
        blocks = _blocks(gates[t])
        recurrent = _blocks(hs[t] @ W_h)
        step(
            *(alive[t], *blocks, *recurrent, hs[t], cs[t]),
            *(*blocks, tanh_c[t], hs[t + 1], cs[t + 1]),
        )


def _lstm_backward(
    W_h: Array, tape: GPUTape, doutputs: Array, dstate: LSTMState
) -> tuple[Array, LSTMState]:
    """Return dz (T, B, 4H) and the gradient of the initial state."""
    _, _, alive, _, cs, gates, tanh_c = tape
    xp = array_module(gates)
    step = _kernel(xp, *LSTM_BACKWARD)
    dz = xp.empty_like(gates)
    dh, dc = dstate.h, dstate.c.copy()
    dh_passed = xp.zeros_like(dh)
    for t in reversed(range(len(gates))):
        step(
            *(alive[t], doutputs[t], dh, dc, dh_passed, *_blocks(gates[t]), tanh_c[t], cs[t]),
            *(*_blocks(dz[t]), dc, dh_passed),
        )
        dh = dz[t] @ mT(W_h)
    return dz, LSTMState(dh + dh_passed, dc)


def _rnn_forward(cell: RNNCell, W_h: Array, z: Array, tape: GPUTape) -> None:
    inputs, outputs, code = RNN_FORWARD
    code = code.format(**RNN_ACTIVATIONS[cell.activation])
    step = _kernel(array_module(z), inputs, outputs, code)
    for t in range(len(z)):
        step(tape.alive[t], z[t], tape.hs[t] @ W_h, tape.hs[t], tape.hs[t + 1])


def _rnn_backward(
    cell: RNNCell, W_h: Array, tape: GPUTape, doutputs: Array, dstate: RNNState
) -> tuple[Array, RNNState]:
    inputs, outputs, code = RNN_BACKWARD
    xp = array_module(tape.hs)
    code = code.format(**RNN_ACTIVATIONS[cell.activation])
    step = _kernel(xp, inputs, outputs, code)
    dz = xp.empty_like(tape.hs[1:])
    dh, dh_passed = dstate.h, xp.zeros_like(dstate.h)
    for t in reversed(range(len(dz))):
        step(tape.alive[t], doutputs[t], dh, dh_passed, tape.hs[t + 1], dz[t], dh_passed)
        dh = dz[t] @ mT(W_h)
    return dz, RNNState(dh + dh_passed)


@cache
def _kernel(xp: Any, inputs: str, outputs: str, code: str) -> Any:
    """Compile a kernel once for each library and code."""
    return xp.ElementwiseKernel(inputs, outputs, code, "npylstm_step")


def _states(first: Array, T: int) -> Array:
    """Return room for T + 1 states (T + 1, B, H) with the `first` in its place."""
    states = array_module(first).empty((T + 1, *first.shape), first.dtype)
    states[0] = first
    return states


def _blocks(a: Array) -> list[Array]:
    """Return views of the four gates' columns of a (B, 4H)."""
    H = a.shape[-1] // 4
    return [a[..., k * H : (k + 1) * H] for k in range(4)]


def _merge_time(a: Array) -> Array:
    """Turn (T, B, n) into (T B, n), and (T, S, B, n) into (S, T B, n)."""
    a = array_module(a).moveaxis(a, 0, -3)
    return a.reshape(*a.shape[:-3], -1, a.shape[-1])
