"""Why the forget gate: an endless stream of Reber strings (Gers, Schmidhuber & Cummins 2000).

The 1997 cell never loses what it has added up, so its state grows for as long as the stream goes
on and its output saturates. Somebody has to tell it where a string ends, or it learns to do so.
"""

from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

import numpy as np

from npylstm.data import EmbeddedReber
from npylstm.experiments import figures
from npylstm.experiments.blocks import Array, BlockNet, BlockStep, Params
from npylstm.experiments.study import Measured, Study, StudyResult, TableRow, Verdict, spread

TOLERANCE = 0.49
"""A prediction is right if no output is off by as much from 1 (may come next) or 0 (may not)."""

BIASES = [-0.5, -1.0, -1.5, -2.0]


@dataclass(frozen=True)
class Network:
    """A kind of network: with forget gates or without, and what helps it."""

    forget_gates: bool = False
    external_reset: bool = False
    decay: float = 1.0
    published: str = ""

    @property
    def net(self) -> BlockNet:
        """Four blocks of two cells; 424 weights with forget gates."""
        return BlockNet(
            7, 7, 4, 2, self.forget_gates, gates_recur=False, biased="gates", shortcut=True
        )


VARIANTS = {
    "standard": Network(published="0 / 1 <1166> / 99 <37>"),
    "standard, external reset": Network(external_reset=True, published="74 / 0 / 26 <31>"),
    "forget gates": Network(True, published="18 / 29 <39171> / 53 <145>"),
    "forget gates, rate decays": Network(True, decay=0.99, published="62 / 6 <68464> / 32 <30>"),
}


def train(
    variant: Network,
    seeds: int,
    symbols: int,
    check_every: int,
    test_streams: int = 10,
    perfect: int = 10_000,
    learning_rate: float = 0.5,
    seed: int = 0,
) -> tuple[Params, Array, Array]:
    """Train S networks on streams that restart at each wrong prediction.

    Every network takes a step of gradient descent at every symbol. The truncated gradient is
    carried forward in time, as dc/dW, which needs no memory of the past (1997, appendix A.1).

    Parameters
    ----------
    variant
        The kind of network.
    seeds
        S.
    symbols, check_every
        How many symbols each reads, and after how many it is tested.
    test_streams, perfect
        A test has `test_streams` streams of `perfect` symbols; a network that makes no error in it
        is finished.
    learning_rate, seed
        The rate at the start of a stream; where random numbers start.

    Returns
    -------
    params : dict of arrays (S, ...)
        Each network at its best test.
    lengths : array (S,)
        The mean length of the streams that it survived in that test.
    streams : array (S,)
        How many training streams it had seen by then.
    """
    rng, S, net = np.random.default_rng(seed), seeds, variant.net
    gates = {"i": BIASES, "o": BIASES} | ({"f": [-b for b in BIASES]} if net.forget_gates else {})
    params = net.init(rng, S, 0.2, gates)
    best = {name: w.copy() for name, w in params.items()}
    lengths, best_streams, streams = np.full(S, -1.0), np.zeros(S, int), np.zeros(S, int)
    left = np.arange(S)
    state, rate = net.fresh(params), np.full(S, learning_rate)
    grammar = EmbeddedReber(rng, S)
    for symbol in range(1, symbols + 1):
        x = np.eye(7)[grammar.step()]
        out = net.learn_step(params, state, x, grammar.legal, rate)
        failed = wrong(out, grammar)
        streams[left] += failed
        rate = np.where(failed, learning_rate, rate * variant.decay)
        for array in state.values():
            array[failed | (variant.external_reset & (grammar.state == 0))] = 0
        grammar.state[failed] = 0
        if symbol % check_every:
            continue
        survived = survival(variant, params, test_streams, perfect, rng)
        better = survived > lengths[left]
        improved = left[better]
        lengths[improved], best_streams[improved] = survived[better], streams[improved]
        for name, w in params.items():
            best[name][improved] = w[better]
        keep = survived < perfect
        left, rate, grammar.state = left[keep], rate[keep], grammar.state[keep]
        params, state = ({k: a[keep] for k, a in d.items()} for d in (params, state))
        if not left.size:
            break
    return best, lengths, best_streams


def wrong(out: Array, grammar: EmbeddedReber) -> Array:
    """Return which predictions (..., 7) miss the symbols that may come next."""
    failed: Array = abs(out - grammar.legal).max(axis=-1) >= TOLERANCE
    return failed


def run(
    variant: Network, params: Params, grammar: EmbeddedReber, symbols: int
) -> Iterator[tuple[Array, BlockStep]]:
    """Run networks on streams (S, streams) without learning.

    Yields
    ------
    failed : array of bool (S, streams)
        Whose prediction was wrong.
    step : BlockStep
        What happened in the cells, arrays (S, streams, N).
    """
    sources: Array | float = 0.0
    c: Array | float = 0.0
    for _ in range(symbols):
        x = np.eye(7)[grammar.step()]
        out, sources, step = variant.net.predict_step(params, x, sources, c)
        yield wrong(out, grammar), step
        going_on = (grammar.state != 0)[..., None] if variant.external_reset else 1.0
        sources, c = sources * going_on, step.c * going_on


def survival(
    variant: Network, params: Params, streams: int, symbols: int, rng: np.random.Generator
) -> Array:
    """Return how many symbols each network predicts before its first mistake, on average: (S,)."""
    size = len(params["W"]), streams
    alive, length = np.ones(size, bool), np.zeros(size)
    for failed, _ in run(variant, params, EmbeddedReber(rng, size), symbols):
        alive &= ~failed
        length += alive
        if not alive.any():
            break
    mean: Array = length.mean(axis=1)
    return mean


def cell_states(variant: Network, params: Params, symbols: int, seed: int) -> Params:
    """Watch the cells on one endless stream for each network, mistakes or not.

    Returns
    -------
    dict of arrays
        `"c"`: max |c| after each symbol, the median of the networks, (symbols,); and `"f"`: every
        cell's forget gate -3 ... 3 symbols from the first of a string, the mean of all strings,
        (S, 7, N).
    """
    S = len(params["W"])
    grammar = EmbeddedReber(seed, (S, 1))
    first, c, f = [], [], []
    for _, step in run(variant, params, grammar, symbols):
        first.append(grammar.state[:, 0] == 1)
        c.append(step.c[:, 0])
        f.append(np.broadcast_to(step.f, step.c.shape)[:, 0])
    around = []
    for network, gates in zip(np.array(first).T, np.array(f).swapaxes(0, 1), strict=True):
        starts = np.flatnonzero(network[3:-3]) + 3
        around.append([gates[starts + k].mean(axis=0) for k in range(-3, 4)])
    return {"c": np.median(abs(np.array(c)).max(axis=-1), axis=1), "f": np.array(around)}


def job(
    name: str, /, *, good: int, state_symbols: int, perfect: int, seed: int, **how: int
) -> tuple[TableRow, Params]:
    """Train, test and watch one kind of network; return a row of the table and curves."""
    variant = VARIANTS[name]
    params, lengths, streams = train(variant, perfect=perfect, seed=seed, **how)
    is_perfect, is_good = lengths >= perfect, lengths > good
    states = cell_states(variant, params, state_symbols, seed)
    f = np.median(figures.resetting_cell(states["f"]), axis=0)
    row: TableRow = {
        "network": name,
        "published": variant.published,
        "perfect": f"{is_perfect.sum()}/{len(lengths)}",
        "streams": int(streams[is_perfect].mean()) if is_perfect.any() else None,
        "good": f"{(is_good & ~is_perfect).sum()}/{len(lengths)}",
        "bad": f"{(~is_good).sum()}/{len(lengths)}",
        "<bad>": float(lengths[~is_good].mean()) if (~is_good).any() else None,
    }
    first, median, third = np.quantile(lengths, (0.25, 0.5, 0.75))
    row |= {"symbols, median": float(median), "quartiles": f"{first:,.0f} to {third:,.0f}"}
    row |= {f"|c| at {n}": float(states["c"][n - 1]) for n in (10, 100, 1000)}
    row |= {"f at a string's B": float(f[3]), "f at the inner B": float(f[5])}
    return row, {f"{name}: {key}": a for key, a in states.items()} | {f"{name}: lengths": lengths}


def measure(executor: Executor | None, *, networks: tuple[str, ...], **how: int) -> Measured:
    """Compare the kinds of network."""
    found = spread(partial(job, **how), [(name,) for name in networks], executor)
    rows = [row for row, _ in found]
    return rows, {name: curve for _, curves in found for name, curve in curves.items()}


def judge(result: StudyResult) -> Verdict:
    """Say who passes `good` symbols; published is that the standard cell never does."""
    good = result.settings["good"]
    lengths = {name: result.curves[f"{name}: lengths"] for name in result.settings["networks"]}
    passed = {name: int((some > good).sum()) for name, some in lengths.items()}
    grown = {name: result.curves[f"{name}: c"][-1] for name in lengths}
    n = result.settings["seeds"]
    counts = ", ".join(f"{passed[name]} ({name})" for name in passed)
    says = (
        f"of {n} networks each, more than {good:,} symbols without a mistake are passed by "
        f"{counts}; after {result.settings['state_symbols']:,} symbols |c| is "
        f"{grown['standard']:.0f} without forget gates, {grown['forget gates']:.1f} with"
    )
    bounded = grown["standard"] > 10 * grown["forget gates"]
    return Verdict(says, bool(bounded and passed["standard"] == 0 < passed["forget gates"]))


STUDY = Study(
    name="continual-reber",
    title="Continual Reber grammar: what the forget gate is for",
    published=(
        "Gers, Schmidhuber & Cummins (2000), table 2; 100 networks; in the table: perfect / good "
        "<length> / bad <length>, %"
    ),
    deviations=(
        "a target is 1 for each symbol that may come next; absolute errors must be below 0.49, "
        "for a squared error of 0.49 would pass 0.5 for both T and P",
        "perfect is {test_streams} streams of {perfect:,} symbols, not of 100,000, and good is "
        "more than {good:,} on average; each network counts at its best test",
        "training stops after {symbols:,} symbols, not after 30,000 streams",
    ),
    full={
        "networks": tuple(VARIANTS),
        "seeds": 30,
        "symbols": 500_000,
        "check_every": 10_000,
        "test_streams": 10,
        "perfect": 10_000,
        "good": 1_000,
        "learning_rate": 0.5,
        "state_symbols": 1_000,
        "seed": 0,
    },
    fast={
        "networks": ("standard", "standard, external reset", "forget gates"),
        "seeds": 5,
        "symbols": 130_000,
        "perfect": 1_000,
        "good": 100,
    },
    measure=measure,
    draw=figures.panels(figures.cell_state_growth, figures.forgetting),
    verdict=judge,
    caption=(
        "Left: the largest cell state while {seeds} trained networks of each kind read an endless "
        "text, mistakes or not. Right: the forget gate of the cell that lets go at the B that "
        "starts a string, around that B; median and quartiles."
    ),
    size=(14.0, 5.4),
)
