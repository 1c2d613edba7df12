"""The LSTM's kernel, with and without peepholes."""

from collections.abc import Sequence

import numpy as np
from numpy import add, matmul, multiply, subtract, tanh

from npylstm.backend import Array
from npylstm.cells import LSTMCell, LSTMVariant, Params
from npylstm.sequence.kernels.base import (
    BackwardStep,
    ForwardStep,
    Kernel,
    Rows,
    as_blocks,
    stacked_weights,
)

PEEPHOLES = ("p_i", "p_f", "p_o")


class LSTMKernel(Kernel):
    """LSTM, beside `npylstm.cells.LSTMCell` and, with peepholes, `npylstm.cells.LSTMVariant`.

    ::

        the cell                                the kernel, W = [W_h; b; W_x]ᵀ, u = [h_prev; 1; x]

        z = x W_x + h_prev W_h + b              z = W u, the rows of i, f and o halved beforehand
        i, f, o = σ(z_i), σ(z_f), σ(z_o)        tanh(z) for all four at once, since
        g = tanh(z_g)                           σ(z) = ½ tanh(½ z) + ½

        c = f ⊙ c_prev + i ⊙ g                  fc = f ⊙ c_prev, ig = i ⊙ g, c = fc + ig
        h = o ⊙ tanh(c)                         h = o ⊙ tanh(c)

    The forward step computes the slopes from ig, fc and h while these are in the processor's cache,
    and keeps them, so that the way back only multiplies::

        ∂c/∂z_i    = g i(1-i)        = ig - ig i
        ∂c/∂z_f    = c_prev f(1-f)   = fc - fc f
        ∂h/∂z_o    = tanh(c) o(1-o)  = h - h o
        ∂c/∂z_g    = i (1-g²)        = i - ig g
        ∂h/∂c      = o (1-tanh²(c))  = o - h tanh(c)        + p_o ∂h/∂z_o
        ∂c/∂c_prev = f                                      + p_i ∂c/∂z_i + p_f ∂c/∂z_f

    The terms on the right come from the peepholes, which also keep c_prev and c. Backwards::

        dc = dc + dh ⊙ o ⊙ (1 - tanh²(c))       dc = dc + dh ⊙ ∂h/∂c
        dz = [di ⊙ i(1-i), ...]                 dz = [dc ⊙ ∂c/∂z_i, dc ⊙ ∂c/∂z_f,
                                                      dh ⊙ ∂h/∂z_o, dc ⊙ ∂c/∂z_g]
        dc_prev = dc ⊙ f                        dc_prev = dc ⊙ ∂c/∂c_prev
        dh_prev = dz W_hᵀ                       dh_prev = W_h dz
        dW_x = xᵀ dz and so on                  the driver: Σ_t u dzᵀ
    """

    cells = (LSTMCell, LSTMVariant)
    covered = ("peepholes",)

    def __init__(self, cell: LSTMCell | LSTMVariant, params: Params) -> None:
        super().__init__(cell, params)
        self.peepholes: Array | None = None
        if PEEPHOLES[0] in params:
            self.peepholes = np.stack([params[p] for p in PEEPHOLES])[..., None]
            self.dp = np.zeros_like(self.peepholes[..., 0])  # (3, H)
        self.blocks = 6 if self.peepholes is None else 8

    def forward(self, state0: Sequence[Array]) -> tuple[ForwardStep, list[Array]]:
        """Return a step, and c; see `Kernel.forward`."""
        H, B = state0[0].shape[-2:]
        half = np.array(0.5, self.dtype)
        W = stacked_weights(self.params)
        W[..., : 3 * H, :] *= half
        # In this order, adjacent blocks and every other block form the pairs of factors below.
        all_six, products = self.blocks_of(6, H, B), self.blocks_of(3, H, B)
        i, f, o, g, c, tanh_c = all_six
        gates, sigmoids, i_f, g_c = all_six[:4], all_six[:3], all_six[:2], all_six[3:5]
        ig, fc, h = products
        ig_fc = products[:2]
        z_rows, z = self.product_into(gates)
        c[...] = state0[1]
        peepholes = None if self.peepholes is None else _Peepholes(self.peepholes, z, o, c)

        def step(u: Array, h_next: Array, kept: Array | None) -> None:
            matmul(W, u, z_rows)
            if peepholes is not None:
                peepholes.see_c_prev()
            tanh(z, gates)
            multiply(sigmoids, half, sigmoids)
            add(sigmoids, half, sigmoids)
            multiply(i_f, g_c, ig_fc)
            add(ig, fc, c)
            if peepholes is not None:
                peepholes.see_c()
            tanh(c, tanh_c)
            multiply(o, tanh_c, h)
            h_next[...] = h
            if kept is None:
                return

            by_gates = kept[:3]
            c_by_zg, h_by_c, c_by_c, *_ = kept[3:]
            multiply(products, sigmoids, by_gates)
            subtract(products, by_gates, by_gates)
            multiply(ig, g, c_by_zg)
            subtract(i, c_by_zg, c_by_zg)
            multiply(h, tanh_c, h_by_c)
            subtract(o, h_by_c, h_by_c)
            c_by_c[...] = f
            if peepholes is not None:
                peepholes.keep(kept)

        return step, [c]

    def backward(self, B: int) -> tuple[BackwardStep, Array]:
        """Return a step back and its dz; see `Kernel.backward`."""
        W_h, H = self.params["W_h"], self.cell.hidden_size
        dz, scratch = self.empty(4 * H, B), self.empty(H, B)
        dz_i, dz_f, dz_o, dz_g = as_blocks(dz, 4)

        def step(kept: Array, dh: Array, dc: Array) -> None:
            c_by_zi, c_by_zf, h_by_zo, c_by_zg, h_by_c, c_by_c, *_ = kept
            multiply(dh, h_by_c, scratch)
            add(dc, scratch, dc)
            multiply(dc, c_by_zi, dz_i)
            multiply(dc, c_by_zf, dz_f)
            multiply(dh, h_by_zo, dz_o)
            multiply(dc, c_by_zg, dz_g)
            multiply(dc, c_by_c, dc)
            matmul(W_h, dz, dh)

        def step_with_peepholes(kept: Array, dh: Array, dc: Array) -> None:
            step(kept, dh, dc)
            c_prev, c = kept[6:]
            seen_by = (dz_i, c_prev), (dz_f, c_prev), (dz_o, c)
            for k, (dz_gate, seen) in enumerate(seen_by):
                self.dp[k] += (dz_gate * seen).sum(axis=-1)

        return (step if self.peepholes is None else step_with_peepholes), dz

    @property
    def products(self) -> list[tuple[Rows, Rows]]:
        """One product: all of dz by all of u."""
        return [(slice(None), slice(None))]

    @property
    def input_rows(self) -> Rows:
        """All rows."""
        return slice(None)

    def gradients(self, sums: list[Array]) -> Params:
        """Return the gradients of W_x, W_h and b, and of the peepholes."""
        (by_u,), H = sums, self.cell.hidden_size
        grads = {"W_x": by_u[..., H + 1 :, :], "W_h": by_u[..., :H, :], "b": by_u[..., H, :]}
        if self.peepholes is not None:
            grads |= dict(zip(PEEPHOLES, self.dp, strict=True))
        return grads


class _Peepholes:
    """The peepholes' part of a step: see the terms on the right in `LSTMKernel`.

    z (4, H, B), halved, o and c (H, B) are the step's own arrays.
    """

    def __init__(self, p: Array, z: Array, o: Array, c: Array) -> None:
        self.half = np.array(0.5, c.dtype)
        self.p_if, self.p_o = p[:2], p[2]
        self.z_if, self.z_o, self.o, self.c = z[:2], z[2], o, c
        self.own_z_o, self.c_prev = np.empty_like(o), np.empty_like(c)

    def see_c_prev(self) -> None:
        """Let i and f see c_prev; keep c_prev, and z_o, which waits for c."""
        self.c_prev[...], self.own_z_o[...] = self.c, self.z_o
        add(self.z_if, self.half * self.p_if * self.c, self.z_if)

    def see_c(self) -> None:
        """Compute o, which sees c."""
        self.o[...] = self.half * tanh(self.own_z_o + self.half * self.p_o * self.c) + self.half

    def keep(self, kept: Array) -> None:
        """Add the peepholes' terms to the slopes of h and c in c, and keep c_prev and c."""
        kept[4] += self.p_o * kept[2]
        kept[5] += (self.p_if * kept[:2]).sum(axis=0)
        kept[6], kept[7] = self.c_prev, self.c
