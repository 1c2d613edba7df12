"""The tree of layers: one walk for everything that looks inside a layer."""

from collections.abc import Callable, Iterator
from copy import copy

from npylstm.cells import Cell
from npylstm.sequence.layers import Bidirectional, Layer, Recurrent, Stack
from npylstm.sequence.wrappers import Dropout, Residual, Reverse


def walk(layer: Layer) -> Iterator[tuple[str, Layer]]:
    """Yield a layer and all layers inside it, each with the prefix of its parameters' names."""
    yield "", layer
    for name, child in layer.children.items():
        start = f"{name}." if name else ""
        for prefix, inner in walk(child):
            yield start + prefix, inner


def cells_inside(layer: Layer) -> list[tuple[str, Cell]]:
    """Return every cell with the prefix of its parameters' names, from the bottom up."""
    return [(prefix, part.cell) for prefix, part in walk(layer) if isinstance(part, Recurrent)]


def foreign_layer(layer: Layer) -> Layer | None:
    """Return the first layer inside with parameters beside its cells'; None if there is none.

    Code that handles a layer's parameters cell by cell can't handle such a layer.
    """
    for _, part in walk(layer):
        if type(part) in (Recurrent, Stack, Bidirectional, Residual, Dropout, Reverse):
            continue  # these have none
        known = {prefix + name for prefix, cell in cells_inside(part) for name in cell.param_shapes}
        if set(part.init(0)) != known:
            return part
    return None


def not_causal(layer: Layer) -> str | None:
    """Return which layer inside does not read only forwards; None if all do."""
    for _, part in walk(layer):
        name = type(part).__name__
        if part.causal is None:
            return f"{name}, which doesn't say that it reads forwards only: set causal in its class"
        if not part.causal:
            return f"{name}, which reads backwards"
    return None


def with_recurrent(layer: Layer, change: Callable[[Recurrent], Layer]) -> Layer:
    """Return the same layer with every `Recurrent` inside changed.

    Raises
    ------
    TypeError
        A layer does not hold the layers inside it as attributes, or in a list or tuple.
    """
    if isinstance(layer, Recurrent):
        return change(layer)
    children = list(layer.children.values())
    changed = [with_recurrent(child, change) for child in children]
    twin, left = copy(layer), set(range(len(children)))

    def exchanged(value: object) -> object:
        if isinstance(value, list | tuple):
            return type(value)(map(exchanged, value))
        for k, child in enumerate(children):
            if value is child or (isinstance(child, Recurrent) and value is child.cell):
                left.discard(k)
                return changed[k]
        return value

    for attribute, value in vars(layer).items():
        vars(twin)[attribute] = exchanged(value)
    if left:
        raise TypeError(
            f"{type(layer).__name__} must hold the layers inside it as attributes, so that they "
            "can be exchanged"
        )
    return twin
