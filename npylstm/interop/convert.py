"""Parameters from and to TensorFlow 1, Keras, PyTorch and ONNX, as plain arrays.

Only names and layouts change, so no framework is needed or imported. All of them compute the same
equations; what they call the gates, how they order them and how they lay out matrices differs:

============  =============  =============  ====================================================
framework     LSTM           GRU            matrices
============  =============  =============  ====================================================
npylstm       i, f, o, g     r, u, n        `W_x` (D, 4H) and `W_h` (H, 4H)
TensorFlow 1  i, j, f, o     r, u | c       in one kernel (D + H, 4H); a GRU's c has its own
Keras         i, f, c, o     z, r, h        (D, 4H) and (H, 4H)
PyTorch       i, f, g, o     r, z, n        transposed: (4H, D) and (4H, H)
ONNX          i, o, f, c     z, r, h        transposed, the directions of a layer stacked
============  =============  =============  ====================================================

The candidate g of an LSTM is also called j and c, the candidate n of a GRU c and h, and its update
gate u also z; it keeps the old state where it is 1, in all of them.

`layer` is a cell or any layer made of cells. The wrappers `Dropout` and `Residual` own no
parameters and are passed over. Activations are no parameters: set them in the framework as they
are in the cell. A cell with options that a framework lacks is refused.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from npylstm.backend import Array, array_module
from npylstm.cells import Cell, Params, mT
from npylstm.checks import check_array
from npylstm.sequence import Bidirectional, Dropout, Layer, Recurrent, Residual, Stack

Arrays: TypeAlias = dict[str, Array]
"""A framework's arrays by the framework's names."""


def to_torch(layer: Layer | Cell, params: Params) -> Arrays:
    """Return the `state_dict` of PyTorch's nn.LSTM, nn.GRU or nn.RNN.

    Gates in the order i, f, g, o or r, z, n (PyTorch 2, `torch.nn.LSTM` and `torch.nn.GRU`). The
    bias goes into `bias_ih`; `bias_hh` is zero but for the b_h of a GRU.

    Parameters
    ----------
    layer : Layer or Cell
        A cell, a `Bidirectional` of two cells, or a `Stack` of either: the `num_layers` and
        `bidirectional` of the PyTorch module.
    params : dict of arrays
        The layer's parameters.

    Returns
    -------
    dict of arrays
        `weight_ih_l0` (4H, D), `weight_hh_l0` (4H, P), `bias_ih_l0` and `bias_hh_l0` (4H,), with a
        projection `weight_hr_l0` (P, H); then `..._l0_reverse`, `..._l1` and so on.

    Raises
    ------
    ValueError
        A layer or an option that PyTorch lacks, or `params` of another layer.

    Examples
    --------
    >>> cell = LSTMCell(input_size=3, hidden_size=4)
    >>> state_dict = to_torch(cell, cell.init(rng=0))
    >>> import torch
    >>> module = torch.nn.LSTM(3, 4, dtype=torch.float64)
    >>> module.load_state_dict({name: torch.tensor(a) for name, a in state_dict.items()})
    <All keys matched successfully>
    """
    return _encode(PYTORCH, layer, params, _torch_name(layer))


def from_torch(layer: Layer | Cell, state_dict: Mapping[str, Array]) -> Params:
    """Return the layer's parameters from PyTorch's `state_dict`: the inverse of `to_torch`.

    The two biases are added up: only their sum enters the equations, but for the b_h of a GRU.

    Parameters
    ----------
    layer : Layer or Cell
        What the parameters are for.
    state_dict : dict of arrays
        Of NumPy arrays: `{name: tensor.numpy() for name, tensor in module.state_dict().items()}`.

    Raises
    ------
    TypeError
        Something that is not an array of floating-point numbers.
    ValueError
        A layer or an option that PyTorch lacks, or arrays that are missing, left over or of a
        shape that does not fit the layer.
    """
    _check_like("state_dict", state_dict, to_torch(layer, _zeros(layer)))
    return _decode(PYTORCH, layer, state_dict, _torch_name(layer))


def to_keras(layer: Layer | Cell, params: Params) -> list[Array]:
    """Return the list that `get_weights()` of the same layers in Keras returns.

    Gates in the order i, f, c, o or z, r, h (Keras 3, `keras.layers.LSTM` and `keras.layers.GRU`).

    Parameters
    ----------
    layer : Layer or Cell
        LSTMCell, GRUCell or RNNCell for keras.layers.LSTM, GRU or SimpleRNN, `Bidirectional` for
        keras.layers.Bidirectional, `Stack` for keras.Sequential or keras.layers.RNN of a list.
    params : dict of arrays
        The layer's parameters.

    Returns
    -------
    list of arrays
        kernel (D, 4H), recurrent_kernel (H, 4H) and bias (4H,) of each cell, from the bottom up,
        the forward direction first. The bias of a GRU with `reset_after` is (2, 3H).

    Raises
    ------
    ValueError
        An option that Keras lacks, or `params` of another layer.
    """
    return list(_encode(KERAS, layer, params, _plain_name).values())


def from_keras(layer: Layer | Cell, weights: Sequence[Array]) -> Params:
    """Return the layer's parameters from Keras weights: the inverse of `to_keras`.

    Parameters
    ----------
    layer : Layer or Cell
        What the parameters are for.
    weights : list of arrays
        In the order of `get_weights()`.

    Raises
    ------
    TypeError
        Something that is not an array of floating-point numbers.
    ValueError
        An option that Keras lacks, or another number or other shapes of arrays than the layer has.
    """
    template = _encode(KERAS, layer, _zeros(layer), _plain_name)
    if len(weights) != len(template):
        raise ValueError(
            f"weights must be {len(template)} arrays, {', '.join(template)}, got {len(weights)}"
        )
    arrays = dict(zip(template, weights, strict=True))
    _check_like("weights", arrays, template)
    return _decode(KERAS, layer, arrays, _plain_name)


def to_onnx(layer: Layer | Cell, params: Params) -> list[Arrays]:
    """Return the weights of ONNX's operators LSTM, GRU or RNN.

    Gates in the order i, o, f, c or z, r, h, peepholes i, o, f (ONNX opset 22). The operator's
    attributes remain to be set: `hidden_size`, `direction`, `activations`, and for a GRU with
    `reset_after` `linear_before_reset=1`.

    Parameters
    ----------
    layer : Layer or Cell
        A cell, a `Bidirectional` of two cells, or a `Stack` of either.
    params : dict of arrays
        The layer's parameters.

    Returns
    -------
    list of dict of arrays
        One for each layer from the bottom up, for an operator makes one layer: W (Z, 4H, D),
        R (Z, 4H, H), B (Z, 8H), the biases of W and those of R, and with peepholes P (Z, 3H); Z
        is the number of directions.

    Raises
    ------
    ValueError
        A layer or an option that ONNX lacks, or `params` of another layer.
    """
    encoded = _encode(ONNX, layer, params, _plain_name)
    operators: list[Arrays] = []
    for directions in _directions(ONNX, layer):
        sides = [
            {
                name.removeprefix(prefix): array
                for name, array in encoded.items()
                if name.startswith(prefix)
            }
            for prefix in directions
        ]
        xp = array_module(sides[0]["W"])
        operators.append({name: xp.stack([side[name] for side in sides]) for name in sides[0]})
    return operators


def from_onnx(layer: Layer | Cell, operators: Sequence[Mapping[str, Array]]) -> Params:
    """Return the layer's parameters from the weights of ONNX operators: the inverse of `to_onnx`.

    Parameters
    ----------
    layer : Layer or Cell
        What the parameters are for.
    operators : list of dict of arrays
        W, R, B and, with peepholes, P of each layer's operator, from the bottom up.

    Raises
    ------
    TypeError
        Something that is not an array of floating-point numbers.
    ValueError
        A layer or an option that ONNX lacks, or arrays that are missing, left over or of a shape
        that does not fit the layer.
    """
    template = to_onnx(layer, _zeros(layer))
    if len(operators) != len(template):
        raise ValueError(f"operators must be {len(template)}, one a layer, got {len(operators)}")
    arrays: Arrays = {}
    for k, directions in enumerate(_directions(ONNX, layer)):
        _check_like(f"operators[{k}]", operators[k], template[k])
        for z, prefix in enumerate(directions):
            arrays |= {prefix + name: array[z] for name, array in operators[k].items()}
    return _decode(ONNX, layer, arrays, _plain_name)


def to_tf1(layer: Layer | Cell, params: Params, scopes: Sequence[str]) -> Arrays:
    """Return TensorFlow 1's variables.

    Gates in the order i, j, f, o, or r, u and apart from them c (TensorFlow 1.15, BasicLSTMCell,
    LSTMCell, GRUCell and BasicRNNCell). TensorFlow adds the forget bias at run time, so it is not
    in its variables: the `forget_bias` of each cell is subtracted here and must be given to the
    TensorFlow cell. Adding it back rounds; with `forget_bias=0` nothing does.

    Parameters
    ----------
    layer : Layer or Cell
        Any layer.
    params : dict of arrays
        The layer's parameters.
    scopes : list of str
        The scope of each cell's variables, from the bottom up, the forward direction first:
        `["rnn/basic_lstm_cell"]`. `npylstm.tf1` knows those that TensorFlow gives its cells.

    Returns
    -------
    dict of arrays
        In each scope `kernel` (D + P, 4H) and `bias` (4H,), with peepholes `w_f_diag`, `w_i_diag`
        and `w_o_diag` (H,), with a projection `projection/kernel` (H, P). In that of a GRU
        `gates/kernel` (D + H, 2H), `gates/bias`, `candidate/kernel` (D + H, H), `candidate/bias`.

    Raises
    ------
    ValueError
        An option that TensorFlow lacks, or `params` or `scopes` that do not fit the layer.
    """
    _check_like("params", params, _zeros(layer))
    return gradients_to_tf1(layer, _plus_forget_bias(layer, params, sign=-1), scopes)


def gradients_to_tf1(layer: Layer | Cell, grads: Params, scopes: Sequence[str]) -> Arrays:
    """Return the gradients of TensorFlow 1's variables: `to_tf1`, without any forget bias."""
    return _encode(TENSORFLOW1, layer, grads, _scoped_name(layer, scopes))


def from_tf1(layer: Layer | Cell, variables: Mapping[str, Array], scopes: Sequence[str]) -> Params:
    """Return the layer's parameters from TensorFlow 1's variables: the inverse of `to_tf1`.

    Parameters
    ----------
    layer : Layer or Cell
        What the parameters are for. The `forget_bias` of its cells is that of the TensorFlow
        cells; it becomes a part of b.
    variables : dict of arrays
        By their names in a checkpoint, `"rnn/basic_lstm_cell/kernel"`.
    scopes : list of str
        As in `to_tf1`.

    Raises
    ------
    TypeError
        Something that is not an array of floating-point numbers.
    ValueError
        An option that TensorFlow lacks, or variables that are missing, left over or of a shape
        that does not fit the layer.
    """
    name = _scoped_name(layer, scopes)
    _check_like("variables", variables, gradients_to_tf1(layer, _zeros(layer), scopes))
    return _plus_forget_bias(layer, _decode(TENSORFLOW1, layer, variables, name), sign=1)


# ---------------------------------------------------------------- one cell, in each framework

Kernels: TypeAlias = tuple[Array, Array, Array, Array]
"""W_x (D, 4H), W_h (P, 4H) and their biases b_x, b_h (4H,), columns in a framework's order."""


def _kernels(cell: Cell, params: Params, order: str) -> Kernels:
    """Put the gates in a framework's order and give W_h a bias of its own."""
    columns = cell.gate_columns

    def ordered(array: Array) -> Array:
        blocks = [array[..., columns[gate]] for gate in order]
        return array_module(array).concatenate(blocks, axis=-1)

    b_h = array_module(params["b"]).zeros_like(params["b"])
    if "b_h" in params:
        b_h[..., columns["n"]] = params["b_h"]
    return ordered(params["W_x"]), ordered(params["W_h"]), ordered(params["b"]), ordered(b_h)


def _params(cell: Cell, kernels: Kernels, order: str) -> Params:
    """Put the gates in the cell's order and add up the biases: the inverse of `_kernels`."""

    def ordered(array: Array) -> Array:
        xp = array_module(array)
        blocks = dict(zip(order, xp.split(array, len(order), axis=-1), strict=True))
        return xp.concatenate([blocks[gate] for gate in cell.gates], axis=-1)

    W_x, W_h, b_x, b_h = map(ordered, kernels)
    if "b_h" not in cell.param_shapes:
        return {"W_x": W_x, "W_h": W_h, "b": b_x + b_h}
    inside = cell.gate_columns["n"]  # the reset gate multiplies this part of b_h
    b = b_x + b_h
    b[..., inside] = b_x[..., inside]
    return {"W_x": W_x, "W_h": W_h, "b": b, "b_h": b_h[..., inside]}


def _encode_torch(cell: Cell, params: Params, order: str) -> Arrays:
    W_x, W_h, b_x, b_h = _kernels(cell, params, order)
    arrays = {"weight_ih": mT(W_x), "weight_hh": mT(W_h), "bias_ih": b_x, "bias_hh": b_h}
    return arrays | ({"weight_hr": mT(params["W_p"])} if "W_p" in params else {})


def _decode_torch(cell: Cell, a: Arrays, order: str) -> Params:
    kernels = mT(a["weight_ih"]), mT(a["weight_hh"]), a["bias_ih"], a["bias_hh"]
    params = _params(cell, kernels, order)
    return params | ({"W_p": mT(a["weight_hr"])} if "weight_hr" in a else {})


def _encode_keras(cell: Cell, params: Params, order: str) -> Arrays:
    W_x, W_h, b_x, b_h = _kernels(cell, params, order)
    bias = array_module(b_x).stack([b_x, b_h], axis=-2) if "b_h" in params else b_x
    return {"kernel": W_x, "recurrent_kernel": W_h, "bias": bias}


def _decode_keras(cell: Cell, a: Arrays, order: str) -> Params:
    b_x = a["bias"]
    b_h = array_module(b_x).zeros_like(b_x)
    if "b_h" in cell.param_shapes:
        b_x, b_h = a["bias"][..., 0, :], a["bias"][..., 1, :]
    return _params(cell, (a["kernel"], a["recurrent_kernel"], b_x, b_h), order)


def _encode_onnx(cell: Cell, params: Params, order: str) -> Arrays:
    W_x, W_h, b_x, b_h = _kernels(cell, params, order)
    xp = array_module(W_x)
    arrays = {"W": mT(W_x), "R": mT(W_h), "B": xp.concatenate([b_x, b_h], axis=-1)}
    if "p_i" in params:
        arrays["P"] = xp.concatenate([params[f"p_{gate}"] for gate in "iof"], axis=-1)
    return arrays


def _decode_onnx(cell: Cell, a: Arrays, order: str) -> Params:
    xp = array_module(a["B"])
    b_x, b_h = xp.split(a["B"], 2, axis=-1)
    params = _params(cell, (mT(a["W"]), mT(a["R"]), b_x, b_h), order)
    if "P" in a:
        params |= {
            f"p_{gate}": p for gate, p in zip("iof", xp.split(a["P"], 3, axis=-1), strict=True)
        }
    return params


TF1_OPTIONAL = {
    "p_f": "w_f_diag", "p_i": "w_i_diag", "p_o": "w_o_diag", "W_p": "projection/kernel",
}  # fmt: skip


def _encode_tf1(cell: Cell, params: Params, order: str) -> Arrays:
    W_x, W_h, bias, _ = _kernels(cell, params, order)
    kernel = array_module(W_x).concatenate([W_x, W_h], axis=-2)
    if order == "run":
        H = cell.hidden_size
        return {
            "gates/kernel": kernel[..., : 2 * H], "gates/bias": bias[..., : 2 * H],
            "candidate/kernel": kernel[..., 2 * H :], "candidate/bias": bias[..., 2 * H :],
        }  # fmt: skip
    optional = {tf1: params[ours] for ours, tf1 in TF1_OPTIONAL.items() if ours in params}
    return {"kernel": kernel, "bias": bias} | optional


def _decode_tf1(cell: Cell, a: Arrays, order: str) -> Params:
    if order == "run":
        xp = array_module(a["gates/bias"])
        a = {
            name: xp.concatenate([a[f"gates/{name}"], a[f"candidate/{name}"]], axis=-1)
            for name in ("kernel", "bias")
        }
    D, kernel, bias = cell.input_size, a["kernel"], a["bias"]
    no_bias = array_module(bias).zeros_like(bias)
    params = _params(cell, (kernel[..., :D, :], kernel[..., D:, :], bias, no_bias), order)
    return params | {ours: a[tf1] for ours, tf1 in TF1_OPTIONAL.items() if tf1 in a}


def _plus_forget_bias(layer: Layer | Cell, params: Params, sign: int) -> Params:
    """Add `sign` times its forget bias to the b of every LSTM."""
    params = dict(params)
    for prefix, cell in cells(layer):
        if "f" in cell.gates:
            b = params[prefix + "b"].copy()
            b[..., cell.gate_columns["f"]] += sign * cell.forget_bias  # type: ignore[attr-defined]
            params[prefix + "b"] = b
    return params


# ------------------------------------------------------------------- what each framework has


Options: TypeAlias = dict[str, tuple[Any, ...] | str]
"""What the options of a cell may be; a string stands for the value of another option."""


@dataclass(frozen=True)
class Framework:
    """How a framework lays out its cells.

    Attributes
    ----------
    name : str
    cells : dict
        For each kind of cell that it has, the order of the gates by this package's letters, and
        what the cell's options may be.
    encode, decode : callable
        (cell, parameters, order) -> arrays by the framework's names, and back.
    """

    name: str
    cells: Mapping[str, Options]
    encode: Callable[[Cell, Params, str], Arrays]
    decode: Callable[[Cell, Arrays, str], Params]

    def order(self, cell: Cell) -> str:
        """Return the order of the gates; raise ValueError for a cell that the framework lacks."""
        order = next((order for order in self.cells if set(order) == set(cell.gates)), None)
        if order is None:
            raise ValueError(f"{self.name} has no cell with the gates {cell.gates} of {cell}")
        for option, values in self.cells[order].items():
            allowed = (getattr(cell, values, None),) if isinstance(values, str) else values
            if getattr(cell, option, allowed[0]) not in allowed:
                raise ValueError(
                    f"{self.name} has no cell with {option}={getattr(cell, option)!r} as in {cell}"
                )
        return order


LSTM: Options = {"gate_recurrence": (None,), "block_size": (1,), "truncated": (False,)}
NO_PEEPHOLES: Options = {"peepholes": (False,)}
NO_PROJECTION: Options = {"projection_size": (None,)}
NO_CLIPS: Options = {"cell_clip": (None,), "projection_clip": (None,)}
TANH: Options = {"input_activation": ("tanh",), "output_activation": ("tanh",)}
ONE_ACTIVATION: Options = {"input_activation": "output_activation"}

TENSORFLOW1 = Framework(
    "TensorFlow 1",
    {"igfo": LSTM | ONE_ACTIVATION, "run": {"reset_after": (False,)}, "h": {}},
    _encode_tf1,
    _decode_tf1,
)
KERAS = Framework(
    "Keras",
    {
        "ifgo": LSTM | NO_PEEPHOLES | NO_PROJECTION | NO_CLIPS | ONE_ACTIVATION,
        "urn": {},
        "h": {},
    },
    _encode_keras,
    _decode_keras,
)
PYTORCH = Framework(
    "PyTorch",
    {
        "ifgo": LSTM | NO_PEEPHOLES | NO_CLIPS | TANH,
        "run": {"reset_after": (True,), "activation": ("tanh",)},
        "h": {"activation": ("tanh", "relu")},
    },
    _encode_torch,
    _decode_torch,
)
ONNX = Framework(
    "ONNX",
    {"iofg": LSTM | NO_PROJECTION | NO_CLIPS, "urn": {}, "h": {}},
    _encode_onnx,
    _decode_onnx,
)


# ---------------------------------------------------------------------- layers made of cells


def cells(layer: Layer | Cell) -> list[tuple[str, Cell]]:
    """Return each cell of a layer with the prefix of its parameters, from the bottom up."""
    parts: list[tuple[str, Layer | Cell]]
    match layer:
        case Cell():
            return [("", layer)]
        case Recurrent():
            return [("", layer.cell)]
        case Dropout() | Residual():
            return cells(layer.layer)
        case Stack():
            parts = [(f"{k}.", inner) for k, inner in enumerate(layer.layers)]
        case Bidirectional():
            parts = [("forward.", layer.forward_layer), ("backward.", layer.backward_layer)]
        case _:
            raise TypeError(f"layer must be a Cell or a Layer of cells, got {layer!r}")
    return [(start + prefix, cell) for start, inner in parts for prefix, cell in cells(inner)]


Name: TypeAlias = Callable[[str, str], str]
"""(prefix of the cell's parameters, name inside the cell) -> the framework's name."""


def _plain_name(prefix: str, name: str) -> str:
    return prefix + name


def _scoped_name(layer: Layer | Cell, scopes: Sequence[str]) -> Name:
    prefixes = [prefix for prefix, _ in cells(layer)]
    if len(scopes) != len(prefixes) or len(set(scopes)) < len(scopes):
        raise ValueError(
            f"scopes must be {len(prefixes)} different ones, one for each cell, got {scopes!r}"
        )
    scope = dict(zip(prefixes, scopes, strict=True))
    return lambda prefix, name: f"{scope[prefix]}/{name}"


def _torch_name(layer: Layer | Cell) -> Name:
    layers = _directions(PYTORCH, layer)
    kinds = {_kind(cell) for _, cell in cells(layer)}
    if len(kinds) > 1 or len({len(directions) for directions in layers}) > 1:
        raise ValueError(f"a PyTorch module has layers of one kind and size only, got {layer}")
    suffix = {
        prefix: f"_l{k}{'_reverse' if z else ''}"
        for k, directions in enumerate(layers)
        for z, prefix in enumerate(directions)
    }
    return lambda prefix, name: name + suffix[prefix]


def _directions(framework: Framework, layer: Layer | Cell) -> list[list[str]]:
    """Return the prefixes of the one or two directions of each layer, from the bottom up."""
    layers: dict[str, dict[str, Cell]] = {}
    for prefix, cell in cells(layer):
        known = re.fullmatch(r"(\d+\.)?((forward|backward)\.)?", prefix)
        if known is None:
            raise ValueError(
                f"{framework.name} has cells, Bidirectional of two cells, and Stack of either, "
                f"but nothing like {layer}"
            )
        layers.setdefault(known[1] or "", {})[prefix] = cell
    for sides in layers.values():
        if len({_kind(cell) for cell in sides.values()}) > 1:
            raise ValueError(
                f"{framework.name} has layers with both directions alike only, got {layer}"
            )
    return [list(sides) for sides in layers.values()]


def _kind(cell: Cell) -> tuple[Any, ...]:
    """Return what two cells must share to be set up by the same arguments."""
    return cell.gates, cell.hidden_size, cell.output_size, tuple(cell.param_shapes)


def _encode(framework: Framework, layer: Layer | Cell, params: Params, name: Name) -> Arrays:
    _check_like("params", params, _zeros(layer))
    arrays: Arrays = {}
    for prefix, cell in cells(layer):
        own = {key: params[prefix + key] for key in cell.param_shapes}
        encoded = framework.encode(cell, own, framework.order(cell))
        arrays |= {name(prefix, key): array.copy() for key, array in encoded.items()}
    return arrays


def _decode(
    framework: Framework, layer: Layer | Cell, arrays: Mapping[str, Array], name: Name
) -> Params:
    params: Params = {}
    for prefix, cell in cells(layer):
        order = framework.order(cell)
        keys = framework.encode(cell, _zeros(cell), order)
        decoded = framework.decode(cell, {key: arrays[name(prefix, key)] for key in keys}, order)
        params |= {prefix + key: decoded[key].copy() for key in cell.param_shapes}
    return params


def _zeros(layer: Layer | Cell) -> Params:
    """Return parameters of the layer's names and shapes."""
    return {
        prefix + key: np.zeros(shape)
        for prefix, cell in cells(layer)
        for key, shape in cell.param_shapes.items()
    }


def _check_like(argument: str, arrays: Mapping[str, Array], template: Arrays) -> None:
    """Raise TypeError or ValueError unless `arrays` has the names and shapes of `template`."""
    if arrays.keys() != template.keys():
        missing, extra = template.keys() - arrays.keys(), arrays.keys() - template.keys()
        raise ValueError(
            f"{argument} must have the keys {sorted(template)}, but lacks {sorted(missing)} "
            f"and has {sorted(extra)} besides"
        )
    for name, array in template.items():
        check_array(f"{argument}[{name!r}]", arrays[name], array.shape)
