"""How large the loss gradient still is as it travels back through time."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npylstm.backend import Array, to_numpy
from npylstm.cells.base import Cell, Params
from npylstm.models import SequenceModel
from npylstm.sequence.layers import Recurrent
from npylstm.sequence.unroll import Tape, backward_steps


@dataclass(frozen=True)
class GradientFlow:
    """The size of ∂L/∂s_t for every part s of the state, every step and every sequence.

    Attributes
    ----------
    norms : dict of array (T, B)
        Euclidean norm over the units of ∂L/∂h_t, ∂L/∂c_t, ..., where L is the loss of the sequence
        itself. Each part is the gradient that arrives at it from the head and from step t + 1: that
        of c_t does not count the way through h_t, and is zero at the last step. In a model with
        several cells the names carry the cell's number, `"0.h"`, in the model's order, and t counts
        the cell's own steps: one that reads backwards begins with the last input.
    """

    norms: dict[str, NDArray[np.float64]]

    def quantiles(
        self, name: str, probabilities: Sequence[float] = (0.1, 0.5, 0.9)
    ) -> NDArray[np.float64]:
        """Return the quantiles over the B sequences of a part's norms, (len(probabilities), T)."""
        return np.quantile(self.norms[name], probabilities, axis=1)


def gradient_flow(model: SequenceModel, params: Params, xs: Array, targets: Array) -> GradientFlow:
    """Measure the gradient norms of a model on one batch, in float64 and without dropout.

    Parameters
    ----------
    model : SequenceModel
        Any layers: every cell inside is watched.
    params : dict of arrays
        The model's parameters.
    xs : array (T, B, D)
        The batch.
    targets : array
        What `SequenceModel.loss_and_grads` takes.
    """
    watched: list[_Watched] = []
    model = _watch(model, watched)
    params = {name: array.astype(np.float64) for name, array in params.items()}
    model.loss_and_grads(params, xs.astype(np.float64), targets)

    B = xs.shape[-2]
    norms = {}
    for k, layer in enumerate(watched):
        for name in type(layer.dstates[0])._fields:
            ds = np.stack([to_numpy(getattr(dstate, name)) for dstate in layer.dstates])
            # The batch loss is a mean: B times its gradient is the gradient of each sequence's own.
            norms[name if len(watched) == 1 else f"{k}.{name}"] = B * np.linalg.norm(ds, axis=-1)
    return GradientFlow(norms)


@dataclass(frozen=True)
class _Watched(Recurrent):
    """A layer that keeps ∂L/∂(state after step t), t = 0..T-1, when it is run backwards."""

    path: str = "unroll"
    dstates: list[Any] = field(default_factory=list)

    def backward(
        self,
        params: Params,
        tape: Tape,
        doutputs: Array | None = None,
        dstate: Any = None,
        need_dxs: bool = True,
    ) -> tuple[Array, Any, Params]:
        steps = backward_steps(self.cell, params, tape, doutputs, dstate)
        self.dstates[:] = [dstate for _, dstate, *_ in steps][::-1]
        return super().backward(params, tape, doutputs, dstate, need_dxs)


def _watch(part: Any, watched: list[_Watched]) -> Any:
    """Return a model or layer with every cell in it watched, and list the watched ones."""
    if isinstance(part, Recurrent | Cell):
        watched.append(_Watched(part.cell if isinstance(part, Recurrent) else part))
        return watched[-1]
    if isinstance(part, tuple):
        return tuple(_watch(item, watched) for item in part)
    if is_dataclass(part):
        inside = {f.name: _watch(getattr(part, f.name), watched) for f in fields(part)}
        return replace(part, **inside)  # type: ignore[type-var]
    return part
