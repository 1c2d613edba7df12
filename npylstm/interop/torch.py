"""PyTorch 2: parameters, gradients and states of nn.LSTM, nn.GRU and nn.RNN, and layers like them.

The gates have the order i, f, g, o or r, z, n. Matrices are transposed, (4H, D) and (4H, H). There
are two biases, `bias_ih` and `bias_hh`. PyTorch itself is not imported.
"""

import re
from collections.abc import Mapping

import numpy as np

from npylstm.backend import Array, Untyped, array_module
from npylstm.cells import AnyState, Cell, GRUCell, LSTMCell, LSTMVariant, Params, RNNCell, mT
from npylstm.checks import Option
from npylstm.interop import core
from npylstm.interop.core import ANYTHING, Arrays, Convertible, Framework, Tensor
from npylstm.models import SequenceModel
from npylstm.sequence import Bidirectional, Dropout, Layer, Stack, as_layer


def to_torch(
    layer: Convertible, params: Params, prefix: str = "", head: str = "head", bias: bool = True
) -> Arrays:
    """Return the `state_dict` of PyTorch's nn.LSTM, nn.GRU or nn.RNN.

    The bias goes into `bias_ih`; `bias_hh` is zero except for the b_h of a GRU.

    Parameters
    ----------
    layer : Layer, Cell or SequenceModel
        A cell, a `Bidirectional` of two cells, or a `Stack` of either: the `num_layers` and
        `bidirectional` of the PyTorch module. With a model the state_dict has its head, too.
    params : dict of arrays
        The layer's parameters.
    prefix : str
        The start of the names: `"lstm."` for the attribute `lstm` of a module.
    head : str
        The name of the nn.Linear that is a model's head.
    bias : bool
        If False, the biases are left out, for a module made with `bias=False`; they must be zero.

    Returns
    -------
    dict of arrays
        `weight_ih_l0` (4H, D), `weight_hh_l0` (4H, P), `bias_ih_l0` and `bias_hh_l0` (4H,), with a
        projection `weight_hr_l0` (P, H); then `..._l0_reverse`, `..._l1` and so on.

    Raises
    ------
    ValueError
        PyTorch lacks the layer or an option, `params` belong to another layer, or a bias is not
        zero with `bias=False`.

    Examples
    --------
    >>> import torch
    >>> cell = LSTMCell(input_size=3, hidden_size=4)
    >>> state_dict = to_torch(cell, cell.init(rng=0))
    >>> module = torch.nn.LSTM(3, 4, dtype=torch.float64)
    >>> module.load_state_dict({name: torch.tensor(a) for name, a in state_dict.items()})
    <All keys matched successfully>
    """
    return _to(layer, params, prefix, head, bias, gradients=False)


def gradients_to_torch(
    layer: Convertible, grads: Params, prefix: str = "", head: str = "head", bias: bool = True
) -> Arrays:
    """Return the gradients of PyTorch's parameters; `bias_ih` and `bias_hh` have the same gradient.

    Parameters and errors as in `to_torch`; `bias=False` drops the gradients of the biases.
    """
    return _to(layer, grads, prefix, head, bias, gradients=True)


def from_torch(
    layer: Convertible,
    state_dict: Mapping[str, Tensor],
    prefix: str | None = None,
    head: str | None = None,
) -> Params:
    """Return the layer's parameters from PyTorch's `state_dict`: the inverse of `to_torch`.

    The two biases are added up: only their sum enters the equations, except for the b_h of a GRU.
    Without any biases (`bias=False`) b is zero.

    Parameters
    ----------
    layer : Layer, Cell or SequenceModel
        The layer that gets the parameters.
    state_dict : dict of tensors or arrays
        A module's state_dict, or a whole model's; only the recurrent layer's part is read. The
        names may begin with `"module."` or `"_orig_mod."`.
    prefix : str, optional
        The start of the recurrent layer's names; needed only if there are several layers.
    head : str, optional
        The name of the nn.Linear that is a model's head; needed only if several have its shape.

    Raises
    ------
    TypeError
        Something is not an array or a tensor of floating-point numbers.
    ValueError
        PyTorch lacks the layer or an option, or arrays are missing, left over or have a shape that
        does not fit the layer.
    """
    return _from("state_dict", layer, state_dict, prefix, head, gradients=False)


def gradients_from_torch(
    layer: Convertible,
    gradients: Mapping[str, Tensor],
    prefix: str | None = None,
    head: str | None = None,
) -> Params:
    """Return the layer's gradients from PyTorch's: the inverse of `gradients_to_torch`.

    Parameters
    ----------
    layer, prefix, head
        As in `from_torch`.
    gradients : dict of tensors or arrays
        `{name: p.grad for name, p in module.named_parameters()}`.

    Raises
    ------
    TypeError, ValueError
        As in `from_torch`.
    """
    return _from("gradients", layer, gradients, prefix, head, gradients=True)


def state_to_torch(layer: Layer | Cell, state: AnyState) -> Untyped:
    """Return a state, or its gradient, in PyTorch's form: (h, c) for an LSTM, else h alone.

    Parameters
    ----------
    layer : Layer or Cell
        As in `to_torch`.
    state : state of `layer`

    Returns
    -------
    h : array (L·Z, B, P)
        For all L layers in both directions, Z = 2, or in one, Z = 1.
    c : array (L·Z, B, H)
        Only for an LSTM.

    Raises
    ------
    TypeError, ValueError
        The state belongs to another layer, or PyTorch lacks the layer.
    """
    _suffixes(layer)
    states = core.leaves(layer, state)
    xp = array_module(states[0][0])
    stacked = tuple(xp.stack(list(parts)) for parts in zip(*states, strict=True))
    return stacked[0] if len(stacked) == 1 else stacked


def state_from_torch(layer: Layer | Cell, state: AnyState) -> Untyped:
    """Return the layer's state from PyTorch's (h, c) or h: the inverse of `state_to_torch`."""
    _suffixes(layer)
    fields = core.state_fields(layer)[0]
    given = tuple(state) if isinstance(state, tuple | list) else (state,)
    if len(given) != len(fields):
        raise ValueError(f"state must be ({', '.join(fields)}), got {len(given)} tensors")
    count = len(core.cells(layer))
    arrays = [core.as_array(f"state[{k}]", part) for k, part in enumerate(given)]
    for name, array in zip(fields, arrays, strict=True):
        if array.ndim != 3 or len(array) != count:
            raise ValueError(f"{name} must have shape ({count}, B, ...), got {array.shape}")
    parts = [
        {name: array[k].copy() for name, array in zip(fields, arrays, strict=True)}
        for k in range(count)
    ]
    return core.nest(layer, parts)


def layer_from_torch(module: Untyped, *sizes: int, **arguments: Option) -> Layer:
    """Return the layer that computes the same as a PyTorch module.

    Parameters
    ----------
    module : nn.Module or str
        An nn.LSTM, nn.GRU, nn.RNN, or nn.LSTMCell and so on; or one of these names, followed by
        PyTorch's own arguments.
    sizes : int
        input_size, hidden_size and num_layers, as PyTorch takes them.
    arguments : int, str, bool or float
        The others: `num_layers`, `nonlinearity`, `bidirectional`, `proj_size`, `dropout`. `bias`
        makes no difference to the layer. With `batch_first=True`, swap the first two axes yourself:
        sequences here are (T, B, D).

    Returns
    -------
    Layer
        For `from_torch(layer, module.state_dict())`.

    Raises
    ------
    TypeError
        The module is not recurrent, or PyTorch does not have an argument.
    ValueError
        The layer cannot take a value.

    Examples
    --------
    >>> layer_from_torch("GRU", 3, 4).cell.reset_after
    True
    """
    if isinstance(module, str):
        kind = module
        names = ("input_size", "hidden_size", "num_layers", "nonlinearity")
        given = dict(zip(names, sizes, strict=False)) | arguments
    else:
        kind = next((base.__name__ for base in type(module).__mro__ if base.__name__ in MADE), "")
        known = {*DEFAULTS, "input_size", "hidden_size"} - {"device", "dtype"}
        given = {name: getattr(module, name) for name in known if hasattr(module, name)}
    if kind not in MADE:
        raise TypeError(f"module must be one of {', '.join(MADE)}, got {module!r}")
    unknown = sorted(given.keys() - DEFAULTS.keys() - {"input_size", "hidden_size"})
    if unknown or not {"input_size", "hidden_size"} <= given.keys():
        raise TypeError(
            f"{kind} must have input_size and hidden_size, and may have {', '.join(DEFAULTS)}, "
            f"got {', '.join(given)}"
        )
    return _layer(kind, DEFAULTS | given)


DEFAULTS: dict[str, Option] = {
    "num_layers": 1, "nonlinearity": "tanh", "bias": True, "batch_first": False, "dropout": 0.0,
    "bidirectional": False, "proj_size": 0, "device": None, "dtype": None,
}  # fmt: skip
"""PyTorch's arguments besides the sizes, with its defaults."""

MADE = ("LSTM", "GRU", "RNN", "LSTMCell", "GRUCell", "RNNCell")
"""The PyTorch modules that a layer can be made of."""


def _layer(kind: str, given: Mapping[str, Option]) -> Layer:
    H, P = given["hidden_size"], given["proj_size"]

    def cell(input_size: int) -> Cell:
        match kind.removesuffix("Cell"):
            case "LSTM" if P:
                return LSTMVariant(input_size, H, projection_size=P)
            case "LSTM":
                return LSTMCell(input_size, H)
            case "GRU":
                return GRUCell(input_size, H, reset_after=True)
        return RNNCell(input_size, H, given["nonlinearity"])

    layers: list[Layer | Cell] = []
    width, last = given["input_size"], given["num_layers"] - 1
    for k in range(given["num_layers"]):
        level: Layer | Cell = cell(width)
        if given["bidirectional"]:
            level = Bidirectional(cell(width), cell(width))
        width = level.output_size
        drop = given["dropout"] if k < last else 0.0
        layers.append(Dropout(level, output_keep_prob=1 - drop) if drop else level)
    return as_layer(layers[0]) if len(layers) == 1 else Stack(layers)


def model_from_torch(module: Untyped, **options: Option) -> tuple[SequenceModel, Params]:
    """Return model and parameters of a PyTorch module that is a recurrent layer and an nn.Linear.

    The function can't see what the module's own `forward` does between the two: the model reads the
    last step, or with `every_step=True` all steps.

    Parameters
    ----------
    module : nn.Module
        A module with one recurrent layer and one nn.Linear inside, by any names.
    options : str, bool, float
        `loss`, `every_step` and `head_std` of `SequenceModel`.

    Raises
    ------
    ValueError
        There is no recurrent layer or nn.Linear inside, or there are several.
    """
    inside = {"recurrent": [], "Linear": []}  # type: dict[str, list[tuple[str, Untyped]]]
    for name, part in module.named_modules():
        kinds = {base.__name__ for base in type(part).__mro__}
        if kinds & set(MADE):
            inside["recurrent"].append((name, part))
        elif "Linear" in kinds:
            inside["Linear"].append((name, part))
    for what, found in inside.items():
        if len(found) != 1:
            names = [name for name, _ in found]
            raise ValueError(f"module must have one {what} layer inside, got {names}")
    ((name, recurrent),), ((head, linear),) = inside.values()
    model = SequenceModel(layer_from_torch(recurrent), linear.out_features, **options)
    return model, from_torch(model, module.state_dict(), name, head)


# ------------------------------------------------------------------------------- one cell


def _encode(cell: Cell, params: Params, order: str, gradients: bool) -> Arrays:
    W_x, W_h, b_x, b_h = core.to_kernels(cell, params, order, gradients)
    arrays = {"weight_ih": mT(W_x), "weight_hh": mT(W_h), "bias_ih": b_x, "bias_hh": b_h}
    return arrays | ({"weight_hr": mT(params["W_p"])} if "W_p" in params else {})


def _decode(cell: Cell, a: Arrays, order: str, gradients: bool) -> Params:
    kernels = mT(a["weight_ih"]), mT(a["weight_hh"]), a["bias_ih"], a["bias_hh"]
    params = core.from_kernels(cell, kernels, order, gradients)
    return params | ({"W_p": mT(a["weight_hr"])} if "weight_hr" in a else {})


PYTORCH = Framework(
    "PyTorch",
    {
        "LSTM": ("ifgo", {"projection_size": ANYTHING}),
        "GRU": ("run", {"reset_after": (True,)}),
        "RNN": ("h", {"activation": ("tanh", "relu")}),
    },
    _encode,
    _decode,
)


# --------------------------------------------------------------------------------- names


def _suffixes(layer: Layer | Cell) -> dict[str, str]:
    """Return the end of PyTorch's names for each cell, by the prefix of its parameters."""
    levels = core.levels(PYTORCH, layer)
    kinds = {core.size(cell) for level in levels for _, cell in level.sides}
    directions = {level.direction for level in levels}
    options = {_nonlinearity(cell) for level in levels for _, cell in level.sides}
    if len(kinds) > 1 or len(directions) > 1 or "reverse" in directions or len(options) > 1:
        raise ValueError(
            "a PyTorch module has layers of one kind and size only, all forward or all in both "
            f"directions, got {layer}"
        )
    return {
        prefix: f"_l{k}{'_reverse' if side else ''}"
        for k, level in enumerate(levels)
        for side, (prefix, _) in enumerate(level.sides)
    }


def _nonlinearity(cell: Cell) -> Untyped:
    return getattr(cell, "activation", None)


def _to(
    layer: Convertible, params: Params, prefix: str, head: str, bias: bool, gradients: bool
) -> Arrays:
    recurrent, own, ends = core.split_head(layer, params)
    suffixes = _suffixes(recurrent)
    encoded = core.encode(PYTORCH, recurrent, own, gradients)
    arrays = {
        prefix + name + suffixes[cell]: array
        for cell, part in encoded.items()
        for name, array in part.items()
    }
    if not bias:
        names = [name for name in arrays if "bias_" in name]
        arrays = core.without_bias(arrays, names, gradients)
    if ends:
        head = head.removesuffix(".")
        arrays |= {f"{head}.weight": mT(ends["W_y"]).copy(), f"{head}.bias": ends["b_y"].copy()}
    return arrays


NAME = re.compile(r"(.*?)((?:weight|bias)_(?:ih|hh|hr))(_l\d+(?:_reverse)?)?")
"""A name in a state_dict: prefix, parameter, and, except for nn.LSTMCell, the layer."""


def _from(
    argument: str,
    layer: Convertible,
    tensors: Mapping[str, Tensor],
    prefix: str | None,
    head: str | None,
    gradients: bool,
) -> Params:
    if not isinstance(tensors, Mapping):
        raise TypeError(f"{argument} must be a dict of tensors, got {type(tensors).__name__}")
    tensors = _unwrapped(tensors)
    recurrent, _ = core.head_shapes(layer)
    own = own_part(tensors, prefix)
    suffixes, template = _suffixes(recurrent), core.template(PYTORCH, recurrent)
    like = {
        name + suffixes[cell]: array
        for cell, part in template.items()
        for name, array in part.items()
    }
    if own and not any(name.startswith("bias") for name in own):
        dtype = core.as_array(argument, next(iter(own.values()))).dtype
        own |= {name: a.astype(dtype) for name, a in like.items() if name.startswith("bias")}
    arrays = core.check_like(argument, own, like)
    encoded = {
        cell: {name: arrays[name + suffixes[cell]] for name in part}
        for cell, part in template.items()
    }
    params = core.decode(PYTORCH, recurrent, encoded, gradients)
    return params | (_head(argument, layer, tensors, head) if layer is not recurrent else {})


def own_part(tensors: Mapping[str, Tensor], prefix: str | None) -> dict[str, Tensor]:
    """Return the recurrent layer's part of a state_dict, by names without prefixes."""
    tensors = _unwrapped(tensors)
    prefix = _prefix(tensors, prefix)
    names = {key: key.removeprefix(prefix) for key in tensors if key.startswith(prefix)}
    return {
        name + ("_l0" if re.fullmatch(r"(weight|bias)_(ih|hh)", name) else ""): tensors[key]
        for key, name in names.items()
        if "." not in name
    }


def _unwrapped(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return a state_dict without the prefixes of nn.DataParallel and torch.compile."""
    for wrapper in ("module.", "_orig_mod.", "module."):
        if tensors and all(name.startswith(wrapper) for name in tensors):
            tensors = {name.removeprefix(wrapper): tensor for name, tensor in tensors.items()}
    return tensors


def _prefix(tensors: Mapping[str, Tensor], prefix: str | None) -> str:
    """Return the start of the recurrent layer's names."""
    matches = (NAME.fullmatch(name) for name in tensors)
    found = sorted({match[1] for match in matches if match})
    if prefix is None:
        if len(found) > 1:
            raise ValueError(f"prefix must be one of {found}, got None")
        return found[0] if found else ""
    prefix = prefix + "." if prefix and not prefix.endswith(".") else prefix
    if prefix not in found:
        raise ValueError(f"prefix must be one of {found}, got {prefix!r}")
    return prefix


def _head(
    argument: str, model: Convertible, tensors: Mapping[str, Tensor], head: str | None
) -> Params:
    """Return a model's W_y and b_y: the only nn.Linear of its shape, or the one called `head`."""
    shape = core.head_shapes(model)[1]["W_y"].shape[::-1]
    fit = [
        name.removesuffix("weight")
        for name, tensor in tensors.items()
        if name.endswith("weight") and tuple(tensor.shape) == shape and not NAME.fullmatch(name)
    ]
    if head is not None:
        fit = [name for name in fit if name == head.removesuffix(".") + "."]
    if len(fit) != 1:
        raise ValueError(
            f"{argument} must have one nn.Linear with a weight of shape {shape} for the head"
            f"{'' if head is None else f' {head!r}'}, got {fit or sorted(tensors)}"
        )
    weight = core.as_array(f"{argument}[{fit[0]}weight]", tensors[f"{fit[0]}weight"])
    b_y: Array = np.zeros(shape[0], weight.dtype)
    if f"{fit[0]}bias" in tensors:
        b_y = core.as_array(f"{argument}[{fit[0]}bias]", tensors[f"{fit[0]}bias"])
    return {"W_y": mT(weight).copy(), "b_y": b_y.copy()}
