"""TensorFlow 1's cells with variables of their own."""

from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from npylstm import cells
from npylstm.backend import Array, array_module
from npylstm.cells import Cell, parse
from npylstm.checks import Option, check_choice, check_number, check_size
from npylstm.tf1._checks import TFState, brief, one_array
from npylstm.tf1.base import Leaf


class LSTMStateTuple(NamedTuple):
    """The state of an LSTM in TensorFlow's order: c (B, H), then h (B, H)."""

    c: Array
    h: Array


@dataclass(frozen=True)
class BasicRNNCell(Leaf):
    """TensorFlow's BasicRNNCell: `npylstm.cells.RNNCell`.

    Parameters
    ----------
    num_units : int
        The number of units.
    activation : str, optional
        One of `ACTIVATIONS`, by TensorFlow's names; tanh by default.
    reuse : bool, optional
        Changes nothing: a driver's `variables` hold the cell's variables.
    name : str, optional
        The scope of its variables in place of TensorFlow's default.

    Raises
    ------
    ValueError
        Fewer units than one, an unknown activation.
    """

    num_units: int
    activation: str | None = None
    reuse: bool | None = None
    name: str | None = None
    default_name: ClassVar[str] = "basic_rnn_cell"

    def layer(self, input_size: int) -> Cell:
        """Return this package's cell."""
        return cells.RNNCell(input_size, self.num_units, self.phi)

    def from_tf(self, state: TFState, name: str) -> cells.RNNState:
        """Return h as an RNNState."""
        return cells.RNNState(one_array(name, state))


@dataclass(frozen=True)
class GRUCell(Leaf):
    """TensorFlow's GRUCell: `npylstm.cells.GRUCell` with the reset gate before the product.

    Parameters
    ----------
    num_units : int
        The number of units.
    activation : str, optional
        Of the candidate, one of `ACTIVATIONS`; tanh by default.
    reuse : bool, optional
        As in `BasicRNNCell`.
    kernel_initializer : str, optional
        How both kernels are drawn: see `npylstm.cells.draw`. Glorot's uniform by default.
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
    reuse: bool | None = None
    kernel_initializer: str | None = None
    bias_initializer: float | None = None
    name: str | None = None
    default_name: ClassVar[str] = "gru_cell"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kernel_initializer is not None:
            parse(self.kernel_initializer, "kernel_initializer")
        if self.bias_initializer is not None:
            check_number("bias_initializer", self.bias_initializer)

    def layer(self, input_size: int) -> Cell:
        """Return this package's cell."""
        return cells.GRUCell(input_size, self.num_units, activation=self.phi)

    def initial(
        self, name: str, shape: tuple[int, ...], rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Draw the variable called `name`."""
        if not name.endswith("bias"):
            return super().initial(name, shape, rng)
        default = 1.0 if name.endswith("gates/bias") else 0.0
        return np.full(shape, default if self.bias_initializer is None else self.bias_initializer)

    def from_tf(self, state: TFState, name: str) -> cells.GRUState:
        """Return h as a GRUState."""
        return cells.GRUState(one_array(name, state))


class _LSTM(Leaf):
    """What TensorFlow's two LSTM cells share: the state (c, h), as a tuple or side by side."""

    forget_bias: float
    state_is_tuple: bool

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("forget_bias", self.forget_bias)
        check_choice("state_is_tuple", self.state_is_tuple, (True, False))

    @property
    def state_size(self) -> TFState:
        """LSTMStateTuple(num_units, output_size), or the sum of both."""
        c, h = self.num_units, self.output_size
        return LSTMStateTuple._make([c, h]) if self.state_is_tuple else c + h

    def to_tf(self, state: cells.LSTMState) -> TFState:
        """Return (c, h), or both side by side."""
        if self.state_is_tuple:
            return LSTMStateTuple(state.c, state.h)
        return array_module(state.c).concatenate([state.c, state.h], axis=-1)

    def from_tf(self, state: TFState, name: str) -> cells.LSTMState:
        """Return (h, c)."""
        if self.state_is_tuple:
            if not isinstance(state, tuple | list) or len(state) != 2:
                raise ValueError(f"{name} must be an LSTMStateTuple (c, h), got {brief(state)}")
            return cells.LSTMState(h=state[1], c=state[0])
        state = one_array(name, state)
        return cells.LSTMState(h=state[..., self.num_units :], c=state[..., : self.num_units])


@dataclass(frozen=True)
class BasicLSTMCell(_LSTM):
    """TensorFlow's BasicLSTMCell: `npylstm.cells.LSTMCell`.

    Parameters
    ----------
    num_units : int
        The number of units.
    forget_bias : float
        Added to the forget gate's input at run time; it is not a part of the variable `bias`.
    state_is_tuple : bool
        Whether states are `LSTMStateTuple(c, h)` or one array with c and h side by side.
    activation : str, optional
        Of the candidate and of c on its way out, one of `ACTIVATIONS`; tanh by default.
    reuse : bool, optional
        As in `BasicRNNCell`.
    name : str, optional
        The scope of its variables in place of TensorFlow's default.

    Raises
    ------
    ValueError
        Fewer units than one, a forget bias that is not a finite number, an unknown activation.
    """

    num_units: int
    forget_bias: float = 1.0
    state_is_tuple: bool = True
    activation: str | None = None
    reuse: bool | None = None
    name: str | None = None
    default_name: ClassVar[str] = "basic_lstm_cell"

    def layer(self, input_size: int) -> Cell:
        """Return this package's cell."""
        return _lstm_cell(self, input_size)


@dataclass(frozen=True)
class LSTMCell(_LSTM):
    """TensorFlow's LSTMCell: `npylstm.cells.LSTMVariant`.

    Parameters
    ----------
    num_units : int
        The number of cells.
    use_peepholes : bool
        Whether the gates see the cell states.
    cell_clip : float, optional
        The largest |c|.
    initializer : str, optional
        How kernels and peepholes are drawn: see `npylstm.cells.draw`. Glorot's uniform by
        default.
    num_proj : int, optional
        The width of h after a projection.
    proj_clip : float, optional
        The largest |h| after the projection.
    forget_bias, state_is_tuple, activation, reuse, name
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
    initializer: str | None = None
    num_proj: int | None = None
    proj_clip: float | None = None
    forget_bias: float = field(default=1.0, kw_only=True)
    state_is_tuple: bool = field(default=True, kw_only=True)
    activation: str | None = field(default=None, kw_only=True)
    reuse: bool | None = field(default=None, kw_only=True)
    name: str | None = field(default=None, kw_only=True)
    default_name: ClassVar[str] = "lstm_cell"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("use_peepholes", self.use_peepholes, (True, False))
        if self.initializer is not None:
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
    def kernel_initializer(self) -> str | None:  # type: ignore[override]
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


def _lstm_cell(cell: _LSTM, input_size: int, **options: Option) -> Cell:
    """Return the plain cell unless an option asks for more: it is the faster one."""
    sizes = input_size, cell.num_units, cell.forget_bias
    if cell.phi == "tanh" and not any(options.values()):
        return cells.LSTMCell(*sizes)
    return cells.LSTMVariant(
        *sizes, input_activation=cell.phi, output_activation=cell.phi, **options
    )
