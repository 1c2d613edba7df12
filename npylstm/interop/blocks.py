"""Weights as courses and small libraries keep them: a matrix for each gate, or stacked kernels.

A `Layout` gives the names and the arrangement of the arrays; `LAYOUTS` holds the layouts of
well-known courses and libraries. Everything in it is a transposition, a change of names or a sign,
so gradients convert like parameters, except that two biases share one gradient.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial

from npylstm.backend import Array, array_module
from npylstm.cells import Cell, Params, mT
from npylstm.interop import core
from npylstm.interop.core import ANYTHING, Arrays, Framework, Tensor


@dataclass(frozen=True)
class Layout:
    """How a course or a library keeps the weights of a cell.

    In a name `{}` stands for a gate, and then there is one array for each gate. Without it the
    gates are side by side in one array, in the order of `gates`.

    Attributes
    ----------
    gates : dict
        The name of each gate, by this package's letter.
    W_x, W_h : str
        The names of the input's and the recurrent weights; the same name for a stacked kernel.
    b, b_h : str or None
        The names of the bias, and of a second bias in the recurrent product.
    b_n : str or None
        Without such a second bias, the name of a GRU's b_h (`reset_after`).
    peephole, W_p : str or None
        The names of peepholes and of the projection.
    stacked : None, "xh" or "hx"
        Whether the weights of x and of h are one kernel, and which rows come first.
    transposed : bool
        Whether matrices are (H, D) instead of (D, H).
    column_bias : bool
        Whether biases are columns (H, 1) instead of (H,).
    complement : tuple of str
        Gates that are 1 minus our gate, by our letter: `("u",)` for a GRU whose update gate takes
        the new value if it is 1.
    coupled : str
        Which of two coupled gates is kept: `"i"` if f = 1 - i, `"f"` if i = 1 - f.
    """

    gates: Mapping[str, str]
    W_x: str
    W_h: str
    b: str | None
    b_h: str | None = None
    b_n: str | None = None
    peephole: str | None = None
    W_p: str | None = None
    stacked: str | None = None
    transposed: bool = False
    column_bias: bool = False
    complement: tuple[str, ...] = ()
    coupled: str = "i"


def _same(*letters: str) -> dict[str, str]:
    return {letter: letter for letter in letters}


IFOC = {"i": "i", "f": "f", "o": "o", "g": "c"}

LAYOUTS: dict[str, dict[str, Layout]] = {
    # W_xi, W_hi, b_i and so on, as in Dive into Deep Learning, which calls the candidate c.
    "gates": {
        "LSTM": Layout(IFOC, "W_x{}", "W_h{}", "b_{}", peephole="p_{}", W_p="W_p"),
        "GRU": Layout({"r": "r", "u": "z", "n": "h"}, "W_x{}", "W_h{}", "b_{}", b_n="b_hh"),
        "RNN": Layout(_same("h"), "W_xh", "W_hh", "b_h"),
    },
    # Stanford's CS231n: the gates side by side, i, f, o, g.
    "cs231n": {
        "LSTM": Layout(_same("i", "f", "o", "g"), "Wx", "Wh", "b"),
        "RNN": Layout(_same("h"), "Wx", "Wh", "b"),
    },
    # The course Sequence Models of deeplearning.ai: columns, [a; x] stacked, a matrix a gate.
    "deeplearning.ai": {
        "LSTM": Layout(
            IFOC, "W{}", "W{}", "b{}", stacked="hx", transposed=True, column_bias=True
        ),
        "RNN": Layout(_same("h"), "Wax", "Waa", "ba", transposed=True, column_bias=True),
    },
    # TensorFlow Lite's operator LSTM; without an input gate it is 1 - f.
    "tflite": {
        "LSTM": Layout(
            {"i": "input", "f": "forget", "g": "cell", "o": "output"},
            "input_to_{}_weights", "recurrent_to_{}_weights", "{}_gate_bias",
            peephole="cell_to_{}_weights", W_p="projection_weights", transposed=True, coupled="f",
        ),
    },
    # burn's Lstm and Gru: two linear layers for each gate, each with a bias.
    "burn": {
        "LSTM": Layout(
            {"i": "input_gate", "f": "forget_gate", "o": "output_gate", "g": "cell_gate"},
            "{}.input_transform.weight", "{}.hidden_transform.weight",
            "{}.input_transform.bias", "{}.hidden_transform.bias",
        ),
        "GRU": Layout(
            {"u": "update_gate", "r": "reset_gate", "n": "new_gate"},
            "{}.input_transform.weight", "{}.hidden_transform.weight",
            "{}.input_transform.bias", "{}.hidden_transform.bias",
        ),
    },
}  # fmt: skip
"""Well-known layouts by name, for each kind of cell that they have."""


def to_blocks(cell: Cell, params: Params, layout: str | Layout = "gates") -> Arrays:
    """Return a cell's parameters in another layout.

    Parameters
    ----------
    cell : Cell
        An LSTM, GRU or RNN cell.
    params : dict of arrays
        Its parameters.
    layout : str or Layout
        One of `LAYOUTS`, or your own layout.

    Raises
    ------
    ValueError
        There is no such layout, or it lacks a parameter of the cell.

    Examples
    --------
    >>> cell = LSTMCell(3, 4)
    >>> blocks = to_blocks(cell, cell.init(0))
    >>> blocks["W_xf"].shape, blocks["W_hf"].shape, blocks["b_f"].shape
    ((3, 4), (4, 4), (4,))
    """
    return _to(cell, params, layout, gradients=False)


def gradients_to_blocks(cell: Cell, grads: Params, layout: str | Layout = "gates") -> Arrays:
    """Return a cell's gradients in another layout; parameters and errors as in `to_blocks`."""
    return _to(cell, grads, layout, gradients=True)


def from_blocks(cell: Cell, arrays: Mapping[str, Tensor], layout: str | Layout = "gates") -> Params:
    """Return a cell's parameters from another layout: the inverse of `to_blocks`.

    Raises
    ------
    TypeError
        Something is not an array or a tensor of floating-point numbers.
    ValueError
        There is no such layout, or arrays are missing, left over or have a shape that does not fit.
    """
    return _from("arrays", cell, arrays, layout, gradients=False)


def gradients_from_blocks(
    cell: Cell, gradients: Mapping[str, Tensor], layout: str | Layout = "gates"
) -> Params:
    """Return a cell's gradients from another layout; errors as in `from_blocks`."""
    return _from("gradients", cell, gradients, layout, gradients=True)


def find_layout(cell: Cell, layout: str | Layout) -> Layout:
    """Return a layout by its name; raise ValueError unless it has such cells."""
    if isinstance(layout, Layout):
        return layout
    kind = core.KINDS.get(type(cell), type(cell).__name__)
    if layout not in LAYOUTS or kind not in LAYOUTS[layout]:
        known = [name for name, kinds in LAYOUTS.items() if kind in kinds]
        raise ValueError(
            f"layout must be a Layout, or for {kind} one of {', '.join(map(repr, known))}, "
            f"got {layout!r}"
        )
    return LAYOUTS[layout][kind]


def _to(cell: Cell, params: Params, layout: str | Layout, gradients: bool) -> Arrays:
    return core.encode(_framework(find_layout(cell, layout), cell), cell, params, gradients)[""]


def _from(
    argument: str, cell: Cell, tensors: Mapping[str, Tensor], layout: str | Layout, gradients: bool
) -> Params:
    framework = _framework(find_layout(cell, layout), cell)
    like = core.template(framework, cell)[""]
    found = find_layout(cell, layout)
    biases = {
        template.format(name): None
        for template in (found.b, found.b_h, found.b_n)
        for name in found.gates.values()
        if template is not None
    }
    if tensors and not biases.keys() & tensors.keys():  # without biases they are zero
        dtype = core.as_array(argument, next(iter(tensors.values()))).dtype
        zeros = {name: a.astype(dtype) for name, a in like.items() if name in biases}
        tensors = zeros | dict(tensors)
    arrays = core.check_like(argument, tensors, like)
    return core.decode(framework, cell, {"": arrays}, gradients)


def _framework(layout: Layout, cell: Cell) -> Framework:
    """Return a layout as a framework whose cells may have any option that its names cover."""
    options = dict.fromkeys(
        ("coupled", "cell_clip", "projection_clip", "truncated", "input_activation",
         "output_activation", "gate_activation", "activation", "preactivation_clip"),
        ANYTHING,
    )  # fmt: skip
    options |= {"projection_size": ANYTHING} if layout.W_p else {}
    options |= {"peepholes": ANYTHING} if layout.peephole else {}
    options |= {"reset_after": ANYTHING} if layout.b_h or layout.b_n else {}
    order = "".join(gate for gate in layout.gates if gate in cell.gates)
    kinds = dict.fromkeys(("LSTM", "GRU", "RNN"), (order, options))
    return Framework("the layout", kinds, partial(_encode, layout), partial(_decode, layout))


def _names(layout: Layout, cell: Cell, part: str, order: str) -> list[tuple[str, int]]:
    """Return the name of each gate's block of a part, and -1 if the gate is 1 minus our gate."""
    names = []
    for gate in order:
        theirs, complement = layout.gates[gate], gate in layout.complement
        if gate == "i" and layout.coupled == "f" and getattr(cell, "coupled", False):
            theirs, complement = layout.gates["f"], not complement
        names.append((getattr(layout, part).format(theirs), -1 if complement else 1))
    return names


def _extras(layout: Layout, params: Collection[str]) -> dict[str, str]:
    """Return our names of the arrays without gates, with the layout's names."""
    b_n = layout.b_n if layout.b_h is None else None
    pairs = {"W_p": layout.W_p, "b_h": b_n}
    return {ours: theirs for ours, theirs in pairs.items() if theirs and ours in params}


def _encode(layout: Layout, cell: Cell, params: Params, order: str, gradients: bool) -> Arrays:
    W_x, W_h, b, b_h = core.to_kernels(cell, params, order, gradients)
    xp = array_module(W_x)
    parts = {"W_x": W_x, "W_h": W_h, "b": b, "b_h": b_h}
    if layout.stacked:
        parts["W_x"] = xp.concatenate([W_x, W_h] if layout.stacked == "xh" else [W_h, W_x], axis=-2)
        del parts["W_h"]
    seen = [params[f"p_{gate}"] for gate in order if f"p_{gate}" in params]
    parts |= {"peephole": xp.concatenate(seen, axis=-1)} if seen else {}

    arrays: Arrays = {}
    for part, array in parts.items():
        if getattr(layout, part) is None:
            continue
        own = [gate for gate in order if part != "peephole" or f"p_{gate}" in params]
        blocks: dict[str, list[Array]] = {}
        names = _names(layout, cell, part, "".join(own))
        for (name, sign), block in zip(names, xp.split(array, len(own), axis=-1), strict=True):
            blocks.setdefault(name, []).append(sign * block)
        arrays |= {
            name: _turned(layout, part, xp.concatenate(several, axis=-1))
            for name, several in blocks.items()
        }
    extras = _extras(layout, params)
    return arrays | {name: _turned(layout, ours, params[ours]) for ours, name in extras.items()}


def _decode(layout: Layout, cell: Cell, arrays: Arrays, order: str, gradients: bool) -> Params:
    shapes = cell.param_shapes

    def gathered(part: str, own: str = order) -> Array:
        names = _names(layout, cell, part, own)
        xp = array_module(arrays[names[0][0]])
        blocks = {}
        for name in dict(names):
            count = [other for other, _ in names].count(name)
            turned = _turned(layout, part, arrays[name], back=True)
            blocks[name] = iter(xp.split(turned, count, axis=-1))
        return xp.concatenate([sign * next(blocks[name]) for name, sign in names], axis=-1)

    W_x = gathered("W_x")
    if layout.stacked:
        first = shapes["W_x" if layout.stacked == "xh" else "W_h"][0]
        halves = W_x[..., :first, :], W_x[..., first:, :]
        W_x, W_h = halves if layout.stacked == "xh" else halves[::-1]
    else:
        W_h = gathered("W_h")
    none = array_module(W_x).zeros_like(W_x[..., 0, :])
    b, b_h = (gathered(part) if getattr(layout, part) else none for part in ("b", "b_h"))
    params = core.from_kernels(cell, (W_x, W_h, b, b_h), order, gradients)
    for ours, name in _extras(layout, shapes).items():
        params[ours] = _turned(layout, ours, arrays[name], back=True)
    own = "".join(gate for gate in order if f"p_{gate}" in shapes)
    if own:
        blocks = array_module(W_x).split(gathered("peephole", own), len(own), axis=-1)
        params |= {f"p_{gate}": block for gate, block in zip(own, blocks, strict=True)}
    return params


def _turned(layout: Layout, part: str, array: Array, back: bool = False) -> Array:
    """Turn a part into the layout's form (matrix transposed, bias as a column), or back."""
    if part.startswith("W"):
        return mT(array) if layout.transposed else array
    if not layout.column_bias or part == "peephole":
        return array
    return array[..., 0] if back else array[..., None]
