"""Layers around a layer: they add the input to the output, reverse time, or drop values."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from npylstm.backend import Array, Rng, array_module
from npylstm.cells import AnyState, Cell, Params
from npylstm.checks import check_array, check_choice, check_number
from npylstm.sequence.layers import (
    Layer,
    LayerState,
    LayerTape,
    Recurrent,
    as_layer,
    generator,
    reverse,
)
from npylstm.sequence.unroll import (
    Lengths,
    MaybeNone,
    alive_mask,
    alive_steps,
    check_sequence,
    own_array,
)


class _Wrapper(Layer):
    """A layer around another layer, with the same widths, parameters and state."""

    causal = True
    layer: Layer | Cell

    def __post_init__(self) -> None:
        object.__setattr__(self, "layer", as_layer(self.layer))

    @property
    def inner(self) -> Layer:
        """The layer inside."""
        return as_layer(self.layer)

    @property
    def input_size(self) -> int:
        """The width of the inner layer's input."""
        return self.inner.input_size

    @property
    def output_size(self) -> int:
        """The width of the inner layer's output."""
        return self.inner.output_size

    @property
    def children(self) -> dict[str, Layer]:
        """The layer inside, whose parameters keep their names."""
        return {"": self.inner}

    def init(self, rng: Rng = None, dtype: DTypeLike = np.float64) -> Params:
        """Draw the inner layer's parameters; there are no others."""
        return self.inner.init(rng, dtype)

    def zero_state(self, x: Array) -> AnyState:
        """Return the inner layer's state of zeros."""
        return self.inner.zero_state(x)


@dataclass(frozen=True)
class Residual(_Wrapper):
    """A layer whose input is added to its output (TensorFlow 1's ResidualWrapper).

    Parameters
    ----------
    layer : Layer or Cell
        A layer with an output as wide as its input.

    Raises
    ------
    ValueError
        The widths differ.
    """

    layer: Layer | Cell

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.inner.input_size != self.inner.output_size:
            raise ValueError(
                "layer must have an output as wide as its input to be added to it, "
                f"got input_size {self.inner.input_size}, output_size {self.inner.output_size}"
            )

    def forward(
        self,
        params: Params,
        xs: Array,
        state0: LayerState | None = None,
        lengths: Lengths = None,
        rng: Rng = None,
        keep_tape: bool = True,
    ) -> tuple[Array, AnyState, object]:
        """Run the inner layer and add its input; see `Layer.forward`."""
        outputs, state, tape = self.inner.forward(params, xs, state0, lengths, rng, keep_tape)
        alive = alive_mask(xs, lengths)
        return outputs + _keep(xs, alive), state, (tape, alive)

    def backward(
        self,
        params: Params,
        tape: LayerTape,
        doutputs: Array | None = None,
        dstate: LayerState | None = None,
        need_dxs: bool = True,
    ) -> tuple[Array | MaybeNone, AnyState, Params]:
        """Carry the gradient back on both paths; see `Layer.backward`."""
        inner_tape, alive = tape
        dxs, dstate0, grads = self.inner.backward(params, inner_tape, doutputs, dstate, need_dxs)
        if doutputs is not None and dxs is not None:
            dxs = dxs + _keep(doutputs, alive)
        return dxs, dstate0, grads


@dataclass(frozen=True)
class Reverse(_Wrapper):
    """A layer that reads the sequence from its end, like one side of `Bidirectional`.

    Outputs are in the order of the inputs. With lengths or a mask, the steps that a sequence
    takes are reversed among themselves.

    Parameters
    ----------
    layer : Layer or Cell
        Any layer.
    """

    causal = False
    layer: Layer | Cell

    def forward(
        self,
        params: Params,
        xs: Array,
        state0: LayerState | None = None,
        lengths: Lengths = None,
        rng: Rng = None,
        keep_tape: bool = True,
    ) -> tuple[Array, AnyState, object]:
        """Run the inner layer from the end to the beginning; see `Layer.forward`."""
        check_sequence(xs, self.input_size)
        alive = alive_steps(lengths, len(xs), xs.shape[-2])
        outputs, state, tape = self.inner.forward(
            params, reverse(xs, alive), state0, lengths, rng, keep_tape
        )
        return reverse(outputs, alive), state, (tape, alive)

    def backward(
        self,
        params: Params,
        tape: LayerTape,
        doutputs: Array | None = None,
        dstate: LayerState | None = None,
        need_dxs: bool = True,
    ) -> tuple[Array | MaybeNone, AnyState, Params]:
        """Carry the gradient from the beginning to the end; see `Layer.backward`."""
        inner_tape, alive = tape
        if doutputs is not None:
            doutputs = reverse(doutputs, alive)
        dxs, dstate0, grads = self.inner.backward(params, inner_tape, doutputs, dstate, need_dxs)
        return None if dxs is None else reverse(dxs, alive), dstate0, grads


@dataclass(frozen=True)
class BatchFirst(_Wrapper):
    """A whole layer whose sequences come batch first: (B, T, D) in, (B, T, H) out.

    This is PyTorch's `batch_first=True`. Gradients, and masks (B, T), are batch first as well;
    states (B, H) do not change. Independent networks come first, (S, B, T, D). It is the
    outermost layer: no other layer and no model takes it.

    Parameters
    ----------
    layer : Layer or Cell
        The layer inside, which takes sequences time first.
    """

    time_major = False
    layer: Layer | Cell

    def forward(
        self,
        params: Params,
        xs: Array,
        state0: LayerState | None = None,
        lengths: Lengths = None,
        rng: Rng = None,
        keep_tape: bool = True,
    ) -> tuple[Array, AnyState, object]:
        """Run the inner layer on xs (B, T, D); see `Layer.forward`."""
        check_array("xs", xs, ("B", "T", self.input_size))
        if lengths is not None:
            lengths = own_array(lengths).T  # lengths (B,) stay what they are
        outputs, state, tape = self.inner.forward(
            params, _time_first(xs), state0, lengths, rng, keep_tape
        )
        return _batch_first(outputs), state, tape

    def backward(
        self,
        params: Params,
        tape: LayerTape,
        doutputs: Array | None = None,
        dstate: LayerState | None = None,
        need_dxs: bool = True,
    ) -> tuple[Array | MaybeNone, AnyState, Params]:
        """Carry the gradient of outputs (B, T, H) back; see `Layer.backward`."""
        if doutputs is not None:
            doutputs = _time_first(doutputs)
        dxs, dstate0, grads = self.inner.backward(params, tape, doutputs, dstate, need_dxs)
        return None if dxs is None else _batch_first(dxs), dstate0, grads


def _time_first(a: Array) -> Array:
    return array_module(a).moveaxis(a, -2, 0)


def _batch_first(a: Array) -> Array:
    return array_module(a).moveaxis(a, 0, -2)


class DropoutMasks(NamedTuple):
    """The factors of a `Dropout`: 0 or 1 / p, of shape (T, B, width) or a shape that fits it.

    Pass them instead of `rng` to use them as they are; None drops nothing.
    """

    inputs: Array | None = None
    state: Array | None = None
    outputs: Array | None = None


@dataclass(frozen=True)
class Dropout(_Wrapper):
    """Dropout around a layer: of its inputs, its outputs, and the h that it carries on.

    A value is kept with probability p and then divided by p. On the recurrent path, h is dropped
    only if `state_keep_prob` is below 1, and the cell state c is never dropped. The masks come from
    the `rng` of `forward`; without it nothing is dropped.

    Parameters
    ----------
    layer : Layer or Cell
        A cell, if the state is to be dropped.
    input_keep_prob, output_keep_prob, state_keep_prob : float
        In (0, 1]; 1 drops nothing.
    variational : None, "sequence" or "batch"
        None draws a mask for every step (Zaremba et al. 2014). `"sequence"` draws one mask for each
        sequence and uses it at every step (Gal & Ghahramani 2016). `"batch"` draws a single mask
        for all sequences and steps, like TensorFlow 1's `variational_recurrent`.

    Raises
    ------
    ValueError
        A probability is outside (0, 1], the kind of mask is unknown, or the state is to be dropped
        inside a layer that is not a single cell.
    """

    layer: Layer | Cell
    input_keep_prob: float = 1.0
    output_keep_prob: float = 1.0
    state_keep_prob: float = 1.0
    variational: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("input_keep_prob", "output_keep_prob", "state_keep_prob"):
            check_number(name, getattr(self, name), 0, 1, open_low=True)
        check_choice("variational", self.variational, (None, "sequence", "batch"))
        if self.state_keep_prob < 1 and not isinstance(self.inner, Recurrent):
            raise ValueError(
                f"state_keep_prob = {self.state_keep_prob} needs a single cell as its layer, "
                f"got {type(self.inner).__name__}; put the Dropout around the cells inside it"
            )

    def forward(
        self,
        params: Params,
        xs: Array,
        state0: LayerState | None = None,
        lengths: Lengths = None,
        rng: Rng | DropoutMasks = None,
        keep_tape: bool = True,
    ) -> tuple[Array, AnyState, object]:
        """Run the inner layer between two masks; see `Layer.forward`.

        `DropoutMasks` instead of `rng` are used as they are.
        """
        check_sequence(xs, self.input_size)
        if isinstance(rng, DropoutMasks):
            masks = self._given(rng, xs)
            rng = None
        else:
            rng = generator(rng)
            masks = self._drawn(rng, xs)
        input_mask, state_mask, output_mask = masks
        options = {} if state_mask is None else {"state_mask": state_mask}

        outputs, state, tape = self.inner.forward(
            params, _times(xs, input_mask), state0, lengths, rng, keep_tape, **options
        )
        return _times(outputs, output_mask), state, (tape, input_mask, output_mask)

    def backward(
        self,
        params: Params,
        tape: LayerTape,
        doutputs: Array | None = None,
        dstate: LayerState | None = None,
        need_dxs: bool = True,
    ) -> tuple[Array | MaybeNone, AnyState, Params]:
        """Carry the gradient back through the same masks; see `Layer.backward`."""
        inner_tape, input_mask, output_mask = tape
        if doutputs is not None:
            doutputs = _times(doutputs, output_mask)
        dxs, dstate0, grads = self.inner.backward(params, inner_tape, doutputs, dstate, need_dxs)
        return None if dxs is None else _times(dxs, input_mask), dstate0, grads

    def _drawn(self, rng: np.random.Generator | None, xs: Array) -> DropoutMasks:
        """Draw the masks of the inputs, of the state if any is dropped, and of the outputs."""
        inputs = self._mask(rng, self.input_keep_prob, xs, self.input_size)
        state = self._mask(rng, self.state_keep_prob, xs, self.output_size)
        return DropoutMasks(
            inputs, state, self._mask(rng, self.output_keep_prob, xs, self.output_size)
        )

    def _given(self, masks: DropoutMasks, xs: Array) -> DropoutMasks:
        """Return masks that are given, each as long as the sequence."""
        widths = (self.input_size, self.output_size, self.output_size)
        if masks.state is not None and not isinstance(self.inner, Recurrent):
            raise ValueError(
                f"the state's mask needs a single cell as the layer, got {self.inner!r}"
            )
        whole = []
        for name, mask, width in zip(masks._fields, masks, widths, strict=True):
            if mask is not None:
                check_array(f"the mask of {name}", mask, ())
                try:
                    mask = array_module(xs).broadcast_to(mask, (*xs.shape[:-1], width))
                except ValueError:
                    raise ValueError(
                        f"the mask of {name} must fit the shape {(*xs.shape[:-1], width)}, "
                        f"got {mask.shape}"
                    ) from None
            whole.append(mask)
        return DropoutMasks(*whole)

    def _mask(
        self, rng: np.random.Generator | None, keep_prob: float, xs: Array, width: int
    ) -> Array | None:
        """Draw the factors 0 and 1 / keep_prob for (T, B, width) values; None drops nothing."""
        if rng is None or keep_prob == 1:
            return None
        shape = (*xs.shape[:-1], width)
        drawn = {
            None: shape,
            "sequence": (1, *shape[1:]),
            "batch": (1,) * (len(shape) - 1) + (width,),
        }[self.variational]
        mask = (rng.random(drawn) < keep_prob) / keep_prob
        return array_module(xs).asarray(np.broadcast_to(mask, shape), dtype=xs.dtype)


def _times(a: Array, mask: Array | None) -> Array:
    return a if mask is None else a * mask


def _keep(xs: Array, alive: Array | None) -> Array:
    xp = array_module(xs)
    return xs if alive is None else xp.where(alive, xs, xp.zeros_like(xs))
