"""The vanilla RNN's kernel on a GPU."""

from npylstm.backend import Array
from npylstm.cells import Cell, RNNCell
from npylstm.sequence.kernels.gpu import GPUKernel

FORWARD = (
    "T alive, T x, T r, T h_prev",
    "T h",
    "h = alive * {function} + (T(1) - alive) * h_prev;",
)
BACKWARD = (
    "T alive, T doutput, T dh, T dh_carried, T h",
    "T dz, T dh_passed",
    """
    T dh_all = dh + dh_carried;
    dz = alive * (doutput + dh_all) * {slope};
    dh_passed = (T(1) - alive) * dh_all;
    """,
)
ACTIVATIONS = {
    "tanh": {"function": "tanh(x + r)", "slope": "(T(1) - h * h)"},
    "relu": {"function": "(x + r) * T(x + r > T(0))", "slope": "T(h > T(0))"},
}


class RNNOnGPU(GPUKernel):
    """Vanilla RNN, tanh or relu, beside `npylstm.cells.RNNCell`; h alone is kept."""

    cells = (RNNCell,)
    covered = ("activation",)
    blocks = 1

    def __init__(self, cell: RNNCell) -> None:
        super().__init__(cell)
        self.forward, self.backward = (
            (inputs, outputs, code.format(**ACTIVATIONS[cell.activation]))
            for inputs, outputs, code in (FORWARD, BACKWARD)
        )

    @classmethod
    def obstacle(cls, cell: Cell) -> str | None:
        """Return which option has no kernel here: activations other than tanh and relu."""
        if isinstance(cell, RNNCell) and cell.activation not in ACTIVATIONS:
            return f"activation={cell.activation!r} has no fused kernel{cls.place}"
        return super().obstacle(cell)

    def read_back(
        self,
        kept: list[Array],  # noqa: ARG002  # the slope is written in terms of h
        before: list[Array],  # noqa: ARG002
        after: list[Array],
    ) -> list[Array]:
        """Return h."""
        return after[:1]
