"""The GRU's kernels: one for each place of the reset gate."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy import add, matmul, multiply, subtract, tanh

from npylstm.backend import Array
from npylstm.cells import Cell, GRUCell, Params, find_activation
from npylstm.sequence.kernels.base import (
    BackwardStep,
    ForwardStep,
    Kernel,
    Rows,
    as_blocks,
    stacked_weights,
)


class GRUKernel(Kernel):
    """GRU with the reset gate before the product, beside `npylstm.cells.GRUCell`.

    ::

        the cell                                the kernel, u = [h_prev; 1; x; m]

        r = σ(x W_xr + h_prev W_hr + b_r)       [z_r; z_u] = W_ru [h_prev; 1; x], one tanh for both
        u = σ(x W_xu + h_prev W_hu + b_u)       (see `LSTMKernel`)
        m = r ⊙ h_prev                          m = r ⊙ h_prev
        n = φ(x W_xn + b_n + m W_hn)            n = φ(W_n [1; x; m])
        h = u ⊙ h_prev + (1 - u) ⊙ n            h = u ⊙ h_prev + (1 - u) ⊙ n

        kept:   ∂m/∂z_r    = h_prev r(1-r)      ∂h/∂z_u = (h_prev - n) u(1-u)
                ∂m/∂h_prev = r                  ∂h/∂z_n = (1-u) φ'
                                                ∂h/∂h_prev = u

        dz_u = dh ⊙ (h_prev - n) ⊙ u(1-u)       dz_u = dh ⊙ ∂h/∂z_u
        dz_n = dh ⊙ (1-u) ⊙ φ'                  dz_n = dh ⊙ ∂h/∂z_n
        dm   = dz_n W_hnᵀ                       dm   = W_hn dz_n
        dz_r = dm ⊙ h_prev ⊙ r(1-r)             dz_r = dm ⊙ ∂m/∂z_r
        dh_prev = dh ⊙ u + dm ⊙ r               dh_prev = dh ⊙ ∂h/∂h_prev + dm ⊙ ∂m/∂h_prev
                  + dz_r W_hrᵀ + dz_u W_huᵀ               + [W_hr W_hu] [dz_r; dz_u]
        dW_x = xᵀ dz and so on                  the driver: Σ_t [h_prev; 1; x] [dz_r; dz_u]ᵀ
                                                and Σ_t [1; x; m] dz_nᵀ
    """

    cells = (GRUCell,)
    covered = ("activation", "reset_after")
    blocks = 5

    def __init__(self, cell: GRUCell, params: Params) -> None:
        super().__init__(cell, params)
        self.D, self.H = cell.input_size, cell.hidden_size
        self.activation = find_activation(cell.activation)
        self.extra_rows = self.H

    @classmethod
    def is_for(cls, cell: Cell) -> bool:
        """Return whether the cell is a GRU with the reset gate before the product."""
        return type(cell) is GRUCell and not cell.reset_after

    def forward(self, state0: Sequence[Array]) -> tuple[ForwardStep, list[Array]]:
        """Return a step; see `Kernel.forward`."""
        H, B = self.H, state0[0].shape[-1]
        half = np.array(0.5, self.dtype)
        W = stacked_weights(self.params)
        W_ru = half * W[..., : 2 * H, :]
        W_n = np.roll(W[..., 2 * H :, :], -H, axis=-1)  # columns for 1, x, m
        gates, z_n = self.blocks_of(2, H, B), self.empty(H, B)
        r, u = gates
        z_rows, z = self.product_into(gates)
        mix = self._mixing(B)

        def step(column: Array, h: Array, kept: Array | None) -> None:
            h_prev, m = column[..., :H, :], column[..., -H:, :]
            matmul(W_ru, column[..., :-H, :], z_rows)
            _sigmoid(z, half, gates)
            multiply(r, h_prev, m)
            matmul(W_n, column[..., H:, :], z_n)
            n = self.activation.function(z_n)
            mix(h_prev, u, n, h, kept)
            if kept is not None:
                m_by_zr, m_by_h = kept[:2]
                multiply(m, r, m_by_zr)
                subtract(m, m_by_zr, m_by_zr)
                m_by_h[...] = r

        return step, []

    def _mixing(self, B: int) -> Callable[[Array, Array, Array, Array, Array | None], None]:
        """Return the function that computes h, and the slopes that both places share."""
        not_u, gap, old = self.empty(self.H, B), self.empty(self.H, B), self.empty(self.H, B)

        def mix(h_prev: Array, u: Array, n: Array, h: Array, kept: Array | None) -> None:
            subtract(1, u, not_u)
            multiply(u, h_prev, old)
            if kept is not None:
                h_by_zu, h_by_zn, h_by_h = kept[2:]
                subtract(h_prev, n, gap)
                multiply(gap, u, gap)
                multiply(gap, not_u, h_by_zu)
                multiply(not_u, self.activation.slope(n), h_by_zn)
                h_by_h[...] = u
            multiply(not_u, n, not_u)
            add(old, not_u, h)

        return mix

    def backward(self, B: int) -> tuple[BackwardStep, Array]:
        """Return a step back and its dz; see `Kernel.backward`."""
        H, W_h = self.H, self.params["W_h"]
        W_hru, W_hn = W_h[..., : 2 * H], W_h[..., 2 * H :]
        dz, dm, carried = self.empty(3 * H, B), self.empty(H, B), self.empty(H, B)
        dz_ru, (dz_r, dz_u, dz_n) = dz[..., : 2 * H, :], as_blocks(dz, 3)

        def step(kept: Array, dh: Array) -> None:
            m_by_zr, m_by_h, h_by_zu, h_by_zn, h_by_h = kept
            multiply(dh, h_by_zu, dz_u)
            multiply(dh, h_by_zn, dz_n)
            matmul(W_hn, dz_n, dm)
            multiply(dm, m_by_zr, dz_r)
            multiply(dh, h_by_h, carried)
            multiply(dm, m_by_h, dm)
            add(carried, dm, carried)
            matmul(W_hru, dz_ru, dh)
            add(dh, carried, dh)

        return step, dz

    @property
    def products(self) -> list[tuple[Rows, Rows]]:
        """The rows of r and u by h_prev, 1 and x, and the rows of n by 1, x and m."""
        D, H = self.D, self.H
        return [(slice(0, 2 * H), slice(0, H + 1 + D)), (slice(2 * H, 3 * H), slice(H, None))]

    @property
    def input_rows(self) -> Rows:
        """All rows."""
        return slice(None)

    def gradients(self, sums: list[Array]) -> Params:
        """Return the gradients of W_x, W_h and b."""
        by_u, n_by_u = sums
        D, H = self.D, self.H
        return {
            "W_x": np.concatenate([by_u[..., H + 1 :, :], n_by_u[..., 1 : 1 + D, :]], axis=-1),
            "W_h": np.concatenate([by_u[..., :H, :], n_by_u[..., 1 + D :, :]], axis=-1),
            "b": np.concatenate([by_u[..., H, :], n_by_u[..., 0, :]], axis=-1),
        }


class GRUAfterKernel(GRUKernel):
    """GRU with the reset gate after the product, beside `GRUCell(..., reset_after=True)`.

    ::

        the cell                                the kernel, u = [h_prev; 1; x]

        a = x W_x + b                           [a_r; a_u; a_n] = A [1; x]
        q = h_prev W_hn + b_h                   [q_r; q_u; q] = Q [h_prev; 1], b_h in the rows of q
        r, u = σ(a_r + h_prev W_hr), ...        r, u = σ(a_r + q_r), σ(a_u + q_u)
        n = φ(a_n + r ⊙ q)                      n = φ(a_n + r ⊙ q)
        h = u ⊙ h_prev + (1 - u) ⊙ n            h = u ⊙ h_prev + (1 - u) ⊙ n

        kept:   ∂h/∂q   = r ∂h/∂z_n             ∂h/∂z_u = (h_prev - n) u(1-u)
                ∂h/∂z_r = q r(1-r) ∂h/∂z_n      ∂h/∂z_n = (1-u) φ'
                                                ∂h/∂h_prev = u

        dq = dz_n ⊙ r and so on                 [dq; dz_r; dz_u; dz_n] = dh ⊙ the slopes
        dh_prev = dh ⊙ u + dz_r W_hrᵀ           dh_prev = dh ⊙ ∂h/∂h_prev
                  + dz_u W_huᵀ + dq W_hnᵀ                 + [W_hn W_hr W_hu] [dq; dz_r; dz_u]
        dW_x = xᵀ dz and so on                  the driver: Σ_t [h_prev; 1] [dq; dz_r; dz_u]ᵀ
                                                and Σ_t [1; x] [dz_r; dz_u; dz_n]ᵀ
    """

    def __init__(self, cell: GRUCell, params: Params) -> None:
        super().__init__(cell, params)
        self.extra_rows = 0

    @classmethod
    def is_for(cls, cell: Cell) -> bool:
        """Return whether the cell is a GRU with the reset gate after the product."""
        return type(cell) is GRUCell and cell.reset_after

    def forward(self, state0: Sequence[Array]) -> tuple[ForwardStep, list[Array]]:
        """Return a step; see `Kernel.forward`."""
        H, B = self.H, state0[0].shape[-1]
        half = np.array(0.5, self.dtype)
        W = stacked_weights(self.params)
        W[..., : 2 * H, :] *= half
        A, Q = W[..., H:].copy(), W[..., : H + 1].copy()
        Q[..., : 2 * H, H], Q[..., 2 * H :, H] = 0, self.params["b_h"]
        gates, rq, z_n = self.blocks_of(2, H, B), self.empty(H, B), self.empty(H, B)
        a_rows, a = self.product_into(self.blocks_of(3, H, B))
        q_rows, q_all = self.product_into(self.blocks_of(3, H, B))
        r, u = gates
        q = q_all[2]
        mix = self._mixing(B)

        def step(column: Array, h: Array, kept: Array | None) -> None:
            matmul(A, column[..., H:, :], a_rows)
            matmul(Q, column[..., : H + 1, :], q_rows)
            add(a[:2], q_all[:2], gates)
            _sigmoid(gates, half, gates)
            multiply(r, q, rq)
            add(a[2], rq, z_n)
            n = self.activation.function(z_n)
            mix(column[..., :H, :], u, n, h, kept)
            if kept is not None:
                h_by_q, h_by_zr, _, h_by_zn, _ = kept
                multiply(h_by_zn, r, h_by_q)
                subtract(q, rq, h_by_zr)
                multiply(h_by_zr, h_by_q, h_by_zr)

        return step, []

    def backward(self, B: int) -> tuple[BackwardStep, Array]:
        """Return a step back and its dz; see `Kernel.backward`."""
        H = self.H
        W_h = np.roll(self.params["W_h"], H, axis=-1)  # columns of q, r, u
        dz = self.empty(5 * H, B)
        blocks, dz_h = as_blocks(dz, 5), dz[..., : 3 * H, :]
        carried = blocks[4]

        def step(kept: Array, dh: Array) -> None:
            multiply(dh, kept, blocks)
            matmul(W_h, dz_h, dh)
            add(dh, carried, dh)

        return step, dz

    @property
    def products(self) -> list[tuple[Rows, Rows]]:
        """The rows of q, r and u by h_prev and 1, and the rows of r, u and n by 1 and x."""
        H = self.H
        return [(slice(0, 3 * H), slice(0, H + 1)), (self.input_rows, slice(H, None))]

    @property
    def input_rows(self) -> Rows:
        """The rows of r, u and n."""
        return slice(self.H, 4 * self.H)

    def gradients(self, sums: list[Array]) -> Params:
        """Return the gradients of W_x, W_h, b and b_h."""
        by_h, by_x = sums
        return {
            "W_x": by_x[..., 1:, :],
            "W_h": np.roll(by_h[..., : self.H, :], -self.H, axis=-1),
            "b": by_x[..., 0, :],
            "b_h": by_h[..., self.H, : self.H],
        }


def _sigmoid(z: Array, half: Array, out: Array) -> None:
    """Write σ(z) = ½ tanh(½ z) + ½, given ½ z."""
    tanh(z, out)
    multiply(out, half, out)
    add(out, half, out)
