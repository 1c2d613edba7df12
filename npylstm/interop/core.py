"""Code that all frameworks share: the cells of a layer, their options, arrays of any library.

Each framework in its own file says three things: which options its cells have (`Framework.cells`),
how one cell's parameters become its arrays (`encode`), and how they come back (`decode`). The rest
is here: finding the cells in a layer, checking what does not fit, gradients and states.

Parameters and gradients convert differently. If a framework has two biases, and only their sum
enters the equations, b goes into the first and the second is zero, but ∂L/∂b is the gradient of
both. So an argument tells `encode` and `decode` whether they get parameters or gradients.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import TypeAlias

import numpy as np

from npylstm.backend import Array, Untyped, array_module
from npylstm.cells import Cell, GRUCell, LSTMCell, LSTMVariant, Params, RNNCell, State
from npylstm.checks import check_array
from npylstm.models import SequenceModel
from npylstm.sequence import (
    Bidirectional,
    Layer,
    LayerState,
    Recurrent,
    Reverse,
    Stack,
    as_layer,
    cells_inside,
    foreign_layer,
)

Arrays: TypeAlias = dict[str, Array]
"""A framework's arrays by the framework's names."""

Convertible: TypeAlias = Layer | Cell | SequenceModel
"""What has parameters to convert."""

Tensor: TypeAlias = Untyped
"""An array or a tensor of any library: NumPy, CuPy, PyTorch, TensorFlow, Keras, JAX, ONNX."""

KINDS: dict[type[Cell], str] = {
    LSTMCell: "LSTM",
    LSTMVariant: "LSTM",
    GRUCell: "GRU",
    RNNCell: "RNN",
}
"""The cells that other frameworks may have. Subclasses do not count: they may compute anything."""

Options: TypeAlias = Mapping[str, tuple[object, ...] | str]
"""The values that a cell's options may have: a string stands for the value of another option."""


class _Anything(tuple[object, ...]):
    """All values."""

    def __contains__(self, value: object) -> bool:
        return True


ANYTHING = _Anything()
"""Any value of an option converts."""

FOR_INIT = ("forget_bias", "gate_bias", "kernel_initializer", "recurrent_initializer")
"""Options that matter to `init` alone: any value converts."""


@dataclass(frozen=True)
class Framework:
    """How a framework lays out its cells.

    Attributes
    ----------
    name : str
    cells : dict
        For each kind of cell the order of its gates, by this package's letters, and the values
        that each option may have; an option that is not named must have its default.
    encode, decode : callable
        (cell, parameters, order, whether they are gradients) -> arrays by the framework's names,
        and back.
    """

    name: str
    cells: Mapping[str, tuple[str, Options]]
    encode: Callable[[Cell, Params, str, bool], Arrays]
    decode: Callable[[Cell, Arrays, str, bool], Params]

    def order(self, cell: Cell) -> str:
        """Return the order of the gates; raise ValueError for a cell that the framework lacks."""
        kind = KINDS.get(type(cell))
        if kind is None:
            raise ValueError(f"{self.name} has no cell like {cell}")
        order, options = self.cells[kind]
        for field in fields(cell):
            if field.default is MISSING or field.name in FOR_INIT:
                continue
            value, allowed = getattr(cell, field.name), options.get(field.name, (field.default,))
            if value not in ((getattr(cell, allowed),) if isinstance(allowed, str) else allowed):
                raise ValueError(
                    f"{self.name} has no {kind} with {field.name}={value!r} as in {cell}"
                )
        return order


# ------------------------------------------------------------------------ one cell's gates

Kernels: TypeAlias = tuple[Array, Array, Array, Array]
"""W_x (D, 4H), W_h (P, 4H) and their biases b_x, b_h (4H,), columns in a framework's order."""


def to_kernels(cell: Cell, params: Params, order: str, gradients: bool) -> Kernels:
    """Put the gates in a framework's order and give W_h a bias of its own.

    A gate that only the framework has gets zeros: f, if our f is 1 - i.
    """
    columns, H = cell.gate_columns, cell.hidden_size

    def ordered(array: Array) -> Array:
        xp = array_module(array)
        absent = xp.zeros((*array.shape[:-1], H), array.dtype)
        blocks = [array[..., columns[gate]] if gate in columns else absent for gate in order]
        return xp.concatenate(blocks, axis=-1)

    b = params["b"]
    b_h = b.copy() if gradients else array_module(b).zeros_like(b)
    if "b_h" in params:
        b_h[..., columns["n"]] = params["b_h"]
    return ordered(params["W_x"]), ordered(params["W_h"]), ordered(b), ordered(b_h)


def from_kernels(cell: Cell, kernels: Kernels, order: str, gradients: bool) -> Params:
    """Put the gates in the cell's order and add up the biases: the inverse of `to_kernels`."""

    def ordered(array: Array) -> Array:
        xp = array_module(array)
        blocks = dict(zip(order, xp.split(array, len(order), axis=-1), strict=True))
        return xp.concatenate([blocks[gate] for gate in cell.gates], axis=-1)

    W_x, W_h, b_x, b_h = map(ordered, kernels)
    b = b_x.copy() if gradients else b_x + b_h
    if "b_h" not in cell.param_shapes:
        return {"W_x": W_x, "W_h": W_h, "b": b}
    inside = cell.gate_columns["n"]  # the reset gate multiplies this part of b_h
    b[..., inside] = b_x[..., inside]
    return {"W_x": W_x, "W_h": W_h, "b": b, "b_h": b_h[..., inside]}


# -------------------------------------------------------------------- layers made of cells


def cells(layer: Layer | Cell) -> list[tuple[str, Cell]]:
    """Return each cell of a layer with the prefix of its parameters, from the bottom up.

    Raises
    ------
    TypeError
        It is not a layer or a cell, or has parameters of its own beside its cells' parameters.
    """
    if not isinstance(layer, Layer | Cell):
        raise TypeError(f"layer must be a Cell or a Layer of cells, got {layer!r}")
    layer = as_layer(layer)
    if (foreign := foreign_layer(layer)) is not None:
        raise TypeError(
            f"layer must be made of cells, got a {type(foreign).__name__} with parameters of its "
            "own, which no framework has"
        )
    return cells_inside(layer)


@dataclass(frozen=True)
class Level:
    """One layer of a PyTorch module, or one ONNX operator: a cell, or one in each direction."""

    direction: str
    sides: tuple[tuple[str, Cell], ...]


def levels(framework: Framework, layer: Layer | Cell) -> list[Level]:
    """Return the levels of a layer, from the bottom up; raise ValueError for other layers."""

    def level(part: Layer, prefix: str) -> Iterator[Level]:
        match part:
            case Stack():
                for name, inner in part.children.items():
                    yield from level(inner, f"{prefix}{name}.")
                return
            case Bidirectional():
                direction = "bidirectional"
            case Reverse():
                direction = "reverse"
            case Recurrent():
                direction = "forward"
            case _ if list(part.children) == [""]:  # it owns no parameters and is skipped
                yield from level(part.children[""], prefix)
                return
            case _:
                raise ValueError(f"{framework.name} has nothing like a {type(part).__name__}")
        single = all(isinstance(side, Recurrent) for side in part.children.values())
        sides = [(prefix + inner, cell) for inner, cell in cells(part)]
        if not single:
            raise ValueError(
                f"{framework.name} has cells, Bidirectional of two cells, and Stack of either, "
                f"but nothing like {layer}"
            )
        if len({size(cell) for _, cell in sides}) > 1:
            raise ValueError(
                f"{framework.name} needs the same layer in both directions, got {layer}"
            )
        yield Level(direction, tuple(sides))

    cells(layer)  # refuses other things than layers of cells
    return list(level(as_layer(layer), ""))


def size(cell: Cell) -> tuple[object, ...]:
    """Return the settings that two cells must share to be made from the same arguments."""
    return cell.gates, cell.hidden_size, cell.output_size, tuple(cell.param_shapes)


# -------------------------------------------------------------------------- there and back


def encode(
    framework: Framework, layer: Layer | Cell, params: Params, gradients: bool = False
) -> dict[str, Arrays]:
    """Return the framework's arrays of each cell, by the prefix of its parameters."""
    check_like("grads" if gradients else "params", params, zeros(layer))
    encoded: dict[str, Arrays] = {}
    for prefix, cell in cells(layer):
        own = {key: params[prefix + key] for key in cell.param_shapes}
        arrays = framework.encode(cell, own, framework.order(cell), gradients)
        encoded[prefix] = {key: array.copy() for key, array in arrays.items()}
    return encoded


def decode(
    framework: Framework,
    layer: Layer | Cell,
    encoded: Mapping[str, Arrays],
    gradients: bool = False,
) -> Params:
    """Return the layer's parameters from the framework's arrays of each cell."""
    params: Params = {}
    for prefix, cell in cells(layer):
        decoded = framework.decode(cell, encoded[prefix], framework.order(cell), gradients)
        params |= {prefix + key: decoded[key].copy() for key in cell.param_shapes}
    return params


def template(framework: Framework, layer: Layer | Cell) -> dict[str, Arrays]:
    """Return arrays with the framework's names and shapes for each cell."""
    return encode(framework, layer, zeros(layer))


def zeros(layer: Layer | Cell) -> Params:
    """Return parameters with the layer's names and shapes."""
    return {
        prefix + key: np.zeros(shape)
        for prefix, cell in cells(layer)
        for key, shape in cell.param_shapes.items()
    }


def check_like(argument: str, tensors: Mapping[str, Tensor], like: Mapping[str, Array]) -> Arrays:
    """Return tensors as arrays; raise TypeError or ValueError unless they fit `like`.

    They must have the names and shapes of `like`.
    """
    if not isinstance(tensors, Mapping):
        raise TypeError(f"{argument} must be a dict of arrays, got {type(tensors).__name__}")
    missing = sorted(like.keys() - tensors.keys())
    extra = sorted(map(str, tensors.keys() - like.keys()))
    if missing or extra:
        parts = [f"lacks {missing}"] * bool(missing) + [f"has {extra} besides"] * bool(extra)
        raise ValueError(f"{argument} must have the keys {sorted(like)}, but {' and '.join(parts)}")
    arrays = {name: as_array(f"{argument}[{name!r}]", tensors[name]) for name in like}
    for name, array in arrays.items():
        check_array(f"{argument}[{name!r}]", array, like[name].shape)
    return arrays


def without_bias(arrays: Arrays, names: Sequence[str], gradients: bool) -> Arrays:
    """Return the arrays except biases called `names`; raise ValueError if one is not zero.

    Their gradients may have any value, since the framework has no such parameter.
    """
    for name in names:
        if arrays[name].any() and not gradients:
            raise ValueError(f"bias must be True for biases that aren't zero, as {name!r}")
    return {name: array for name, array in arrays.items() if name not in names}


def as_array(name: str, tensor: Tensor) -> Untyped:
    """Return a tensor of any library as a NumPy array; NumPy's and CuPy's arrays stay as they are.

    A tensor of PyTorch may need a gradient, be on another device, or have any order in memory.
    bfloat16, which NumPy lacks, becomes float32 with the same value.

    Raises
    ------
    TypeError
        It is something else, or a tensor that holds no numbers.
    """
    if isinstance(tensor, np.ndarray) or type(tensor).__module__.startswith("cupy"):
        return tensor
    try:
        if hasattr(tensor, "detach"):  # PyTorch
            tensor = tensor.detach().cpu()
            wide = str(tensor.dtype) not in ("torch.float16", "torch.float32", "torch.float64")
            tensor = tensor.float() if wide and tensor.is_floating_point() else tensor
        elif hasattr(tensor, "raw_data"):  # ONNX
            tensor = sys.modules["onnx"].numpy_helper.to_array(tensor)
        array = tensor.numpy() if hasattr(tensor, "numpy") else tensor
        if not hasattr(array, "__array__"):
            raise TypeError("it is not an array")
        array = np.asarray(array)
    except Exception as error:  # each library raises its own error
        kind = type(tensor).__name__
        raise TypeError(f"{name} must be an array or a tensor, got {kind}: {error}") from error
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


# --------------------------------------------------------------------------------- states


def leaves(layer: Layer | Cell, state: LayerState) -> list[State]:
    """Return the state of each cell, in the order of `cells`; TypeError or ValueError if unfit."""

    def flat(part: Untyped) -> list[Untyped]:
        if not isinstance(part, tuple) or hasattr(part, "_fields"):
            return [part]
        return [leaf for inner in part for leaf in flat(inner)]

    states, owners = flat(state), [cell for _, cell in cells(layer)]
    if len(states) != len(owners):
        raise ValueError(f"state must hold {len(owners)} states, one a cell, got {len(states)}")
    for k, (cell, leaf) in enumerate(zip(owners, states, strict=True)):
        name = "state" if len(owners) == 1 else f"state of cell {k}"
        batch = leaf[0].shape[-2] if isinstance(leaf, tuple) and leaf[0].ndim > 1 else 0
        cell.check_state(name, leaf, batch)
    return states


def state_fields(layer: Layer | Cell) -> list[tuple[str, ...]]:
    """Return the names of the arrays in each cell's state, as ("h", "c")."""
    return [cell.state_sizes._fields for _, cell in cells(layer)]


def nest(layer: Layer | Cell, states: Sequence[Mapping[str, Array]]) -> Untyped:
    """Return the layer's state from the arrays of each cell's state: the inverse of `leaves`."""
    remaining = iter(states)

    def fill(part: Untyped) -> Untyped:
        if hasattr(part, "_fields"):
            return type(part)(**next(remaining))
        return tuple(fill(inner) for inner in part)

    whole = as_layer(layer)
    state = fill(whole.zero_state(np.zeros((1, whole.input_size))))
    leaves(layer, state)
    return state


# --------------------------------------------------------------------------------- models


def head_shapes(layer: Convertible) -> tuple[Layer | Cell, Arrays]:
    """Return the recurrent part and arrays like a model's W_y and b_y; none for a bare layer."""
    if not isinstance(layer, SequenceModel):
        return layer, {}
    H, K = layer.recurrent.output_size, layer.output_size
    return layer.recurrent, {"W_y": np.zeros((H, K)), "b_y": np.zeros(K)}


def split_head(layer: Convertible, params: Params) -> tuple[Layer | Cell, Params, Params]:
    """Return the recurrent part, its parameters, and the parameters of a model's head if any."""
    recurrent, head = head_shapes(layer)
    given = {name: params[name] for name in head if name in params}
    own = {name: array for name, array in params.items() if name not in head}
    return recurrent, own, check_like("params", given, head)
