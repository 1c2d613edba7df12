"""The vanilla RNN's kernel."""

from collections.abc import Sequence

from numpy import matmul, multiply

from npylstm.backend import Array
from npylstm.cells import Params, RNNCell, find_activation
from npylstm.sequence.kernels.base import BackwardStep, ForwardStep, Kernel, Rows, stacked_weights


class RNNKernel(Kernel):
    """Vanilla RNN, beside `npylstm.cells.RNNCell`.

    ::

        the cell                                the kernel, W = [W_h; b; W_x]ᵀ, u = [h_prev; 1; x]

        z = x W_x + h_prev W_h + b              z = W u
        h = φ(z)                                h = φ(z)
                                                kept: ∂h/∂z = φ'(z), written in terms of h

        dz = dh ⊙ φ'(z)                         dz = dh ⊙ ∂h/∂z
        dh_prev = dz W_hᵀ                       dh_prev = W_h dz
        dW_x = xᵀ dz and so on                  the driver: Σ_t u dzᵀ
    """

    cells = (RNNCell,)
    covered = ("activation",)
    blocks = 1
    cell: RNNCell

    def forward(
        self,
        state0: Sequence[Array],  # noqa: ARG002  # h is in u
    ) -> tuple[ForwardStep, list[Array]]:
        """Return a step, which keeps ∂h/∂z; see `Kernel.forward`."""
        W = stacked_weights(self.params)
        activation = find_activation(self.cell.activation)

        def step(u: Array, h: Array, kept: Array | None) -> None:
            h[...] = activation.function(matmul(W, u))
            if kept is not None:
                kept[0] = activation.slope(h)

        return step, []

    def backward(self, B: int) -> tuple[BackwardStep, Array]:
        """Return a step back and its dz; see `Kernel.backward`."""
        W_h, dz = self.params["W_h"], self.empty(self.cell.hidden_size, B)

        def step(kept: Array, dh: Array) -> None:
            multiply(dh, kept[0], dz)
            matmul(W_h, dz, dh)

        return step, dz

    @property
    def products(self) -> list[tuple[Rows, Rows]]:
        """One product: all of dz by all of u."""
        return [(slice(None), slice(None))]

    @property
    def input_rows(self) -> Rows:
        """All rows."""
        return slice(None)

    def gradients(self, sums: list[Array]) -> Params:
        """Return the gradients of W_x, W_h and b."""
        (by_u,), H = sums, self.cell.hidden_size
        return {"W_x": by_u[..., H + 1 :, :], "W_h": by_u[..., :H, :], "b": by_u[..., H, :]}
