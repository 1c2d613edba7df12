"""Measure what truncated back-propagation through time leaves out of the gradient."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from npylstm.backend import AnyArray, Array, Labels, to_numpy
from npylstm.cells import Cell, Params
from npylstm.models import SequenceModel
from npylstm.sequence import Recurrent


@dataclass(frozen=True)
class TruncationBias:
    """How far truncated gradients of a cell's parameters are from the full gradient, as vectors.

    Attributes
    ----------
    lengths : array of int (K,)
        How many steps back each gradient was carried.
    relative_error : array (K,)
        ‖truncated - full‖ / ‖full‖.
    cosine : array (K,)
        The cosine of the angle between the two: 1 in the same direction, 0 at right angles. Both
        measures are NaN if the full gradient is exactly zero.
    """

    lengths: NDArray[np.int64]
    relative_error: NDArray[np.float64]
    cosine: NDArray[np.float64]


def truncation_bias(
    model: SequenceModel,
    params: Params,
    xs: Array,
    targets: Array | Labels,
    lengths: Sequence[int],
    k1: int | None = None,
) -> TruncationBias:
    """Compare the truncated gradient with the full one on a batch.

    Parameters
    ----------
    model : SequenceModel
        A model whose layer is a single cell.
    params : dict of arrays
    xs, targets : array
        As in `SequenceModel.loss_and_grads`.
    lengths : sequence of int
        Truncation lengths, k2 of `truncated_backward`.
    k1 : int, optional
        Steps from one backward pass to the next; by default k2, windows that do not overlap. With
        k1 = 1 every error is carried back k2 steps.

    Raises
    ------
    ValueError
        The model's layer is not a cell, a length or k1 is below one, or k1 is above a length.
    """
    cell = model.layer.cell if isinstance(model.layer, Recurrent) else model.layer
    if not isinstance(cell, Cell):
        raise ValueError(f"model must have a single cell as its layer, got {model.layer}")

    def gradient(layer: Recurrent) -> AnyArray:
        _, grads = replace(model, layer=layer).loss_and_grads(params, xs, targets)
        return np.concatenate([to_numpy(grads[name]).ravel() for name in cell.param_shapes])

    full = gradient(Recurrent(cell))
    truncated = np.array([gradient(Recurrent(cell, truncation=(k1 or k2, k2))) for k2 in lengths])
    norm, norms = np.linalg.norm(full), np.linalg.norm(truncated, axis=1)
    with np.errstate(invalid="ignore"):  # 0/0 is NaN
        errors = np.linalg.norm(truncated - full, axis=1) / norm
        cosines = truncated @ full / (norms * norm)
    return TruncationBias(np.array(lengths), errors, cosines)
