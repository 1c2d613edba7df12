"""Experiment 1 of 1997: predict strings of the embedded Reber grammar, symbol by symbol."""

from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np

from npylstm.data import Strings, embedded_reber
from npylstm.experiments import figures
from npylstm.experiments.blocks import Array, BlockNet, Params
from npylstm.experiments.study import (
    Measured,
    Study,
    StudyResult,
    TableRow,
    Verdict,
    solved_row,
    spread,
)

NET = BlockNet(7, 7, blocks=3, cells=2, biased="gates", output_bias=False)
OUTPUT_BIASES = [-1.0, -2.0, -3.0]


@dataclass(frozen=True)
class Rule:
    """One reading of what the paper leaves open."""

    every_symbol: bool = True
    legal_targets: bool = False
    input_biases: bool = False


VARIANTS = {
    "learns at every symbol": Rule(),
    "learns at the end of a string": Rule(every_symbol=False),
    "targets: all that may come next": Rule(legal_targets=True),
    "input gates biased -1, -2, -3": Rule(input_biases=True),
}


def string_sets(rng: np.random.Generator, n: int = 256) -> tuple[Strings, Strings]:
    """Draw n strings to train on, of which some are equal, and n other strings to test."""
    drawn = embedded_reber(rng, 20 * n)
    keys = [drawn.xs[:, k].tobytes() for k in range(20 * n)]
    known = set(keys[:n])
    new = {key: k for k, key in enumerate(keys) if key not in known}
    return _pick(drawn, np.arange(n)), _pick(drawn, np.array(list(new.values())[:n]))


def _pick(strings: Strings, k: Array) -> Strings:
    xs, targets, legal, lengths = strings
    return Strings(xs[:, k], targets[:, k], legal[:, k], lengths[k])


def train(
    variant: Rule,
    seed: int,
    *,
    seeds: int,
    max_strings: int,
    check_every: int,
    learning_rate: float,
) -> Array:
    """Train S networks on one pair of sets.

    Returns
    -------
    strings : array (2, S)
        After how many strings all 512 were predicted without a mistake, by both of the rules of
        `mistakes`; NaN if never.
    """
    rng, S = np.random.default_rng(seed), seeds
    sets = string_sets(rng)
    biases = {"o": OUTPUT_BIASES} | ({"i": OUTPUT_BIASES} if variant.input_biases else {})
    params = NET.init(rng, S, 0.2, biases)
    learn = learn_symbols if variant.every_symbol else learn_string
    strings, left = np.full((2, S), np.nan), np.arange(S)
    for n in range(1, max_strings + 1):
        chosen = _pick(sets[0], rng.integers(0, len(sets[0].lengths), len(left)))
        targets = chosen.legal if variant.legal_targets else chosen.targets
        params = learn(params, chosen, targets, learning_rate)
        if n % check_every == 0:
            solved = np.all([mistakes(params, strings_) == 0 for strings_ in sets], axis=0)
            strings[:, left] = np.where(solved, np.fmin(strings[:, left], n), strings[:, left])
            keep = ~solved[0]
            left, params = left[keep], {name: w[keep] for name, w in params.items()}
            if not left.size:
                break
    return strings


def learn_string(params: Params, strings: Strings, targets: Array, rate: float) -> Params:
    """Take one step of gradient descent by each network's string, as a whole."""
    T = strings.lengths.max()
    xs = strings.xs[:T]
    v, steps = NET.forward(params, xs)
    seen, out = NET.outputs_at(params, steps.y, xs)
    alive = np.arange(T)[:, None, None] < strings.lengths[:, None]
    dout = (out - targets[:T]) * out * (1 - out) * alive
    grads = NET.gradients(params, v, steps, seen, dout)
    return {name: w - rate * grads[name] for name, w in params.items()}


def learn_symbols(params: Params, strings: Strings, targets: Array, rate: float) -> Params:
    """Take a step of gradient descent at every symbol of each network's string."""
    params = {name: w.copy() for name, w in params.items()}
    state = NET.fresh(params)
    for t in range(strings.lengths.max()):
        rates = rate * (t < strings.lengths)
        NET.learn_step(params, state, strings.xs[t], targets[t], rates)
    return params


def mistakes(params: Params, strings: Strings) -> Array:
    """Return how many strings each network gets wrong somewhere, (2, S).

    By the paper's rule right is where all symbols that may come next are the most active outputs;
    by a milder one, where the most active output is a symbol that may come next.
    """
    S, n = len(params["W"]), len(strings.lengths)
    sources, c, right = np.zeros(1), np.zeros(1), np.ones((2, S, n), bool)
    for t, (x, legal) in enumerate(zip(strings.xs, strings.legal, strict=True)):
        out, sources, step = NET.predict_step(params, np.tile(x, (S, 1, 1)), sources, c)
        c = step.c
        least_legal = np.where(legal, out, np.inf).min(axis=-1)
        most_legal = np.where(legal, out, -np.inf).max(axis=-1)
        most_illegal = np.where(legal, -np.inf, out).max(axis=-1)
        on_top = np.array([least_legal > most_illegal, most_legal > most_illegal])
        right &= on_top | (t >= strings.lengths)
    wrong: Array = (~right).sum(axis=-1)
    return wrong


def measure(
    executor: Executor | None, *, sets: int, max_strings: int, check_every: int,
    seeds: int, learning_rate: float,
) -> Measured:  # fmt: skip
    """Try every reading on the same pairs of sets, `seeds` networks on each."""
    job = partial(train, seeds=seeds, max_strings=max_strings, check_every=check_every,
                  learning_rate=learning_rate)  # fmt: skip
    found = spread(job, product(VARIANTS.values(), range(sets)), executor)
    times = np.reshape(found, (len(VARIANTS), sets, 2, seeds)).swapaxes(1, 2)
    rows: list[TableRow] = []
    curves = {}
    for name, (strings, mild) in zip(VARIANTS, times, strict=True):
        curves[name] = strings.ravel()
        row = {"network": name} | solved_row(curves[name], max_strings, "strings")
        rows.append(row | {"by the mild rule": f"{np.isfinite(mild).sum()}/{mild.size}"})
    return rows, curves


def judge(result: StudyResult) -> Verdict:
    """Say how many networks learn the grammar by the best reading; published is that all do."""
    counts = {name: int(np.isfinite(times).sum()) for name, times in result.curves.items()}
    best = max(counts, key=lambda name: counts[name])
    n, cap = len(result.curves[best]), result.settings["max_strings"]
    says = f"by no reading more than {counts[best]} of {n} networks learn it within {cap:,} strings"
    if cap < 24_100:
        return Verdict(f"{says}, too few to tell: the slowest of the paper took 24,100")
    return Verdict(f"{says} (published: 30 of 30 after 8,440)", counts[best] == n)


STUDY = Study(
    name="embedded-reber",
    title="Embedded Reber grammar, as in 1997 (experiment 1)",
    published=(
        "Hochreiter & Schmidhuber (1997), table 1: 100 % of 30 trials, after 8,440 strings "
        "(3,800 to 24,100) at rate 0.5"
    ),
    deviations=(
        "three blocks of two cells; the rows are readings of what the paper leaves open; something "
        "else may be missing that it does not say",
        "looked at every {check_every:,} strings whether both sets are predicted; by the mild rule "
        "they are when the most active output is always one of the symbols that may come next",
    ),
    full={
        "seeds": 10,
        "sets": 3,
        "max_strings": 48_000,
        "check_every": 500,
        "learning_rate": 0.5,
    },
    fast={"seeds": 5, "sets": 1, "max_strings": 6_000},
    measure=measure,
    draw=figures.panels(figures.strings_to_learn),
    verdict=judge,
    caption=(
        "After how many strings each network has learnt the grammar; bar: the median of those that "
        "have, right: how many have."
    ),
)
