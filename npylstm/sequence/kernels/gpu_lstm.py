"""The LSTM's kernel on a GPU."""

from npylstm.backend import Array
from npylstm.cells import LSTMCell
from npylstm.sequence.kernels.gpu import GPUKernel


class LSTMOnGPU(GPUKernel):
    """LSTM, beside `npylstm.cells.LSTMCell`.

    Kept are i, f, o and g after their activation, in place of z, and tanh(c).
    """

    cells = (LSTMCell,)
    blocks, kept = 4, 5
    forward = (
        "T alive, T x_i, T x_f, T x_o, T x_g, T r_i, T r_f, T r_o, T r_g, T h_prev, T c_prev",
        "T i, T f, T o, T g, T tanh_c, T h, T c",
        """
        i = T(0.5) * tanh(T(0.5) * (x_i + r_i)) + T(0.5);
        f = T(0.5) * tanh(T(0.5) * (x_f + r_f)) + T(0.5);
        o = T(0.5) * tanh(T(0.5) * (x_o + r_o)) + T(0.5);
        g = tanh(x_g + r_g);
        T c_new = f * c_prev + i * g;
        tanh_c = tanh(c_new);
        h = alive * o * tanh_c + (T(1) - alive) * h_prev;
        c = alive * c_new + (T(1) - alive) * c_prev;
        """,
    )
    backward = (
        "T alive, T doutput, T dh, T dc, T dh_carried, T i, T f, T o, T g, T tanh_c, T c_prev",
        "T dz_i, T dz_f, T dz_o, T dz_g, T dc_prev, T dh_passed",
        """
        T dh_here = alive * (doutput + dh + dh_carried);
        T dc_here = alive * dc + dh_here * o * (T(1) - tanh_c * tanh_c);
        T dc_old = dc_here * f + (T(1) - alive) * dc;
        dh_passed = (T(1) - alive) * (dh + dh_carried);
        dz_i = dc_here * g * i * (T(1) - i);
        dz_f = dc_here * c_prev * f * (T(1) - f);
        dz_o = dh_here * tanh_c * o * (T(1) - o);
        dz_g = dc_here * i * (T(1) - g * g);
        dc_prev = dc_old;
        """,
    )

    def read_back(
        self,
        kept: list[Array],
        before: list[Array],
        after: list[Array],  # noqa: ARG002  # tanh(c) is kept
    ) -> list[Array]:
        """Return i, f, o, g, tanh(c) and c_prev."""
        return [*kept, before[1]]
