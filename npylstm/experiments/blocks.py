"""The networks of 1997 and 2000: memory blocks, logistic outputs, the truncated gradient.

`LSTMVariant.preset("HS97", ...)` is the same cell for general use; a test asserts that the two
agree. These are quicker for what the early papers did, one sequence at a time, because S networks
run side by side and because a truncated gradient needs no loop back through time.

Sources: Hochreiter & Schmidhuber (1997), sec. 4 and appendix A.1; Gers, Schmidhuber & Cummins
(2000), sec. 2 and 3.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from npylstm.backend import AnyArray
from npylstm.cells import sigmoid

Array: TypeAlias = AnyArray
Params: TypeAlias = dict[str, Array]


class BlockStep(NamedTuple):
    """What a step computes for each of N cells: gates i, f, o and candidate g, c, h(c), output."""

    i: Array
    f: Any  # an array, or 1.0 where there are no forget gates
    o: Array
    g: Array
    c: Array
    hc: Array
    y: Array


@dataclass(frozen=True)
class BlockNet:
    """S networks of memory blocks, each block with C cells that share their gates.

    ::

        v = [x, y_prev, (gates_prev), 1]         what the K weights into every gate and cell see
        i = σ(v W_i)    f = σ(v W_f) or 1    o = σ(v W_o)    g = 4 σ(v W_g) - 2
        c = f c_prev + i g
        y = o h(c),    h(c) = 2 σ(c) - 1
        out = σ([y, (x), 1] W_y)

    The weights into a gate are stored once for each cell of its block; all copies move by the sum
    of their gradients, so they stay equal. With N = blocks · C cells, `W` is (S, K, kinds, N) with
    the kinds i, (f), o, g, and `W_y` (S, J, outputs).

    Parameters
    ----------
    inputs, outputs : int
        Sizes of x and of the output.
    blocks, cells : int
        Memory blocks, and cells in each (C).
    forget_gates : bool
        False is the network of 1997, with f = 1.
    gates_recur : bool
        Whether gates are among the sources of v.
    biased : str
        Which hidden units have a bias: `"all"`, `"gates"` or `"none"`.
    output_bias, shortcut : bool
        Whether the outputs have a bias, and whether they see the inputs.
    """

    inputs: int
    outputs: int
    blocks: int
    cells: int
    forget_gates: bool = False
    gates_recur: bool = True
    biased: str = "all"
    output_bias: bool = True
    shortcut: bool = False

    @property
    def kinds(self) -> str:
        """The kinds of hidden unit, in the order of W."""
        return "ifog" if self.forget_gates else "iog"

    @cached_property
    def masks(self) -> Params:
        """1.0 for each weight that exists, 0.0 elsewhere: (K, kinds, N) and (J, outputs)."""
        N, kinds = self.blocks * self.cells, len(self.kinds)
        recurrent = N + self.gates_recur * (kinds - 1) * self.blocks
        W = np.ones((self.inputs + recurrent + 1, kinds, N))
        W[-1, -1] = self.biased == "all"
        W[-1, :-1] = self.biased != "none"
        W_y = np.ones((N + self.inputs + 1, self.outputs))
        W_y[N:-1] = self.shortcut
        W_y[-1] = self.output_bias
        return {"W": W, "W_y": W_y}

    @property
    def n_weights(self) -> int:
        """How many weights one network has."""
        W, W_y = self.masks["W"], self.masks["W_y"]
        return int(W[:, :-1, :: self.cells].sum() + W[:, -1].sum() + W_y.sum())

    def init(
        self, rng: np.random.Generator, S: int, limit: float, biases: dict[str, list[float]]
    ) -> Params:
        """Draw S networks from U[-limit, limit].

        Parameters
        ----------
        rng
            A generator.
        S
            How many networks.
        limit
            The largest weight.
        biases
            For the kinds of gate named, each block's bias.
        """
        masks = self.masks
        params = {name: rng.uniform(-limit, limit, (S, *m.shape)) * m for name, m in masks.items()}
        params["W"][..., :-1, :] = self._repeat(params["W"][..., :-1, :: self.cells])
        for kind, bias in biases.items():
            params["W"][:, -1, self.kinds.index(kind)] = self._repeat(np.array(bias))
        return params

    def step(self, z: Array, c_prev: Array | float) -> BlockStep:
        """Run one step from the net inputs z = v W (..., kinds N) and c_prev (..., N)."""
        N = self.blocks * self.cells
        a = np.tanh(0.5 * z)  # σ(z) = (1 + tanh(z/2)) / 2
        gates, g = 0.5 * a[..., :-N] + 0.5, 2 * a[..., -N:]
        i, o = gates[..., :N], gates[..., -N:]
        f = gates[..., N : 2 * N] if self.forget_gates else 1.0
        c = f * c_prev + i * g
        hc = np.tanh(0.5 * c)
        return BlockStep(i, f, o, g, c, hc, o * hc)

    def forward(self, params: Params, xs: Array) -> tuple[Array, BlockStep]:
        """Run sequences xs (T, S, inputs), one for each network.

        Returns
        -------
        v : array (T, S, K)
            What the weights saw.
        steps : BlockStep
            Every step's values, each (T, S, N).
        """
        T, S, D = xs.shape
        K, kinds, N = params["W"].shape[1:]
        W = params["W"].reshape(S, K, kinds * N)
        v = np.zeros((T + 1, S, K))
        v[:T, :, :D] = xs
        v[..., -1] = 1
        c = np.zeros((S, N))
        steps = []
        for t in range(T):
            step = self.step((v[t, :, None] @ W)[:, 0], c)
            steps.append(step)
            c = step.c
            v[t + 1, :, D:-1] = self._sources(step)
        return v[:T], BlockStep(*map(np.array, zip(*steps, strict=True)))

    def outputs_at(self, params: Params, y: Array, x: Array) -> tuple[Array, Array]:
        """Return what the output units see, (..., S, J), and put out, (..., S, outputs)."""
        seen = np.concatenate([y, x, np.ones((*x.shape[:-1], 1))], axis=-1)
        return seen, sigmoid((seen[..., None, :] @ params["W_y"])[..., 0, :])

    def gradients(
        self, params: Params, v: Array, steps: BlockStep, seen: Array, dout: Array
    ) -> Params:
        """Return the truncated gradient of 1997: no error leaves a gate or a cell's input.

        With f = 1 the error inside a cell is a running sum, so no loop over time is needed.

        Parameters
        ----------
        params, v, steps
            As `forward` had and returned them.
        seen, dout : arrays (T, S, J), (T, S, outputs)
            What the output units saw, and ∂L/∂(their net input); zero where there is no target.
        """
        i, _, o, g, _, hc, _ = steps
        dy = (dout[:, :, None] @ params["W_y"].swapaxes(-1, -2))[:, :, 0, : i.shape[-1]]
        dc = np.cumsum((dy * o * (1 - hc**2) / 2)[::-1], axis=0)[::-1]
        dz = np.stack([dc * g * i * (1 - i), dy * hc * o * (1 - o), dc * i * (1 - g**2 / 4)], 2)
        dW = _over_time(v, dz.reshape(*v.shape[:2], -1)).reshape(params["W"].shape)
        return self.tie({"W": dW, "W_y": _over_time(seen, dout)})

    def fresh(self, params: Params) -> Params:
        """Return the state of S networks before a stream: all zeros, for `learn_step`."""
        S, K, kinds, N = params["W"].shape
        recurrent = K - self.inputs - 1
        return {
            "sources": np.zeros((S, recurrent)),
            "c": np.zeros((S, N)),
            "dc_dW": np.zeros((S, K, kinds, N)),
        }

    def learn_step(
        self, params: Params, state: Params, x: Array, target: Array, rate: Array
    ) -> Array:
        """Read one input, predict, and learn at once; params and state change in place.

        The same truncated gradient, carried forward in time as dc/dW, so that every weight can
        move at every step (Hochreiter & Schmidhuber 1997, appendix A.1; Gers et al. 2000, sec. 3)::

            dc/dW = f dc_prev/dW + ∂c/∂W          with what the weights see, v, taken as constant

        Parameters
        ----------
        params, state
            The networks, and what `fresh` returned.
        x, target : arrays (S, inputs), (S, outputs)
            The input and what should be put out.
        rate : array (S,)
            Each network's learning rate.

        Returns
        -------
        out : array (S, outputs)
            What was put out, before learning.
        """
        S, K, kinds, N = params["W"].shape
        v = np.concatenate([x, state["sources"], np.ones((S, 1))], axis=-1)
        z = (v[:, None] @ params["W"].reshape(S, K, kinds * N))[:, 0]
        c_prev, dc_dW = state["c"], state["dc_dW"]
        step = self.step(z, c_prev)
        i, f, o, g, c, hc, y = step
        seen, out = self.outputs_at(params, y, x)

        slopes = {"i": g * i * (1 - i), "f": c_prev * f * (1 - f), "g": i * (1 - g**2 / 4)}
        dc_dz = np.stack([slopes.get(kind, 0 * c) for kind in self.kinds], axis=1)
        if self.forget_gates:
            dc_dW *= f[:, None, None]
        dc_dW += v[:, :, None, None] * dc_dz[:, None]

        dout = (out - target) * out * (1 - out)
        dy = (params["W_y"][:, :N] @ dout[..., None])[..., 0]
        dW = dc_dW * (dy * o * (1 - hc**2) / 2)[:, None, None]
        dW[:, :, self.kinds.index("o")] = v[:, :, None] * (dy * hc * o * (1 - o))[:, None]
        grads = self.tie({"W": dW, "W_y": seen[..., None] * dout[:, None]})
        for name, grad in grads.items():
            params[name] -= rate.reshape(-1, *(1,) * (grad.ndim - 1)) * grad

        state["c"], state["sources"] = c, self._sources(step)
        return out

    def predict_step(
        self, params: Params, x: Array, sources: Array | float, c: Array | float
    ) -> tuple[Array, Array, BlockStep]:
        """Read one input of B sequences for each network, without learning.

        Parameters
        ----------
        params
            S networks.
        x : array (S, B, inputs)
            The input.
        sources, c : arrays (S, B, ·), (S, B, N), or 0
            What the step before returned: its sources and its `BlockStep.c`.

        Returns
        -------
        out : array (S, B, outputs)
        sources : array (S, B, ·)
        step : BlockStep
            Arrays (S, B, N).
        """
        S, K, kinds, N = params["W"].shape
        one = np.ones((*x.shape[:-1], 1))
        fed = np.broadcast_to(sources, (*x.shape[:-1], K - self.inputs - 1))
        v = np.concatenate([x, fed, one], axis=-1)
        step = self.step(v @ params["W"].reshape(S, K, kinds * N), c)
        out = sigmoid(np.concatenate([step.y, x, one], axis=-1) @ params["W_y"])
        return out, self._sources(step), step

    def tie(self, grads: Params) -> Params:
        """Sum each gate's gradient over its copies, and drop weights that don't exist."""
        dW = grads["W"]
        gates = dW.reshape(*dW.shape[:-1], self.blocks, self.cells)[..., :-1, :, :]
        gates[...] = gates.sum(axis=-1, keepdims=True)
        return {name: grad * self.masks[name] for name, grad in grads.items()}

    def _sources(self, step: BlockStep) -> Array:
        """Return what a step sends to the next: outputs and perhaps gates, without copies."""
        if not self.gates_recur:
            return step.y
        gates = (step.i, step.f, step.o) if self.forget_gates else (step.i, step.o)
        return np.concatenate([step.y, *(gate[..., :: self.cells] for gate in gates)], axis=-1)

    def _repeat(self, per_block: Array) -> Array:
        return np.repeat(per_block, self.cells, axis=-1)


def _over_time(a: Array, b: Array) -> Array:
    """Return Σ_t a_tᵀ b_t of each network: (T, S, J), (T, S, K) -> (S, J, K)."""
    return a.transpose(1, 2, 0) @ b.transpose(1, 0, 2)
