"""The LSTM with options: peepholes, projection, absent or coupled gates, blocks, truncation.

Read the step in `npylstm.cells.lstm` first; without options this cell computes exactly the same.
"""

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from npylstm.backend import Array, Rng, array_module
from npylstm.cells.activations import Passes, check_activation, check_clip, clip, find_activation
from npylstm.cells.base import Cache, Cell, Params, StateSizes, mT
from npylstm.cells.initializers import cast, check_initializers, draw, draw_kernel
from npylstm.cells.lstm import LSTMState
from npylstm.checks import Option, check_choice, check_flag, check_number, check_size

PRESETS: dict[str, dict[str, Option]] = {
    "V": {"peepholes": True},
    "NIG": {"peepholes": True, "input_gate": False},
    "NFG": {"peepholes": True, "forget_gate": False},
    "NOG": {"peepholes": True, "output_gate": False},
    "NIAF": {"peepholes": True, "input_activation": "identity"},
    "NOAF": {"peepholes": True, "output_activation": "identity"},
    "CIFG": {"peepholes": True, "coupled": True},
    "NP": {"peepholes": False},
    "FGR": {"peepholes": True, "gate_recurrence": "gates"},
    "HS97": {
        "forget_gate": False,
        "input_activation": "logistic_g",
        "output_activation": "logistic_h",
        "gate_recurrence": "all",
        "truncated": True,
    },
}
"""Published LSTMs by name: the vanilla LSTM of Greff et al. (2017), their eight variants of it, and
the original of Hochreiter & Schmidhuber (1997)."""


class RecurrentGatesState(NamedTuple):
    """The state of an LSTM whose gates recur: h (B, P), c (B, H) and its gates r (B, R)."""

    h: Array
    c: Array
    r: Array


VariantState: TypeAlias = LSTMState | RecurrentGatesState
"""The state of an `LSTMVariant`: with r only if the gates recur."""


class LSTMVariantCache(NamedTuple):
    """What a step keeps: gates, c, φ_h(c) and m as each cell sees them (B, H), the clips' masks.

    `z_passes` has the masks of z_i, z_f, z_o and z_g.
    """

    x: Array
    state: VariantState
    i: Array
    f: Array
    o: Array
    g: Array
    c: Array
    phi_c: Array
    m: Array
    c_passes: Passes
    h_passes: Passes
    z_passes: tuple[Passes, Passes, Passes, Passes]


_FLAGS = ("peepholes", "input_gate", "forget_gate", "output_gate", "coupled", "truncated")


@dataclass(frozen=True)
class LSTMVariant(Cell[VariantState]):
    """LSTM cell with options, which can all be combined.

    With every option on, one step is::

        z = x W_x + h_prev W_h + r_prev W_r + b         columns: the cell's gates, then g

        i = σ(z_i + p_i ⊙ c_prev)    f = σ(z_f + p_f ⊙ c_prev)    g = φ_g(z_g)

        c = clip(f ⊙ c_prev + i ⊙ g)
        o = σ(z_o + p_o ⊙ c)                            the peephole sees the new, clipped c
        m = o ⊙ φ_h(c)
        h = clip(m W_p)
        r = [i, f, o]                                   the gates that the cell has

    and backwards, after ∂L/∂h and ∂L/∂c have been set to zero where a clip changed the value::

        dm = dh W_pᵀ      do = dm ⊙ φ_h(c)              dW_p = mᵀ dh
        dc = dc + dm ⊙ o ⊙ φ_h'(c) + dz_o ⊙ p_o
        di = dc ⊙ g       df = dc ⊙ c_prev       dg = dc ⊙ i
        dc_prev = dc ⊙ f + dz_i ⊙ p_i + dz_f ⊙ p_f

        dz = [(di + dr_i) ⊙ i(1-i),  (df + dr_f) ⊙ f(1-f),  (do + dr_o) ⊙ o(1-o),  dg ⊙ φ_g'(z_g)]

        dx      = dz W_xᵀ           dW_x = xᵀ dz        dp_i = Σ_batch dz_i ⊙ c_prev
        dh_prev = dz W_hᵀ           dW_h = h_prevᵀ dz   dp_f = Σ_batch dz_f ⊙ c_prev
        dr_prev = dz W_rᵀ           dW_r = r_prevᵀ dz   dp_o = Σ_batch dz_o ⊙ c
                                    db = Σ_batch dz

    With another `gate_activation`, its slope replaces i(1-i), f(1-f) and o(1-o). A
    `preactivation_clip` cuts the arguments of all four; dz is 0 where it cut.

    A gate that is absent is 1. The C cells of a block share one gate of each kind, so there are
    G = H / C gates of a kind. Each gate gets Σ_block p ⊙ c from its cells, and Σ_block di back.

    Sources: Graves (2012, ch. 4) for peepholes and blocks; Greff et al. (2017) for the variants;
    Hochreiter & Schmidhuber (1997, sec. 4 and appendix A.1) for recurrent gates, activations and
    truncation; Sak, Senior & Beaufays (2014) for the projection; TensorFlow 1.15's `LSTMCell` for
    both clips. `PRESETS` names the published combinations.

    Parameters
    ----------
    input_size : int
        D, the width of the input.
    hidden_size : int
        H, the number of cells.
    forget_bias : float
        What the forget gate's part of b starts at, if there is a forget gate. With coupled gates
        the input gate's part starts at -forget_bias, which makes f the same.
    peepholes : bool
        Whether gates see the cell states, through p_i, p_f and p_o.
    input_gate, forget_gate, output_gate : bool
        If False, the cell has no such gate: it is always open.
    coupled : bool
        f = 1 - i in place of a forget gate of its own.
    input_activation, output_activation : str
        φ_g and φ_h, as `npylstm.cells.check_activation` takes them.
    projection_size : int, optional
        P, the width of h. Without it, P = H and the cell has no W_p.
    cell_clip, projection_clip : float, optional
        The largest |c| and |h|; larger values are set to the limit. As in TensorFlow, the gradient
        passes where the value was within the limit or on it, and is zero elsewhere.
    gate_recurrence : str, optional
        What the previous step's gates feed through W_r: `"gates"`, the gates (full gate recurrence
        of Greff et al.), or `"all"`, both gates and cells (the net of 1997).
    block_size : int
        C, how many cells share their gates; neighbouring columns form a block.
    truncated : bool
        Whether to use the gradient of 1997 instead of the full one: no error goes from z to h_prev
        or r_prev, or through a peephole to c (Gers, Schraudolph & Schmidhuber 2002). Only c carries
        it back.
    kernel_initializer : str
        How W_x and W_h are drawn, together as one matrix, then the peepholes, each as the
        diagonal of an (H, H) matrix, W_p and W_r: see `npylstm.cells.draw`.
    recurrent_initializer : str, optional
        How each gate's block of W_h is drawn instead.
    gate_activation : str
        What makes i, f and o, in place of σ.
    preactivation_clip : float, optional
        The largest |argument| of a gate or of φ_g; values beyond it are set to it, as in ONNX's
        LSTM. c is not clipped by it.

    Raises
    ------
    ValueError
        An argument has a value that it can't take, or two options contradict each other.

    Examples
    --------
    >>> cell = LSTMVariant(3, 4, coupled=True, projection_size=2)
    >>> cell.gates
    ('i', 'o', 'g')
    >>> cell = LSTMVariant.preset("HS97", 3, 4, block_size=2, forget_gate=True)
    >>> params = cell.init(rng=0)
    >>> x = np.ones((2, 3))
    >>> state, cache = cell.forward(params, x, cell.zero_state(x))
    >>> dx, dstate_prev, grads = cell.backward(params, cache, state)
    """

    input_size: int
    hidden_size: int
    forget_bias: float = 1.0
    peepholes: bool = False
    input_gate: bool = True
    forget_gate: bool = True
    output_gate: bool = True
    coupled: bool = False
    input_activation: str = "tanh"
    output_activation: str = "tanh"
    projection_size: int | None = None
    cell_clip: float | None = None
    projection_clip: float | None = None
    gate_recurrence: str | None = None
    block_size: int = 1
    truncated: bool = False
    kernel_initializer: str = "glorot_uniform"
    recurrent_initializer: str | None = None
    gate_activation: str = "logistic"
    preactivation_clip: float | None = None

    @classmethod
    def preset(
        cls, name: str, input_size: int, hidden_size: int, **options: Option
    ) -> "LSTMVariant":
        """Return a published LSTM by its name in `PRESETS`; `options` override the preset's.

        Raises
        ------
        ValueError
            No such name.
        """
        check_choice("name", name, PRESETS)
        return cls(input_size, hidden_size, **(PRESETS[name] | options))

    def __post_init__(self) -> None:
        check_size("input_size", self.input_size)
        check_size("hidden_size", self.hidden_size)
        check_number("forget_bias", self.forget_bias)
        for flag in _FLAGS:
            check_flag(flag, getattr(self, flag))
        for name in ("input_activation", "output_activation", "gate_activation"):
            object.__setattr__(self, name, check_activation(name, getattr(self, name)))
        check_clip("preactivation_clip", self.preactivation_clip)
        if self.projection_size is not None:
            check_size("projection_size", self.projection_size)
        for name in ("cell_clip", "projection_clip"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), low=0, open_low=True)
        check_choice("gate_recurrence", self.gate_recurrence, (None, "gates", "all"))
        check_size("block_size", self.block_size)
        check_initializers(self.kernel_initializer, self.recurrent_initializer)
        self._check_combination()

    def _check_combination(self) -> None:
        if self.hidden_size % self.block_size:
            raise ValueError(
                f"block_size must divide hidden_size = {self.hidden_size} into whole blocks, "
                f"got {self.block_size}"
            )
        if self.coupled and not (self.input_gate and self.forget_gate):
            raise ValueError(
                "coupled gates are f = 1 - i, which needs both: it can't be combined with "
                f"input_gate={self.input_gate}, forget_gate={self.forget_gate}"
            )
        if self.projection_clip is not None and self.projection_size is None:
            raise ValueError(
                f"projection_clip must be None without projection_size, got {self.projection_clip}"
            )
        if self.gates == ("g",):
            for name, off in ("peepholes", False), ("gate_recurrence", None), ("block_size", 1):
                if getattr(self, name) != off:
                    raise ValueError(
                        f"{name} must be {off} in a cell without gates, got {getattr(self, name)!r}"
                    )

    @property
    def gates(self) -> tuple[str, ...]:
        """The gates that the cell has, then the candidate g."""
        present = {
            "i": self.input_gate,
            "f": self.forget_gate and not self.coupled,
            "o": self.output_gate,
            "g": True,
        }
        return tuple(gate for gate in present if present[gate])

    @property
    def gate_columns(self) -> dict[str, slice]:
        """The columns of each gate, G of them, and of g, H, in `W_x`, `W_h` and `b`."""
        G, R = self.hidden_size // self.block_size, self._gates_width
        columns = {gate: slice(k * G, (k + 1) * G) for k, gate in enumerate(self.gates[:-1])}
        return columns | {"g": slice(R, R + self.hidden_size)}

    @property
    def _gates_width(self) -> int:
        """R, the number of all gates together: the width of the state r."""
        return (len(self.gates) - 1) * self.hidden_size // self.block_size

    @property
    def param_shapes(self) -> dict[str, tuple[int, ...]]:
        """W_x (D, R+H), W_h (P, R+H), b (R+H,); p_i, p_f, p_o (H,); W_p (H, P); W_r (R, R or R+H).

        R is the number of all gates: 3H if none is absent and there are no blocks.
        """
        D, H, R, P = self.input_size, self.hidden_size, self._gates_width, self.output_size
        shapes: dict[str, tuple[int, ...]] = {"W_x": (D, R + H), "W_h": (P, R + H), "b": (R + H,)}
        if self.peepholes:
            shapes |= {f"p_{gate}": (H,) for gate in self.gates[:-1]}
        if self.projection_size is not None:
            shapes["W_p"] = (H, P)
        if self.gate_recurrence is not None:
            shapes["W_r"] = (R, R if self.gate_recurrence == "gates" else R + H)
        return shapes

    @property
    def state_sizes(self) -> StateSizes:
        """h: P, c: H, and r: R if the gates recur."""
        h, c = self.projection_size or self.hidden_size, self.hidden_size
        if self.gate_recurrence is None:
            return LSTMState._make([h, c])
        return RecurrentGatesState._make([h, c, self._gates_width])

    def init(self, rng: Rng = None, dtype: DTypeLike = np.float64) -> Params:
        """Draw the weights; b starts at zero, except the part of the gate that forgets."""
        rng = np.random.default_rng(rng)
        columns, H = self.gate_columns, self.hidden_size
        params: Params = {}
        params["W_x"], params["W_h"] = draw_kernel(
            rng,
            (self.input_size, self.output_size),
            [part.stop - part.start for part in columns.values()],
            self.kernel_initializer,
            self.recurrent_initializer,
        )
        params["b"] = np.zeros(columns["g"].stop)
        if self.coupled:
            params["b"][columns["i"]] = -self.forget_bias
        elif self.forget_gate:
            params["b"][columns["f"]] = self.forget_bias
        for name, shape in self.param_shapes.items():
            if name.startswith("p_"):
                params[name] = np.diag(draw(self.kernel_initializer, rng, (H, H)))
            elif name not in params:
                params[name] = draw(self.kernel_initializer, rng, (shape[0], shape[1]))
        return cast(params, dtype)

    def forward(self, params: Params, x: Array, state: VariantState) -> tuple[VariantState, Cache]:
        """Run one step; see `Cell.forward`."""
        self.check(params, x, state)
        xp = array_module(x)
        h_prev, c_prev = state[:2]

        z: Array = x @ params["W_x"] + h_prev @ params["W_h"] + params["b"][..., None, :]
        if isinstance(state, RecurrentGatesState):
            z_r = state.r @ params["W_r"]
            fed = z_r.shape[-1]
            z = xp.concatenate([z[..., :fed] + z_r, z[..., fed:]], axis=-1)

        i, i_passes = self._gate("i", params, z, c_prev)
        f, f_passes = (1 - i, 1.0) if self.coupled else self._gate("f", params, z, c_prev)
        z_g, g_passes = clip(z[..., self.gate_columns["g"]], self.preactivation_clip)
        g = find_activation(self.input_activation).function(z_g)
        c, c_passes = clip(f * c_prev + i * g, self.cell_clip)
        o, o_passes = self._gate("o", params, z, c)
        phi_c = find_activation(self.output_activation).function(c)
        m = o * phi_c
        h: Array = m
        h_passes: Passes = 1.0
        if self.projection_size is not None:
            h, h_passes = clip(m @ params["W_p"], self.projection_clip)

        z_passes = i_passes, f_passes, o_passes, g_passes
        cache = LSTMVariantCache(x, state, i, f, o, g, c, phi_c, m, c_passes, h_passes, z_passes)
        if self.gate_recurrence is None:
            return LSTMState(h, c), cache
        gates = {"i": i, "f": f, "o": o}
        r = [gates[name][..., :: self.block_size] for name in self.gates[:-1]]
        return RecurrentGatesState(h, c, xp.concatenate(r, axis=-1)), cache

    def backward(
        self, params: Params, cache: Cache, dstate: VariantState
    ) -> tuple[Array, VariantState, Params]:
        """Carry the gradient one step back; see `Cell.backward`."""
        x, state, i, f, o, g, c, phi_c, m, c_passes, h_passes, z_passes = cache
        i_passes, f_passes, o_passes, g_passes = z_passes
        h_prev, c_prev = state[:2]
        dh, dc = dstate[:2]
        xp = array_module(x)
        dz: Params = {}
        grads: Params = {}

        dm = dh
        if self.projection_size is not None:
            dh = dh * h_passes
            grads["W_p"], dm = mT(m) @ dh, dh @ mT(params["W_p"])
        dz["o"] = self._gate_backward("o", o, dm * phi_c, dstate) * o_passes
        dc = dc + dm * o * find_activation(self.output_activation).slope(phi_c)
        dc = (dc + self._peephole_backward("o", params, dz)) * c_passes

        di, df, dg = dc * g, dc * c_prev, dc * i
        if self.coupled:
            di = di - df
        dz["i"] = self._gate_backward("i", i, di, dstate) * i_passes
        dz["f"] = self._gate_backward("f", f, df, dstate) * f_passes
        dz["g"] = dg * find_activation(self.input_activation).slope(g) * g_passes
        dc_prev = dc * f
        dc_prev = dc_prev + self._peephole_backward("i", params, dz)
        dc_prev = dc_prev + self._peephole_backward("f", params, dz)

        for name, seen in ("i", c_prev), ("f", c_prev), ("o", c):
            if f"p_{name}" in params:
                grads[f"p_{name}"] = (self._spread(dz[name]) * seen).sum(axis=-2)
        dz_all = xp.concatenate([dz[name] for name in self.gates], axis=-1)
        grads |= {"W_x": mT(x) @ dz_all, "W_h": mT(h_prev) @ dz_all, "b": dz_all.sum(axis=-2)}
        dx, dh_prev = dz_all @ mT(params["W_x"]), self._recur_backward(dz_all, params["W_h"])
        if self.gate_recurrence is None:
            return dx, LSTMState(dh_prev, dc_prev), grads
        dz_fed = dz_all[..., : params["W_r"].shape[-1]]
        grads["W_r"] = mT(state.r) @ dz_fed
        dr_prev = self._recur_backward(dz_fed, params["W_r"])
        return dx, RecurrentGatesState(dh_prev, dc_prev, dr_prev), grads

    def _gate(self, name: str, params: Params, z: Array, c: Array) -> tuple[Array, Passes]:
        """Return a gate as each cell sees it (B, H), and where the clip let its z (B, G) pass.

        It is the same within a block, and 1 if it is absent.
        """
        if name not in self.gates:
            return array_module(c).ones_like(c), 1.0
        z_gate = z[..., self.gate_columns[name]]
        if self.peepholes:
            z_gate = z_gate + self._sum_blocks(params[f"p_{name}"][..., None, :] * c)
        z_gate, passes = clip(z_gate, self.preactivation_clip)
        return self._spread(find_activation(self.gate_activation).function(z_gate)), passes

    def _gate_backward(self, name: str, gate: Array, dgate: Array, dstate: VariantState) -> Array:
        """Return dz (B, G) of a gate, before its clip; an absent gate's dz is never read."""
        a, da = gate[..., :: self.block_size], self._sum_blocks(dgate)
        if isinstance(dstate, RecurrentGatesState) and name in self.gates:
            da = da + dstate.r[..., self.gate_columns[name]]
        if self.gate_activation == "logistic":
            return da * a * (1 - a)  # the same as in LSTMCell, to the last bit
        return da * find_activation(self.gate_activation).slope(a)

    def _peephole_backward(self, name: str, params: Params, dz: Params) -> Array | float:
        """Return what the error of a gate sends through its peephole to the cells (B, H)."""
        if self.truncated or f"p_{name}" not in params:
            return 0.0
        return self._spread(dz[name]) * params[f"p_{name}"][..., None, :]

    def _recur_backward(self, dz: Array, W: Array) -> Array:
        """Return what z sends back through recurrent weights: nothing when truncated."""
        if self.truncated:
            return array_module(dz).zeros((*dz.shape[:-1], W.shape[-2]), dz.dtype)
        return dz @ mT(W)

    def _spread(self, a: Array) -> Array:
        """Give each gate (B, G) to all cells of its block (B, H)."""
        C = self.block_size
        return a if C == 1 else array_module(a).repeat(a, C, axis=-1)

    def _sum_blocks(self, a: Array) -> Array:
        """Sum over the cells of each block: (B, H) to (B, G)."""
        C = self.block_size
        return a if C == 1 else a.reshape(*a.shape[:-1], self.hidden_size // C, C).sum(axis=-1)
