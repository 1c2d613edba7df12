"""The first Lyapunov exponent says how fast gradients vanish or explode.

A small change δs_t of the state and the gradient g_t = ∂L/∂s_t belong together: g_t · δs_t = δL at
every step t, for any cell. So over the same steps of the same sequence one norm shrinks as the
other grows, except for the angle between the two::

    ln |g_t| = ln |δL| - ln |δs_t| - ln cos(g_t, δs_t)

The angle comes and goes and does not grow with the lag, so the two rates agree.
"""

from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from npylstm.analysis import lyapunov_spectrum
from npylstm.backend import Array
from npylstm.cells import Cell, RNNCell
from npylstm.experiments import figures
from npylstm.experiments.networks import CELLS, prepared
from npylstm.experiments.study import Measured, Study, StudyResult, TableRow, Verdict, spread
from npylstm.sequence import backward_steps, unroll

if TYPE_CHECKING:  # slow to import
    from matplotlib.axes import Axes

INPUTS = 28
CHAOTIC = "tanh RNN, gain 2"
NETWORKS = (
    "tanh RNN, glorot",
    "tanh RNN, orthogonal",
    CHAOTIC,
    "LSTM, forget bias 0",
    "LSTM, forget bias 1",
    "LSTM, forget bias 3",
    "LSTM, chrono",
)
MEMORY = 100
"""The longest dependency that the chrono initialisation is told to expect."""


def rates(
    name: str, seed: int, *, hidden: int, sequences: int, lags: tuple[int, int]
) -> tuple[float, Array]:
    """Return a fresh network's first exponent, and the mean ln of its gradient norm at each lag."""
    rng = np.random.default_rng(seed)
    first, last = lags
    cell = _cells(hidden)[name](INPUTS, hidden)
    params = prepared(name, cell, cell.init(rng), MEMORY, rng)
    xs = rng.standard_normal((last + first, sequences, INPUTS))
    if name == CHAOTIC:
        xs *= 0.1
    exponent = lyapunov_spectrum(cell, params, xs[:last], exponents=1, skip=first).mean()

    dstate = cell.zero_state(xs[0])._replace(h=rng.standard_normal((sequences, hidden)))
    steps = backward_steps(cell, params, unroll(cell, params, xs)[2], dstate=dstate)
    norms = [np.linalg.norm(np.concatenate(ds, axis=-1), axis=-1) for _, ds, *_ in steps]
    with np.errstate(divide="ignore"):  # a gradient that has come to an end: ln 0 = -inf
        return float(exponent), np.log(norms[: last + 1]).mean(axis=1)


def measure(
    executor: Executor | None, *, seeds: int, hidden: int, sequences: int, lags: tuple[int, int]
) -> Measured:
    """Measure every kind of network from every seed, between two lags.

    Before its rate is taken, the gradient has the first lag to turn into the direction that grows
    the most; so has the small change, coming from the other end.
    """
    job = partial(rates, hidden=hidden, sequences=sequences, lags=lags)
    measured = spread(job, product(NETWORKS, range(seeds)), executor)
    rows: list[TableRow] = []
    curves: dict[str, Array] = {}
    first, last = lags
    for k, name in enumerate(NETWORKS):
        found = measured[k * seeds : (k + 1) * seeds]
        curves[name] = np.mean([log_norms for _, log_norms in found], axis=0)
        exponents = np.array([exponent for exponent, _ in found])
        curves[f"{name}: exponents"] = exponents
        with np.errstate(invalid="ignore"):  # a gradient that has come to an end has no slope
            slope = float(curves[name][last] - curves[name][first]) / (last - first)
            off = 100 * (slope / exponents.mean() - 1)
        rows.append(
            {
                "network": name,
                "first exponent": float(exponents.mean()),
                "from": float(exponents.min()),
                "to": float(exponents.max()),
                "slope of ln gradient norm": slope,
                "difference, %": float(off),
            }
        )
    return rows, curves


def judge(result: StudyResult) -> Verdict:
    """Say how far slopes and exponents are apart; they agree within 5 % or 0.001 a step."""
    pairs = {row["network"]: (row["slope of ln gradient norm"], row["first exponent"])
             for row in result.rows}  # fmt: skip
    found = {name: pair for name, pair in pairs.items() if all(isinstance(v, float) for v in pair)}
    gap = max((abs(slope - exponent) for slope, exponent in found.values()), default=np.nan)
    close = [
        name for name, (slope, exponent) in found.items()
        if abs(slope - exponent) <= max(0.001, 0.05 * abs(exponent))
    ]  # fmt: skip
    return Verdict(
        f"in {len(close)} of {len(pairs)} networks the slope of the log gradient norm is the "
        f"first exponent, within 5 % or 0.001; they are at most {gap:.1g} a step apart",
        len(close) == len(pairs),
    )


def plot(ax: "Axes", result: StudyResult) -> "Axes":
    """Draw the measured gradient norms beside the straight lines that the exponents predict."""
    from npylstm.plots import plot_exponents  # brings Matplotlib, slow to import

    exponents = [float(result.curves[f"{name}: exponents"].mean()) for name in NETWORKS]
    return plot_exponents(ax, {name: result.curves[name] for name in NETWORKS}, exponents, "")


def _cells(hidden: int) -> dict[str, Callable[[int, int], Cell]]:
    return {**CELLS, CHAOTIC: partial(RNNCell, kernel_initializer=f"normal:{2 / hidden**0.5}")}


STUDY = Study(
    name="lyapunov",
    title="Gradient norms and the first Lyapunov exponent",
    published=(
        "no figures to compare with; the method is that of Vogt et al. (2022) and Engelken, Wolf & "
        "Abbott (2023): the gradient norm goes like exp(first exponent x lag)"
    ),
    deviations=(
        "fresh networks, driven by Gaussian noise; ten times weaker for the one of gain 2, which "
        "stronger inputs would calm down",
        "both rates are taken over the same steps of the same sequences",
    ),
    full={"seeds": 5, "hidden": 128, "sequences": 20, "lags": (200, 600)},
    fast={"seeds": 2, "hidden": 32},
    measure=measure,
    draw=figures.panels(plot),
    verdict=judge,
    caption=(
        "Marks: the norm of the loss gradient at each lag, mean of {sequences} sequences and "
        "{seeds} fresh networks of {hidden} units. Lines: what the first exponent predicts."
    ),
    size=(10.0, 5.0),
)
