"""Layers: they map a whole sequence to a whole sequence, and combine.

A cell makes one step. `Recurrent` runs a cell over a sequence. `Stack`, `Bidirectional`, and
`Residual` and `Dropout` in `npylstm.sequence.wrappers` build larger layers out of layers. All have
the same three methods as a cell, with sequences instead of steps, so any layer can be inside any
other. Where a layer takes layers, a bare cell means `Recurrent(cell)`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from npylstm.backend import Array, Rng, array_module
from npylstm.cells import AnyState, Cell, Params, State
from npylstm.checks import check_choice
from npylstm.sequence.paths import AnyTape, ForwardPass, choose
from npylstm.sequence.unroll import (
    Lengths,
    MaybeNone,
    alive_steps,
    check_entrance,
    check_sequence,
    check_truncation,
)

LayerState: TypeAlias = State | tuple["LayerState", ...]
"""A layer's state: a cell's, or a tuple with the state of each layer inside."""

LayerTape: TypeAlias = Any
"""What a layer keeps for its way back. Only this layer looks inside, and each has its own form."""


class Layer(ABC):
    """A map from sequences (T, B, D) to sequences (T, B, output_size).

    Attributes
    ----------
    input_size, output_size : int
        The widths of its inputs and its outputs.
    causal : bool or None
        Whether it reads forwards only: each output depends on the inputs up to its own step. The
        layers inside have a `causal` of their own. None, if a class doesn't say, counts as no.
    time_major : bool
        Whether sequences come time first. A layer for which it is False stands alone: what holds
        layers hands them sequences (T, B, D).
    """

    causal: ClassVar[bool | None] = None
    time_major: ClassVar[bool] = True

    @property
    @abstractmethod
    def input_size(self) -> int:
        """D, the width of the input."""

    @property
    @abstractmethod
    def output_size(self) -> int:
        """The width of the output."""

    @property
    def children(self) -> dict[str, "Layer"]:
        """The layers inside, by name: the child "0" has the parameters "0.W_x" and so on.

        A single child whose parameters are this layer's own has the name "". If a class does not
        override this, its children are the layers and cells among its attributes, or in attributes
        that are lists or tuples.

        Raises
        ------
        TypeError
            This layer's parameters do not include a child's parameters under any of these names.
        """
        return _found_inside(self)

    @property
    def cells(self) -> list[Cell]:
        """The cells inside, from the bottom up."""
        return [cell for child in self.children.values() for cell in child.cells]

    @abstractmethod
    def init(self, rng: Rng = None, dtype: DTypeLike = np.float64) -> Params:
        """Draw initial parameters; names from inner layers have a prefix, as in `"0.W_x"`."""

    @abstractmethod
    def zero_state(self, x: Array) -> AnyState:
        """Return the state of zeros for an input x (B, D)."""

    @abstractmethod
    def forward(
        self,
        params: Params,
        xs: Array,
        state0: LayerState | None = None,
        lengths: Lengths = None,
        rng: Rng = None,
        keep_tape: bool = True,
    ) -> tuple[Array, AnyState, object]:
        """Run over a sequence.

        Parameters
        ----------
        params : dict of arrays
            As `init` returns them.
        xs : array (T, B, D)
            The inputs, time first.
        state0 : optional
            The initial state; zeros by default.
        lengths : sequence of int (B,) or array of bool (T, B), optional
            How many steps each sequence has, or a mask that is False at the steps to skip; see
            `unroll`.
        rng : None, int or numpy.random.Generator
            The source of dropout masks. None means no dropout, as at test time: without a source of
            randomness nothing can be dropped.
        keep_tape : bool
            Use False for inference: nothing is kept for a backward pass.

        Returns
        -------
        outputs : array (T, B, output_size)
        state
            The state after the last step.
        tape
            What `backward` needs.
        """

    @abstractmethod
    def backward(
        self,
        params: Params,
        tape: LayerTape,
        doutputs: Array | None = None,
        dstate: LayerState | None = None,
        need_dxs: bool = True,
    ) -> tuple[Array | MaybeNone, AnyState, Params]:
        """Carry the loss gradient back through the sequence.

        Parameters
        ----------
        params : dict of arrays
            The parameters that `forward` had; they are not changed.
        tape : Tape
            The tape that `forward` returned; it is not changed.
        doutputs : array (T, B, output_size), optional
            ∂L/∂outputs; zeros by default.
        dstate : optional
            ∂L/∂(final state); zeros by default.
        need_dxs : bool
            If False, dxs may be None; the bottom layer of a model does not need it.

        Returns
        -------
        dxs : array (T, B, D), or None if it was left out
        dstate0
            ∂L/∂(initial state).
        grads : dict of arrays
            The same keys and shapes as `params`.
        """


@dataclass(frozen=True)
class Recurrent(Layer):
    """A cell run over the sequence.

    Several paths lead to the same answer: `unroll` calls the cell at every step, and the fused
    kernels of `npylstm.sequence.kernels` compute the whole sequence several times faster. They
    agree up to rounding; `npylstm.sequence.paths` decides which path can run.

    Parameters
    ----------
    cell : Cell
        Any cell.
    path : str
        `"auto"` takes a fused kernel if there is one for the cell and the arrays, otherwise
        `unroll`; `"fused"` and `"unroll"` force one of the two.
    truncation : tuple of int, optional
        k1 and k2 of `truncated_backward`: how far back gradients are carried. It takes `unroll`.

    Raises
    ------
    ValueError
        The path is unknown. From `forward`: the path is `"fused"` and no kernel can run; the
        message says why. From `backward`: the tape belongs to another cell.
    """

    causal = True
    cell: Cell
    path: str = "auto"
    truncation: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.cell, Cell):
            raise TypeError(f"cell must be a Cell, got {self.cell!r}")
        if self.truncation is not None:
            check_truncation(*self.truncation)
            if self.path == "fused":
                raise ValueError(f"truncation = {self.truncation} can't take path='fused'")
        check_choice("path", self.path, ("auto", "fused", "unroll"))

    @property
    def input_size(self) -> int:
        """D, the width of the cell's input."""
        return self.cell.input_size

    @property
    def output_size(self) -> int:
        """The width of the cell's output."""
        return self.cell.output_size

    @property
    def children(self) -> dict[str, Layer]:
        """None: there is a cell inside."""
        return {}

    @property
    def cells(self) -> list[Cell]:
        """The cell alone."""
        return [self.cell]

    def init(self, rng: Rng = None, dtype: DTypeLike = np.float64) -> Params:
        """Draw the cell's parameters."""
        return self.cell.init(rng, dtype)

    def zero_state(self, x: Array) -> AnyState:
        """Return the cell's state of zeros."""
        return self.cell.zero_state(x)

    def forward(
        self,
        params: Params,
        xs: Array,
        state0: LayerState | None = None,
        lengths: Lengths = None,
        rng: Rng = None,  # noqa: ARG002  # a cell has no dropout
        keep_tape: bool = True,
        state_mask: Array | None = None,
    ) -> tuple[Array, AnyState, object]:
        """Run the cell over the sequence; see `Layer.forward` and `unroll`.

        Outputs of a fused kernel are read-only if they are views of its tape.
        """
        start = check_entrance(self.cell, params, xs, state0, state_mask)
        run = ForwardPass(
            self.cell, params, xs, start, lengths, state_mask, keep_tape, self.truncation
        )
        return choose(run, self.path).forward(run)

    def backward(
        self,
        params: Params,
        tape: LayerTape,
        doutputs: Array | None = None,
        dstate: LayerState | None = None,
        need_dxs: bool = True,
    ) -> tuple[Array | MaybeNone, AnyState, Params]:
        """Back-propagate through time; see `Layer.backward` and `unroll_backward`."""
        if tape is None:
            raise ValueError("tape must be from a forward pass with keep_tape=True, got None")
        if getattr(tape, "cell", None) != self.cell:
            raise ValueError(f"tape must be from {self.cell}, got {_owner(tape)}")
        its_tape: AnyTape = tape
        return its_tape.backward(params, doutputs, dstate, need_dxs)


def _owner(tape: object) -> str:
    cell = getattr(tape, "cell", None)
    return f"a {type(tape).__name__}" if cell is None else f"one from {cell}"


class _Layers(Layer):
    """A layer made of several layers, each with its own parameters and state."""

    @property
    def inner(self) -> tuple[Layer, ...]:
        """The layers inside."""
        return tuple(self.children.values())

    @property
    def input_size(self) -> int:
        """The width of the first layer's input."""
        return self.inner[0].input_size

    def init(self, rng: Rng = None, dtype: DTypeLike = np.float64) -> Params:
        """Draw each layer's parameters, one layer after the other."""
        rng = np.random.default_rng(rng)
        return self._join([layer.init(rng, dtype) for layer in self.inner])

    def zero_state(self, x: Array) -> AnyState:
        """Return each layer's state of zeros."""
        return tuple(layer.zero_state(x) for layer in self.inner)

    def _join(self, parts: Sequence[Params]) -> Params:
        """Put the parameters of the layers into one dictionary, each name with its prefix."""
        return {
            f"{prefix}.{name}": array
            for prefix, part in zip(self.children, parts, strict=True)
            for name, array in part.items()
        }

    def _split(self, params: Params) -> list[Params]:
        """Return the parameters of each layer, without the prefixes: the inverse of `_join`."""
        parts: dict[str, Params] = {prefix: {} for prefix in self.children}
        for key, array in params.items():
            prefix, _, name = key.partition(".")
            if prefix not in parts or not name:
                wanted = " or ".join(f"'{prefix}.'" for prefix in parts)
                raise ValueError(f"params must have keys that begin with {wanted}, got {key!r}")
            parts[prefix][name] = array
        return list(parts.values())

    def _states(self, name: str, state: LayerState | None) -> Sequence[AnyState]:
        """Return one state for each layer, from a tuple; None becomes a None for each layer."""
        count = len(self.inner)
        if state is None:
            return [None] * count
        if type(state) is not tuple or len(state) != count:
            raise ValueError(f"{name} must be a tuple of {count} states, got {state!r}")
        return state


@dataclass(frozen=True)
class Stack(_Layers):
    """Layers on top of each other: each reads the outputs of the layer below.

    The state is a tuple with each layer's state; parameters are named `"0.W_x"`, `"1.W_x"`, ...

    Parameters
    ----------
    layers : sequence of Layer or Cell
        From the bottom up.

    Raises
    ------
    ValueError
        There are no layers, a width does not fit the layer below, or an object occurs twice.
    """

    causal = True
    layers: Sequence[Layer | Cell]

    def __post_init__(self) -> None:
        if not isinstance(self.layers, Sequence) or len(self.layers) == 0:
            raise ValueError(f"layers must be a sequence of at least one, got {self.layers!r}")
        object.__setattr__(self, "layers", tuple(as_layer(layer) for layer in self.layers))
        if _repeat(self.cells):
            raise ValueError(
                "layers holds the same object more than once, as [cell] * n does; every layer has "
                "parameters of its own, so make each one anew: [LSTMCell(...) for _ in range(n)]"
            )
        for k, (below, above) in enumerate(pairwise(self.inner)):
            if above.input_size != below.output_size:
                raise ValueError(
                    f"layers[{k + 1}] must have input_size {below.output_size}, the width of "
                    f"layers[{k}]'s output, got {above.input_size}"
                )

    @property
    def children(self) -> dict[str, Layer]:
        """The layers from the bottom up: "0", "1" and so on."""
        return {str(k): as_layer(layer) for k, layer in enumerate(self.layers)}

    @property
    def output_size(self) -> int:
        """The width of the top layer's output."""
        return self.inner[-1].output_size

    def forward(
        self,
        params: Params,
        xs: Array,
        state0: LayerState | None = None,
        lengths: Lengths = None,
        rng: Rng = None,
        keep_tape: bool = True,
    ) -> tuple[Array, AnyState, object]:
        """Run the layers from the bottom up; see `Layer.forward`."""
        rng = generator(rng)
        parts = self._split(params)
        states0 = self._states("state0", state0)
        states, tapes = [], []
        for k, layer in enumerate(self.inner):
            xs, state, tape = layer.forward(parts[k], xs, states0[k], lengths, rng, keep_tape)
            states.append(state)
            tapes.append(tape)
        return xs, tuple(states), tuple(tapes)

    def backward(
        self,
        params: Params,
        tape: LayerTape,
        doutputs: Array | None = None,
        dstate: LayerState | None = None,
        need_dxs: bool = True,
    ) -> tuple[Array | MaybeNone, AnyState, Params]:
        """Carry the gradient from the top down; see `Layer.backward`."""
        parts = self._split(params)
        dstates = self._states("dstate", dstate)
        dstates0: list[AnyState] = []
        grads: list[Params] = []
        for k in reversed(range(len(self.inner))):
            doutputs, dstate0, its_grads = self.inner[k].backward(
                parts[k], tape[k], doutputs, dstates[k], need_dxs or k > 0
            )
            dstates0.insert(0, dstate0)
            grads.insert(0, its_grads)
        return doutputs, tuple(dstates0), self._join(grads)


@dataclass(frozen=True)
class Bidirectional(_Layers):
    """Two layers; one reads the sequence backwards (Schuster & Paliwal 1997).

    The outputs are side by side, the forward layer's first. With lengths or a mask, the steps that
    a sequence takes are reversed among themselves. The state is the pair of both states;
    parameters are named `"forward.W_x"` and `"backward.W_x"`.

    Parameters
    ----------
    forward_layer, backward_layer : Layer or Cell
        Give two stacks for one stack a direction; a `Stack` of `Bidirectional` mixes the
        directions at every layer.

    Raises
    ------
    ValueError
        The input sizes differ, or both are the same object.
    """

    causal = False
    forward_layer: Layer | Cell
    backward_layer: Layer | Cell

    def __post_init__(self) -> None:
        for name in ("forward_layer", "backward_layer"):
            object.__setattr__(self, name, as_layer(getattr(self, name)))
        if _repeat(self.cells):
            raise ValueError(
                "forward_layer and backward_layer are the same object; each direction has "
                "parameters of its own, so make each one anew"
            )
        ahead, back = self.inner
        if ahead.input_size != back.input_size:
            raise ValueError(
                f"backward_layer must have input_size {ahead.input_size}, like forward_layer, "
                f"got {back.input_size}"
            )

    @property
    def children(self) -> dict[str, Layer]:
        """The layer "forward" and the layer "backward"."""
        return {"forward": as_layer(self.forward_layer), "backward": as_layer(self.backward_layer)}

    @property
    def output_size(self) -> int:
        """The widths of both outputs together."""
        return sum(side.output_size for side in self.inner)

    def forward(
        self,
        params: Params,
        xs: Array,
        state0: LayerState | None = None,
        lengths: Lengths = None,
        rng: Rng = None,
        keep_tape: bool = True,
    ) -> tuple[Array, AnyState, object]:
        """Run both layers; see `Layer.forward`."""
        rng = generator(rng)
        check_sequence(xs, self.input_size)
        alive = alive_steps(lengths, len(xs), xs.shape[-2])
        ahead, back = self.inner
        params_ahead, params_back = self._split(params)
        state_ahead, state_back = self._states("state0", state0)
        out_ahead, state_ahead, tape_ahead = ahead.forward(
            params_ahead, xs, state_ahead, lengths, rng, keep_tape
        )
        out_back, state_back, tape_back = back.forward(
            params_back, reverse(xs, alive), state_back, lengths, rng, keep_tape
        )
        outputs = array_module(xs).concatenate([out_ahead, reverse(out_back, alive)], axis=-1)
        return outputs, (state_ahead, state_back), (tape_ahead, tape_back, alive)

    def backward(
        self,
        params: Params,
        tape: LayerTape,
        doutputs: Array | None = None,
        dstate: LayerState | None = None,
        need_dxs: bool = True,
    ) -> tuple[Array | MaybeNone, AnyState, Params]:
        """Carry the gradient back through both layers; see `Layer.backward`."""
        ahead, back = self.inner
        tape_ahead, tape_back, alive = tape
        params_ahead, params_back = self._split(params)
        dstate_ahead, dstate_back = self._states("dstate", dstate)
        dout_ahead = dout_back = None
        if doutputs is not None:
            dout_ahead = doutputs[..., : ahead.output_size]
            dout_back = reverse(doutputs[..., ahead.output_size :], alive)
        dxs_ahead, dstate_ahead, grads_ahead = ahead.backward(
            params_ahead, tape_ahead, dout_ahead, dstate_ahead, need_dxs
        )
        dxs_back, dstate_back, grads_back = back.backward(
            params_back, tape_back, dout_back, dstate_back, need_dxs
        )
        grads = self._join([grads_ahead, grads_back])
        dxs = None
        if dxs_ahead is not None and dxs_back is not None:
            dxs = dxs_ahead + reverse(dxs_back, alive)
        return dxs, (dstate_ahead, dstate_back), grads


def as_layer(layer: Layer | Cell) -> Layer:
    """Return a layer as it is, and a cell as `Recurrent(cell)`; raise TypeError for others."""
    if isinstance(layer, Cell):
        return Recurrent(layer)
    if isinstance(layer, Layer) and not layer.time_major:
        raise TypeError(
            f"layer must take sequences time first to stand inside another or to be converted, got "
            f"{layer!r}; put {type(layer).__name__} around the whole"
        )
    if isinstance(layer, Layer):
        return layer
    raise TypeError(f"layer must be a Layer or a Cell, got {layer!r}")


def _found_inside(layer: Layer) -> dict[str, Layer]:
    """Return the layers among a layer's attributes, by the names of their parameters in it."""
    parts: dict[str, Layer | Cell] = {}
    for name, part in _attributes(layer):
        if parts.setdefault(name, part) is not part:
            raise TypeError(
                f"{type(layer).__name__} must override `children`, since it holds several lists, "
                f"and two layers inside it would have the name {name!r}"
            )
    found = {name: as_layer(part) for name, part in parts.items()}
    own = set(layer.init(0)) if found else set()
    if len(found) == 1:
        (child,) = found.values()
        if set(child.init(0)) <= own:
            return {"": child}
    for name, child in found.items():
        if not {f"{name}.{key}" for key in child.init(0)} <= own:
            raise TypeError(
                f"{type(layer).__name__} must name the parameters of the {type(child).__name__} "
                f"inside it '{name}.W_x' and so on, or override `children`; it has {sorted(own)}"
            )
    return found


def _attributes(layer: Layer) -> Iterator[tuple[str, Layer | Cell]]:
    """Yield the layers and cells that are attributes of a layer or stand in a list or tuple."""
    for attribute, value in vars(layer).items():
        in_list = isinstance(value, list | tuple)
        for name, part in enumerate(value) if in_list else [(attribute, value)]:
            if isinstance(part, Layer | Cell):
                yield str(name), part


def reverse(xs: Array, lengths: Lengths = None) -> Array:
    """Reverse xs (T, B, D) in time: the steps that a sequence takes, among themselves.

    With lengths, each sequence is reversed within its own length; with a mask, steps that are
    skipped stay where they are. So the mask holds before and after.
    """
    T, B = len(xs), xs.shape[-2]
    alive = alive_steps(lengths, T, B)
    if alive is None:
        return xs[::-1]
    taken = np.argsort(~alive, axis=0, kind="stable")  # of each sequence, the steps it takes first
    mirrored = alive.sum(axis=0) - alive.cumsum(axis=0)  # the first goes where the last is
    source = np.where(alive, np.take_along_axis(taken, mirrored, axis=0), np.arange(T)[:, None])
    xp = array_module(xs)
    source = source.reshape(T, *(1,) * (xs.ndim - 3), B, 1)
    return xp.take_along_axis(xs, xp.asarray(source), axis=0)


def _repeat(cells: Sequence[Cell]) -> bool:
    """Return whether the same cell object is in two places."""
    return len({id(cell) for cell in cells}) < len(cells)


def generator(rng: Rng) -> np.random.Generator | None:
    """Return a generator for layers to share; None, which means no dropout, stays None."""
    return None if rng is None else np.random.default_rng(rng)
