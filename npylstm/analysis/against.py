"""Compare our gradients with another program's, in its own layout, block by block."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from npylstm.analysis.numerical import gate_blocks, gate_columns, named_arrays, random_params
from npylstm.backend import Array, Rng, Untyped
from npylstm.cells import AnyState, Cell, Params, map_state
from npylstm.checks import check_choice, check_flag, check_number, check_size
from npylstm.interop import (
    from_torch,
    gradients_from_blocks,
    gradients_from_keras,
    gradients_from_onnx,
    gradients_from_tf1,
    gradients_from_torch,
    state_from_keras,
    state_from_onnx,
    state_from_tf1,
    state_from_torch,
    state_to_keras,
    state_to_onnx,
    state_to_tf1,
    state_to_torch,
    to_blocks,
    to_keras,
    to_onnx,
    to_tf1,
    to_torch,
)
from npylstm.sequence import Layer, as_layer


class Difference(NamedTuple):
    """How one block compares: the largest entry of each side, and the relative difference."""

    block: str
    ours: float
    theirs: float
    error: float
    ok: bool


@dataclass(frozen=True)
class Comparison:
    """The outcome of `check_against`; printed, it is a table.

    Attributes
    ----------
    rows : tuple of Difference
        One for each block: a parameter or one gate's columns of it, `"outputs"`, `"xs"`,
        `"state0.h"`, as far as the other code tells them.
    """

    rows: tuple[Difference, ...]

    @property
    def ok(self) -> bool:
        """Whether every block agrees."""
        return all(row.ok for row in self.rows)

    def __str__(self) -> str:
        """Return the table: block, largest entries, relative difference, verdict."""
        lines = [("block", "largest of ours", "of theirs", "difference", "verdict")]
        for row in self.rows:
            numbers = f"{row.ours:.3e}", f"{row.theirs:.3e}", f"{row.error:.1e}"
            lines.append((row.block, *numbers, "same" if row.ok else "DIFFERENT"))
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        )


class Case(NamedTuple):
    """One random sequence: what goes in, and the gradients injected from above."""

    params: Params
    xs: Array
    state0: AnyState
    doutputs: Array
    dstate: AnyState
    bias: bool


def check_against(
    other: Untyped,
    layer: Layer | Cell,
    layout: str = "torch",
    T: int = 5,
    B: int = 3,
    rng: Rng = 0,
    tolerance: float = 1e-8,
    bias: bool = True,
) -> Comparison:
    """Compare a layer's gradients with other code's, in the layout of that code.

    Everything is random and in float64: parameters, inputs, initial state, and the gradients of
    all outputs and of the final state. All of it is converted to the other layout. The results are
    converted back, so the report names blocks such as `"W_h[f]"`.

    Parameters
    ----------
    other : callable, torch.nn.Module, or pair of callables
        In a framework's layout, a function `other(params, xs, state0, doutputs, dstate)`, which
        returns the gradients of its params, or `dxs, dstate0, grads`; with `"torch"` it may be a
        module, and then PyTorch computes the gradients. In a course's layout, the pair of its two
        functions, forward and backward.
    layer : Layer or Cell
        Our layer, which computes the same; for a course an `LSTMCell` or an `RNNCell`.
    layout : str
        The order of axes, and the form of parameters and gradients:

        - `"npylstm"`: (T, B, D); this package's own.
        - `"torch"`: (T, B, D); as `to_torch` returns them.
        - `"onnx"`: (T, B, D); as `to_onnx` returns them.
        - `"keras"`: (B, T, D); as `to_keras` returns them.
        - `"tf1"`: (B, T, D); as `to_tf1` returns them, with the scopes "0", "1", ...
        - `"cs231n"`: (B, T, D); `lstm_forward(x, h0, Wx, Wh, b)`, `lstm_backward(dh, cache)`.
        - `"deeplearning.ai"`: (D, B, T); `lstm_forward(x, a0, parameters)`,
          `lstm_backward(da, caches)`.

        States have the framework's form; a course's c starts at zero and gets no gradient from
        above.
    T, B : int
        Time steps and batch.
    rng : None, int or numpy.random.Generator
        The source of all random numbers.
    tolerance : float
        The largest difference, relative to the norm of our block.
    bias : bool
        False for other code without biases, as with Keras's `use_bias=False`: ours are zero and
        not compared, and `"torch"` and `"keras"` leave them out of the params. A module shows by
        itself whether it has some.

    Returns
    -------
    Comparison

    Raises
    ------
    TypeError, ValueError
        There is no such layout, it lacks the layer, or gradients are missing or have another shape.

    Examples
    --------
    >>> import torch
    >>> module = torch.nn.LSTM(3, 4, dtype=torch.float64)
    >>> check_against(module, LSTMCell(3, 4)).ok
    True
    """
    check_choice("layout", layout, LAYOUTS)
    check_size("T", T)
    check_size("B", B)
    check_number("tolerance", tolerance, low=0)
    check_flag("bias", bias)
    whole, rng = as_layer(layer), np.random.default_rng(rng)
    xs = rng.standard_normal((T, B, whole.input_size))
    state0 = map_state(lambda zeros: rng.standard_normal(zeros.shape), whole.zero_state(xs[0]))
    params = random_params(whole, rng)
    bias = bias and not _has_no_bias(other)
    params = {name: a if bias or not _is_bias(name) else 0 * a for name, a in params.items()}
    outputs = whole.forward(params, xs, state0, keep_tape=False)[0]
    doutputs: Array = np.asarray(rng.standard_normal(outputs.shape))
    dstate = map_state(lambda a: rng.standard_normal(a.shape), state0)
    case = Case(params, xs, state0, doutputs, dstate, bias)
    case, theirs = LAYOUTS[layout](other, layer, case)

    outputs, _, tape = whole.forward(params, xs, case.state0)
    dxs, dstate0, grads = whole.backward(params, tape, doutputs, case.dstate)
    ours = {"outputs": outputs, **grads, "xs": dxs, **named_arrays("state0", dstate0)}
    known = {
        name: array
        for name, array in ours.items()
        if name in theirs and (bias or not _is_bias(name))
    }
    rows = [
        _difference(block, known[name][place], np.asarray(theirs[name])[place], tolerance)
        for block, name, place in gate_blocks(known, gate_columns(whole))
    ]
    return Comparison(tuple(rows))


def _is_bias(name: str) -> bool:
    return name.rpartition(".")[2] in ("b", "b_h")


def _has_no_bias(other: Untyped) -> bool:
    """Return whether it is a module of PyTorch without biases."""
    named = getattr(other, "named_parameters", None)
    return named is not None and not any("bias" in name for name, _ in named())


def _difference(block: str, ours: Array, theirs: Array, tolerance: float) -> Difference:
    if ours.shape != theirs.shape:
        raise ValueError(f"{block} must have shape {ours.shape}, got {theirs.shape}")
    norm = max(float(np.linalg.norm(ours)), np.finfo(float).tiny)
    error = float(np.linalg.norm(ours - theirs)) / norm
    largest = np.abs(ours).max(initial=0), np.abs(theirs).max(initial=0)
    return Difference(block, float(largest[0]), float(largest[1]), error, error <= tolerance)


Answer = tuple[Case, dict[str, Array]]
"""The case that the other code ran, and its results under our names."""


def _framework(
    to: Callable[..., Untyped],
    back: Callable[..., Params],
    state_to: Callable[..., Untyped],
    state_from: Callable[..., Untyped],
    batch_first: bool = False,
    leaves_out: bool = False,
) -> Callable[[Untyped, Untyped, Case], Answer]:
    """Return how code in a framework's layout is run."""

    def turn(xs: Array) -> Array:
        return xs.swapaxes(0, 1) if batch_first else xs

    def run(other: Untyped, layer: Layer | Cell, case: Case) -> Answer:
        options = {"bias": case.bias} if leaves_out else {}
        result = other(
            to(layer, case.params, **options),
            turn(case.xs).copy(),
            state_to(layer, case.state0),
            turn(case.doutputs).copy(),
            state_to(layer, case.dstate),
        )
        if not isinstance(result, tuple) or len(result) != 3:
            return case, back(layer, result)
        dxs, dstate0, grads = result
        theirs = back(layer, grads) | {"xs": turn(np.asarray(dxs))}
        return case, theirs | named_arrays("state0", state_from(layer, dstate0))

    return run


def _scopes(layer: Layer | Cell) -> list[str]:
    return [str(k) for k in range(len(as_layer(layer).cells))]


_torch_function = _framework(
    to_torch, gradients_from_torch, state_to_torch, state_from_torch, leaves_out=True
)


def _torch(other: Untyped, layer: Layer | Cell, case: Case) -> Answer:
    """Run a function, or a module with PyTorch's own back-propagation, in float64."""
    if not hasattr(other, "named_parameters"):
        return _torch_function(other, layer, case)
    from_torch(layer, other.state_dict())  # whether it fits
    torch = sys.modules["torch"]
    device = next(iter(other.parameters())).device

    def tensor(array: Array) -> Untyped:
        copied = np.array(array)  # a tensor shares memory, and in one order only
        return torch.from_numpy(copied).to(device).requires_grad_()

    def module(
        params: Untyped, xs: Array, state0: AnyState, doutputs: Array, dstate: AnyState
    ) -> Untyped:
        leaves = {name: tensor(params[name]) for name, _ in other.named_parameters()}
        start = tuple(map(tensor, state0)) if isinstance(state0, tuple) else tensor(state0)
        x = tensor(xs.swapaxes(0, 1) if other.batch_first else xs)
        outputs, final = torch.func.functional_call(other, leaves, (x, start))
        outputs = outputs.swapaxes(0, 1) if other.batch_first else outputs
        ends = zip(
            [final] if not isinstance(final, tuple) else final,
            [dstate] if not isinstance(dstate, tuple) else dstate,
            strict=True,
        )
        loss = (outputs * tensor(doutputs)).sum() + sum((a * tensor(d)).sum() for a, d in ends)
        loss.backward()
        dx = x.grad.swapaxes(0, 1) if other.batch_first else x.grad
        dstart = tuple(a.grad for a in start) if isinstance(start, tuple) else start.grad
        return dx, dstart, {name: leaf.grad for name, leaf in leaves.items()}

    return _torch_function(module, layer, case)


def _course(case: Case) -> Case:
    """Return the case that a course's functions can run: c starts at 0, the last state is free."""
    zeros = map_state(np.zeros_like, case.state0)
    return case._replace(state0=zeros._replace(h=case.state0.h), dstate=zeros)


def _pair(other: Untyped) -> tuple[Untyped, Untyped]:
    if not isinstance(other, tuple | list) or len(other) != 2 or not all(map(callable, other)):
        raise TypeError(f"other must be the pair (forward, backward), got {other!r}")
    return other[0], other[1]


def _cs231n(other: Untyped, cell: Untyped, case: Case) -> Answer:
    forward, backward = _pair(other)
    weights = to_blocks(cell, case.params, "cs231n")
    case = _course(case)
    names = ("Wx", "Wh", "b")
    x, dh = (a.swapaxes(0, 1).copy() for a in (case.xs, case.doutputs))
    h, cache = forward(x, case.state0.h.copy(), *(weights[name] for name in names))
    dx, dh0, *grads = backward(dh, cache)
    theirs = gradients_from_blocks(cell, dict(zip(names, grads, strict=True)), "cs231n")
    return case, theirs | {
        "outputs": np.swapaxes(h, 0, 1), "xs": np.swapaxes(dx, 0, 1), "state0.h": dh0
    }  # fmt: skip


def _deeplearning(other: Untyped, cell: Untyped, case: Case) -> Answer:
    forward, backward = _pair(other)
    weights = to_blocks(cell, case.params, "deeplearning.ai")
    case, H = _course(case), cell.hidden_size
    head = {"Wya": np.zeros((2, H)), "Wy": np.zeros((2, H)), "by": np.zeros((2, 1))}
    a, *_, caches = forward(
        case.xs.transpose(2, 1, 0).copy(), case.state0.h.T.copy(), weights | head
    )
    grads = backward(case.doutputs.transpose(2, 1, 0).copy(), caches)
    own = {name: grads[f"d{name}"] for name in weights if f"d{name}" in grads}
    theirs = gradients_from_blocks(cell, own, "deeplearning.ai")
    theirs |= {"outputs": np.transpose(a, (2, 1, 0))}
    theirs |= {"xs": np.transpose(grads["dx"], (2, 1, 0))} if "dx" in grads else {}
    return case, theirs | ({"state0.h": np.transpose(grads["da0"])} if "da0" in grads else {})


LAYOUTS: dict[str, Callable[[Untyped, Untyped, Case], Answer]] = {
    "npylstm": _framework(
        lambda _, params: dict(params), lambda _, grads: dict(grads),
        lambda _, state: state, lambda _, state: state,
    ),
    "torch": _torch,
    "onnx": _framework(to_onnx, gradients_from_onnx, state_to_onnx, state_from_onnx),
    "keras": _framework(
        to_keras, gradients_from_keras, state_to_keras, state_from_keras, True, True
    ),
    "tf1": _framework(
        lambda layer, params: to_tf1(layer, params, _scopes(layer)),
        lambda layer, grads: gradients_from_tf1(layer, grads, _scopes(layer)),
        state_to_tf1, state_from_tf1, True,
    ),
    "cs231n": _cs231n,
    "deeplearning.ai": _deeplearning,
}  # fmt: skip
"""The layouts by name, and how code in each is run."""
