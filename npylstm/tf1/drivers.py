"""TensorFlow 1's loops over time: a list of steps or one array, one direction or both."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import DTypeLike

from npylstm.backend import Array, Rng, array_module
from npylstm.checks import check_array
from npylstm.sequence import Lengths, check_lengths, reverse
from npylstm.tf1._checks import TFState, brief, check_distinct, check_like, check_step
from npylstm.tf1.base import Gradients, RNNCell, RunBack, Unrolled, check_cell, run


def static_rnn(
    cell: RNNCell,
    inputs: Sequence[Array],
    initial_state: TFState = None,
    dtype: DTypeLike | None = None,
    sequence_length: Lengths = None,
    scope: str = "rnn",
    *,
    variables: Mapping[str, Array],
    rng: Rng = None,
) -> Unrolled:
    """Run a cell over a list of inputs.

    Parameters
    ----------
    cell : RNNCell
        Any cell of `npylstm.tf1`.
    inputs : list of T arrays (B, D)
        One for each time step.
    initial_state : optional
        As `cell.zero_state` returns it.
    dtype : optional
        The dtype of the inputs. Needed without an `initial_state`, as in TensorFlow.
    sequence_length : sequence of int (B,), optional
        How many steps each sequence has. Past its end its outputs are zero and its state stays.
    scope : str
        The start of the names of the cell's variables.
    variables : dict of arrays
        At least the cell's variables, from `cell.build`; names outside `scope` are ignored.
    rng : None, int or numpy.random.Generator
        The source of dropout masks; None drops nothing.

    Returns
    -------
    outputs : list of T arrays (B, H)
    state
        The one after the last step.

    Raises
    ------
    TypeError
        Not a cell, not a list, not arrays of floating-point numbers.
    ValueError
        No inputs, neither `initial_state` nor `dtype`, shapes, dtypes or variables that don't fit,
        lengths outside 0..T.
    """
    xs = _stacked(inputs)
    outputs, state, run_back = run(
        cell, xs, initial_state, dtype, sequence_length, scope, variables, rng
    )

    def backward(
        doutputs: Sequence[Array | None] | None = None, dstate: TFState = None
    ) -> Gradients:
        dxs, dinitial_state, grads = run_back(_stacked_gradients(doutputs, outputs), dstate)
        return list(dxs), dinitial_state, grads

    return Unrolled((list(outputs), state), backward)


def dynamic_rnn(
    cell: RNNCell,
    inputs: Array,
    sequence_length: Lengths = None,
    initial_state: TFState = None,
    dtype: DTypeLike | None = None,
    *,
    time_major: bool = False,
    scope: str = "rnn",
    variables: Mapping[str, Array],
    rng: Rng = None,
) -> Unrolled:
    """Run a cell over one array of inputs.

    Parameters
    ----------
    inputs : array (B, T, D), or (T, B, D) if `time_major`
        The inputs.
    time_major : bool
        Whether time is the first axis, of inputs and outputs.
    cell, sequence_length, initial_state, dtype, scope, variables, rng
        As in `static_rnn`.

    Returns
    -------
    outputs : array (B, T, H), or (T, B, H)
    state
        The one after the last step.

    Raises
    ------
    TypeError, ValueError
        As in `static_rnn`.
    """
    xs = _time_first(inputs, time_major)
    outputs, state, run_back = run(
        cell, xs, initial_state, dtype, sequence_length, scope, variables, rng
    )

    def backward(doutputs: Array | None = None, dstate: TFState = None) -> Gradients:
        if doutputs is not None:
            doutputs = _turned(doutputs, time_major)
        dxs, dinitial_state, grads = run_back(doutputs, dstate)
        return _turned(dxs, time_major), dinitial_state, grads

    return Unrolled((_turned(outputs, time_major), state), backward)


def static_bidirectional_rnn(
    cell_fw: RNNCell,
    cell_bw: RNNCell,
    inputs: Sequence[Array],
    initial_state_fw: TFState = None,
    initial_state_bw: TFState = None,
    dtype: DTypeLike | None = None,
    sequence_length: Lengths = None,
    scope: str = "bidirectional_rnn",
    *,
    variables: Mapping[str, Array],
    rng: Rng = None,
) -> Unrolled:
    """Run one cell over a list of inputs and another one over the list reversed.

    With lengths each sequence is reversed within its own.

    Parameters
    ----------
    cell_fw, cell_bw : RNNCell
        Two cells, with variables in the scopes `{scope}/fw` and `{scope}/bw`.
    inputs, initial_state_fw, initial_state_bw, dtype, sequence_length, scope, variables, rng
        As in `static_rnn`.

    Returns
    -------
    outputs : list of T arrays (B, H_fw + H_bw)
        Both outputs side by side.
    state_fw, state_bw
        The state of each cell after its last step; for `cell_bw` that is at the first input.

        `backward(doutputs, dstate_fw, dstate_bw)` returns dinputs, the pair of
        ∂L/∂(initial state), and grads.

    Raises
    ------
    TypeError, ValueError
        As in `static_rnn`, or one cell for both directions.
    """
    xs = _stacked(inputs)
    sides, states, run_back = _run_both(
        (cell_fw, cell_bw), xs, (initial_state_fw, initial_state_bw), dtype, sequence_length,
        scope, variables, rng,
    )  # fmt: skip
    outputs = array_module(xs).concatenate(sides, axis=-1)

    def backward(
        doutputs: Sequence[Array | None] | None = None,
        dstate_fw: TFState = None,
        dstate_bw: TFState = None,
    ) -> Gradients:
        stacked, H = _stacked_gradients(doutputs, outputs), cell_fw.output_size
        dsides = (None, None) if stacked is None else (stacked[..., :H], stacked[..., H:])
        dxs, dinitial_states, grads = run_back(dsides, (dstate_fw, dstate_bw))
        return list(dxs), dinitial_states, grads

    return Unrolled((list(outputs), *states), backward)


def bidirectional_dynamic_rnn(
    cell_fw: RNNCell,
    cell_bw: RNNCell,
    inputs: Array,
    sequence_length: Lengths = None,
    initial_state_fw: TFState = None,
    initial_state_bw: TFState = None,
    dtype: DTypeLike | None = None,
    *,
    time_major: bool = False,
    scope: str = "bidirectional_rnn",
    variables: Mapping[str, Array],
    rng: Rng = None,
) -> Unrolled:
    """Run one cell over one array of inputs and another one over it reversed.

    Parameters
    ----------
    cell_fw, cell_bw, initial_state_fw, initial_state_bw, scope
        As in `static_bidirectional_rnn`.
    inputs, sequence_length, dtype, time_major, variables, rng
        As in `dynamic_rnn`.

    Returns
    -------
    (output_fw, output_bw) : arrays (B, T, H), or (T, B, H)
        Not side by side, unlike the outputs of `static_bidirectional_rnn`.
    (state_fw, state_bw)

        `backward` takes and returns such pairs.

    Raises
    ------
    TypeError, ValueError
        As in `static_bidirectional_rnn`.
    """
    xs = _time_first(inputs, time_major)
    sides, states, run_back = _run_both(
        (cell_fw, cell_bw), xs, (initial_state_fw, initial_state_bw), dtype, sequence_length,
        scope, variables, rng,
    )  # fmt: skip

    def backward(doutputs: TFState = (None, None), dstates: TFState = (None, None)) -> Gradients:
        dsides = tuple(None if d is None else _turned(d, time_major) for d in doutputs)
        dxs, dinitial_states, grads = run_back(dsides, dstates)
        return _turned(dxs, time_major), dinitial_states, grads

    return Unrolled((tuple(_turned(side, time_major) for side in sides), states), backward)


def _run_both(
    cells: tuple[RNNCell, RNNCell],
    xs: Array,
    initial_states: tuple[TFState, TFState],
    dtype: DTypeLike | None,
    sequence_length: Lengths,
    scope: str,
    variables: Mapping[str, Array],
    rng: Rng,
) -> tuple[tuple[Array, Array], tuple[TFState, TFState], RunBack]:
    """Run one cell over xs (T, B, D) and the other one over the reverse of it."""
    for name, cell in zip(("cell_fw", "cell_bw"), cells, strict=True):
        check_cell(name, cell)
    check_distinct([leaf for cell in cells for _, leaf in cell.leaves])
    lengths = check_lengths("sequence_length", sequence_length, *xs.shape[:2])
    rng = None if rng is None else np.random.default_rng(rng)  # one stream for both sides
    out_fw, state_fw, back_fw = run(
        cells[0], xs, initial_states[0], dtype, lengths, f"{scope}/fw", variables, rng
    )
    out_bw, state_bw, back_bw = run(
        cells[1], reverse(xs, lengths), initial_states[1], dtype, lengths, f"{scope}/bw",
        variables, rng,
    )  # fmt: skip

    def run_back(doutputs: TFState, dstates: TFState) -> Gradients:
        dout_bw = None if doutputs[1] is None else reverse(doutputs[1], lengths)
        dxs_fw, dinitial_fw, grads_fw = back_fw(doutputs[0], dstates[0])
        dxs_bw, dinitial_bw, grads_bw = back_bw(dout_bw, dstates[1])
        dxs = dxs_fw + reverse(dxs_bw, lengths)
        return dxs, (dinitial_fw, dinitial_bw), grads_fw | grads_bw

    return (out_fw, reverse(out_bw, lengths)), (state_fw, state_bw), run_back


def _stacked(inputs: TFState) -> Array:
    """Return a list of T arrays (B, D) as one, (T, B, D)."""
    if not isinstance(inputs, list | tuple):
        raise TypeError(f"inputs must be a list of arrays (B, D), got {brief(inputs)}")
    if not inputs:
        raise ValueError("inputs must hold at least one time step, got none")
    for t, x in enumerate(inputs):
        check_step(f"inputs[{t}]", x)
        check_like(f"inputs[{t}]", x, inputs[0])
    return array_module(inputs[0]).stack(inputs)


def _stacked_gradients(doutputs: TFState, outputs: Array) -> Array | None:
    """Return a list of gradients, in which None stands for zeros, as one array like `outputs`."""
    if doutputs is None:
        return None
    if len(doutputs) != len(outputs):
        raise ValueError(f"doutputs must be {len(outputs)} arrays or None, got {len(doutputs)}")
    xp = array_module(outputs)
    return xp.stack(
        [xp.zeros_like(y) if dy is None else dy for dy, y in zip(doutputs, outputs, strict=True)]
    )


def _time_first(inputs: TFState, time_major: bool) -> Array:
    """Return inputs (B, T, D), or (T, B, D) if `time_major`, as (T, B, D)."""
    axes = ("T", "B", "D") if time_major else ("B", "T", "D")
    check_array("inputs", inputs, axes)
    if inputs.ndim != 3:
        raise ValueError(f"inputs must have shape ({', '.join(axes)}), got {inputs.shape}")
    return _turned(inputs, time_major)


def _turned(array: Array, time_major: bool) -> Array:
    """Exchange time and batch, unless time is first."""
    return array if time_major else array.swapaxes(0, 1)
