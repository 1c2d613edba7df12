"""Keras 3: weights, gradients and states of LSTM, GRU and SimpleRNN, and layers like them.

The gates have the order i, f, c, o or z, r, h. The matrices are as here, (D, 4H) and (H, 4H). There
is one bias, or two for a GRU with `reset_after`. Keras itself is not imported.
"""

from collections.abc import Mapping, Sequence

from npylstm.backend import Array, Untyped, array_module
from npylstm.cells import Cell, GRUCell, LSTMCell, LSTMVariant, Params, RNNCell, check_activation
from npylstm.checks import Option, check_size
from npylstm.interop import core
from npylstm.interop.core import ANYTHING, Arrays, Convertible, Framework, Tensor
from npylstm.models import SequenceModel
from npylstm.sequence import Bidirectional, Dropout, Layer, LayerState, Stack, as_layer


def to_keras(layer: Convertible, params: Params, bias: bool = True) -> list[Array]:
    """Return the list that `get_weights()` of the same layers in Keras returns.

    Parameters
    ----------
    layer : Layer, Cell or SequenceModel
        LSTMCell, GRUCell or RNNCell for keras.layers.LSTM, GRU or SimpleRNN, `Bidirectional` for
        keras.layers.Bidirectional, `Stack` for keras.Sequential or keras.layers.RNN of a list; a
        model's head for a keras.layers.Dense after them.
    params : dict of arrays
        The layer's parameters.
    bias : bool
        If False, the biases of the cells are left out, for layers made with `use_bias=False`; they
        must be zero.

    Returns
    -------
    list of arrays
        kernel (D, 4H), recurrent_kernel (H, 4H) and bias (4H,) of each cell, from the bottom up,
        the forward direction first. The bias of a GRU with `reset_after` is (2, 3H).

    Raises
    ------
    ValueError
        Keras lacks an option, `params` belong to another layer, or a bias is not zero with
        `bias=False`.
    """
    return _to(layer, params, bias, gradients=False)


def gradients_to_keras(layer: Convertible, grads: Params, bias: bool = True) -> list[Array]:
    """Return the gradients of Keras's weights; parameters and errors as in `to_keras`."""
    return _to(layer, grads, bias, gradients=True)


def from_keras(layer: Convertible, weights: Sequence[Tensor]) -> Params:
    """Return the layer's parameters from Keras weights: the inverse of `to_keras`.

    Parameters
    ----------
    layer : Layer, Cell or SequenceModel
        The layer that gets the parameters.
    weights : list of arrays
        In the order of `get_weights()`. Without the biases (`use_bias=False`) b is zero.

    Raises
    ------
    TypeError
        Something is not an array or a tensor of floating-point numbers.
    ValueError
        Keras lacks an option, or the arrays differ from the layer's in number or shape.
    """
    return _from("weights", layer, weights, gradients=False)


def gradients_from_keras(layer: Convertible, gradients: Sequence[Tensor]) -> Params:
    """Return the layer's gradients from the gradients of Keras's weights; see `from_keras`."""
    return _from("gradients", layer, gradients, gradients=True)


def state_to_keras(layer: Layer | Cell, state: LayerState) -> list[Array]:
    """Return a state, or its gradient, in Keras's form: h and c of each cell, in one list."""
    return [array.copy() for leaf in core.leaves(layer, state) for array in leaf]


def state_from_keras(layer: Layer | Cell, states: Sequence[Tensor]) -> Untyped:
    """Return the layer's state from Keras's list: the inverse of `state_to_keras`."""
    fields = core.state_fields(layer)
    count = sum(map(len, fields))
    if not isinstance(states, list | tuple) or len(states) != count:
        got = len(states) if isinstance(states, list | tuple) else type(states).__name__
        raise ValueError(f"states must be a list of {count} arrays, got {got}")
    arrays = iter(core.as_array(f"states[{k}]", a).copy() for k, a in enumerate(states))
    return core.nest(layer, [{name: next(arrays) for name in names} for names in fields])


def layer_from_keras(
    layer: Untyped, input_size: int | None = None, kind: str | None = None
) -> Layer:
    """Return the layer that computes the same as a Keras layer.

    Parameters
    ----------
    layer : Keras layer or dict
        A keras.layers.LSTM, GRU, SimpleRNN, RNN or Bidirectional, a Sequential of them, or the
        result of its `keras.layers.serialize` or `get_config()`.
    input_size : int, optional
        The width of the inputs, if the layer has seen none yet.
    kind : str, optional
        The layer's class, such as `"LSTM"`, which a `get_config()` does not contain.

    Returns
    -------
    Layer
        For `from_keras(layer, theirs.get_weights())`. Sequences here are (T, B, D).

    Raises
    ------
    TypeError
        `layer` is not a layer or a config.
    ValueError
        A setting has no counterpart here, or the input size is unknown.

    Examples
    --------
    >>> layer_from_keras({"units": 4, "reset_after": False}, input_size=3, kind="GRU").cell.gates
    ('r', 'u', 'n')
    """
    name, config, width = _description(layer, kind)
    if name == "Sequential":
        return _sequential(config["layers"], input_size or width)
    return as_layer(_layer(name, config, input_size or width))


def model_from_keras(model: Untyped, **options: Option) -> tuple[SequenceModel, Params]:
    """Return model and parameters of a keras.Sequential that ends in a Dense layer.

    Parameters
    ----------
    model : keras.Sequential
        Recurrent layers and a Dense layer. `return_sequences` of the last recurrent layer says
        whether there is an output at every step.
    options : str, float
        `loss` and `head_std` of `SequenceModel`.

    Raises
    ------
    ValueError
        The model has other layers, or a setting has no counterpart here.
    """
    config = model.get_config()
    *below, top = [part for part in config["layers"] if part["class_name"] != "InputLayer"]
    if top["class_name"] != "Dense":
        raise ValueError(f"model must end in a Dense layer, got {top['class_name']}")
    if not top["config"]["use_bias"]:
        raise ValueError("use_bias must be True in the Dense layer, got False")
    width = int(model.inputs[0].shape[-1])
    last = below[-1]["config"]
    every_step = last.get("layer", {"config": last})["config"]["return_sequences"]
    ours = SequenceModel(
        _sequential(below, width), top["config"]["units"], every_step=every_step, **options
    )
    return ours, from_keras(ours, model.get_weights())


# ------------------------------------------------------------------------------- one cell


def _encode(cell: Cell, params: Params, order: str, gradients: bool) -> Arrays:
    W_x, W_h, b_x, b_h = core.to_kernels(cell, params, order, gradients)
    bias = array_module(b_x).stack([b_x, b_h], axis=-2) if "b_h" in params else b_x
    return {"kernel": W_x, "recurrent_kernel": W_h, "bias": bias}


def _decode(cell: Cell, a: Arrays, order: str, gradients: bool) -> Params:
    b_x = a["bias"]
    b_h = array_module(b_x).zeros_like(b_x)
    if "b_h" in cell.param_shapes:
        b_x, b_h = a["bias"][..., 0, :], a["bias"][..., 1, :]
    return core.from_kernels(cell, (a["kernel"], a["recurrent_kernel"], b_x, b_h), order, gradients)


KERAS = Framework(
    "Keras",
    {
        "LSTM": (
            "ifgo",
            {
                "input_activation": "output_activation",
                "output_activation": ANYTHING,
                "gate_activation": ANYTHING,
            },
        ),
        "GRU": (
            "urn",
            {"reset_after": ANYTHING, "activation": ANYTHING, "gate_activation": ANYTHING},
        ),
        "RNN": ("h", {"activation": ANYTHING}),
    },
    _encode,
    _decode,
)


def _to(layer: Convertible, params: Params, bias: bool, gradients: bool) -> list[Array]:
    recurrent, own, head = core.split_head(layer, params)
    encoded = core.encode(KERAS, recurrent, own, gradients)
    arrays = {f"{cell}{name}": a for cell, part in encoded.items() for name, a in part.items()}
    if not bias:
        names = [name for name in arrays if name.endswith("bias")]
        arrays = core.without_bias(arrays, names, gradients)
    return [*arrays.values(), *(head[name].copy() for name in ("W_y", "b_y") if head)]


def _from(argument: str, layer: Convertible, weights: Untyped, gradients: bool) -> Params:
    recurrent, like_head = core.head_shapes(layer)
    template = core.template(KERAS, recurrent)
    like = {f"{cell}{name}": a for cell, part in template.items() for name, a in part.items()}
    like |= like_head
    biases = [name for name in like if name.endswith("bias")]
    if not isinstance(weights, list | tuple) or len(weights) not in (
        len(like), len(like) - len(biases),
    ):  # fmt: skip
        got = len(weights) if isinstance(weights, list | tuple) else type(weights).__name__
        raise ValueError(f"{argument} must be {len(like)} arrays, {', '.join(like)}, got {got}")
    if len(weights) < len(like):
        dtype = core.as_array(f"{argument}[0]", weights[0]).dtype
        given = iter(weights)
        weights = [like[name].astype(dtype) if name in biases else next(given) for name in like]
    arrays = core.check_like(argument, dict(zip(like, weights, strict=True)), like)
    encoded = {
        cell: {name: arrays[f"{cell}{name}"] for name in part} for cell, part in template.items()
    }
    head = {name: arrays[name].copy() for name in like_head}
    return core.decode(KERAS, recurrent, encoded, gradients) | head


# -------------------------------------------------------------------------------- configs

Config = Mapping[str, Option]


def _description(layer: Untyped, kind: str | None) -> tuple[str, Config, int | None]:
    """Return a layer's class, its config, and the width of its inputs if it has seen any."""
    if isinstance(layer, Mapping):
        shape = (layer.get("build_config") or {}).get("input_shape")
        name, config = layer.get("class_name", kind), layer.get("config", layer)
        if name is None:
            raise ValueError("kind must name the layer's class, such as 'LSTM', got None")
        return name, config, shape[-1] if shape else None
    if not hasattr(layer, "get_config"):
        raise TypeError(f"layer must be a Keras layer or its config, got {layer!r}")
    weights = layer.get_weights()
    return type(layer).__name__, layer.get_config(), weights[0].shape[0] if weights else None


def _sequential(layers: Sequence[Config], width: int | None) -> Layer:
    """Return the layers of a Sequential as one; a Dropout between them becomes one around."""
    made: list[Layer | Cell] = []
    for part in layers:
        name, config, _ = _description(part, None)
        if name == "InputLayer":
            width = config["batch_shape"][-1]
        elif name == "Dropout" and made:
            made[-1] = Dropout(made[-1], output_keep_prob=1 - config["rate"])
        else:
            made.append(_layer(name, config, width))
            width = made[-1].output_size
    if not made:
        raise ValueError("layer must have a recurrent layer inside, got none")
    return as_layer(made[0]) if len(made) == 1 else Stack(made)


def _layer(name: str, config: Config, width: int | None) -> Layer | Cell:
    """Return the layer that a class and its config describe."""
    if name == "Bidirectional":
        if config.get("merge_mode", "concat") != "concat":
            raise ValueError(f"merge_mode must be 'concat', got {config['merge_mode']!r}")
        inner, back = config["layer"], config.get("backward_layer") or config["layer"]
        sides = [
            _layer(part["class_name"], {**part["config"], "go_backwards": False}, width)
            for part in (inner, back)
        ]
        return Bidirectional(*sides)
    _refuse(name, config)
    if name == "RNN":
        cell = config["cell"]
        return _layer(cell["class_name"], cell["config"], width)
    if name == "StackedRNNCells":
        return _sequential(config["cells"], width)
    if width is None:
        raise ValueError("input_size must be given for a layer that has seen no inputs, got None")
    check_size("input_size", width)
    cell = _cell(name.removesuffix("Cell"), config, width)
    drop = config.get("dropout", 0.0)
    return Dropout(cell, 1 - drop, variational="sequence") if drop else cell


def _refuse(name: str, config: Config) -> None:
    """Raise ValueError for settings that a layer here lacks."""
    known = ("LSTM", "GRU", "SimpleRNN")
    if name not in {*known, *(f"{kind}Cell" for kind in known), "RNN", "StackedRNNCells"}:
        raise ValueError(f"layer must be one of {', '.join(known)}, RNN, Bidirectional, got {name}")
    if config.get("go_backwards", False):
        raise ValueError(
            "go_backwards must be False, got True: Reverse(cell) reads from the end, too, but puts "
            "its outputs out in the order of the inputs"
        )
    if config.get("recurrent_dropout", 0.0):
        raise ValueError(f"recurrent_dropout must be 0, got {config['recurrent_dropout']}")


def _cell(kind: str, config: Config, D: int) -> Cell:
    H, phi = config["units"], _activation("activation", config.get("activation", "tanh"))
    if kind == "SimpleRNN":
        return RNNCell(D, H, phi)
    gate = _activation("recurrent_activation", config.get("recurrent_activation", "sigmoid"))
    if kind == "GRU":
        after = config.get("reset_after", True)
        return GRUCell(D, H, after, phi, gate_bias=0.0, gate_activation=gate)
    if (phi, gate) == ("tanh", "logistic"):
        return LSTMCell(D, H, forget_bias=float(config.get("unit_forget_bias", True)))
    return LSTMVariant(
        D, H, input_activation=phi, output_activation=phi, gate_activation=gate,
        forget_bias=float(config.get("unit_forget_bias", True)),
    )  # fmt: skip


ACTIVATIONS = {
    None: "identity",
    "elu": "elu:1",
    "hard_sigmoid": f"hard_sigmoid:{1 / 6}:0.5",
    "leaky_relu": "leaky_relu:0.2",
}
"""Activations of Keras whose parameters have the defaults of Keras 3."""


def _activation(name: str, value: Untyped) -> str:
    """Return an activation by its name here; raise ValueError if the cells lack it."""
    if isinstance(value, Mapping):  # a registered function
        value = value.get("config", value)
    return check_activation(name, ACTIVATIONS.get(value, value))
