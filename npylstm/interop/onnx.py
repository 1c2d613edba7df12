"""ONNX: the operators LSTM, GRU and RNN, their weights, gradients and states, and running them.

The gates have the order i, o, f, c or z, r, h, and peepholes i, o, f (ONNX opset 22). Matrices are
transposed, and both directions of an operator are in one array. If the standard leaves a choice,
the code does the same as ONNX Runtime 1.32. ONNX itself is not imported.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from npylstm.backend import Array, Untyped, array_module
from npylstm.cells import (
    Cell,
    GRUCell,
    LSTMCell,
    LSTMVariant,
    Params,
    RNNCell,
    check_activation,
    map_state,
    mT,
)
from npylstm.checks import Option, check_array, check_choice, check_number, check_size
from npylstm.interop import core
from npylstm.interop.core import ANYTHING, Arrays, Framework, Tensor
from npylstm.sequence import (
    Bidirectional,
    Layer,
    LayerState,
    Reverse,
    Stack,
    as_layer,
    check_lengths,
)

Node: TypeAlias = Untyped
"""An `onnx.NodeProto`, or a dict of the node's attributes with `"op_type"` among them."""


def to_onnx(layer: Layer | Cell, params: Params, bias: bool = True) -> list[Arrays]:
    """Return the weights of ONNX's operators LSTM, GRU or RNN; see also `attributes_to_onnx`.

    Parameters
    ----------
    layer : Layer or Cell
        A cell, `Reverse` of a cell, a `Bidirectional` of two cells, or a `Stack` of these.
    params : dict of arrays
        The layer's parameters.
    bias : bool
        If False, B is left out; the biases must be zero.

    Returns
    -------
    list of dict of arrays
        One for each layer from the bottom up, because an operator makes one layer: W (Z, 4H, D),
        R (Z, 4H, H), B (Z, 8H), which holds the biases of W and of R, and with peepholes P (Z, 3H).
        Z is the number of directions. With coupled gates f has zeros; `input_forget=1` does not
        read them.

    Raises
    ------
    ValueError
        ONNX lacks the layer or an option, `params` belong to another layer, or a bias is not zero
        with `bias=False`.
    """
    return _to(layer, params, bias, gradients=False)


def gradients_to_onnx(layer: Layer | Cell, grads: Params, bias: bool = True) -> list[Arrays]:
    """Return the gradients of the operators' weights; both halves of B have the same gradient.

    Parameters and errors as in `to_onnx`.
    """
    return _to(layer, grads, bias, gradients=True)


def from_onnx(
    layer: Layer | Cell, operators: Mapping[str, Tensor] | Sequence[Mapping[str, Tensor]]
) -> Params:
    """Return the layer's parameters from the weights of ONNX operators: the inverse of `to_onnx`.

    Parameters
    ----------
    layer : Layer or Cell
        The layer that gets the parameters.
    operators : list of dict of arrays, or a dict for one operator
        W, R and, if they are not zero, B and P of each layer's operator, from the bottom up.

    Raises
    ------
    TypeError
        Something is not an array or a tensor of floating-point numbers.
    ValueError
        ONNX lacks the layer or an option, or arrays are missing, left over or have a shape that
        does not fit the layer.
    """
    return _from(layer, operators, gradients=False)


def gradients_from_onnx(
    layer: Layer | Cell, operators: Mapping[str, Tensor] | Sequence[Mapping[str, Tensor]]
) -> Params:
    """Return the layer's gradients from the gradients of the operators' weights."""
    return _from(layer, operators, gradients=True)


def state_to_onnx(layer: Layer | Cell, state: LayerState, layout: int = 0) -> list[Arrays]:
    """Return a state, or its gradient, in ONNX's form.

    Parameters
    ----------
    layer : Layer or Cell
        As in `to_onnx`.
    state : state of `layer`
    layout : int
        The operator's attribute: with 1 the batch comes first.

    Returns
    -------
    list of dict of arrays
        `initial_h` (Z, B, H), or (B, Z, H), and for an LSTM `initial_c`, one dict for each layer.
    """
    check_choice("layout", layout, (0, 1))
    states = iter(core.leaves(layer, state))
    operators = []
    for level in core.levels(ONNX, layer):
        sides = [next(states) for _ in level.sides]
        xp = array_module(sides[0][0])
        operators.append({
            f"initial_{name}": xp.stack([side[k] for side in sides], axis=-2 if layout else 0)
            for k, name in enumerate(sides[0]._fields)  # type: ignore[attr-defined]
        })  # fmt: skip
    return operators


def state_from_onnx(
    layer: Layer | Cell,
    states: Mapping[str, Tensor] | Sequence[Mapping[str, Tensor]],
    layout: int = 0,
) -> Untyped:
    """Return the layer's state from `initial_h` and `initial_c`, or from `Y_h` and `Y_c`.

    The inverse of `state_to_onnx`, with the same parameters.
    """
    check_choice("layout", layout, (0, 1))
    levels = core.levels(ONNX, layer)
    parts = []
    for k, (level, given) in enumerate(zip(levels, _listed("states", states, levels), strict=True)):
        fields = core.state_fields(level.sides[0][1])[0]
        named = {name: _state_array(f"states[{k}]", given, name) for name in fields}
        for side in range(len(level.sides)):
            parts.append({
                name: array_module(a).moveaxis(a, -2 if layout else 0, 0)[side].copy()
                for name, a in named.items()
            })  # fmt: skip
    return core.nest(layer, parts)


def attributes_to_onnx(layer: Layer | Cell) -> list[dict[str, Option]]:
    """Return the attributes of ONNX's operators, with their `op_type`, from the bottom up.

    Raises
    ------
    ValueError
        A layer or an option that ONNX lacks.

    Examples
    --------
    >>> attributes_to_onnx(LSTMVariant(3, 4, coupled=True))
    [{'op_type': 'LSTM', 'hidden_size': 4, 'direction': 'forward', 'input_forget': 1}]
    """
    return [_attributes(level) for level in core.levels(ONNX, layer)]


def layer_from_onnx(
    nodes: Node | Sequence[Node],
    inputs: Mapping[str, Tensor] | Sequence[Mapping[str, Tensor]],
) -> Layer:
    """Return the layer that computes the same as an ONNX operator, or as several in a stack.

    Parameters
    ----------
    nodes : onnx.NodeProto or dict, or a list of these
        An LSTM, GRU or RNN; a dict has the attributes and `"op_type"`. The layer does not use
        `layout`: sequences here are (T, B, D).
    inputs : dict of arrays, or a list of these
        W and R of each node, whose shapes give the sizes, and P if it has any. The keys are the
        names in ONNX's description or in the node's graph.

    Returns
    -------
    Layer
        For `from_onnx(layer, inputs)`.

    Raises
    ------
    ValueError
        The cells do not support an attribute, or sizes contradict each other.
    """
    if isinstance(nodes, Mapping) or hasattr(nodes, "op_type"):
        nodes = [nodes]
    given = [inputs] if isinstance(inputs, Mapping) else inputs
    if len(given) != len(nodes):
        raise ValueError(f"inputs must be {len(nodes)} dicts, one a node, got {len(given)}")
    layers = [
        _layer(*_operator(node), _inputs(node, own)) for node, own in zip(nodes, given, strict=True)
    ]
    return layers[0] if len(layers) == 1 else Stack(layers)


def run_onnx(node: Node, inputs: Mapping[str, Tensor] | Sequence[Tensor]) -> Arrays:
    """Compute the same as an ONNX operator: LSTM, GRU or RNN with any of their attributes.

    Parameters
    ----------
    node : onnx.NodeProto or dict
        As in `layer_from_onnx`.
    inputs : dict or list of arrays
        X, W and R, and optionally B, sequence_lens, initial_h, initial_c and P: a dict by the names
        in ONNX's description or in the node's graph, or a list in the order of the node's inputs.

    Returns
    -------
    dict of arrays
        Y (T, Z, B, H), Y_h (Z, B, H) and of an LSTM Y_c; with `layout=1` Y (B, T, Z, H) and Y_h
        (B, Z, H). A sequence of length 0 has a final state of zeros, as in ONNX Runtime, not the
        initial state.

    Raises
    ------
    TypeError, ValueError
        The cells do not support an attribute, or inputs do not fit.

    Examples
    --------
    >>> xs, W, R = np.ones((5, 2, 3)), np.ones((1, 16, 3)), np.ones((1, 16, 4))
    >>> results = run_onnx({"op_type": "LSTM", "hidden_size": 4}, {"X": xs, "W": W, "R": R})
    >>> results["Y"].shape
    (5, 1, 2, 4)
    """
    op_type, attributes = _operator(node)
    given = _inputs(node, inputs)
    layer = _layer(op_type, attributes, given)
    layout = int(attributes.get("layout", 0))
    if "X" not in given:
        raise ValueError(f"inputs must have 'X', got {sorted(given)}")
    xs = core.as_array("X", given["X"])
    check_array("X", xs, ("T", "B", layer.input_size))
    xs = xs.swapaxes(0, 1) if layout else xs
    lengths = None
    if "sequence_lens" in given:
        lengths = core.as_array("sequence_lens", given["sequence_lens"])
        lengths = check_lengths("sequence_lens", lengths, *xs.shape[:2])

    state0 = _initial(op_type, layer, given, xs, layout)
    params = from_onnx(layer, {name: given[name] for name in ("W", "R", "B", "P") if name in given})
    outputs, state, _ = layer.forward(params, xs, state0, lengths, keep_tape=False)
    if lengths is not None:
        ran = array_module(xs).asarray(lengths > 0)[:, None]
        state = map_state(lambda a: a * ran, state)
    (finals,) = state_to_onnx(layer, state, layout)
    Z = len(core.cells(layer))
    Y = outputs.reshape(*outputs.shape[:2], Z, -1)
    Y = Y.swapaxes(0, 1) if layout else Y.swapaxes(1, 2)
    return {"Y": Y, **{name.replace("initial", "Y"): array for name, array in finals.items()}}


# ------------------------------------------------------------------------------- one cell


def _encode(cell: Cell, params: Params, order: str, gradients: bool) -> Arrays:
    W_x, W_h, b_x, b_h = core.to_kernels(cell, params, order, gradients)
    xp = array_module(W_x)
    arrays = {"W": mT(W_x), "R": mT(W_h), "B": xp.concatenate([b_x, b_h], axis=-1)}
    if "p_i" in params:
        absent = xp.zeros_like(params["p_i"])
        arrays["P"] = xp.concatenate([params.get(f"p_{g}", absent) for g in "iof"], axis=-1)
    return arrays


def _decode(cell: Cell, a: Arrays, order: str, gradients: bool) -> Params:
    xp = array_module(a["B"])
    b_x, b_h = xp.split(a["B"], 2, axis=-1)
    params = core.from_kernels(cell, (mT(a["W"]), mT(a["R"]), b_x, b_h), order, gradients)
    if "P" in a:
        params |= {
            f"p_{gate}": p for gate, p in zip("iof", xp.split(a["P"], 3, axis=-1), strict=True)
        }
    return params


FUNCTIONS: dict[str, tuple[str, str, tuple[float, ...]]] = {
    "logistic": ("Sigmoid", "logistic", ()),
    "tanh": ("Tanh", "tanh", ()),
    "relu": ("Relu", "relu", ()),
    "identity": ("Affine", "affine", (1.0, 0.0)),
    "softsign": ("Softsign", "softsign", ()),
    "softplus": ("Softplus", "softplus", ()),
    "affine": ("Affine", "affine", (0.0, 0.0)),
    "leaky_relu": ("LeakyRelu", "leaky_relu", (0.01,)),
    "thresholded_relu": ("ThresholdedRelu", "thresholded_relu", (0.0,)),
    "scaled_tanh": ("ScaledTanh", "scaled_tanh", (0.0, 0.0)),
    "hard_sigmoid": ("HardSigmoid", "hard_sigmoid", (0.2, 0.5)),
    "elu": ("Elu", "elu", (1.0,)),
}
"""Activations here, and ONNX's name, the name here for it, and ONNX Runtime's alpha and beta."""

BY_ONNX = {name.lower(): (ours, numbers) for name, ours, numbers in FUNCTIONS.values()} | {
    "affine": ("affine", (0.0, 0.0))
}


ONNX = Framework(
    "ONNX",
    {
        "LSTM": (
            "iofg",
            {
                "peepholes": ANYTHING,
                "coupled": ANYTHING,
                "preactivation_clip": ANYTHING,
                "gate_activation": ANYTHING,
                "input_activation": ANYTHING,
                "output_activation": ANYTHING,
            },
        ),
        "GRU": (
            "urn",
            {
                "reset_after": ANYTHING,
                "preactivation_clip": ANYTHING,
                "gate_activation": ANYTHING,
                "activation": ANYTHING,
            },
        ),
        "RNN": ("h", {"preactivation_clip": ANYTHING, "activation": ANYTHING}),
    },
    _encode,
    _decode,
)

OF_CELL = {
    "LSTM": ("gate_activation", "input_activation", "output_activation"),
    "GRU": ("gate_activation", "activation"),
    "RNN": ("activation",),
}
"""For each operator the cell's options that its `activations` are, in their order."""

DEFAULTS = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}
"""Each operator's `activations` for one direction, where it has none."""

INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
"""The names of an operator's inputs in their order; a GRU and an RNN have six."""


def _to(layer: Layer | Cell, params: Params, bias: bool, gradients: bool) -> list[Arrays]:
    encoded = core.encode(ONNX, layer, params, gradients)
    operators: list[Arrays] = []
    for level in core.levels(ONNX, layer):
        sides = [encoded[prefix] for prefix, _ in level.sides]
        xp = array_module(sides[0]["W"])
        arrays = {name: xp.stack([side[name] for side in sides]) for name in sides[0]}
        operators.append(arrays if bias else core.without_bias(arrays, ["B"], gradients))
    return operators


def _from(layer: Layer | Cell, operators: Untyped, gradients: bool) -> Params:
    levels = core.levels(ONNX, layer)
    like = _to(layer, core.zeros(layer), bias=True, gradients=False)
    encoded: dict[str, Arrays] = {}
    for k, given in enumerate(_listed("operators", operators, levels)):
        argument = f"operators[{k}]"
        if isinstance(given, Mapping) and "W" in given:
            dtype = core.as_array(f"{argument}['W']", given["W"]).dtype
            optional = {n: a.astype(dtype) for n, a in like[k].items() if n in ("B", "P")}
            given = optional | dict(given)
        arrays = core.check_like(argument, given, like[k])
        for side, (prefix, _) in enumerate(levels[k].sides):
            encoded[prefix] = {name: array[side] for name, array in arrays.items()}
    return core.decode(ONNX, layer, encoded, gradients)


def _listed(argument: str, given: Untyped, levels: Sequence[Untyped]) -> Sequence[Untyped]:
    """Return a dict as a list of one; raise ValueError unless there is one for each level."""
    listed = [given] if isinstance(given, Mapping) else given
    if not isinstance(listed, list | tuple) or len(listed) != len(levels):
        got = len(listed) if isinstance(listed, list | tuple) else type(listed).__name__
        raise ValueError(f"{argument} must be {len(levels)}, one a layer, got {got}")
    return listed


def _state_array(argument: str, given: Mapping[str, Tensor], name: str) -> Array:
    """Return `initial_h` or `Y_h`, whichever there is."""
    keys = [f"initial_{name}", f"Y_{name}"]
    key = next((key for key in keys if key in given), None)
    if key is None:
        raise ValueError(f"{argument} must have {' or '.join(keys)}, got {sorted(given)}")
    array: Array = core.as_array(f"{argument}[{key!r}]", given[key])
    return array


# ----------------------------------------------------------------------------- attributes


def _attributes(level: core.Level) -> dict[str, Option]:
    (_, cell), kinds = level.sides[0], {core.KINDS[type(cell)] for _, cell in level.sides}
    for _, side in level.sides:
        ONNX.order(side)
    kind = kinds.pop()
    attributes = {"op_type": kind, "hidden_size": cell.hidden_size, "direction": level.direction}
    for option, name in (
        ("preactivation_clip", "clip"), ("coupled", "input_forget"),
        ("reset_after", "linear_before_reset"),
    ):  # fmt: skip
        values = [getattr(side, option, None) for _, side in level.sides]
        if values.count(values[0]) < len(values):
            raise ValueError(f"ONNX has one {name} for both directions, got {option}={values}")
        if values[0] is not None and values[0] is not False:
            attributes[name] = float(values[0]) if name == "clip" else 1
    phis = [
        getattr(side, option, standard)  # LSTMCell has no options
        for _, side in level.sides
        for option, standard in zip(OF_CELL[kind], ("logistic", "tanh", "tanh"), strict=False)
    ]
    return attributes | _functions_to_onnx(phis, DEFAULTS[kind] * len(level.sides))


def _functions_to_onnx(phis: Sequence[str], defaults: Sequence[str]) -> dict[str, Option]:
    """Return the attributes for these activations; none if they are ONNX's defaults."""
    names: list[str] = []
    alphas: list[float] = []
    betas: list[float] = []
    for phi in phis:
        kind, *given = phi.split(":")
        if kind not in FUNCTIONS:
            raise ValueError(f"ONNX has no activation {phi!r}; it has {', '.join(FUNCTIONS)}")
        name, _, standard = FUNCTIONS[kind]
        names.append(name)
        numbers = [float(number) for number in given] or standard
        alphas.extend(numbers[:1])
        betas.extend(numbers[1:])
    attributes: dict[str, Option] = {} if names == list(defaults) else {"activations": names}
    attributes |= {"activation_alpha": alphas} if alphas else {}
    return attributes | ({"activation_beta": betas} if betas else {})


def _operator(node: Node) -> tuple[str, dict[str, Option]]:
    """Return a node's operator and its attributes, with text as str."""
    if isinstance(node, Mapping):
        attributes = dict(node)
        op_type = attributes.pop("op_type", None)
    elif hasattr(node, "op_type"):
        value = sys.modules["onnx"].helper.get_attribute_value
        op_type, attributes = node.op_type, {a.name: value(a) for a in node.attribute}
    else:
        raise TypeError(f"node must be an onnx.NodeProto or a dict, got {type(node).__name__}")
    check_choice("op_type", op_type, OF_CELL)

    def text(value: Untyped) -> Untyped:
        if isinstance(value, list | tuple):
            return [text(item) for item in value]
        return value.decode() if isinstance(value, bytes) else value

    attributes = {name: text(value) for name, value in attributes.items() if value is not None}
    common = {"activations", "activation_alpha", "activation_beta", "clip", "direction",
              "hidden_size", "layout", "output_sequence"}  # fmt: skip
    own = {"LSTM": {"input_forget"}, "GRU": {"linear_before_reset"}, "RNN": set()}
    for name in attributes:
        check_choice(f"attribute of {op_type}", name, sorted(common | own[op_type]))
    for name in ("input_forget", "layout"):
        check_choice(name, attributes.get(name, 0), (0, 1))
    check_choice("direction", attributes.get("direction", "forward"),
                 ("forward", "reverse", "bidirectional"))  # fmt: skip
    return op_type, attributes


def _inputs(node: Node, given: Untyped) -> dict[str, Tensor]:
    """Return inputs by the names in ONNX's description, without those that are None."""
    formal = INPUTS if _operator(node)[0] == "LSTM" else INPUTS[:6]
    actual = list(getattr(node, "input", formal))
    by_graph = {theirs: ours for ours, theirs in zip(formal, actual, strict=False) if theirs}
    if not isinstance(given, Mapping):
        if len(given) > len(by_graph):
            raise ValueError(f"inputs must be at most {len(by_graph)} arrays, got {len(given)}")
        given = dict(zip(by_graph, given, strict=False))
    named = {by_graph.get(name, name): tensor for name, tensor in given.items()}
    for name in named:
        check_choice("name of an input", name, formal)
    return {name: tensor for name, tensor in named.items() if tensor is not None}


def _layer(op_type: str, attributes: Mapping[str, Option], inputs: Mapping[str, Tensor]) -> Layer:
    direction = attributes.get("direction", "forward")
    Z = 2 if direction == "bidirectional" else 1
    D, H = _sizes(op_type, attributes, inputs, Z)
    functions = _functions(op_type, attributes, Z)
    options = _options(op_type, attributes) | ({"peepholes": True} if "P" in inputs else {})
    count = len(OF_CELL[op_type])

    def cell(side: int) -> Cell:
        named = zip(OF_CELL[op_type], functions[side * count :], strict=False)
        own = dict[str, Option](named) | options
        if op_type == "RNN":
            return RNNCell(D, H, **own)
        if op_type == "GRU":
            return GRUCell(D, H, **own)
        variant = LSTMVariant(D, H, **own)
        return LSTMCell(D, H) if variant == LSTMVariant(D, H) else variant

    if direction == "bidirectional":
        return Bidirectional(cell(0), cell(1))
    return Reverse(cell(0)) if direction == "reverse" else as_layer(cell(0))


def _sizes(
    op_type: str, attributes: Mapping[str, Option], inputs: Mapping[str, Tensor], Z: int
) -> tuple[int, int]:
    """Return D and H from the shapes of W and R."""
    for name in ("W", "R"):
        if name not in inputs:
            raise ValueError(f"inputs must have 'W' and 'R', got {sorted(inputs)}")
    W, R = (core.as_array(name, inputs[name]) for name in ("W", "R"))
    if W.ndim != 3 or R.ndim != 3:
        raise ValueError(f"W and R must have three axes, got shapes {W.shape} and {R.shape}")
    D, H = W.shape[2], R.shape[2]
    check_size("hidden_size", attributes.get("hidden_size", H))
    rows = {"LSTM": 4, "GRU": 3, "RNN": 1}[op_type] * attributes.get("hidden_size", H)
    check_array("W", W, (Z, rows, D))
    check_array("R", R, (Z, rows, attributes.get("hidden_size", H)))
    return D, H


def _options(op_type: str, attributes: Mapping[str, Option]) -> dict[str, Option]:
    options: dict[str, Option] = {}
    if "clip" in attributes:
        check_number("clip", attributes["clip"], low=0)
        options["preactivation_clip"] = attributes["clip"]
    if op_type == "GRU":
        options["reset_after"] = bool(attributes.get("linear_before_reset", 0))
    if op_type == "LSTM":
        options["coupled"] = bool(attributes.get("input_forget", 0))
    return options


def _functions(op_type: str, attributes: Mapping[str, Option], Z: int) -> list[str]:
    """Return the activations by their names here, of each direction in turn.

    Alphas and betas are taken in the order of those functions that have any.
    """
    names = attributes.get("activations", DEFAULTS[op_type] * Z)
    count = len(DEFAULTS[op_type]) * Z
    if not isinstance(names, list | tuple) or len(names) != count:
        raise ValueError(f"activations must be {count} names, got {names!r}")
    alphas = iter(attributes.get("activation_alpha", ()))
    betas = iter(attributes.get("activation_beta", ()))
    functions = []
    for name in names:
        if str(name).lower() not in BY_ONNX:
            check_choice("activations", name, sorted({onnx for onnx, *_ in FUNCTIONS.values()}))
        ours, standard = BY_ONNX[str(name).lower()]
        pairs = zip((alphas, betas), standard, strict=False)
        numbers = [next(values, default) for values, default in pairs]
        text = ":".join([ours, *(repr(float(number)) for number in numbers)])
        functions.append(check_activation("activations", text))
    return functions


def _initial(
    op_type: str, layer: Layer, given: Mapping[str, Tensor], xs: Array, layout: int
) -> Untyped:
    """Return the initial state; missing parts of it are zero."""
    names = ("initial_h", "initial_c")[: 2 if op_type == "LSTM" else 1]
    if not any(name in given for name in names):
        return None
    (states,) = state_to_onnx(layer, layer.zero_state(xs[0]), layout)
    for name in names:
        if name in given:
            array = core.as_array(name, given[name])
            check_array(name, array, states[name].shape)
            states[name] = array
    return state_from_onnx(layer, states, layout)
