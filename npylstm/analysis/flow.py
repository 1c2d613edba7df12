"""How large the loss gradient still is as it travels back through time."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from npylstm.analysis.watching import label, watch
from npylstm.backend import Array, Labels, to_numpy
from npylstm.cells import Params
from npylstm.models import SequenceModel


@dataclass(frozen=True)
class GradientFlow:
    """The size of the loss gradient at every step of every sequence.

    In a model with several cells the names carry the cell's number, `"0.h"`, in the model's order,
    and t counts the cell's own steps: one that reads backwards begins with the last input.

    Attributes
    ----------
    norms : dict of array (T, B)
        Euclidean norm over the units of ∂L/∂h_t, ∂L/∂c_t, ..., where L is the loss of the sequence
        itself. It counts the paths that lead out of step t: from h_t to the head, or the layer
        above, and to step t + 1; from c_t to step t + 1 alone. The path from c_t to h_t, inside
        step t, is not counted: the gradient of c_t holds h_t fixed, and is zero at the last step.
        (The whole gradient of c_t is dc + dh ⊙ o ⊙ (1 - tanh²(c)), see `LSTMCell`.)
    gate_norms : dict of array (T, B)
        The norms for each gate's pre-activation: `"z_i"` for ∂L/∂z_i at step t.
    """

    norms: dict[str, NDArray[np.float64]]
    gate_norms: dict[str, NDArray[np.float64]]

    def quantiles(
        self, name: str, probabilities: Sequence[float] = (0.1, 0.5, 0.9)
    ) -> NDArray[np.float64]:
        """Return the quantiles over the B sequences of a part's norms, (len(probabilities), T)."""
        return np.quantile((self.norms | self.gate_norms)[name], probabilities, axis=1)


def gradient_flow(
    model: SequenceModel, params: Params, xs: Array, targets: Array | Labels
) -> GradientFlow:
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
    watched, cells = watch(model)
    params = {name: array.astype(np.float64) for name, array in params.items()}
    watched.loss_and_grads(params, xs.astype(np.float64), targets)

    def norms(gradients: list[Array]) -> NDArray[np.float64]:
        # The batch loss is a mean: B times its gradient is the gradient of each sequence's own.
        back = np.stack([to_numpy(gradient) for gradient in gradients])
        norm: NDArray[np.float64] = back.shape[1] * np.linalg.norm(back[::-1], axis=-1)
        return norm

    return GradientFlow(
        {
            label(k, cells, name): norms([getattr(dstate, name) for dstate in cell.dstates])
            for k, cell in enumerate(cells)
            for name in type(cell.dstates[0])._fields
        },
        {
            label(k, cells, f"z_{gate}"): norms([dz[gate] for dz in cell.dzs])
            for k, cell in enumerate(cells)
            for gate in cell.gates
        },
    )
