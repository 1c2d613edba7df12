"""On-line learning as in 1997: one sequence, one step of gradient descent, until it is learnt.

S networks learn side by side, each from sequences of its own; those that have learnt the task
leave. The tasks, experiments 6a, 2c and 4 of Hochreiter & Schmidhuber (1997), are in `PROBLEMS`.
"""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from npylstm.checks import Option
from npylstm.data import Batch, adding_1997, long_lag, temporal_order_1997
from npylstm.experiments import figures
from npylstm.experiments.blocks import Array, BlockNet, BlockStep, Params
from npylstm.experiments.study import (
    Measured,
    Study,
    StudyResult,
    TableRow,
    Verdict,
    progress,
    solved_row,
)

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
    published : int
        After how many sequences the networks of the paper had learnt it, on average.
    biases : dict
        Initial biases of each kind of gate; see `BlockNet.init`.
    """

    net: BlockNet
    draw: Callable[[np.random.Generator, tuple[int, ...]], Batch]
    learning_rate: float
    limit: float
    tolerance: float
    published: int = 0
    mean_error: float = np.inf
    window: int = 2000
    biases: dict[str, list[float]] = field(default_factory=dict)


def measure(
    _executor: Executor | None,
    *,
    problem: Problem,
    seeds: int,
    max_sequences: int,
    test_sequences: int,
    seed: int,
) -> Measured:
    """Train and test S networks; they run side by side, so there is nothing to hand out."""
    params, sequences, curve = learn(problem, seeds, max_sequences, seed)
    rng, n = np.random.default_rng([seed, 1]), test_sequences
    errors = np.array([test_errors(problem, params, k, n, rng) for k in range(seeds)])
    wrong = (errors.max(axis=-1) >= problem.tolerance).sum(axis=1)
    learnt = np.isfinite(sequences)
    row: TableRow = {"published mean": problem.published, "weights": problem.net.n_weights}
    row |= solved_row(sequences, max_sequences)
    row |= {
        "mean of the solvers": int(sequences[learnt].mean()) if learnt.any() else None,
        f"wrong of {n:,}, worst solver": int(wrong[learnt].max()) if learnt.any() else None,
        f"wrong of {n:,}, median of all": int(np.median(wrong)),
        "mean |error|, all": float(errors.mean()),
    }
    curves = {"sequences": CHUNK * np.arange(1, len(curve) + 1), "error": curve}
    return [row], curves | {
        "solved at": sequences,
        "wrong": wrong,
        "published": np.array(problem.published),
    }


def judge(result: StudyResult) -> Verdict:
    """Say how many networks learnt and when; published is that all do, within a factor of two."""
    times, published = result.curves["solved at"], int(result.curves["published"])
    learnt, cap = times[np.isfinite(times)], result.settings["max_sequences"]
    says = f"{len(learnt)} of {len(times)} networks meet the rule within {cap:,} sequences"
    if len(learnt):
        says += f", after {learnt.mean():,.0f} on average (published {published:,})"
    elif cap < 2 * published:
        return Verdict(f"{says}, too few to tell: the published mean is {published:,}")
    return Verdict(says, len(learnt) == len(times) and learnt.mean() <= 2 * published)


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
    for chunk in progress(range(cap // CHUNK), cap // CHUNK, f" x {CHUNK} sequences"):
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
) -> tuple[Array, Array, Array, BlockStep, Array]:
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


def one_hot(
    draw: Callable[..., Batch], classes: int, rng: np.random.Generator, size: tuple[int, ...]
) -> Batch:
    """Draw sequences with a one-hot target."""
    batch = draw(rng, size=size)
    return batch._replace(targets=np.eye(classes)[batch.targets])


def adding_100(rng: np.random.Generator, size: tuple[int, ...]) -> Batch:
    """Draw sequences of 100 to 110 steps."""
    return adding_1997(rng, 100, size)


PROBLEMS = {
    "temporal-order-1997": Problem(
        net=BlockNet(inputs=8, outputs=4, blocks=2, cells=2),
        draw=partial(one_hot, temporal_order_1997, 4),
        learning_rate=0.5,
        limit=0.1,
        biases={"i": [-2, -4]},
        tolerance=0.3,
        mean_error=0.1,
        published=31_390,
    ),
    "long-lag": Problem(
        net=BlockNet(54, 2, blocks=2, cells=1, biased="none", output_bias=False),
        draw=partial(one_hot, partial(long_lag, q=50, p=50), 2),
        learning_rate=0.01,
        limit=0.2,
        tolerance=0.2,
        published=30_000,
    ),
    "adding-1997": Problem(
        net=BlockNet(inputs=2, outputs=1, blocks=2, cells=2),
        draw=adding_100,
        learning_rate=0.5,
        limit=0.1,
        biases={"i": [-3, -6]},
        tolerance=0.04,
        mean_error=0.01,
        published=74_000,
    ),
}
"""Experiments 6a, 2c and 4 of 1997, by the names of their studies."""


def _study(name: str, **about: Option) -> Study:
    """Return one of the three studies."""
    looks = "looked at every 100 sequences whether the rule is met"
    return Study(
        name=name,
        measure=partial(measure, problem=PROBLEMS[name]),
        draw=figures.panels(figures.learning_curves),
        verdict=judge,
        deviations=(*about.pop("deviations", ()), looks),
        caption=(
            "The mean absolute error of each of {seeds} networks against the sequences it has "
            "learnt from, at most {max_sequences:,}; a network that has learnt the task keeps its "
            "last error in the median."
        ),
        **about,
    )


STUDIES = (
    _study(
        "temporal-order-1997",
        title="Temporal order, T = 100, as in 1997 (experiment 6a)",
        published=(
            "Hochreiter & Schmidhuber (1997), table 9: 31,390 sequences on average, 20 of 20 "
            "networks, 1 of 2,560 test sequences wrong"
        ),
        full={"seeds": 20, "max_sequences": 60_000, "test_sequences": 2560, "seed": 0},
        fast={"seeds": 3, "max_sequences": 30_000},
    ),
    _study(
        "long-lag",
        title="Long time lag, q = p = 50, as in 1997 (experiment 2c)",
        published=(
            "Hochreiter & Schmidhuber (1997), table 3: 30,000 sequences on average, 20 networks"
        ),
        deviations=(
            "learnt: the last 2,000 sequences right, as in the paper's later experiments, not "
            "10,000: networks that have learnt still stumble over about one in thousands",
        ),
        full={"seeds": 10, "max_sequences": 100_000, "test_sequences": 10_000, "seed": 0},
        fast={"seeds": 3, "max_sequences": 35_000, "test_sequences": 2560},
    ),
    _study(
        "adding-1997",
        title="Adding problem, T = 100, as in 1997 (experiment 4)",
        published=(
            "Hochreiter & Schmidhuber (1997), table 7: 74,000 sequences on average, 10 networks, "
            "1 of 2,560 test sequences wrong"
        ),
        full={"seeds": 10, "max_sequences": 200_000, "test_sequences": 2560, "seed": 0},
        fast={"seeds": 2, "max_sequences": 30_000},
    ),
)
