"""TensorFlow 1's names and semantics over this package's cells: programs port line by line.

Arguments, defaults and results are those of TensorFlow 1.15, with three differences, for there is
no graph and no session here: arrays come in and arrays come out.

**Variables** are a plain dictionary with TensorFlow's names. Where TensorFlow makes them behind
your back, `cell.build` returns them, and a driver is told which ones to use::

    lstm_cell = BasicLSTMCell(28, forget_bias=1.0)
    variables = lstm_cell.build(28, rng=0)        # "rnn/basic_lstm_cell/kernel" and ".../bias"
    outputs, states = static_rnn(lstm_cell, X_split, dtype=np.float32, variables=variables)

**The backward pass** is there to be called. What a driver returns unpacks as in TensorFlow, and it
has a method that carries gradients the other way::

    rnn = static_rnn(lstm_cell, X_split, dtype=np.float32, variables=variables)
    outputs, states = rnn
    ...                                          # the loss, and its gradient doutputs
    dinputs, dinitial_state, grads = rnn.backward(doutputs)

**Dropout** draws its masks from the `rng` that a driver is given; without one nothing is dropped.
A wrapper therefore needs no seed.

What TensorFlow refuses is refused, and so is what it takes by accident: no units, a keep
probability of 0, lengths below 0 or beyond the sequence, one cell object in two places. Arguments
that only steer the graph (`reuse`, `parallel_iterations`, `swap_memory`, `use_locking`, numbers of
shards) don't exist.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from npylstm.backend import Array, array_module
from npylstm.cells import gru, lstm, lstm_variant, rnn
from npylstm.cells.base import Cell, map_state
from npylstm.checks import check_array, check_choice, check_number, check_size
from npylstm.convert import Arrays, from_tf1, gradients_to_tf1, to_tf1
from npylstm.data import Digits, load_mnist
from npylstm.initializers import Rng, draw, parse
from npylstm.losses import softmax_cross_entropy
from npylstm.optimizers import RMSProp
from npylstm.sequence.layers import Dropout, Layer, Residual, Stack, as_layer, reverse

ACTIVATIONS = {"tanh": "tanh", "relu": "relu", "sigmoid": "logistic", "linear": "identity"}
"""TensorFlow's names of activations, and this package's."""


class LSTMStateTuple(NamedTuple):
    """The state of an LSTM in TensorFlow's order: c (B, H), then h (B, H)."""

    c: Array
    h: Array


# ----------------------------------------------------------------------------------- cells


class RNNCell(ABC):
    """What TensorFlow calls a cell: anything that a driver can run, stacks and wrappers included.

    A cell holds no arrays and knows no input size: `build` makes the variables for one.
    """

    @property
    @abstractmethod
    def output_size(self) -> int:
        """The width of its output."""

    @property
    @abstractmethod
    def state_size(self) -> Any:
        """Its state with each array's width in its place."""

    @property
    @abstractmethod
    def leaves(self) -> "list[tuple[str, _Leaf]]":
        """The cells with variables, each with the scope that TensorFlow gives it."""

    @abstractmethod
    def layer(self, input_size: int) -> Layer | Cell:
        """Return this package's layer that does the work, for inputs of width `input_size`."""

    @abstractmethod
    def to_tf(self, state: Any) -> Any:
        """Return a state, or its gradient, of `layer` in TensorFlow's form."""

    @abstractmethod
    def from_tf(self, state: Any, name: str) -> Any:
        """Return TensorFlow's form of a state in that of `layer`: the inverse of `to_tf`."""

    def scopes(self, scope: str) -> list[str]:
        """Return the scope of each cell's variables under the one of a driver."""
        return [f"{scope}/{path}" for path, _ in self.leaves]

    def build(
        self,
        input_size: int,
        rng: Rng = None,
        dtype: DTypeLike = np.float32,
        scope: str = "rnn",
    ) -> Arrays:
        """Draw the variables that TensorFlow makes at a cell's first use.

        Kernels and peepholes are drawn by the cell's initialiser, Glorot's uniform one by default,
        each on its own; biases start at 0, those of a GRU's gates at 1.

        Parameters
        ----------
        input_size : int
            The width of the inputs.
        rng : None, int or numpy.random.Generator
            The source of the draws.
        dtype
            A floating-point type.
        scope : str
            What the names begin with: `"rnn"` for the drivers of one cell, and for those of two
            `"bidirectional_rnn/fw"` and `"bidirectional_rnn/bw"`.

        Returns
        -------
        dict of arrays
            By TensorFlow's names, such as `"rnn/basic_lstm_cell/kernel"`.
        """
        rng = np.random.default_rng(rng)
        layer = as_layer(self.layer(input_size))
        shapes = {
            name: array.shape
            for name, array in to_tf1(layer, layer.init(0), self.scopes(scope)).items()
        }
        return {
            name: leaf.initial(name, shapes[name], rng).astype(_floating("dtype", dtype))
            for path, leaf in self.leaves
            for name in shapes
            if name.startswith(f"{scope}/{path}/")
        }

    def zero_state(self, batch_size: int, dtype: DTypeLike) -> Any:
        """Return a state of zeros for a batch of this size."""
        check_size("batch_size", batch_size)
        dtype = _floating("dtype", dtype)
        return map_state(lambda width: np.zeros((batch_size, width), dtype), self.state_size)

    def __call__(
        self,
        inputs: Array,
        state: Any,
        *,
        variables: Mapping[str, Array],
        scope: str = "rnn",
        rng: Rng = None,
    ) -> "Unrolled":
        """Run one step.

        Parameters
        ----------
        inputs : array (B, D)
        state
            As `zero_state` returns it.
        variables, scope, rng
            As in `static_rnn`.

        Returns
        -------
        output, new_state
            With a method `backward(doutput, dstate)` -> `dinputs, dstate_prev, grads`.
        """
        step = static_rnn(self, [inputs], state, scope=scope, variables=variables, rng=rng)
        (output,), new_state = step

        def backward(doutput: Array | None = None, dstate: Any = None) -> Gradients:
            (dinputs,), dstate_prev, grads = step.backward([doutput], dstate)
            return dinputs, dstate_prev, grads

        return Unrolled((output, new_state), backward)


class _Leaf(RNNCell):
    """A cell with variables of its own."""

    num_units: int
    activation: str | None
    name: str | None
    kernel_initializer: str = "glorot_uniform"
    default_name: ClassVar[str]

    def __post_init__(self) -> None:
        check_size("num_units", self.num_units)
        check_choice("activation", self.activation, (None, *ACTIVATIONS))

    @property
    def phi(self) -> str:
        """The activation by the name that it has in this package."""
        return ACTIVATIONS[self.activation or "tanh"]

    @property
    def output_size(self) -> int:
        """num_units, but for a projection."""
        return self.num_units

    @property
    def state_size(self) -> Any:
        """num_units, but for an LSTM."""
        return self.num_units

    def to_tf(self, state: Any) -> Any:
        """Return h, but for an LSTM."""
        return state.h

    @property
    def leaves(self) -> "list[tuple[str, _Leaf]]":
        """The cell itself, alone."""
        return [(self.name or self.default_name, self)]

    def initial(
        self, name: str, shape: tuple[int, ...], rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Draw the variable called `name`."""
        if name.endswith("bias"):
            return np.zeros(shape)
        if len(shape) == 1:  # a peephole is the diagonal of a matrix (H, H)
            return np.diag(draw(self.kernel_initializer, rng, (shape[0], shape[0])))
        return draw(self.kernel_initializer, rng, (shape[0], shape[1]))


@dataclass(frozen=True)
class BasicRNNCell(_Leaf):
    """TensorFlow's BasicRNNCell: `npylstm.cells.rnn.RNNCell`.

    Parameters
    ----------
    num_units : int
        The number of units.
    activation : str, optional
        One of `ACTIVATIONS`, by TensorFlow's names; tanh by default.
    name : str, optional
        The scope of its variables in place of TensorFlow's default.

    Raises
    ------
    ValueError
        Fewer units than one, an unknown activation.
    """

    num_units: int
    activation: str | None = None
    name: str | None = field(default=None, kw_only=True)
    default_name: ClassVar[str] = "basic_rnn_cell"

    def layer(self, input_size: int) -> Cell:
        """Return this package's cell."""
        return rnn.RNNCell(input_size, self.num_units, self.phi)

    def from_tf(self, state: Any, name: str) -> rnn.RNNState:
        """Return h as an RNNState."""
        return rnn.RNNState(_one_array(name, state))


@dataclass(frozen=True)
class GRUCell(_Leaf):
    """TensorFlow's GRUCell: `npylstm.cells.gru.GRUCell` with the reset gate before the product.

    Parameters
    ----------
    num_units : int
        The number of units.
    activation : str, optional
        Of the candidate, one of `ACTIVATIONS`; tanh by default.
    kernel_initializer : str
        How both kernels are drawn: see `npylstm.initializers.draw`.
    bias_initializer : float, optional
        What every bias starts at; by default 1 for both gates and 0 for the candidate.
    name : str, optional
        The scope of its variables in place of TensorFlow's default.

    Raises
    ------
    ValueError
        Fewer units than one, an unknown activation or initialiser.
    """

    num_units: int
    activation: str | None = None
    kernel_initializer: str = field(default="glorot_uniform", kw_only=True)
    bias_initializer: float | None = field(default=None, kw_only=True)
    name: str | None = field(default=None, kw_only=True)
    default_name: ClassVar[str] = "gru_cell"

    def __post_init__(self) -> None:
        super().__post_init__()
        parse(self.kernel_initializer, "kernel_initializer")
        if self.bias_initializer is not None:
            check_number("bias_initializer", self.bias_initializer)

    def layer(self, input_size: int) -> Cell:
        """Return this package's cell."""
        return gru.GRUCell(input_size, self.num_units, activation=self.phi)

    def initial(
        self, name: str, shape: tuple[int, ...], rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Draw the variable called `name`."""
        if not name.endswith("bias"):
            return super().initial(name, shape, rng)
        default = 1.0 if name.endswith("gates/bias") else 0.0
        return np.full(shape, default if self.bias_initializer is None else self.bias_initializer)

    def from_tf(self, state: Any, name: str) -> gru.GRUState:
        """Return h as a GRUState."""
        return gru.GRUState(_one_array(name, state))


class _LSTM(_Leaf):
    """What TensorFlow's two LSTM cells share: the state (c, h), as a tuple or side by side."""

    forget_bias: float
    state_is_tuple: bool

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("forget_bias", self.forget_bias)
        check_choice("state_is_tuple", self.state_is_tuple, (True, False))

    @property
    def state_size(self) -> Any:
        """LSTMStateTuple(num_units, output_size), or the sum of both."""
        c, h = self.num_units, self.output_size
        return LSTMStateTuple(c, h) if self.state_is_tuple else c + h

    def to_tf(self, state: lstm.LSTMState) -> Any:
        """Return (c, h), or both side by side."""
        if self.state_is_tuple:
            return LSTMStateTuple(state.c, state.h)
        return array_module(state.c).concatenate([state.c, state.h], axis=-1)

    def from_tf(self, state: Any, name: str) -> lstm.LSTMState:
        """Return (h, c)."""
        if self.state_is_tuple:
            if not isinstance(state, tuple | list) or len(state) != 2:
                raise ValueError(f"{name} must be an LSTMStateTuple (c, h), got {_brief(state)}")
            return lstm.LSTMState(h=state[1], c=state[0])
        state = _one_array(name, state)
        return lstm.LSTMState(h=state[..., self.num_units :], c=state[..., : self.num_units])


@dataclass(frozen=True)
class BasicLSTMCell(_LSTM):
    """TensorFlow's BasicLSTMCell: `npylstm.cells.lstm.LSTMCell`.

    Parameters
    ----------
    num_units : int
        The number of units.
    forget_bias : float
        Added to the forget gate's input at run time; it is no part of the variable `bias`.
    state_is_tuple : bool
        Whether states are `LSTMStateTuple(c, h)` or one array with c and h side by side.
    activation : str, optional
        Of the candidate and of c on its way out, one of `ACTIVATIONS`; tanh by default.
    name : str, optional
        The scope of its variables in place of TensorFlow's default.

    Raises
    ------
    ValueError
        Fewer units than one, a forget bias that is no finite number, an unknown activation.
    """

    num_units: int
    forget_bias: float = 1.0
    state_is_tuple: bool = True
    activation: str | None = None
    name: str | None = field(default=None, kw_only=True)
    default_name: ClassVar[str] = "basic_lstm_cell"

    def layer(self, input_size: int) -> Cell:
        """Return this package's cell."""
        return _lstm_cell(self, input_size)


@dataclass(frozen=True)
class LSTMCell(_LSTM):
    """TensorFlow's LSTMCell: `npylstm.cells.lstm_variant.LSTMVariant`.

    Parameters
    ----------
    num_units : int
        The number of cells.
    use_peepholes : bool
        Whether the gates see the cell states.
    cell_clip : float, optional
        The largest |c|.
    initializer : str
        How kernels and peepholes are drawn: see `npylstm.initializers.draw`.
    num_proj : int, optional
        The width of h after a projection.
    proj_clip : float, optional
        The largest |h| after the projection.
    forget_bias, state_is_tuple, activation, name
        As in `BasicLSTMCell`.

    Raises
    ------
    ValueError
        Fewer units than one, a limit that is not positive, `proj_clip` without `num_proj`, an
        unknown activation or initialiser.
    """

    num_units: int
    use_peepholes: bool = False
    cell_clip: float | None = None
    initializer: str = "glorot_uniform"
    num_proj: int | None = None
    proj_clip: float | None = None
    forget_bias: float = field(default=1.0, kw_only=True)
    state_is_tuple: bool = field(default=True, kw_only=True)
    activation: str | None = field(default=None, kw_only=True)
    name: str | None = field(default=None, kw_only=True)
    default_name: ClassVar[str] = "lstm_cell"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("use_peepholes", self.use_peepholes, (True, False))
        parse(self.initializer)
        if self.num_proj is not None:
            check_size("num_proj", self.num_proj)
        for clip in ("cell_clip", "proj_clip"):
            if getattr(self, clip) is not None:
                check_number(clip, getattr(self, clip), low=0, open_low=True)
        if self.proj_clip is not None and self.num_proj is None:
            raise ValueError(
                f"proj_clip clips a projection: give num_proj, too, or leave it out, "
                f"got proj_clip={self.proj_clip}"
            )

    @property
    def kernel_initializer(self) -> str:  # type: ignore[override]
        """The initialiser of kernels and peepholes."""
        return self.initializer

    @property
    def output_size(self) -> int:
        """num_proj, or else num_units."""
        return self.num_proj or self.num_units

    def layer(self, input_size: int) -> Cell:
        """Return this package's cell."""
        return _lstm_cell(
            self,
            input_size,
            peepholes=self.use_peepholes,
            projection_size=self.num_proj,
            cell_clip=self.cell_clip,
            projection_clip=self.proj_clip,
        )


def _lstm_cell(cell: _LSTM, input_size: int, **options: Any) -> Cell:
    """Return the plain cell unless an option asks for more: it is the faster one."""
    sizes = input_size, cell.num_units, cell.forget_bias
    if cell.phi == "tanh" and not any(options.values()):
        return lstm.LSTMCell(*sizes)
    return lstm_variant.LSTMVariant(
        *sizes, input_activation=cell.phi, output_activation=cell.phi, **options
    )


# -------------------------------------------------------------------------------- wrappers


class _Wrapper(RNNCell):
    """A cell around one other cell, whose sizes, variables and state it takes over."""

    cell: RNNCell

    def __post_init__(self) -> None:
        _check_cell("cell", self.cell)

    @property
    def output_size(self) -> int:
        """The inner cell's."""
        return self.cell.output_size

    @property
    def state_size(self) -> Any:
        """The inner cell's."""
        return self.cell.state_size

    @property
    def leaves(self) -> list[tuple[str, _Leaf]]:
        """The inner cell's: a wrapper adds no scope."""
        return self.cell.leaves

    def to_tf(self, state: Any) -> Any:
        """Return the inner cell's state."""
        return self.cell.to_tf(state)

    def from_tf(self, state: Any, name: str) -> Any:
        """Return the inner cell's state."""
        return self.cell.from_tf(state, name)


@dataclass(frozen=True)
class ResidualWrapper(_Wrapper):
    """A cell whose input is added to its output: `npylstm.sequence.layers.Residual`.

    Parameters
    ----------
    cell : RNNCell
        With an output as wide as its input.

    Raises
    ------
    TypeError
        Not a cell.
    """

    cell: RNNCell

    def layer(self, input_size: int) -> Layer:
        """Return this package's wrapper."""
        return Residual(self.cell.layer(input_size))


@dataclass(frozen=True)
class DropoutWrapper(_Wrapper):
    """Dropout of a cell's input, output and carried h: `npylstm.sequence.layers.Dropout`.

    Never of c, as in TensorFlow. Masks come from the `rng` that a driver is given.

    Parameters
    ----------
    cell : RNNCell
        The cell; with a `state_keep_prob` one that is no stack and no wrapper.
    input_keep_prob, output_keep_prob, state_keep_prob : float
        In (0, 1]; 1 drops nothing.
    variational_recurrent : bool
        Whether all steps share one mask, and all sequences, too.
    input_size : int, optional
        The width of the inputs. TensorFlow needs it to drop inputs with `variational_recurrent`.
    dtype : optional
        That of the inputs. TensorFlow needs it with `variational_recurrent`.

    Raises
    ------
    TypeError
        Not a cell.
    ValueError
        A probability outside (0, 1], or an argument missing that `variational_recurrent` needs.
    """

    cell: RNNCell
    input_keep_prob: float = 1.0
    output_keep_prob: float = 1.0
    state_keep_prob: float = 1.0
    variational_recurrent: bool = False
    input_size: int | None = None
    dtype: DTypeLike | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("input_keep_prob", "state_keep_prob", "output_keep_prob"):
            check_number(name, getattr(self, name), 0, 1, open_low=True)
        check_choice("variational_recurrent", self.variational_recurrent, (True, False))
        if self.input_size is not None:
            check_size("input_size", self.input_size)
        if self.dtype is not None:
            _floating("dtype", self.dtype)
        if self.state_keep_prob < 1 and not isinstance(self.cell, _Leaf):
            raise ValueError(
                f"state_keep_prob={self.state_keep_prob} needs a single cell, got {self.cell}; "
                "wrap the cells inside it"
            )
        if self.variational_recurrent and self.dtype is None:
            raise ValueError("dtype must be given with variational_recurrent=True")
        if self.variational_recurrent and self.input_keep_prob < 1 and self.input_size is None:
            raise ValueError(
                "input_size must be given with variational_recurrent=True and "
                f"input_keep_prob={self.input_keep_prob}"
            )

    def layer(self, input_size: int) -> Layer:
        """Return this package's wrapper."""
        if self.input_size not in (None, input_size):
            raise ValueError(f"input_size is {self.input_size}, but inputs have width {input_size}")
        return Dropout(
            self.cell.layer(input_size),
            self.input_keep_prob,
            self.output_keep_prob,
            self.state_keep_prob,
            "batch" if self.variational_recurrent else None,
        )


@dataclass(frozen=True)
class MultiRNNCell(RNNCell):
    """Cells on top of each other: `npylstm.sequence.layers.Stack`.

    Parameters
    ----------
    cells : list of RNNCell
        From the bottom up, each an object of its own.
    state_is_tuple : bool
        Whether the state is a tuple with each cell's, or one array with all of them side by side.

    Raises
    ------
    TypeError
        Not a list or tuple of cells.
    ValueError
        No cells, the same cell twice, widths that don't fit, or states that are tuples where
        `state_is_tuple` is False.
    """

    cells: Sequence[RNNCell]
    state_is_tuple: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.cells, list | tuple):
            raise TypeError(f"cells must be a list or tuple of cells, got {_brief(self.cells)}")
        object.__setattr__(self, "cells", tuple(self.cells))
        if not self.cells:
            raise ValueError("cells must hold at least one cell, got none")
        for k, cell in enumerate(self.cells):
            _check_cell(f"cells[{k}]", cell)
        _check_distinct([leaf for _, leaf in self.leaves])
        check_choice("state_is_tuple", self.state_is_tuple, (True, False))
        if not self.state_is_tuple and any(isinstance(c.state_size, tuple) for c in self.cells):
            raise ValueError(
                "state_is_tuple=False needs cells whose states are arrays, made with "
                f"state_is_tuple=False, too; their state sizes are {self._sizes}"
            )
        for below, above in pairwise(self.cells):
            above.layer(below.output_size)  # refuses a width that doesn't fit

    @property
    def output_size(self) -> int:
        """The top cell's."""
        return self.cells[-1].output_size

    @property
    def _sizes(self) -> tuple[Any, ...]:
        return tuple(cell.state_size for cell in self.cells)

    @property
    def state_size(self) -> Any:
        """Each cell's, or their sum."""
        return self._sizes if self.state_is_tuple else sum(self._sizes)

    @property
    def leaves(self) -> list[tuple[str, _Leaf]]:
        """Every cell's, in the scopes cell_0, cell_1 and so on."""
        return [
            (f"multi_rnn_cell/cell_{k}/{path}", leaf)
            for k, cell in enumerate(self.cells)
            for path, leaf in cell.leaves
        ]

    def layer(self, input_size: int) -> Layer:
        """Return this package's stack."""
        widths = [input_size, *(cell.output_size for cell in self.cells)]
        return Stack([cell.layer(D) for cell, D in zip(self.cells, widths, strict=False)])

    def to_tf(self, state: Any) -> Any:
        """Return the tuple of states, or all side by side."""
        states = tuple(cell.to_tf(s) for cell, s in zip(self.cells, state, strict=True))
        if self.state_is_tuple:
            return states
        return array_module(states[0]).concatenate(states, axis=-1)

    def from_tf(self, state: Any, name: str) -> Any:
        """Return the tuple of states."""
        if not self.state_is_tuple:
            ends = np.cumsum(self._sizes)[:-1].tolist()
            state = array_module(state).split(_one_array(name, state), ends, axis=-1)
        if not isinstance(state, tuple | list) or len(state) != len(self.cells):
            raise ValueError(
                f"{name} must be a tuple of {len(self.cells)} states, got {_brief(state)}"
            )
        return tuple(
            cell.from_tf(s, f"{name}[{k}]")
            for k, (cell, s) in enumerate(zip(self.cells, state, strict=True))
        )


# --------------------------------------------------------------------------------- drivers

Gradients: TypeAlias = tuple[Any, Any, Arrays]
"""∂L/∂inputs, ∂L/∂(initial state) and, by their names, ∂L/∂variables."""


class Unrolled(tuple[Any, ...]):
    """What a driver returns in TensorFlow, with the way back beside it.

    Attributes
    ----------
    backward : callable
        (doutputs, dstate) -> dinputs, dinitial_state, grads. Both arguments are None for zeros or
        have the form of what the driver returned; so have the first two results the form of what
        it was given. In a list of doutputs any may be None. It can be called any number of times.
    """

    backward: Callable[..., Gradients]

    def __new__(cls, results: tuple[Any, ...], backward: Callable[..., Gradients]) -> "Unrolled":
        """Make the tuple `results` and put `backward` beside it."""
        unrolled = super().__new__(cls, results)
        unrolled.backward = backward
        return unrolled


def static_rnn(
    cell: RNNCell,
    inputs: Sequence[Array],
    initial_state: Any = None,
    dtype: DTypeLike | None = None,
    sequence_length: Any = None,
    scope: str = "rnn",
    *,
    variables: Mapping[str, Array],
    rng: Rng = None,
) -> Unrolled:
    """Run a cell over a list of inputs.

    Parameters
    ----------
    cell : RNNCell
        Any cell of this module.
    inputs : list of T arrays (B, D)
        One for each time step.
    initial_state : optional
        As `cell.zero_state` returns it.
    dtype : optional
        That of the inputs. Needed without an `initial_state`, as in TensorFlow.
    sequence_length : sequence of int (B,), optional
        How many steps each sequence has. Past its end it puts out zeros and keeps its state.
    scope : str
        What the names of the cell's variables begin with.
    variables : dict of arrays
        At least those of the cell, from `cell.build`; those outside `scope` are none of its.
    rng : None, int or numpy.random.Generator
        The source of dropout masks; None drops nothing.

    Returns
    -------
    outputs : list of T arrays (B, H)
    state
        The one after the last step.

    Raises
    ------
    TypeError
        Not a cell, not a list, not arrays of floating-point numbers.
    ValueError
        No inputs, neither `initial_state` nor `dtype`, shapes, dtypes or variables that don't fit,
        lengths outside 0..T.
    """
    xs = _stacked(inputs)
    outputs, state, run_back = _run(
        cell, xs, initial_state, dtype, sequence_length, scope, variables, rng
    )

    def backward(doutputs: Sequence[Array | None] | None = None, dstate: Any = None) -> Gradients:
        dxs, dinitial_state, grads = run_back(_stacked_gradients(doutputs, outputs), dstate)
        return list(dxs), dinitial_state, grads

    return Unrolled((list(outputs), state), backward)


def dynamic_rnn(
    cell: RNNCell,
    inputs: Array,
    sequence_length: Any = None,
    initial_state: Any = None,
    dtype: DTypeLike | None = None,
    *,
    time_major: bool = False,
    scope: str = "rnn",
    variables: Mapping[str, Array],
    rng: Rng = None,
) -> Unrolled:
    """Run a cell over one array of inputs.

    Parameters
    ----------
    inputs : array (B, T, D), or (T, B, D) if `time_major`
        The inputs.
    time_major : bool
        Whether time is the first axis, of inputs and outputs.
    cell, sequence_length, initial_state, dtype, scope, variables, rng
        As in `static_rnn`.

    Returns
    -------
    outputs : array (B, T, H), or (T, B, H)
    state
        The one after the last step.

    Raises
    ------
    TypeError, ValueError
        As in `static_rnn`.
    """
    xs = _time_first(inputs, time_major)
    outputs, state, run_back = _run(
        cell, xs, initial_state, dtype, sequence_length, scope, variables, rng
    )

    def backward(doutputs: Array | None = None, dstate: Any = None) -> Gradients:
        if doutputs is not None:
            doutputs = _turned(doutputs, time_major)
        dxs, dinitial_state, grads = run_back(doutputs, dstate)
        return _turned(dxs, time_major), dinitial_state, grads

    return Unrolled((_turned(outputs, time_major), state), backward)


def static_bidirectional_rnn(
    cell_fw: RNNCell,
    cell_bw: RNNCell,
    inputs: Sequence[Array],
    initial_state_fw: Any = None,
    initial_state_bw: Any = None,
    dtype: DTypeLike | None = None,
    sequence_length: Any = None,
    scope: str = "bidirectional_rnn",
    *,
    variables: Mapping[str, Array],
    rng: Rng = None,
) -> Unrolled:
    """Run one cell over a list of inputs and another one over the list reversed.

    With lengths each sequence is reversed within its own.

    Parameters
    ----------
    cell_fw, cell_bw : RNNCell
        Two cells, with variables in the scopes `{scope}/fw` and `{scope}/bw`.
    inputs, initial_state_fw, initial_state_bw, dtype, sequence_length, scope, variables, rng
        As in `static_rnn`.

    Returns
    -------
    outputs : list of T arrays (B, H_fw + H_bw)
        Both outputs side by side.
    state_fw, state_bw
        The state of each cell after its last step; for `cell_bw` that is at the first input.

        `backward(doutputs, dstate_fw, dstate_bw)` returns dinputs, the pair of
        ∂L/∂(initial state), and grads.

    Raises
    ------
    TypeError, ValueError
        As in `static_rnn`, or one cell for both directions.
    """
    xs = _stacked(inputs)
    sides, states, run_back = _run_both(
        (cell_fw, cell_bw), xs, (initial_state_fw, initial_state_bw), dtype, sequence_length,
        scope, variables, rng,
    )  # fmt: skip
    outputs = array_module(xs).concatenate(sides, axis=-1)

    def backward(
        doutputs: Sequence[Array | None] | None = None, dstate_fw: Any = None, dstate_bw: Any = None
    ) -> Gradients:
        stacked, H = _stacked_gradients(doutputs, outputs), cell_fw.output_size
        dsides = (None, None) if stacked is None else (stacked[..., :H], stacked[..., H:])
        dxs, dinitial_states, grads = run_back(dsides, (dstate_fw, dstate_bw))
        return list(dxs), dinitial_states, grads

    return Unrolled((list(outputs), *states), backward)


def bidirectional_dynamic_rnn(
    cell_fw: RNNCell,
    cell_bw: RNNCell,
    inputs: Array,
    sequence_length: Any = None,
    initial_state_fw: Any = None,
    initial_state_bw: Any = None,
    dtype: DTypeLike | None = None,
    *,
    time_major: bool = False,
    scope: str = "bidirectional_rnn",
    variables: Mapping[str, Array],
    rng: Rng = None,
) -> Unrolled:
    """Run one cell over one array of inputs and another one over it reversed.

    Parameters
    ----------
    cell_fw, cell_bw, initial_state_fw, initial_state_bw, scope
        As in `static_bidirectional_rnn`.
    inputs, sequence_length, dtype, time_major, variables, rng
        As in `dynamic_rnn`.

    Returns
    -------
    (output_fw, output_bw) : arrays (B, T, H), or (T, B, H)
        Not side by side, unlike those of `static_bidirectional_rnn`.
    (state_fw, state_bw)

        `backward` takes and returns such pairs.

    Raises
    ------
    TypeError, ValueError
        As in `static_bidirectional_rnn`.
    """
    xs = _time_first(inputs, time_major)
    sides, states, run_back = _run_both(
        (cell_fw, cell_bw), xs, (initial_state_fw, initial_state_bw), dtype, sequence_length,
        scope, variables, rng,
    )  # fmt: skip

    def backward(doutputs: Any = (None, None), dstates: Any = (None, None)) -> Gradients:
        dsides = tuple(None if d is None else _turned(d, time_major) for d in doutputs)
        dxs, dinitial_states, grads = run_back(dsides, dstates)
        return _turned(dxs, time_major), dinitial_states, grads

    return Unrolled((tuple(_turned(side, time_major) for side in sides), states), backward)


RunBack: TypeAlias = Callable[[Any, Any], Gradients]


def _run(
    cell: RNNCell,
    xs: Array,
    initial_state: Any,
    dtype: DTypeLike | None,
    sequence_length: Any,
    scope: str,
    variables: Mapping[str, Array],
    rng: Rng,
) -> tuple[Array, Any, RunBack]:
    """Run the layer behind a cell over xs (T, B, D); return outputs, state and the way back."""
    _check_cell("cell", cell)
    layer = as_layer(cell.layer(xs.shape[-1]))
    if dtype is None and initial_state is None:
        raise ValueError("dtype must be given where initial_state is not")
    if dtype is not None and _floating("dtype", dtype) != xs.dtype:
        raise ValueError(f"dtype must be that of the inputs, {xs.dtype}, got {dtype!r}")
    lengths = _lengths(sequence_length, *xs.shape[:2])
    own = {name: array for name, array in variables.items() if name.startswith(f"{scope}/")}
    params = from_tf1(layer, own, cell.scopes(scope))
    for name, array in own.items():
        if array.dtype != xs.dtype:
            raise ValueError(
                f"variables[{name!r}] must have the dtype of the inputs, {xs.dtype}, "
                f"got {array.dtype}"
            )
    zeros = layer.zero_state(xs[0])
    state0 = None if initial_state is None else _state(cell, "initial_state", initial_state, zeros)
    outputs, state, tape = layer.forward(params, xs, state0, lengths, rng)

    def run_back(doutputs: Array | None, dstate: Any) -> Gradients:
        if doutputs is not None:
            _check_like("doutputs", doutputs, outputs)
        if dstate is not None:
            dstate = _state(cell, "dstate", dstate, zeros)
        dxs, dstate0, grads = layer.backward(params, tape, doutputs, dstate)
        return dxs, cell.to_tf(dstate0), gradients_to_tf1(layer, grads, cell.scopes(scope))

    return outputs, cell.to_tf(state), run_back


def _run_both(
    cells: tuple[RNNCell, RNNCell],
    xs: Array,
    initial_states: tuple[Any, Any],
    dtype: DTypeLike | None,
    sequence_length: Any,
    scope: str,
    variables: Mapping[str, Array],
    rng: Rng,
) -> tuple[tuple[Array, Array], tuple[Any, Any], RunBack]:
    """Run one cell over xs (T, B, D) and the other one over the reverse of it."""
    for name, cell in zip(("cell_fw", "cell_bw"), cells, strict=True):
        _check_cell(name, cell)
    _check_distinct([leaf for cell in cells for _, leaf in cell.leaves])
    lengths = _lengths(sequence_length, *xs.shape[:2])
    rng = None if rng is None else np.random.default_rng(rng)  # one stream for both sides
    out_fw, state_fw, back_fw = _run(
        cells[0], xs, initial_states[0], dtype, lengths, f"{scope}/fw", variables, rng
    )
    out_bw, state_bw, back_bw = _run(
        cells[1], reverse(xs, lengths), initial_states[1], dtype, lengths, f"{scope}/bw",
        variables, rng,
    )  # fmt: skip

    def run_back(doutputs: Any, dstates: Any) -> Gradients:
        dout_bw = None if doutputs[1] is None else reverse(doutputs[1], lengths)
        dxs_fw, dinitial_fw, grads_fw = back_fw(doutputs[0], dstates[0])
        dxs_bw, dinitial_bw, grads_bw = back_bw(dout_bw, dstates[1])
        dxs = dxs_fw + reverse(dxs_bw, lengths)
        return dxs, (dinitial_fw, dinitial_bw), grads_fw | grads_bw

    return (out_fw, reverse(out_bw, lengths)), (state_fw, state_bw), run_back


# ----------------------------------------------------------------------- loss and optimiser


def softmax_cross_entropy_with_logits(*, labels: Array, logits: Array, dim: int = -1) -> Array:
    """Return the cross-entropy of each row; by name only, as in TensorFlow.

    Its gradient with respect to `logits` is softmax(logits) - labels.

    Parameters
    ----------
    labels : array of the shape of `logits`
        A probability for each class; rows of one-hot labels, for instance.
    logits : array (B, K)
        The network's outputs before the softmax.
    dim : int
        The axis of the classes.

    Returns
    -------
    array (B,)
        In nats.

    Raises
    ------
    TypeError
        Labels or logits that are not floating-point numbers.
    ValueError
        Labels of another shape.
    """
    xp = array_module(logits)
    check_array("logits", logits, ("K",))
    check_array("labels", labels, ("K",))
    if labels.shape != logits.shape:
        raise ValueError(f"labels must have shape {logits.shape}, like logits, got {labels.shape}")
    rows, truth = xp.moveaxis(logits, dim, -1), xp.moveaxis(labels, dim, -1).astype(logits.dtype)
    cost, _ = softmax_cross_entropy(rows[..., None, :], truth[..., None, :])  # batches of one row
    return cost


def RMSPropOptimizer(
    learning_rate: float,
    decay: float = 0.9,
    momentum: float = 0.0,
    epsilon: float = 1e-10,
    *,
    centered: bool = False,
) -> RMSProp:
    """Return `npylstm.optimizers.RMSProp` by TensorFlow's rule and with its rounding.

    The mean square starts at 1 and epsilon stands under the root. TensorFlow rounds these numbers
    to float32 whatever the type of the variables, so they are rounded here.

    Parameters
    ----------
    learning_rate, decay, momentum, epsilon, centered
        As in `RMSProp`.

    Returns
    -------
    RMSProp
        `slots = optimizer.init(variables)` makes TensorFlow's slots, and
        `variables, slots = optimizer.update(variables, grads, slots)` is its `train_op`.

    Raises
    ------
    ValueError
        A number out of its range.
    """
    settings = learning_rate, decay, momentum, epsilon
    rate, rho, mu, eps = (float(np.float32(value)) for value in settings)
    return RMSProp(rate, rho, mu, eps, centered)


# ----------------------------------------------------------------------------------- MNIST


class DataSet:
    """Pictures and labels that come in batches; `read_data_sets` makes them.

    It keeps its place between two calls of `next_batch`, so it is the one thing here that changes.

    Parameters
    ----------
    images : array (N, ...)
    labels : array (N, ...)
    seed : int, optional
        Of its own random numbers: NumPy's legacy generator, so that a seed gives TensorFlow's
        order.

    Attributes
    ----------
    images, labels : array
        In the order of the present epoch.
    num_examples : int
        N.
    epochs_completed : int
        How often `next_batch` has begun anew.
    """

    def __init__(self, images: NDArray[Any], labels: NDArray[Any], seed: int | None = None) -> None:
        self.images = images
        self.labels = labels
        self.num_examples = len(images)
        self.epochs_completed = 0
        self._position = 0
        self._random = np.random.RandomState(seed)

    def next_batch(
        self, batch_size: int, *, shuffle: bool = True
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the next pictures and labels, always `batch_size` of them.

        A batch that reaches beyond the end of an epoch is filled up from the next one.

        Parameters
        ----------
        batch_size : int
            From 1 to `num_examples`.
        shuffle : bool
            Whether to change the order before the first epoch and at the start of each other one.

        Raises
        ------
        ValueError
            A batch size outside that range.
        """
        check_size("batch_size", batch_size)
        if batch_size > self.num_examples:
            raise ValueError(
                f"batch_size must be at most {self.num_examples}, the size of the set, "
                f"got {batch_size}"
            )
        start, stop = self._position, self._position + batch_size
        if shuffle and start == 0 and self.epochs_completed == 0:
            self._shuffle()
        images, labels = self.images[start:stop], self.labels[start:stop]
        if stop > self.num_examples:
            self.epochs_completed += 1
            if shuffle:
                self._shuffle()
            stop -= self.num_examples
            images = np.concatenate([images, self.images[:stop]])
            labels = np.concatenate([labels, self.labels[:stop]])
        self._position = stop
        return images, labels

    def _shuffle(self) -> None:
        order = np.arange(self.num_examples)
        self._random.shuffle(order)
        self.images, self.labels = self.images[order], self.labels[order]


class Datasets(NamedTuple):
    """The three parts of MNIST, in TensorFlow's order."""

    train: DataSet
    validation: DataSet
    test: DataSet


def read_data_sets(
    train_dir: str | os.PathLike[str] | None,
    *,
    one_hot: bool = False,
    dtype: DTypeLike = np.float32,
    reshape: bool = True,
    validation_size: int = 5000,
    seed: int | None = None,
) -> Datasets:
    """Read MNIST as `tensorflow.examples.tutorials.mnist.input_data.read_data_sets` does.

    Nothing is downloaded: `npylstm.data.fetch` does that.

    Parameters
    ----------
    train_dir
        The folder with the four files; None for the sample that comes with the package.
    one_hot : bool
        Labels as rows (N, 10) of float64 in place of digits (N,) of uint8.
    dtype
        float32 for pixels from 0 to 1, or uint8 for 0 to 255.
    reshape : bool
        Pictures as rows (N, 784) in place of (N, 28, 28, 1).
    validation_size : int
        How many training digits, counted from the first, to set aside.
    seed : int, optional
        Of each set's order.

    Raises
    ------
    OSError, ValueError
        As in `npylstm.data.load_mnist`.
    TypeError
        Another dtype.
    """
    if np.dtype(dtype) not in (np.uint8, np.float32):
        raise TypeError(f"dtype must be uint8 or float32, got {dtype!r}")

    def data_set(digits: Digits) -> DataSet:
        shape = (784,) if reshape else (28, 28, 1)
        images: NDArray[Any] = digits.images.reshape(-1, *shape)
        if np.dtype(dtype) == np.float32:
            images = images.astype(np.float32) * np.float32(1 / 255)
        labels = digits.labels
        return DataSet(images, np.eye(10)[labels] if one_hot else labels, seed)

    mnist = load_mnist(train_dir, validation_size)
    return Datasets(*(data_set(part) for part in (mnist.train, mnist.validation, mnist.test)))


# ------------------------------------------------------------------------------------ checks


def _check_cell(name: str, cell: Any) -> None:
    if not isinstance(cell, RNNCell):
        raise TypeError(
            f"{name} must be a cell of npylstm.tf1, such as BasicLSTMCell, got {cell!r}"
        )


def _check_distinct(leaves: Sequence[RNNCell]) -> None:
    if len({id(leaf) for leaf in leaves}) < len(leaves):
        raise ValueError(
            "the same cell stands in several places, as [cell] * n puts it, where it would share "
            "one set of variables with itself; make each cell anew: "
            "[BasicLSTMCell(...) for _ in range(n)]"
        )


def _floating(name: str, dtype: DTypeLike | None) -> np.dtype[Any]:
    if dtype is None or np.dtype(dtype).kind != "f":
        raise ValueError(f"{name} must be a floating-point type, got {dtype!r}")
    return np.dtype(dtype)


def _brief(value: Any) -> str:
    return f"an array of shape {tuple(value.shape)}" if hasattr(value, "shape") else repr(value)


def _one_array(name: str, state: Any) -> Array:
    if not hasattr(state, "shape"):
        raise ValueError(f"{name} must be one array, got {_brief(state)}")
    return state


def _check_like(name: str, array: Any, model: Array) -> None:
    if getattr(array, "shape", None) != model.shape or array.dtype != model.dtype:
        raise ValueError(
            f"{name} must be an array of {model.dtype} and shape {model.shape}, got "
            f"{_brief(array)}{f' of {array.dtype}' if hasattr(array, 'dtype') else ''}"
        )


def _state(cell: RNNCell, name: str, state: Any, zeros: Any) -> Any:
    """Return a state given in TensorFlow's form in that of the layer, once it is like `zeros`."""
    state = cell.from_tf(state, name)
    map_state(lambda array, zero: _check_like(name, array, zero), state, zeros)
    return state


def _lengths(sequence_length: Any, T: int, B: int) -> NDArray[Any] | None:
    if sequence_length is None:
        return None
    lengths = np.asarray(sequence_length)
    if (
        lengths.shape != (B,)
        or lengths.dtype.kind not in "iu"
        or not ((lengths >= 0) & (lengths <= T)).all()
    ):
        raise ValueError(
            f"sequence_length must be a vector of {B} integers between 0 and {T}, "
            f"got {sequence_length!r}"
        )
    return lengths


# ----------------------------------------------------------- lists of steps, axes in other order


def _stacked(inputs: Any) -> Array:
    """Return a list of T arrays (B, D) as one, (T, B, D)."""
    if not isinstance(inputs, list | tuple):
        raise TypeError(f"inputs must be a list of arrays (B, D), got {_brief(inputs)}")
    if not inputs:
        raise ValueError("inputs must hold at least one time step, got none")
    for t, x in enumerate(inputs):
        check_array(f"inputs[{t}]", x, ("B", "D"))
        if x.ndim != 2:
            raise ValueError(f"inputs[{t}] must have shape (B, D), got {x.shape}")
        _check_like(f"inputs[{t}]", x, inputs[0])
    return array_module(inputs[0]).stack(inputs)


def _stacked_gradients(doutputs: Any, outputs: Array) -> Array | None:
    """Return a list of gradients, in which None stands for zeros, as one array like `outputs`."""
    if doutputs is None:
        return None
    if len(doutputs) != len(outputs):
        raise ValueError(f"doutputs must be {len(outputs)} arrays or None, got {len(doutputs)}")
    xp = array_module(outputs)
    return xp.stack(
        [xp.zeros_like(y) if dy is None else dy for dy, y in zip(doutputs, outputs, strict=True)]
    )


def _time_first(inputs: Any, time_major: bool) -> Array:
    """Return inputs (B, T, D), or (T, B, D) if `time_major`, as (T, B, D)."""
    axes = ("T", "B", "D") if time_major else ("B", "T", "D")
    check_array("inputs", inputs, axes)
    if inputs.ndim != 3:
        raise ValueError(f"inputs must have shape ({', '.join(axes)}), got {inputs.shape}")
    return _turned(inputs, time_major)


def _turned(array: Array, time_major: bool) -> Array:
    """Exchange time and batch, unless time is first."""
    return array if time_major else array.swapaxes(0, 1)
