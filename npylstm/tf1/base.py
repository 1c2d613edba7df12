"""What a cell is in TensorFlow 1, and how it is run over a sequence."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from npylstm.backend import Array, Rng
from npylstm.cells import Cell, check_activation, draw, map_state
from npylstm.checks import check_size
from npylstm.interop import Arrays, from_tf1, gradients_to_tf1, to_tf1
from npylstm.sequence import Layer, Lengths, as_layer, check_lengths
from npylstm.tf1._checks import TFState, check_like, check_step, floating

Gradients: TypeAlias = tuple[TFState, TFState, Arrays]
"""∂L/∂inputs, ∂L/∂(initial state) and, by their names, ∂L/∂variables."""


class Unrolled(tuple[TFState, ...]):
    """What a driver returns in TensorFlow, with the way back beside it.

    Attributes
    ----------
    backward : callable
        (doutputs, dstate) -> dinputs, dinitial_state, grads. Both arguments are None for zeros or
        have the form of what the driver returned; so have the first two results the form of what
        it was given. In a list of doutputs any may be None. It can be called any number of times.
    """

    backward: Callable[..., Gradients]

    def __new__(
        cls, results: tuple[TFState, ...], backward: Callable[..., Gradients]
    ) -> "Unrolled":
        """Make the tuple `results` and put `backward` beside it."""
        unrolled = super().__new__(cls, results)
        unrolled.backward = backward
        return unrolled


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
    def state_size(self) -> TFState:
        """Its state with each array's width in its place."""

    @property
    @abstractmethod
    def leaves(self) -> "list[tuple[str, Leaf]]":
        """The cells with variables, each with the scope that TensorFlow gives it."""

    @abstractmethod
    def layer(self, input_size: int) -> Layer | Cell:
        """Return this package's layer that does the work, for inputs of width `input_size`."""

    @abstractmethod
    def to_tf(self, state: TFState) -> TFState:
        """Return a state, or its gradient, of `layer` in TensorFlow's form."""

    @abstractmethod
    def from_tf(self, state: TFState, name: str) -> TFState:
        """Turn TensorFlow's form of a state into the form of `layer`: the inverse of `to_tf`."""

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

        The cell's initialiser draws each kernel and peephole separately, by default Glorot's
        uniform one. Biases start at 0, except the biases of a GRU's gates, which start at 1.

        Parameters
        ----------
        input_size : int
            The width of the inputs.
        rng : None, int or numpy.random.Generator
            The source of the draws.
        dtype
            A floating-point type.
        scope : str
            The start of the names: `"rnn"` for the drivers of one cell, and for the drivers of two
            cells `"bidirectional_rnn/fw"` and `"bidirectional_rnn/bw"`.

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
            name: leaf.initial(name, shapes[name], rng).astype(floating("dtype", dtype))
            for path, leaf in self.leaves
            for name in shapes
            if name.startswith(f"{scope}/{path}/")
        }

    def zero_state(self, batch_size: int, dtype: DTypeLike) -> TFState:
        """Return a state of zeros for a batch of this size."""
        check_size("batch_size", batch_size)
        dtype = floating("dtype", dtype)
        return map_state(lambda width: np.zeros((batch_size, width), dtype), self.state_size)

    def __call__(
        self,
        inputs: Array,
        state: TFState,
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
        check_step("inputs", inputs)
        outputs, new_state, run_back = run(
            self, inputs[None], state, None, None, scope, variables, rng
        )

        def backward(doutput: Array | None = None, dstate: TFState = None) -> Gradients:
            if doutput is not None:
                check_like("doutput", doutput, outputs[0])
                doutput = doutput[None]
            (dinputs,), dstate_prev, grads = run_back(doutput, dstate)
            return dinputs, dstate_prev, grads

        return Unrolled((outputs[0], new_state), backward)


ACTIVATIONS = {"tanh": "tanh", "relu": "relu", "sigmoid": "logistic", "linear": "identity"}
"""TensorFlow's names of activations, and this package's, which may be given as well."""


class Leaf(RNNCell):
    """A cell with variables of its own."""

    num_units: int
    activation: str | None
    name: str | None
    kernel_initializer: str | None = None
    default_name: ClassVar[str]

    def __post_init__(self) -> None:
        check_size("num_units", self.num_units)
        if self.activation is not None:
            check_activation("activation", self.activation)

    @property
    def phi(self) -> str:
        """The activation by the name that it has in this package."""
        return check_activation("activation", self.activation or "tanh")

    @property
    def output_size(self) -> int:
        """num_units, except with a projection."""
        return self.num_units

    @property
    def state_size(self) -> TFState:
        """num_units, except for an LSTM."""
        return self.num_units

    def to_tf(self, state: TFState) -> TFState:
        """Return h; an LSTM overrides this."""
        return state.h

    @property
    def leaves(self) -> "list[tuple[str, Leaf]]":
        """The cell itself, alone."""
        return [(self.name or self.default_name, self)]

    def initial(
        self, name: str, shape: tuple[int, ...], rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Draw the variable called `name`."""
        if name.endswith("bias"):
            return np.zeros(shape)
        kind = self.kernel_initializer or "glorot_uniform"
        if len(shape) == 1:  # a peephole is the diagonal of a matrix (H, H)
            return np.diag(draw(kind, rng, (shape[0], shape[0])))
        return draw(kind, rng, (shape[0], shape[1]))


RunBack: TypeAlias = Callable[[TFState, TFState], Gradients]
"""(doutputs, dstate) -> dxs, dinitial_state, grads."""


def run(
    cell: RNNCell,
    xs: Array,
    initial_state: TFState,
    dtype: DTypeLike | None,
    sequence_length: Lengths,
    scope: str,
    variables: Mapping[str, Array],
    rng: Rng,
) -> tuple[Array, TFState, RunBack]:
    """Run the layer behind a cell over xs (T, B, D); return outputs, state and the way back."""
    check_cell("cell", cell)
    layer = as_layer(cell.layer(xs.shape[-1]))
    if dtype is None and initial_state is None:
        raise ValueError("dtype must be given where initial_state is not")
    if dtype is not None and floating("dtype", dtype) != xs.dtype:
        raise ValueError(f"dtype must be the inputs' dtype, {xs.dtype}, got {dtype!r}")
    lengths = check_lengths("sequence_length", sequence_length, *xs.shape[:2])
    for needed in cell.scopes(scope):
        if variables and not any(name.startswith(f"{needed}/") for name in variables):
            raise ValueError(
                f"variables must have names that begin with '{needed}/', got {sorted(variables)}"
            )
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

    def run_back(doutputs: Array | None, dstate: TFState) -> Gradients:
        if doutputs is not None:
            check_like("doutputs", doutputs, outputs)
        if dstate is not None:
            dstate = _state(cell, "dstate", dstate, zeros)
        dxs, dstate0, grads = layer.backward(params, tape, doutputs, dstate)
        return dxs, cell.to_tf(dstate0), gradients_to_tf1(layer, grads, cell.scopes(scope))

    return outputs, cell.to_tf(state), run_back


def check_cell(name: str, cell: object) -> None:
    """Raise TypeError unless `cell` is one of `npylstm.tf1`."""
    if not isinstance(cell, RNNCell):
        raise TypeError(
            f"{name} must be a cell of npylstm.tf1, such as BasicLSTMCell, got {cell!r}"
        )


def _state(cell: RNNCell, name: str, state: TFState, zeros: TFState) -> TFState:
    """Turn a state from TensorFlow's form into the layer's, after checking it against `zeros`."""
    state = cell.from_tf(state, name)
    map_state(lambda array, zero: check_like(name, array, zero), state, zeros)
    return state
