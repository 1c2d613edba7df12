"""The exercises: what each one returns, on which inputs it is tried, and what is differentiated.

The text, signature and equations of an exercise live in the docstring of its reference solution
(solutions.py); this module adds what the checker needs beyond them.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from npylstm.backend import AnyArray, Array
from npylstm.exercises import solutions
from npylstm.exercises.solutions import Params

Value: TypeAlias = Any
"""What an exercise's function takes or returns. A student's answer may return anything, so the code
that reads a value checks it first."""

Inputs: TypeAlias = dict[str, Value]
Function: TypeAlias = Callable[..., Value]
Loss: TypeAlias = Callable[[Function, Inputs], Value]


@dataclass(frozen=True)
class Size:
    """The sizes of one trial, all different from each other so that no mix-up can hide.

    An exercise without time, batch or units draws from them whatever it needs. `edge` names the
    case that a trial is there for: "saturated" units, the "start" of a run, or "whole" numbers.
    """

    label: str
    T: int
    B: int
    D: int
    H: int
    edge: str = ""

    def __str__(self) -> str:
        return f"{self.label}: T={self.T}, B={self.B}, D={self.D}, H={self.H}"


SIZES = (
    Size("ordinary numbers", T=6, B=3, D=2, H=5),
    Size("the same sizes, other numbers", T=6, B=3, D=2, H=5),
    Size("more inputs than units", T=4, B=2, D=5, H=3),
    Size("one row, one step", T=1, B=1, D=3, H=2),
    Size("saturated units", T=5, B=4, D=2, H=3, edge="saturated"),
    Size("two steps, three rows", T=2, B=3, D=4, H=2),
)
START = Size("a mean square that is still zero", T=6, B=3, D=2, H=5, edge="start")
WHOLE = Size("whole numbers", T=6, B=3, D=2, H=5, edge="whole")


@dataclass(frozen=True, eq=False)
class Task:
    """One exercise.

    Parameters
    ----------
    name : str
        The name of the function to write.
    title : str
    part : str
        The notebook it belongs to.
    points : int
    outputs : tuple of str
        Names of what the function returns. A name that starts with d is a gradient.
    inputs : function of (rng, size)
        Draws everything that the exercise starts from, by name.
    gates : tuple of str
        The gates whose columns stand side by side in dW_x, dW_h and db.
    forward : str
        The name of the function that is differentiated; empty where there is none.
    run : function of (forward, inputs)
        What the forward pass adds to the inputs: states and gates.
    loss : function of (forward, inputs)
        The number whose gradient the exercise asks for.
    sizes : tuple of Size
        What it is tried with.
    refused : tuple of str
        The floating-point errors that the exercise forbids, by NumPy's names for them.
    """

    name: str
    title: str
    part: str
    points: int
    outputs: tuple[str, ...]
    inputs: Callable[[np.random.Generator, Size], Inputs]
    gates: tuple[str, ...] = ()
    forward: str = ""
    run: Callable[[Function, Inputs], Inputs] = lambda _forward, _inputs: {}
    loss: Loss | None = None
    sizes: tuple[Size, ...] = SIZES
    refused: tuple[str, ...] = ()

    @property
    def student_forward(self) -> str:
        """The exercise in which a student writes the forward function, if there is one."""
        return self.forward if self.forward in TASKS and self.forward != self.name else ""

    @property
    def solution(self) -> Function:
        """The reference solution."""
        function: Function = getattr(solutions, self.name)
        return function

    @property
    def reference_forward(self) -> Function:
        """The reference forward function: its own solution where nothing is differentiated."""
        function: Function = getattr(solutions, self.forward or self.name)
        return function

    @cached_property
    def arguments(self) -> tuple[str, ...]:
        """Names of the arguments, in order."""
        return tuple(inspect.signature(self.solution).parameters)


# ---------------------------------------------------------------- inputs


def _normal(rng: np.random.Generator, *shape: int) -> Array:
    return rng.normal(size=shape)


def _pre_activations(rng: np.random.Generator, size: Size) -> Array:
    z = 2 * _normal(rng, size.B, size.H)
    if size.edge == "saturated":
        z[:, 0] = [-1000, -40, 40, 1000]
        z[:, 1] = np.array([-11, -8, 8, 11]) * rng.uniform(0.95, 1.05, 4)
        z[0, 2] = 0.0
    return z


def _sigmoid_inputs(rng: np.random.Generator, size: Size) -> Inputs:
    return {"z": _pre_activations(rng, size)}


def _sigmoid_backward_inputs(rng: np.random.Generator, size: Size) -> Inputs:
    return {"z": _pre_activations(rng, size), "ds": _normal(rng, size.B, size.H)}


def _tanh_backward_inputs(rng: np.random.Generator, size: Size) -> Inputs:
    return {"z": _pre_activations(rng, size), "dt": _normal(rng, size.B, size.H)}


def _softmax_inputs(rng: np.random.Generator, size: Size) -> Inputs:
    K = size.H + 2
    logits = 2 * _normal(rng, size.B, K)
    labels = rng.integers(K, size=size.B)
    if size.edge == "saturated":
        logits[0] += 1000
        logits[1] -= 1000
        logits[2, labels[2]] = -1000
    return {"logits": logits, "labels": labels}


def _weights(rng: np.random.Generator, size: Size, gates: int) -> Inputs:
    columns = gates * size.H
    b = _normal(rng, columns)
    if size.edge == "saturated":  # every gate: closed in a unit, open in another, nearly so in one
        for k, own in enumerate(np.split(b, gates)):
            nearly = rng.choice([-9, 9]) if k < gates - 1 else 0  # the last is a tanh, flat at 9
            own += rng.permutation(np.resize([-800, nearly, 800], size.H))
    return {
        "W_x": _normal(rng, size.D, columns) / np.sqrt(size.D),
        "W_h": _normal(rng, size.H, columns) / np.sqrt(size.H),
        "b": b,
    }


def _cell_inputs(rng: np.random.Generator, size: Size, gates: int) -> Inputs:
    return {
        "x": _normal(rng, size.B, size.D),
        "h_prev": rng.uniform(-1, 1, (size.B, size.H)),
        **_weights(rng, size, gates),
        "dh": _normal(rng, size.B, size.H),
    }


def _rnn_cell_inputs(rng: np.random.Generator, size: Size) -> Inputs:
    return _cell_inputs(rng, size, gates=1)


def _lstm_cell_inputs(rng: np.random.Generator, size: Size) -> Inputs:
    states = {"c_prev": _normal(rng, size.B, size.H), "dc": _normal(rng, size.B, size.H)}
    return _cell_inputs(rng, size, gates=4) | states


def _peephole_inputs(rng: np.random.Generator, size: Size) -> Inputs:
    peepholes = {name: _normal(rng, size.H) for name in ("p_i", "p_f", "p_o")}
    return _lstm_cell_inputs(rng, size) | peepholes


def _gru_cell_inputs(rng: np.random.Generator, size: Size) -> Inputs:
    return _cell_inputs(rng, size, gates=3)


def _sequence_inputs(rng: np.random.Generator, size: Size, gates: int) -> Inputs:
    return {
        "xs": _normal(rng, size.T, size.B, size.D),
        "h0": rng.uniform(-1, 1, (size.B, size.H)),
        **_weights(rng, size, gates),
        "dhs": _normal(rng, size.T, size.B, size.H),
    }


def _rnn_inputs(rng: np.random.Generator, size: Size) -> Inputs:
    return _sequence_inputs(rng, size, gates=1)


def _lstm_inputs(rng: np.random.Generator, size: Size) -> Inputs:
    return _sequence_inputs(rng, size, gates=4) | {"c0": _normal(rng, size.B, size.H)}


def _numerical_gradient_inputs(rng: np.random.Generator, size: Size) -> Inputs:
    # Central differences are exact for a polynomial of second degree, so that every formula of
    # at least their order passes even with the large step that makes a lower order visible.
    target, weight = _normal(rng, size.B, size.D), _normal(rng, size.B, size.D)

    def polynomial(x: Array) -> Value:
        return (weight * (x - target) ** 2).sum() + x.sum() ** 2

    h = 1e-4 if size.edge == "saturated" else 0.1
    x: AnyArray = _normal(rng, size.B, size.D)
    if size.edge == "whole":
        x = rng.integers(-3, 4, (size.B, size.D))
    return {"f": polynomial, "x": x, "h": h}


def recorded(f: Callable[[Array], Value]) -> tuple[Callable[[Array], Value], list[Array]]:
    """Let a function keep the points where it is called."""
    points: list[Array] = []

    def keeping(x: Array) -> Value:
        points.append(np.array(x, float))
        return f(x)

    return keeping, points


def _rmsprop_inputs(rng: np.random.Generator, size: Size) -> Inputs:
    shape = size.D, size.H
    grad = _normal(rng, *shape)
    ms = rng.uniform(0.1, 2.0, shape)
    if size.edge == "saturated":
        grad[0], ms[0] = 0.0, 0.0
    if size.edge == "start":
        ms[...] = 0.0
    hyper = {"lr": rng.uniform(0.1, 0.3), "decay": rng.uniform(0.6, 0.9)}
    eps = 1e-8 if size.edge == "saturated" else rng.uniform(0.1, 0.5)
    return {"param": _normal(rng, *shape), "grad": grad, "ms": ms, **hyper, "eps": eps}


def _clip_inputs(rng: np.random.Generator, size: Size) -> Inputs:
    grads = _weights(rng, size, gates=1)
    largest = ("b", "W_h", "W_x")[size.T % 3]  # another one from trial to trial
    grads[largest] *= 3
    norm = np.sqrt(sum(np.sum(grad**2) for grad in grads.values()))
    if size.edge == "saturated":
        grads = {name: np.zeros_like(grad) for name, grad in grads.items()}
    return {"grads": grads, "max_norm": norm * (2.0 if size.D > size.H else 0.4)}


def _jacobian_inputs(rng: np.random.Generator, size: Size) -> Inputs:
    pre_activations = _normal(rng, size.T, size.H) * (30 if size.edge == "saturated" else 1)
    return {"hs": np.tanh(pre_activations), "W_h": _normal(rng, size.H, size.H)}


def _classifier_loss_and_grads(params: Params, xs: Array, labels: Array) -> tuple[Value, Params]:
    """Loss and gradients of a vanilla RNN whose last state is classified."""
    h0 = np.zeros((xs.shape[1], len(params["b"])))
    hs = solutions.rnn_forward(xs, h0, params["W_x"], params["W_h"], params["b"])
    loss, dlogits = solutions.softmax_cross_entropy(hs[-1] @ params["W_y"], labels)
    dhs = np.zeros_like(hs)
    dhs[-1] = dlogits @ params["W_y"].T
    _, _, dW_x, dW_h, db = solutions.rnn_backward(dhs, xs, h0, hs, params["W_x"], params["W_h"])
    return loss, {"W_x": dW_x, "W_h": dW_h, "b": db, "W_y": hs[-1].T @ dlogits}


def _train_inputs(rng: np.random.Generator, size: Size) -> Inputs:
    batches = [
        (_normal(rng, size.T, size.B, size.D), rng.integers(3, size=size.B)) for _ in range(3)
    ]
    weights = _weights(rng, Size("", size.T, size.B, size.D, size.H), gates=1)
    return {
        "loss_and_grads": _classifier_loss_and_grads,
        "params": weights | {"W_y": _normal(rng, size.H, 3)},
        "batches": batches,
        "epochs": 2,
        "lr": 0.5,
        "max_norm": 100.0 if size.D > size.H else 0.3,
    }


# ---------------------------------------------------------------- forward passes


def _arguments(inputs: Inputs, names: str) -> list[Value]:
    return [inputs[name] for name in names.split()]


def _run_sigmoid(forward: Function, inputs: Inputs) -> Inputs:
    return {"s": forward(inputs["z"])}


def _sigmoid_loss(forward: Function, inputs: Inputs) -> Value:
    return np.sum(inputs["ds"] * forward(inputs["z"]))


def _run_tanh(_forward: Function, inputs: Inputs) -> Inputs:
    return {"t": np.tanh(inputs["z"])}


def _tanh_loss(_forward: Function, inputs: Inputs) -> Value:
    return np.sum(inputs["dt"] * np.tanh(inputs["z"]))


def _softmax_loss(forward: Function, inputs: Inputs) -> Value:
    return forward(inputs["logits"], inputs["labels"])[0]


def _run_rnn_cell(forward: Function, inputs: Inputs) -> Inputs:
    return {"h": forward(*_arguments(inputs, "x h_prev W_x W_h b"))}


def _rnn_cell_loss(forward: Function, inputs: Inputs) -> Value:
    return np.sum(inputs["dh"] * _run_rnn_cell(forward, inputs)["h"])


def _run_rnn(forward: Function, inputs: Inputs) -> Inputs:
    return {"hs": forward(*_arguments(inputs, "xs h0 W_x W_h b"))}


def _rnn_loss(forward: Function, inputs: Inputs) -> Value:
    return np.sum(inputs["dhs"] * _run_rnn(forward, inputs)["hs"])


def _run_lstm_cell(forward: Function, inputs: Inputs) -> Inputs:
    h, c, (i, f, o, g) = forward(*_arguments(inputs, "x h_prev c_prev W_x W_h b"))
    return {"h": h, "c": c, "i": i, "f": f, "o": o, "g": g}


def _lstm_cell_loss(forward: Function, inputs: Inputs) -> Value:
    states = _run_lstm_cell(forward, inputs)
    return np.sum(inputs["dh"] * states["h"]) + np.sum(inputs["dc"] * states["c"])


def _run_lstm(forward: Function, inputs: Inputs) -> Inputs:
    h, c = inputs["h0"], inputs["c0"]
    hs, cs, gates = [], [], []
    for x in inputs["xs"]:
        h, c, step_gates = forward(x, h, c, *_arguments(inputs, "W_x W_h b"))
        hs.append(h)
        cs.append(c)
        gates.append(np.concatenate(step_gates, axis=1))
    return {"hs": np.stack(hs), "cs": np.stack(cs), "gates": np.stack(gates)}


def _lstm_loss(forward: Function, inputs: Inputs) -> Value:
    return np.sum(inputs["dhs"] * _run_lstm(forward, inputs)["hs"])


def _run_peephole(forward: Function, inputs: Inputs) -> Inputs:
    arguments = _arguments(inputs, "x h_prev c_prev W_x W_h b p_i p_f p_o")
    h, c, (i, f, o, g) = forward(*arguments)
    return {"h": h, "c": c, "i": i, "f": f, "o": o, "g": g}


def _peephole_loss(forward: Function, inputs: Inputs) -> Value:
    states = _run_peephole(forward, inputs)
    return np.sum(inputs["dh"] * states["h"]) + np.sum(inputs["dc"] * states["c"])


def _run_gru_cell(forward: Function, inputs: Inputs) -> Inputs:
    h, (r, u, n) = forward(*_arguments(inputs, "x h_prev W_x W_h b"))
    return {"h": h, "r": r, "u": u, "n": n}


def _gru_cell_loss(forward: Function, inputs: Inputs) -> Value:
    return np.sum(inputs["dh"] * _run_gru_cell(forward, inputs)["h"])


# ---------------------------------------------------------------- the exercises

LSTM_GATES = ("i", "f", "o", "g")
CELL_GRADIENTS = ("dx", "dh_prev", "dW_x", "dW_h", "db")
LSTM_CELL_GRADIENTS = ("dx", "dh_prev", "dc_prev", "dW_x", "dW_h", "db")

PARTS = {
    "activations": "Activations and the loss",
    "rnn": "The vanilla RNN",
    "lstm": "The LSTM",
    "variants": "Two relatives: peepholes and the GRU",
    "training": "Gradient checking and training",
}

_ALL = (
    Task(
        "sigmoid", "Logistic function", "activations", 1, ("s",), _sigmoid_inputs, refused=("over",)
    ),
    Task(
        "sigmoid_backward",
        "Derivative of the logistic function",
        "activations",
        1,
        ("dz",),
        _sigmoid_backward_inputs,
        forward="sigmoid",
        run=_run_sigmoid,
        loss=_sigmoid_loss,
    ),
    Task(
        "tanh_backward",
        "Derivative of the hyperbolic tangent",
        "activations",
        1,
        ("dz",),
        _tanh_backward_inputs,
        run=_run_tanh,
        loss=_tanh_loss,
    ),
    Task(
        "softmax_cross_entropy",
        "Softmax cross-entropy and its gradient",
        "activations",
        2,
        ("loss", "dlogits"),
        _softmax_inputs,
        forward="softmax_cross_entropy",
        loss=_softmax_loss,
        refused=("over",),
    ),
    Task("rnn_cell_forward", "One RNN step", "rnn", 1, ("h",), _rnn_cell_inputs),
    Task(
        "rnn_cell_backward",
        "One RNN step, backwards",
        "rnn",
        2,
        CELL_GRADIENTS,
        _rnn_cell_inputs,
        forward="rnn_cell_forward",
        run=_run_rnn_cell,
        loss=_rnn_cell_loss,
    ),
    Task("rnn_forward", "An RNN over a sequence", "rnn", 1, ("hs",), _rnn_inputs),
    Task(
        "rnn_backward",
        "Back-propagation through time, RNN",
        "rnn",
        3,
        ("dxs", "dh0", "dW_x", "dW_h", "db"),
        _rnn_inputs,
        forward="rnn_forward",
        run=_run_rnn,
        loss=_rnn_loss,
    ),
    Task(
        "lstm_cell_forward",
        "One LSTM step",
        "lstm",
        2,
        ("h", "c", "i", "f", "o", "g"),
        _lstm_cell_inputs,
    ),
    Task(
        "lstm_cell_backward",
        "One LSTM step, backwards",
        "lstm",
        4,
        LSTM_CELL_GRADIENTS,
        _lstm_cell_inputs,
        gates=LSTM_GATES,
        forward="lstm_cell_forward",
        run=_run_lstm_cell,
        loss=_lstm_cell_loss,
    ),
    Task(
        "lstm_backward",
        "Back-propagation through time, LSTM",
        "lstm",
        4,
        ("dxs", "dh0", "dc0", "dW_x", "dW_h", "db"),
        _lstm_inputs,
        gates=LSTM_GATES,
        forward="lstm_cell_forward",
        run=_run_lstm,
        loss=_lstm_loss,
    ),
    Task(
        "peephole_lstm_cell_backward",
        "One step of the LSTM with peepholes, backwards",
        "variants",
        4,
        (*LSTM_CELL_GRADIENTS, "dp_i", "dp_f", "dp_o"),
        _peephole_inputs,
        gates=LSTM_GATES,
        forward="peephole_lstm_cell_forward",
        run=_run_peephole,
        loss=_peephole_loss,
    ),
    Task(
        "gru_cell_backward",
        "One GRU step, backwards",
        "variants",
        4,
        CELL_GRADIENTS,
        _gru_cell_inputs,
        gates=("r", "u", "n"),
        forward="gru_cell_forward",
        run=_run_gru_cell,
        loss=_gru_cell_loss,
    ),
    Task(
        "numerical_gradient",
        "A gradient by central differences",
        "training",
        2,
        ("gradient",),
        _numerical_gradient_inputs,
        sizes=(*SIZES, WHOLE),
    ),
    Task(
        "rmsprop_step",
        "RMSProp in PyTorch's convention",
        "training",
        2,
        ("param", "ms"),
        _rmsprop_inputs,
        sizes=(*SIZES, START),
    ),
    Task(
        "rmsprop_step_tf1",
        "RMSProp in TensorFlow 1's convention",
        "training",
        1,
        ("param", "ms"),
        _rmsprop_inputs,
        sizes=(*SIZES, START),
    ),
    Task(
        "clip_by_global_norm",
        "Clipping by the global norm",
        "training",
        2,
        ("grads", "norm"),
        _clip_inputs,
        refused=("divide", "invalid"),
    ),
    Task(
        "jacobian_product_norms",
        "How gradients vanish: norms of Jacobian products",
        "training",
        3,
        ("norms",),
        _jacobian_inputs,
    ),
    Task("train", "The training loop", "training", 3, ("params", "losses"), _train_inputs),
)

TASKS = {task.name: task for task in _ALL}


def find_task(name: str) -> Task:
    """Look up an exercise.

    Raises
    ------
    ValueError
        If there is none.
    """
    if name not in TASKS:
        raise ValueError(f"name: no exercise is called {name!r}; there are {', '.join(TASKS)}")
    return TASKS[name]
