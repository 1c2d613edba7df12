"""What every cell has in common: one time step forward, one time step backward.

A cell is a frozen dataclass of hyper-parameters. It holds no arrays: parameters come in as a
plain dictionary, the state as a named tuple, and both leave as new ones.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import Field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import DTypeLike

from npylstm.backend import Array, Rng, array_module
from npylstm.checks import check_array, check_precision

Params: TypeAlias = dict[str, Array]
"""Parameters or their gradients: the same keys, the same shapes."""

State: TypeAlias = tuple[Array, ...]
"""What a cell carries from step to step: a named tuple of arrays, with the output h first."""

AnyState: TypeAlias = Any
"""A state of which only the cell or the layer knows the form: h and c, or tuples of states. No type
says this: the code puts such a state together field by field, and callers read `.h` or `[0].c`."""

StateSizes: TypeAlias = Any
"""A state with each array's width in place of the array. A named tuple has no type for this."""

Cache: TypeAlias = tuple[Any, ...]
"""What a step's forward pass keeps for its backward pass: a named tuple with the input x first, and
each of the cell's gates under its own name. A cell may also keep tuples and numbers, hence Any."""

if TYPE_CHECKING:  # a default needs Python 3.13 when the program runs
    StateT = TypeVar("StateT", bound=State, default=Any)  # `Cell` alone is a cell of any state
else:
    StateT = TypeVar("StateT")


def mT(a: Array) -> Array:
    """Transpose the last two axes, with any number of axes in front."""
    return a.swapaxes(-1, -2)


def map_state(function: Callable[..., object], *states: AnyState) -> AnyState:
    """Apply `function` to the arrays at the same place in every state."""
    first = states[0]
    if not isinstance(first, tuple):
        return function(*states)
    parts = [map_state(function, *parts) for parts in zip(*states, strict=True)]
    return type(first)(*parts) if hasattr(first, "_fields") else tuple(parts)


class Cell(ABC, Generic[StateT]):
    """One time step of a recurrent network whose state is of type `StateT`.

    Attributes
    ----------
    input_size : int
        D, the width of the input.
    hidden_size : int
        H, the number of units.
    linear : bool
        Whether the state is h alone and h = f ⊙ h_prev + u, where f and u come from x; the cache
        has f and h_prev. All steps of such a cell are computed together.
    """

    input_size: int
    hidden_size: int
    linear: ClassVar[bool] = False
    __dataclass_fields__: ClassVar[dict[str, Field[object]]]  # every cell is a dataclass

    @property
    @abstractmethod
    def gates(self) -> tuple[str, ...]:
        """Names of the blocks of columns in `W_x`, `W_h` and `b`, in their order."""

    @property
    @abstractmethod
    def param_shapes(self) -> dict[str, tuple[int, ...]]:
        """The name and shape of every parameter."""

    @property
    @abstractmethod
    def state_sizes(self) -> StateSizes:
        """The state, with each array's width in place of the array."""

    @abstractmethod
    def init(self, rng: Rng = None, dtype: DTypeLike = np.float64) -> Params:
        """Draw initial parameters."""

    @abstractmethod
    def forward(self, params: Params, x: Array, state: StateT) -> tuple[StateT, Cache]:
        """Run one step.

        Parameters
        ----------
        params : dict of arrays
            Shapes as in `param_shapes`. With one more axis of size S in front of each, they are
            the parameters of S independent networks; then S also comes first in x (S, B, D), in
            states and in gradients.
        x : array (B, D)
            The input of this step.
        state : named tuple of arrays (B, H)
            The state of the step before.

        Returns
        -------
        state : named tuple of arrays (B, H)
            The new state; its first entry is the output.
        cache : tuple
            What `backward` needs.
        """

    @abstractmethod
    def backward(
        self, params: Params, cache: Cache, dstate: StateT
    ) -> tuple[Array, StateT, Params]:
        """Carry the loss gradient one step back.

        Parameters
        ----------
        params : dict of arrays
            The parameters that `forward` had.
        cache : tuple
            What `forward` returned.
        dstate : named tuple of arrays (B, H)
            ∂L/∂(new state): the sum of the gradients from the loss at this step and from the next.

        Returns
        -------
        dx : array (B, D)
            ∂L/∂x.
        dstate_prev : named tuple of arrays (B, H)
            ∂L/∂(previous state).
        grads : dict of arrays
            ∂L/∂(each parameter): the part of this step, summed over the batch.
        """

    @property
    def gate_columns(self) -> dict[str, slice]:
        """Each gate's columns in `W_x`, `W_h` and `b`: blocks of H unless overridden."""
        H = self.hidden_size
        return {gate: slice(k * H, (k + 1) * H) for k, gate in enumerate(self.gates)}

    @property
    def output_size(self) -> int:
        """The width of the output h."""
        return int(self.state_sizes[0])

    def zero_state(self, x: Array) -> StateT:
        """Return a state of zeros for an input x (B, D), on its device and in its dtype."""
        xp = array_module(x)
        zeros: StateT = map_state(
            lambda size: xp.zeros((*x.shape[:-1], size), x.dtype), self.state_sizes
        )
        return zeros

    def check(self, params: Params, x: Array, state: AnyState) -> None:
        """Raise TypeError or ValueError unless params, x (B, D) and state fit the cell.

        All must have the same precision, and a state may not have more leading axes than the rest.
        """
        self.check_params(params)
        check_array("x", x, ("B", self.input_size))
        self.check_state("state", state, x.shape[-2])
        own = {f"params[{name!r}]": params[name] for name in self.param_shapes}
        states = {f"state.{field}": s for field, s in zip(state._fields, state, strict=True)}
        check_precision({"x": x} | own | states)
        check_networks(x, list(self.param_shapes.values()), own, states)

    def check_params(self, params: Params) -> None:
        """Raise TypeError or ValueError unless params have the cell's keys and shapes."""
        shapes = self.param_shapes
        if params.keys() != shapes.keys():
            raise ValueError(f"params must have the keys {sorted(shapes)}, got {sorted(params)}")
        for name, shape in shapes.items():
            check_array(f"params[{name!r}]", params[name], shape)

    def check_state(self, name: str, state: AnyState, B: int) -> None:
        """Raise TypeError or ValueError unless `state`, called `name`, has B rows and fits."""
        sizes = self.state_sizes
        if type(state) is not type(sizes):  # another tuple may have h and c in another order
            wanted, got = type(sizes).__name__, type(state).__name__
            raise TypeError(f"{name} must be of type {wanted}{sizes._fields}, got {got}")
        for field, size, array in zip(sizes._fields, sizes, state, strict=True):
            check_array(f"{name}.{field}", array, (B, size))


def unchecked(cell: Cell) -> Cell:
    """Return the same cell with a `forward` that checks nothing: for loops that checked before.

    The cell keeps its class, and its `forward` does the same otherwise.
    """
    twin = copy(cell)
    vars(twin)["check"] = lambda *_: None
    return twin


def check_networks(
    x: Array, shapes: Sequence[tuple[int, ...]], params: Params, states: Params
) -> None:
    """Raise ValueError unless the leading axes of all arrays describe the same networks.

    Parameters
    ----------
    x : array (S, B, D)
        The input.
    shapes : list of tuple
        The parameters' shapes without the networks' axes.
    params, states : dict of arrays
        Under the names that an error message shows.
    """
    networks: tuple[int, ...] = x.shape[:-2]
    for (name, w), shape in zip(params.items(), shapes, strict=True):
        front = w.shape[: w.ndim - len(shape)]
        try:
            networks = networks if front == networks else np.broadcast_shapes(networks, front)
        except ValueError:
            raise ValueError(
                f"{name} must have the axes {networks} in front of {shape}, like the inputs and "
                f"the other parameters, got {w.shape}"
            ) from None
    for name, s in states.items():
        front = s.shape[:-2]
        if len(front) > len(networks) or any(
            own not in (1, all_) for own, all_ in zip(front[::-1], networks[::-1], strict=False)
        ):
            raise ValueError(f"{name} must have shape {(*networks, *s.shape[-2:])}, got {s.shape}")
