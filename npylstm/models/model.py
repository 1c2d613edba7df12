"""Whole models: recurrent layers, a dense head and a loss."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from npylstm.backend import AnyArray, Array, Labels, Rng, array_module
from npylstm.cells import AnyState, Cell, Params, mT
from npylstm.checks import check_array, check_choice, check_flag, check_number, check_size
from npylstm.models.losses import mean_squared_error, softmax_cross_entropy
from npylstm.sequence import Layer, LayerState, Lengths, alive_mask, alive_steps, as_layer

Loss: TypeAlias = Callable[..., tuple[Array, Array]]

LOSSES: dict[str, Loss] = {
    "cross_entropy": softmax_cross_entropy,
    "mean_squared_error": mean_squared_error,
}
"""The losses by name."""


@dataclass(frozen=True)
class SequenceModel:
    """A layer, a dense head on its outputs, and a loss.

    ::

        outputs = layer(xs)                          (T, B, H)
        y       = outputs[last step] W_y + b_y       many-to-one
        y_t     = outputs[t] W_y + b_y               many-to-many (`every_step=True`)

    Its parameters are the layer's and the head's, `W_y` (H, K) and `b_y` (K,).

    Parameters
    ----------
    layer : Layer or Cell
        The recurrent part.
    output_size : int
        K, the number of classes or of targets.
    loss : str
        `"cross_entropy"` (softmax, class labels) or `"mean_squared_error"`.
    every_step : bool
        Whether there is a target at every step or one for the whole sequence.
    head_std : float
        W_y and b_y are drawn from a Gaussian with this standard deviation.

    Raises
    ------
    ValueError
        The output size is below one, the loss is unknown, or the standard deviation is negative.
    """

    layer: Layer | Cell
    output_size: int
    loss: str = "cross_entropy"
    every_step: bool = False
    head_std: float = 0.01

    def __post_init__(self) -> None:
        object.__setattr__(self, "layer", as_layer(self.layer))
        check_size("output_size", self.output_size)
        check_choice("loss", self.loss, LOSSES)
        check_flag("every_step", self.every_step)
        check_number("head_std", self.head_std, low=0)

    @property
    def recurrent(self) -> Layer:
        """The recurrent part as a layer."""
        return as_layer(self.layer)

    def init(self, rng: Rng = None, dtype: DTypeLike = np.float64) -> Params:
        """Draw the layer's parameters, then W_y and b_y."""
        rng = np.random.default_rng(rng)
        params = self.recurrent.init(rng, dtype)
        H, K = self.recurrent.output_size, self.output_size
        params["W_y"] = rng.normal(0.0, self.head_std, (H, K)).astype(dtype)
        params["b_y"] = rng.normal(0.0, self.head_std, K).astype(dtype)
        return params

    def predict(self, params: Params, xs: Array, lengths: Lengths = None) -> Array:
        """Return y without keeping anything for a backward pass, and without dropout.

        Parameters
        ----------
        params : dict of arrays
            As `init` returns them.
        xs : array (T, B, D)
            The inputs, time first.
        lengths : sequence of int (B,) or array of bool (T, B), optional
            How many steps each sequence has, or a mask that is False at the steps to skip. These
            count neither as last steps nor in the loss.

        Returns
        -------
        y : array (B, K), or (T, B, K) with `every_step`
            Logits or predicted values.
        """
        return self.predict_segment(params, xs, None, lengths)[0]

    def predict_segment(
        self, params: Params, xs: Array, state0: LayerState | None, lengths: Lengths = None
    ) -> tuple[Array, AnyState]:
        """Return y, as `predict` does, and the state after it, which starts the next segment.

        Parameters
        ----------
        params : dict of arrays
        xs : array (T, B, D)
        lengths : sequence of int (B,), optional
            As in `predict`.
        state0 : optional
            The state that the segment before left, or None for zeros.

        Returns
        -------
        y : array (B, K), or (T, B, K) with `every_step`
        state
            The state of the recurrent part after the last step.
        """
        outputs, state, _ = self.recurrent.forward(
            _recurrent(params), xs, state0, lengths, keep_tape=False
        )
        return self._head(params, self._read(outputs, lengths)), state

    def loss_and_grads(
        self,
        params: Params,
        xs: Array,
        targets: Array | Labels,
        lengths: Lengths = None,
        rng: Rng = None,
    ) -> tuple[Array, Params]:
        """Return the mean loss and its gradient with respect to every parameter.

        Parameters
        ----------
        params : dict of arrays
        xs : array (T, B, D)
        lengths : sequence of int (B,), optional
            As in `predict`.
        targets : array (B,) of int or (B, K); with `every_step` (T, B) or (T, B, K)
            Labels or values, as the loss takes them.
        rng : None, int or numpy.random.Generator
            The source of dropout masks; None drops nothing.

        Returns
        -------
        loss : array ()
            The mean over batch and, with `every_step`, time. Independent networks on a leading
            axis S have a loss each, (S,).
        grads : dict of arrays
            The same keys and shapes as `params`.

        Raises
        ------
        TypeError, ValueError
            Parameters, inputs, targets or lengths do not fit.
        """
        loss, grads, _ = self.train_segment(params, xs, targets, None, lengths, rng)
        return loss, grads

    def train_segment(
        self,
        params: Params,
        xs: Array,
        targets: Array | Labels,
        state0: LayerState | None,
        lengths: Lengths = None,
        rng: Rng = None,
    ) -> tuple[Array, Params, AnyState]:
        """Return loss and gradients of one segment of a longer sequence, and the state after it.

        This is truncated back-propagation through time with carried state. A long sequence is cut
        into segments; each starts from the state that the segment before left, and no gradient
        crosses the cut (Williams & Peng 1990, with k1 = k2 = T).

        Parameters
        ----------
        params : dict of arrays
        xs, targets : array
        lengths : sequence of int (B,), optional
        rng : None, int or numpy.random.Generator
            As in `loss_and_grads`.
        state0 : optional
            The state that the segment before left, or None for zeros.

        Returns
        -------
        loss, grads
            As in `loss_and_grads`.
        state
            The state of the recurrent part after the last step.

        Examples
        --------
        >>> model = SequenceModel(LSTMCell(3, 4), 2, every_step=True)
        >>> params, state = model.init(0), None
        >>> xs, labels = np.ones((20, 1, 3)), np.zeros((20, 1), int)
        >>> for t in range(0, 20, 5):
        ...     part = slice(t, t + 5)
        ...     loss, grads, state = model.train_segment(params, xs[part], labels[part], state)
        """
        recurrent = _recurrent(params)
        outputs, state, tape = self.recurrent.forward(recurrent, xs, state0, lengths, rng)
        read = self._read(outputs, lengths)
        y = self._head(params, read)
        _check_targets(targets, y)
        if self.every_step:
            targets = _without_padding(targets, y, lengths)
            losses, dy = LOSSES[self.loss](y, targets, _step_weights(y, lengths))
            loss = losses.sum(axis=0)
        else:
            loss, dy = LOSSES[self.loss](y, targets)

        dW_y, db_y = mT(read) @ dy, dy.sum(axis=-2)
        dread = dy @ mT(params["W_y"])
        doutputs: Array
        if self.every_step:
            doutputs, dW_y, db_y = dread, dW_y.sum(axis=0), db_y.sum(axis=0)
        elif lengths is None:
            doutputs = array_module(outputs).zeros_like(outputs)
            doutputs[-1] = dread
        else:
            xp = array_module(outputs)
            doutputs = xp.where(_last_step(outputs, lengths), dread, xp.zeros_like(dread))
        _, _, grads = self.recurrent.backward(recurrent, tape, doutputs, need_dxs=False)
        return loss, grads | {"W_y": dW_y, "b_y": db_y}, state

    def check(self, params: Params) -> None:
        """Raise TypeError or ValueError unless params fit the model."""
        # A batch of no sequences goes through every check of the layers and computes nothing.
        dtype = getattr(params.get("W_y"), "dtype", np.dtype(float))
        dtype = dtype if dtype.kind == "f" else np.dtype(float)
        self.predict(params, np.empty((1, 0, self.recurrent.input_size), dtype))

    def _head(self, params: Params, read: Array) -> Array:
        for name, shape in (
            ("W_y", (read.shape[-1], self.output_size)),
            ("b_y", (self.output_size,)),
        ):
            if name not in params:
                raise ValueError(f"params has no {name!r}, the head's; got {sorted(params)}")
            check_array(f"params[{name!r}]", params[name], shape)
        y: Array
        y = read @ params["W_y"] + params["b_y"][..., None, :]
        return y

    def _read(self, outputs: Array, lengths: Lengths) -> Array:
        """Return what the head reads: every output (T, B, H), or each sequence's last (B, H)."""
        if self.every_step:
            return outputs
        if lengths is None:
            last_output: Array = outputs[-1]
            return last_output
        xp = array_module(outputs)
        last = _last_step(outputs, lengths)
        read: Array = xp.where(last, outputs, xp.zeros_like(outputs)).sum(axis=0)
        return read


def _recurrent(params: Params) -> Params:
    """Return the parameters of the recurrent part alone."""
    return {name: array for name, array in params.items() if name not in ("W_y", "b_y")}


def _last_step(outputs: Array, lengths: Lengths) -> AnyArray | None:
    """Return a mask (T, B, 1) that is true at the last step that each sequence takes."""
    alive = alive_steps(lengths, len(outputs), outputs.shape[-2])
    assert alive is not None
    steps_left = alive[::-1].cumsum(axis=0)[::-1]
    return alive_mask(outputs, alive & (steps_left == 1))


def _check_targets(targets: AnyArray, y: Array) -> None:
    """Raise TypeError or ValueError unless targets fit y: labels, or rows like its own.

    The loss checks which of the two it takes, and their values.
    """
    if not hasattr(targets, "shape"):
        raise TypeError(f"targets must be an array, got {type(targets).__name__}")
    labels = y.shape[:-1]
    if targets.shape not in (labels, y.shape):
        raise ValueError(f"targets must have shape {labels} or {y.shape}, got {targets.shape}")
    if targets.shape == labels and targets.dtype.kind not in "iu":
        raise ValueError(
            f"targets must be of shape {y.shape}, or class numbers that are integers, as "
            f".astype(int) makes them, got {targets.dtype} of shape {targets.shape}"
        )


def _without_padding(targets: AnyArray, y: Array, lengths: Lengths) -> AnyArray:
    """Return targets (T, B) or (T, B, K) with zeros at skipped steps, whatever is there."""
    if lengths is None:
        return targets
    alive = alive_mask(y, lengths)
    assert alive is not None
    alive = alive if targets.ndim == y.ndim else alive[..., 0]
    xp = array_module(targets)
    return xp.where(alive, targets, xp.zeros_like(targets))


def _step_weights(y: Array, lengths: Lengths) -> Array:
    """Return weights (T, B) for y (T, B, K) that make the loss a mean over all steps taken."""
    xp = array_module(y)
    T, B = y.shape[0], y.shape[-2]
    weights = xp.ones(y.shape[:-1], y.dtype)
    if lengths is None:
        weights /= T * B
        return weights
    steps, alive = alive_steps(lengths, T, B), alive_mask(y, lengths)
    assert steps is not None
    assert alive is not None
    total = max(int(steps.sum()), 1)
    return xp.where(alive[..., 0], weights / total, xp.zeros_like(weights))
