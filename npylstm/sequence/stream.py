"""One step at a time, with carried state: sequences that arrive while they are computed."""

import numpy as np

from npylstm.backend import Array, array_module
from npylstm.cells import AnyState, Cell, Params, State, map_state
from npylstm.checks import check_array
from npylstm.sequence.kernels.base import Kernel
from npylstm.sequence.kernels.table import find_kernel
from npylstm.sequence.layers import Layer, LayerState, Recurrent, Stack, as_layer
from npylstm.sequence.tree import not_causal
from npylstm.sequence.unroll import Lengths, alive_steps, check_sequence


class Stream:
    """A layer that takes one input after the other and keeps its state in between.

    It computes what the layer does over a whole sequence. A cell with a kernel runs on it, in
    memory that is made once, so a step of a small cell takes a few microseconds.

    Parameters
    ----------
    layer : Layer or Cell
        One that reads forwards only; nothing is dropped.
    params : dict of arrays
        Its parameters; later changes of them are not seen.
    state0 : optional
        The state to start from; zeros by default.
    batch_size : int
        B, how many sequences run side by side, where `state0` does not tell.

    Raises
    ------
    ValueError
        A layer that reads backwards, or a state that does not fit.

    Examples
    --------
    >>> cell = LSTMCell(input_size=3, hidden_size=4)
    >>> stream = Stream(cell, cell.init(rng=0))
    >>> for x in np.ones((5, 1, 3)):
    ...     h = stream(x)
    >>> h.shape, stream.state.c.shape
    ((1, 4), (1, 4))
    """

    def __init__(
        self,
        layer: Layer | Cell,
        params: Params,
        state0: LayerState | None = None,
        batch_size: int = 1,
    ) -> None:
        whole = as_layer(layer)
        if (reason := not_causal(whole)) is not None:
            raise ValueError(f"layer must read forwards only, got {reason}")
        dtype = next(iter(params.values())).dtype
        x = np.zeros((batch_size, whole.input_size), dtype)
        start = whole.zero_state(x) if state0 is None else state0
        # The first pass checks all that later steps rely on.
        xs = np.zeros((1, *_batch(start, x)), dtype)
        outputs, _, _ = whole.forward(params, xs, start, keep_tape=False)
        self._shape = (outputs.shape[1], whole.input_size)
        own = {name: array.copy() for name, array in params.items()}
        self._steps = _steps(whole, own, start)

    def __call__(self, x: Array) -> Array:
        """Make a step.

        Parameters
        ----------
        x : array (B, D)
            The input of this step.

        Returns
        -------
        array (B, H)
            The output of this step.
        """
        if x.shape != self._shape:
            check_array("x", x, self._shape)
        for step in self._steps:
            x = step(x)
        return x

    @property
    def state(self) -> AnyState:
        """The state after the last step, as the layer's `forward` returns it."""
        states = tuple(step.state for step in self._steps)
        return states if self._nested else states[0]

    @property
    def _nested(self) -> bool:
        return len(self._steps) > 1 or self._steps[0].in_stack


def _batch(state: AnyState, x: Array) -> tuple[int, int]:
    """Return (B, D) for the batch that a state has."""
    while isinstance(state, tuple):
        state = state[0]
    return state.shape[-2], x.shape[-1]


def _steps(layer: Layer, params: Params, state: AnyState) -> "list[_LayerStep | _KernelStep]":
    """Return a step for each layer of a stack, and one for any other layer."""
    if not isinstance(layer, Stack):
        return [_step(layer, params, state)]
    steps: list[_LayerStep | _KernelStep] = []
    for name, (inner, its_state) in zip(
        layer.children, zip(layer.children.values(), state, strict=True), strict=True
    ):
        start = f"{name}."
        own = {k.removeprefix(start): a for k, a in params.items() if k.startswith(start)}
        steps.append(_step(inner, own, its_state))
        steps[-1].in_stack = True
    return steps


def _step(layer: Layer, params: Params, state: AnyState) -> "_LayerStep | _KernelStep":
    numpy = all(type(a) is np.ndarray and a.ndim < 3 for a in params.values())
    if isinstance(layer, Recurrent) and layer.path != "unroll" and numpy:
        kernel = find_kernel(layer.cell, Kernel)
        if not isinstance(kernel, str):
            return _KernelStep(layer, params, state, kernel)
    return _LayerStep(layer, params, state)


class _LayerStep:
    """A step of any layer: a sequence of one."""

    in_stack = False

    def __init__(self, layer: Layer, params: Params, state: AnyState) -> None:
        self.layer, self.params, self.state = layer, params, state

    def __call__(self, x: Array) -> Array:
        outputs, self.state, _ = self.layer.forward(
            self.params, x[None], self.state, keep_tape=False
        )
        h: Array = outputs[0]
        return h


class _KernelStep:
    """A step of a cell on its kernel: in u = [h; 1; x] x is put in and h replaced."""

    in_stack = False

    def __init__(
        self, layer: Recurrent, params: Params, state: State, kernel_type: type[Kernel]
    ) -> None:
        cell = layer.cell
        kernel = kernel_type(cell, params)
        start = [np.array(part.T, kernel.dtype, order="C") for part in state]
        self._make, self._carried = kernel.forward(start)
        H, D, B = cell.output_size, cell.input_size, start[0].shape[-1]
        self._u = kernel.empty(H + 1 + D + kernel.extra_rows, B)
        self._h, self._x = self._u[:H], self._u[H + 1 : H + 1 + D]
        self._h[...], self._u[H] = start[0], 1
        self._kind = type(cell.state_sizes)

    def __call__(self, x: Array) -> Array:
        self._x[...] = x.T
        self._make(self._u, self._h, None)
        h: Array = self._h.T.copy()
        return h

    @property
    def state(self) -> AnyState:
        """The cell's state, in arrays of its own."""
        return self._kind(self._h.T.copy(), *(part.T.copy() for part in self._carried))


def all_states(
    layer: Layer | Cell,
    params: Params,
    xs: Array,
    state0: LayerState | None = None,
    lengths: Lengths = None,
) -> AnyState:
    """Return the state after every step, c as well as h.

    Parameters
    ----------
    layer : Layer or Cell
        One that reads forwards only.
    params, xs, state0, lengths
        As in `Layer.forward`.

    Returns
    -------
    state
        In the form of the layer's state, with arrays (T, B, H): `all_states(...).c[t]` is c after
        step t. Past a sequence's end, and at a step that it skips, the state stays what it was.

    Raises
    ------
    ValueError
        A layer that reads backwards; else as in `Layer.forward`.
    """
    whole = as_layer(layer)
    if (reason := not_causal(whole)) is not None:
        raise ValueError(f"layer must read forwards only, got {reason}")
    check_sequence(xs, whole.input_size)
    alive = alive_steps(lengths, len(xs), xs.shape[-2])
    state, states = state0, []
    for t in range(len(xs)):
        now = None if alive is None else alive[t].astype(int)
        _, state, _ = whole.forward(params, xs[t : t + 1], state, now, keep_tape=False)
        states.append(state)
    return map_state(lambda *steps: array_module(steps[0]).stack(steps), *states)
