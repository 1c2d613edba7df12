"""The linear recurrent unit, one time step: complex memories that turn and shrink."""

import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from npylstm.backend import Array, Rng, array_module
from npylstm.cells.base import Cache, Cell, Params, StateSizes, mT
from npylstm.cells.initializers import cast
from npylstm.checks import check_number, check_size


class LRUState(NamedTuple):
    """The state of an LRU, each (B, H): its output h, and the memory s = re + i im."""

    h: Array
    re: Array
    im: Array


class LRUCache(NamedTuple):
    """What a step keeps: x (B, D), the memory before and after it, and u = x B, (B, H) each."""

    x: Array
    re_prev: Array
    im_prev: Array
    re: Array
    im: Array
    u_re: Array
    u_im: Array


@dataclass(frozen=True)
class LRUCell(Cell[LRUState]):
    """Linear recurrent unit (Orvieto et al. 2023, arXiv 2303.06349, eq. 7 and appendix A).

    ::

        λ = exp(-exp(nu_log) + i exp(theta_log))        |λ| < 1 for all parameters
        s = λ ⊙ s_prev + exp(gamma_log) ⊙ (x B)         the paper's x_k; complex
        h = Re(s C) + x W_d                             the paper's y_k

    The memory is kept as two real arrays, s = re + i im, and so are B and C: W_x = [Re B, Im B]
    and W_s = [Re C; -Im C]. With λ = a + i b, u = x W_x and γ = exp(gamma_log)::

        re = a ⊙ re_prev - b ⊙ im_prev + γ ⊙ u_re
        im = b ⊙ re_prev + a ⊙ im_prev + γ ⊙ u_im
        h  = [re, im] W_s + x W_d

    and backwards::

        [dre, dim] = [dre, dim] + dh W_sᵀ       dW_s = [re, im]ᵀ dh     dW_d = xᵀ dh
        dre_prev = a ⊙ dre + b ⊙ dim            da = Σ_batch (dre ⊙ re_prev + dim ⊙ im_prev)
        dim_prev = a ⊙ dim - b ⊙ dre            db = Σ_batch (dim ⊙ re_prev - dre ⊙ im_prev)

        dnu_log    = -(da ⊙ a + db ⊙ b) ⊙ exp(nu_log)
        dtheta_log =  (db ⊙ a - da ⊙ b) ⊙ exp(theta_log)
        dgamma_log = Σ_batch (dre ⊙ u_re + dim ⊙ u_im) ⊙ γ
        du = γ ⊙ [dre, dim]                     dW_x = xᵀ du            dx = du W_xᵀ + dh W_dᵀ

    The gradient turns by the angle of λ and shrinks by |λ|, by the same amount at every step. In
    the last term of h the paper has one weight for each input; here W_d is a whole matrix, so that
    D and H may differ. The paper's layers around it, normalisation and gated units, are not here.

    Parameters
    ----------
    input_size : int
        D, the width of the input.
    hidden_size : int
        H, the number of complex memories, and the width of the output.
    r_min, r_max : float
        |λ| starts between them, uniform on the ring.
    max_phase : float
        The angle of λ starts between 0 and this, in radians.

    Raises
    ------
    ValueError
        A size below one, radii that are not 0 <= r_min < r_max < 1, a phase outside (0, 2π].

    Examples
    --------
    >>> cell = LRUCell(input_size=3, hidden_size=4)
    >>> params = cell.init(rng=0)
    >>> x = np.ones((2, 3))
    >>> state, cache = cell.forward(params, x, cell.zero_state(x))
    >>> dstate = cell.zero_state(x)._replace(h=np.ones((2, 4)))
    >>> dx, dstate_prev, grads = cell.backward(params, cache, dstate)
    """

    input_size: int
    hidden_size: int
    r_min: float = 0.5
    r_max: float = 0.99
    max_phase: float = math.pi
    gates: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check_size("input_size", self.input_size)
        check_size("hidden_size", self.hidden_size)
        check_number("r_max", self.r_max, 0, 1, open_low=True, open_high=True)
        check_number("r_min", self.r_min, 0, self.r_max, open_high=True)
        check_number("max_phase", self.max_phase, 0, 2 * math.pi, open_low=True)

    @property
    def param_shapes(self) -> dict[str, tuple[int, ...]]:
        """nu_log, theta_log, gamma_log (H,), W_x (D, 2H), W_s (2H, H), W_d (D, H)."""
        D, H = self.input_size, self.hidden_size
        rates: dict[str, tuple[int, ...]] = dict.fromkeys(
            ("nu_log", "theta_log", "gamma_log"), (H,)
        )
        return rates | {"W_x": (D, 2 * H), "W_s": (2 * H, H), "W_d": (D, H)}

    @property
    def state_sizes(self) -> StateSizes:
        """h, re and im: H each."""
        return LRUState._make([self.hidden_size] * 3)

    def init(self, rng: Rng = None, dtype: DTypeLike = np.float64) -> Params:
        """Draw λ on the ring, then the weights (Orvieto et al. 2023, lemma 3.2 and appendix A).

        γ starts at sqrt(1 - |λ|²), so that a memory is as large as its input, even if it forgets
        slowly.
        """
        rng = np.random.default_rng(rng)
        D, H = self.input_size, self.hidden_size
        # 1 - uniform: in (0, 1], so that no logarithm meets a zero.
        square = self.r_min**2 + (self.r_max**2 - self.r_min**2) * (1 - rng.uniform(size=H))
        params = {
            "nu_log": np.log(-0.5 * np.log(square)),
            "theta_log": np.log(self.max_phase * (1 - rng.uniform(size=H))),
            "gamma_log": 0.5 * np.log(1 - square),
            "W_x": rng.normal(0.0, (2 * D) ** -0.5, (D, 2 * H)),
            "W_s": rng.normal(0.0, H**-0.5, (2 * H, H)),
            "W_d": rng.normal(0.0, D**-0.5, (D, H)),
        }
        return cast(params, dtype)

    def forward(self, params: Params, x: Array, state: LRUState) -> tuple[LRUState, Cache]:
        """Run one step; see `Cell.forward`."""
        self.check(params, x, state)
        _, re_prev, im_prev = state
        xp = array_module(x)
        a, b, gamma = _rates(params)

        u_re, u_im = xp.split(x @ params["W_x"], 2, axis=-1)
        re = a * re_prev - b * im_prev + gamma * u_re
        im = b * re_prev + a * im_prev + gamma * u_im
        h = xp.concatenate([re, im], axis=-1) @ params["W_s"] + x @ params["W_d"]
        return LRUState(h, re, im), LRUCache(x, re_prev, im_prev, re, im, u_re, u_im)

    def backward(
        self, params: Params, cache: Cache, dstate: LRUState
    ) -> tuple[Array, LRUState, Params]:
        """Carry the gradient one step back; see `Cell.backward`."""
        x, re_prev, im_prev, re, im, u_re, u_im = cache
        dh, dre, dim = dstate
        xp = array_module(x)
        a, b, gamma = _rates(params)

        dre_read, dim_read = xp.split(dh @ mT(params["W_s"]), 2, axis=-1)
        dre, dim = dre + dre_read, dim + dim_read
        da = (dre * re_prev + dim * im_prev).sum(axis=-2, keepdims=True)
        db = (dim * re_prev - dre * im_prev).sum(axis=-2, keepdims=True)
        dgamma = (dre * u_re + dim * u_im).sum(axis=-2)
        du = xp.concatenate([gamma * dre, gamma * dim], axis=-1)

        grads = {
            "nu_log": -(da * a + db * b)[..., 0, :] * xp.exp(params["nu_log"]),
            "theta_log": (db * a - da * b)[..., 0, :] * xp.exp(params["theta_log"]),
            "gamma_log": dgamma * gamma[..., 0, :],
            "W_x": mT(x) @ du,
            "W_s": mT(xp.concatenate([re, im], axis=-1)) @ dh,
            "W_d": mT(x) @ dh,
        }
        dx = du @ mT(params["W_x"]) + dh @ mT(params["W_d"])
        dstate_prev = LRUState(xp.zeros_like(dh), a * dre + b * dim, a * dim - b * dre)
        return dx, dstate_prev, grads


def _rates(params: Params) -> tuple[Array, Array, Array]:
    """Return Re λ, Im λ and γ, as rows (1, H) for all of a batch."""
    nu_log, theta_log, gamma_log = (params[f"{name}_log"] for name in ("nu", "theta", "gamma"))
    xp = array_module(nu_log)
    size, angle = xp.exp(-xp.exp(nu_log)), xp.exp(theta_log)
    rates = size * xp.cos(angle), size * xp.sin(angle), xp.exp(gamma_log)
    return rates[0][..., None, :], rates[1][..., None, :], rates[2][..., None, :]
