"""TensorFlow 1's cells around other cells: dropout, residual connections, stacks."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import DTypeLike

from npylstm.backend import array_module
from npylstm.checks import check_choice, check_number, check_size
from npylstm.sequence import Dropout, Layer, Residual, Stack
from npylstm.tf1._checks import TFState, as_constant, brief, check_distinct, floating, one_array
from npylstm.tf1.base import Leaf, RNNCell, check_cell


class _Wrapper(RNNCell):
    """A cell around one other cell, whose sizes, variables and state it takes over."""

    cell: RNNCell

    def __post_init__(self) -> None:
        check_cell("cell", self.cell)

    @property
    def output_size(self) -> int:
        """The inner cell's."""
        return self.cell.output_size

    @property
    def state_size(self) -> TFState:
        """The inner cell's."""
        return self.cell.state_size

    @property
    def leaves(self) -> list[tuple[str, Leaf]]:
        """The inner cell's: a wrapper adds no scope."""
        return self.cell.leaves

    def to_tf(self, state: TFState) -> TFState:
        """Return the inner cell's state."""
        return self.cell.to_tf(state)

    def from_tf(self, state: TFState, name: str) -> TFState:
        """Return the inner cell's state."""
        return self.cell.from_tf(state, name)


@dataclass(frozen=True)
class ResidualWrapper(_Wrapper):
    """A cell whose input is added to its output: `npylstm.sequence.Residual`.

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
    """Dropout of a cell's input, output and carried h: `npylstm.sequence.Dropout`.

    Never of c, as in TensorFlow. Masks come from the `rng` that a driver is given, or are
    themselves given in its place (`npylstm.sequence.DropoutMasks`). Like TensorFlow it rounds
    probabilities that are Python's numbers to float32.

    Parameters
    ----------
    cell : RNNCell
        The cell; with a `state_keep_prob` it must not be a stack or a wrapper.
    input_keep_prob, output_keep_prob, state_keep_prob : float
        In (0, 1]; 1 drops nothing.
    variational_recurrent : bool
        Whether all steps share one mask, and all sequences, too.
    input_size : int, optional
        The width of the inputs. TensorFlow needs it to drop inputs with `variational_recurrent`.
    dtype : optional
        The dtype of the inputs. TensorFlow needs it with `variational_recurrent`.
    seed : None
        Must be None: TensorFlow's masks can't be repeated here; seed the `rng` of a driver instead.

    Raises
    ------
    TypeError
        Not a cell.
    ValueError
        A probability outside (0, 1], a seed, or an argument missing that `variational_recurrent`
        needs.
    """

    cell: RNNCell
    input_keep_prob: float = 1.0
    output_keep_prob: float = 1.0
    state_keep_prob: float = 1.0
    variational_recurrent: bool = False
    input_size: int | None = None
    dtype: DTypeLike | None = None
    seed: None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("input_keep_prob", "state_keep_prob", "output_keep_prob"):
            check_number(name, getattr(self, name), 0, 1, open_low=True)
        check_choice("variational_recurrent", self.variational_recurrent, (True, False))
        if self.input_size is not None:
            check_size("input_size", self.input_size)
        if self.dtype is not None:
            floating("dtype", self.dtype)
        if self.seed is not None:
            raise ValueError(
                f"seed must be None, got {self.seed!r}: masks are drawn from the rng of a driver"
            )
        if self.state_keep_prob < 1 and not isinstance(self.cell, Leaf):
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
            as_constant(self.input_keep_prob),
            as_constant(self.output_keep_prob),
            as_constant(self.state_keep_prob),
            "batch" if self.variational_recurrent else None,
        )


@dataclass(frozen=True)
class MultiRNNCell(RNNCell):
    """Cells on top of each other: `npylstm.sequence.Stack`.

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
            raise TypeError(f"cells must be a list or tuple of cells, got {brief(self.cells)}")
        object.__setattr__(self, "cells", tuple(self.cells))
        if not self.cells:
            raise ValueError("cells must hold at least one cell, got none")
        for k, cell in enumerate(self.cells):
            check_cell(f"cells[{k}]", cell)
        check_distinct([leaf for _, leaf in self.leaves])
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
    def _sizes(self) -> tuple[TFState, ...]:
        return tuple(cell.state_size for cell in self.cells)

    @property
    def state_size(self) -> TFState:
        """Each cell's, or their sum."""
        return self._sizes if self.state_is_tuple else sum(self._sizes)

    @property
    def leaves(self) -> list[tuple[str, Leaf]]:
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

    def to_tf(self, state: TFState) -> TFState:
        """Return the tuple of states, or all side by side."""
        states = tuple(cell.to_tf(s) for cell, s in zip(self.cells, state, strict=True))
        if self.state_is_tuple:
            return states
        return array_module(states[0]).concatenate(states, axis=-1)

    def from_tf(self, state: TFState, name: str) -> TFState:
        """Return the tuple of states."""
        if not self.state_is_tuple:
            ends = np.cumsum(self._sizes)[:-1].tolist()
            state = array_module(state).split(one_array(name, state), ends, axis=-1)
        if not isinstance(state, tuple | list) or len(state) != len(self.cells):
            raise ValueError(
                f"{name} must be a tuple of {len(self.cells)} states, got {brief(state)}"
            )
        return tuple(
            cell.from_tf(s, f"{name}[{k}]")
            for k, (cell, s) in enumerate(zip(self.cells, state, strict=True))
        )
