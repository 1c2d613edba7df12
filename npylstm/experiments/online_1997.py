"""On-line learning as in 1997: one sequence, one step of gradient descent, until it is learnt.

The common part of `temporal_order_1997`, `long_lag` and `adding_1997`. S networks learn side by
side, each from sequences of its own; those that have learnt the task leave.
"""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from npylstm.data import Batch
from npylstm.experiments.blocks import Array, BlockNet, Params, Step
from npylstm.experiments.results import Found, Row, solved_row

CHUNK = 100
"""Sequences drawn at a time; whether a network has learnt is looked at this often."""


@dataclass(frozen=True)
class Problem:
    """A task of 1997 with its network, its settings and its rule for when to stop.

    A network has learnt the task when the last `window` sequences were all right, no output being
    off by `tolerance` or more, and their mean absolute error was below `mean_error`.

    Attributes
    ----------
    net : BlockNet
        The network.
    draw : callable
        (rng, size) -> Batch with targets (*size, outputs).
    learning_rate, limit : float
        The step, and the largest initial weight.
    tolerance, mean_error, window
        The rule.
    biases : dict
        Initial biases of each kind of gate; see `BlockNet.init`.
    """

    net: BlockNet
    draw: Callable[[np.random.Generator, tuple[int, ...]], Batch]
    learning_rate: float
    limit: float
    tolerance: float
    mean_error: float = np.inf
    window: int = 2000
    biases: dict[str, list[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    """How a study of 1997 is run."""

    seeds: int
    max_sequences: int
    test_sequences: int = 2560
    seed: int = 0


def study(problem: Problem, published: int, settings: Settings, executor: Executor | None) -> Found:
    """Train and test S networks; they run side by side, so there is nothing to hand out."""
    params, sequences, curve = learn(problem, settings.seeds, settings.max_sequences, settings.seed)
    rng, n = np.random.default_rng([settings.seed, 1]), settings.test_sequences
    errors = np.array([test_errors(problem, params, k, n, rng) for k in range(settings.seeds)])
    wrong = (errors.max(axis=-1) >= problem.tolerance).sum(axis=1)
    learnt = np.isfinite(sequences)
    row: Row = {"published": published, "weights": problem.net.n_weights}
    row |= solved_row(sequences, settings.max_sequences)
    row |= {
        f"wrong of {n}, worst solver": int(wrong[learnt].max()) if learnt.any() else None,
        f"wrong of {n}, median of all": int(np.median(wrong)),
        "mean |error|, all": float(errors.mean()),
    }
    curves = {"sequences": CHUNK * np.arange(1, len(curve) + 1), "error": curve}
    return [row], curves | {
        "solved at": sequences,
        "wrong": wrong,
        "published": np.array(published),
    }


def learn(problem: Problem, S: int, cap: int, seed: int) -> tuple[Params, Array, Array]:
    """Train S networks until each has learnt the task, or seen `cap` sequences.

    Returns
    -------
    params : dict of arrays (S, ...)
        Each network when it left.
    sequences : array (S,)
        After how many sequences it had learnt, the last `window` among them; NaN if never.
    curve : array (chunks, S)
        The mean absolute error in each chunk of sequences; NaN after a network left.
    """
    rng, window = np.random.default_rng(seed), problem.window
    params = problem.net.init(rng, S, problem.limit, problem.biases)
    final = {name: w.copy() for name, w in params.items()}
    sequences, curve = np.full(S, np.nan), np.full((cap // CHUNK, S), np.nan)
    means, maxima = np.full((window, S), np.inf), np.full((window, S), np.inf)
    left = np.arange(S)
    for chunk in tqdm(range(cap // CHUNK), unit=f" x {CHUNK} sequences", disable=None):
        batch = problem.draw(rng, (CHUNK, len(left)))
        rows = np.arange(chunk * CHUNK, (chunk + 1) * CHUNK) % window
        for n, row in enumerate(rows):
            error, dout, v, steps, seen = run(problem.net, params, batch, n)
            grads = problem.net.gradients(params, v, steps, seen, dout)
            params = {name: w - problem.learning_rate * grads[name] for name, w in params.items()}
            means[row, left] = abs(error).mean(axis=-1)
            maxima[row, left] = abs(error).max(axis=-1)
        curve[chunk, left] = means[rows][:, left].mean(axis=0)
        for name, w in params.items():
            final[name][left] = w
        learnt = (maxima[:, left] < problem.tolerance).all(axis=0)
        learnt &= means[:, left].mean(axis=0) < problem.mean_error
        sequences[left[learnt]] = (chunk + 1) * CHUNK
        left, params = left[~learnt], {name: w[~learnt] for name, w in params.items()}
        if not left.size:
            break
    return final, sequences, curve[: chunk + 1]


def test_errors(
    problem: Problem, params: Params, network: int, n: int, rng: np.random.Generator
) -> Array:
    """Return one network's |error| (n, outputs) in n new sequences, run beside each other."""
    errors = []
    for size in np.diff([*range(0, n, CHUNK), n]):
        copies = {name: np.repeat(w[network : network + 1], size, 0) for name, w in params.items()}
        error, *_ = run(problem.net, copies, problem.draw(rng, (1, int(size))), 0)
        errors.append(abs(error))
    return np.concatenate(errors)


def run(
    net: BlockNet, params: Params, batch: Batch, n: int
) -> tuple[Array, Array, Array, Step, Array]:
    """Run each network on its n-th sequence; return the error (S, outputs) at the end, and how.

    Returns
    -------
    error : array (S, outputs)
        Output minus target.
    dout : array (T, S, outputs)
        The gradient of half its square with respect to the outputs' net input; 0 before the end.
    v, steps, seen
        As `BlockNet.gradients` wants them.
    """
    xs, ends = batch.xs[: batch.lengths[n].max(), n], batch.lengths[n] - 1
    last = ends, np.arange(len(ends))  # where each network's sequence ends
    v, steps = net.forward(params, xs)
    seen, out = net.outputs_at(params, steps.y[last], xs[last])
    error = out - batch.targets[n]
    all_seen, dout = (np.zeros((*xs.shape[:2], a.shape[-1])) for a in (seen, out))
    all_seen[last], dout[last] = seen, error * out * (1 - out)
    return error, dout, v, steps, all_seen
