"""TensorFlow 1.15: variables, gradients and states of its cells.

The gates have the order i, j, f, o, or r, u with c apart. There is one kernel (D + H, 4H).
TensorFlow adds the forget bias at run time, so it is not in its variables.
"""

from collections.abc import Mapping, Sequence

from npylstm.backend import Untyped, array_module
from npylstm.cells import AnyState, Cell, Params
from npylstm.interop import core
from npylstm.interop.core import ANYTHING, Arrays, Framework, Tensor
from npylstm.sequence import Layer, LayerState


def to_tf1(layer: Layer | Cell, params: Params, scopes: Sequence[str]) -> Arrays:
    """Return TensorFlow 1's variables.

    The `forget_bias` of each cell is subtracted here and must be given to the TensorFlow cell.
    Adding it back rounds; with `forget_bias=0` nothing does.

    Parameters
    ----------
    layer : Layer or Cell
        Any layer.
    params : dict of arrays
        The layer's parameters.
    scopes : list of str
        The scope of each cell's variables, from the bottom up, the forward direction first:
        `["rnn/basic_lstm_cell"]`. `npylstm.tf1` knows the scopes that TensorFlow gives its cells.

    Returns
    -------
    dict of arrays
        In each scope `kernel` (D + P, 4H) and `bias` (4H,), with peepholes `w_f_diag`, `w_i_diag`
        and `w_o_diag` (H,), with a projection `projection/kernel` (H, P). In the scope of a GRU
        `gates/kernel` (D + H, 2H), `gates/bias`, `candidate/kernel` (D + H, H), `candidate/bias`.

    Raises
    ------
    ValueError
        TensorFlow lacks an option, or `params` or `scopes` do not fit the layer.
    """
    core.check_like("params", params, core.zeros(layer))
    return _to(layer, _plus_forget_bias(layer, params, sign=-1), scopes, gradients=False)


def gradients_to_tf1(layer: Layer | Cell, grads: Params, scopes: Sequence[str]) -> Arrays:
    """Return the gradients of TensorFlow 1's variables: `to_tf1`, without any forget bias."""
    return _to(layer, grads, scopes, gradients=True)


def from_tf1(layer: Layer | Cell, variables: Mapping[str, Tensor], scopes: Sequence[str]) -> Params:
    """Return the layer's parameters from TensorFlow 1's variables: the inverse of `to_tf1`.

    Parameters
    ----------
    layer : Layer or Cell
        The layer that gets the parameters. The `forget_bias` of its cells must be the TensorFlow
        cells' forget bias; it becomes a part of b.
    variables : dict of arrays
        By their names in a checkpoint, `"rnn/basic_lstm_cell/kernel"`.
    scopes : list of str
        As in `to_tf1`.

    Raises
    ------
    TypeError
        Something is not an array or a tensor of floating-point numbers.
    ValueError
        TensorFlow lacks an option, or variables are missing, left over or have a shape that does
        not fit the layer.
    """
    params = _from("variables", layer, variables, scopes, gradients=False)
    return _plus_forget_bias(layer, params, sign=1)


def gradients_from_tf1(
    layer: Layer | Cell, gradients: Mapping[str, Tensor], scopes: Sequence[str]
) -> Params:
    """Return the layer's gradients from the gradients of TensorFlow's variables, by their names."""
    return _from("gradients", layer, gradients, scopes, gradients=True)


def state_to_tf1(layer: Layer | Cell, state: LayerState) -> AnyState:
    """Return a state, or its gradient, in TensorFlow's form: (c, h) for an LSTM, else h.

    The states of several cells are a tuple, nested as the layer's own state is.
    """
    core.leaves(layer, state)

    def convert(part: AnyState) -> AnyState:
        if not hasattr(part, "_fields"):
            return tuple(convert(inner) for inner in part)
        return (part.c, part.h) if "c" in part._fields else part.h

    return convert(state)


def state_from_tf1(layer: Layer | Cell, state: AnyState) -> AnyState:
    """Return the layer's state from TensorFlow's: the inverse of `state_to_tf1`."""
    given = _flat(state)
    names = [("c", "h") if "c" in fields else fields for fields in core.state_fields(layer)]
    if len(given) != sum(map(len, names)):
        raise ValueError(f"state must hold {sum(map(len, names))} arrays, got {len(given)}")
    arrays = iter(core.as_array("state", array).copy() for array in given)
    return core.nest(layer, [{name: next(arrays) for name in own} for own in names])


def _flat(state: AnyState) -> list[Untyped]:
    if not isinstance(state, tuple | list):
        return [state]
    return [array for part in state for array in _flat(part)]


# ------------------------------------------------------------------------------- one cell

OPTIONAL = {
    "p_f": "w_f_diag", "p_i": "w_i_diag", "p_o": "w_o_diag", "W_p": "projection/kernel",
}  # fmt: skip


def _encode(cell: Cell, params: Params, order: str, gradients: bool) -> Arrays:
    W_x, W_h, bias, _ = core.to_kernels(cell, params, order, gradients)
    kernel = array_module(W_x).concatenate([W_x, W_h], axis=-2)
    if order == "run":
        H = cell.hidden_size
        return {
            "gates/kernel": kernel[..., : 2 * H], "gates/bias": bias[..., : 2 * H],
            "candidate/kernel": kernel[..., 2 * H :], "candidate/bias": bias[..., 2 * H :],
        }  # fmt: skip
    optional = {tf1: params[ours] for ours, tf1 in OPTIONAL.items() if ours in params}
    return {"kernel": kernel, "bias": bias} | optional


def _decode(cell: Cell, a: Arrays, order: str, gradients: bool) -> Params:
    if order == "run":
        xp = array_module(a["gates/bias"])
        a = {
            name: xp.concatenate([a[f"gates/{name}"], a[f"candidate/{name}"]], axis=-1)
            for name in ("kernel", "bias")
        }
    D, kernel, bias = cell.input_size, a["kernel"], a["bias"]
    no_bias = array_module(bias).zeros_like(bias)
    kernels = kernel[..., :D, :], kernel[..., D:, :], bias, no_bias
    params = core.from_kernels(cell, kernels, order, gradients)
    return params | {ours: a[tf1] for ours, tf1 in OPTIONAL.items() if tf1 in a}


TENSORFLOW1 = Framework(
    "TensorFlow 1",
    {
        "LSTM": (
            "igfo",
            {
                "peepholes": ANYTHING,
                "projection_size": ANYTHING,
                "cell_clip": ANYTHING,
                "projection_clip": ANYTHING,
                "input_activation": "output_activation",
                "output_activation": ANYTHING,
            },
        ),
        "GRU": ("run", {"activation": ANYTHING}),
        "RNN": ("h", {"activation": ANYTHING}),
    },
    _encode,
    _decode,
)


def _to(layer: Layer | Cell, params: Params, scopes: Sequence[str], gradients: bool) -> Arrays:
    scope = _scopes(layer, scopes)
    encoded = core.encode(TENSORFLOW1, layer, params, gradients)
    return {f"{scope[p]}/{name}": a for p, part in encoded.items() for name, a in part.items()}


def _from(
    argument: str,
    layer: Layer | Cell,
    tensors: Mapping[str, Tensor],
    scopes: Sequence[str],
    gradients: bool,
) -> Params:
    scope = _scopes(layer, scopes)
    template = core.template(TENSORFLOW1, layer)
    like = {f"{scope[p]}/{name}": a for p, part in template.items() for name, a in part.items()}
    arrays = core.check_like(argument, tensors, like)
    encoded = {
        p: {name: arrays[f"{scope[p]}/{name}"] for name in part} for p, part in template.items()
    }
    return core.decode(TENSORFLOW1, layer, encoded, gradients)


def _scopes(layer: Layer | Cell, scopes: Sequence[str]) -> dict[str, str]:
    """Return the scope of each cell, by the prefix of its parameters."""
    prefixes = [prefix for prefix, _ in core.cells(layer)]
    listed = [scopes] if isinstance(scopes, str) else list(scopes)
    if len(listed) != len(prefixes) or len(set(listed)) < len(listed):
        raise ValueError(
            f"scopes must be {len(prefixes)} different ones, one for each cell, got {scopes!r}"
        )
    return dict(zip(prefixes, listed, strict=True))


def _plus_forget_bias(layer: Layer | Cell, params: Params, sign: int) -> Params:
    """Add `sign` times its forget bias to the b of every LSTM."""
    params = dict(params)
    for prefix, cell in core.cells(layer):
        if "f" in cell.gates:
            b = params[prefix + "b"].copy()
            b[..., cell.gate_columns["f"]] += sign * cell.forget_bias  # type: ignore[attr-defined]
            params[prefix + "b"] = b
    return params
