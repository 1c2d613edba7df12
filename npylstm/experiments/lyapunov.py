"""The first Lyapunov exponent tells how fast gradients vanish or explode.

A small change δs_t of the state and the gradient g_t = ∂L/∂s_t belong together: g_t · δs_t = δL at
every step t, whatever the cell. So over the same steps of the same sequence the one norm shrinks as
the other grows, but for the angle between the two::

    ln |g_t| = ln |δL| - ln |δs_t| - ln cos(g_t, δs_t)

The angle comes and goes and does not grow with the lag; hence the two rates agree.
"""

from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from npylstm.analysis import lyapunov_spectrum
from npylstm.backend import Array
from npylstm.cells import RNNCell, chrono
from npylstm.experiments.results import Experiment, Found, Result, Row, spread
from npylstm.experiments.success import CELLS
from npylstm.sequence import backward_steps, unroll

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


@dataclass(frozen=True)
class Settings:
    """How the study is run: the sequences' number, and the lags between which rates are taken.

    Before its rate is taken, the gradient has the first lag to turn into the direction that grows
    the most; so has the small change, coming from the other end.
    """

    seeds: int
    hidden: int
    sequences: int
    lags: tuple[int, int] = (200, 600)


def measure(name: str, settings: Settings, seed: int) -> tuple[float, Array]:
    """Return a fresh network's first exponent, and the mean ln of its gradient norm at each lag."""
    rng = np.random.default_rng(seed)
    H, (first, last) = settings.hidden, settings.lags
    cell = _cells(H)[name](INPUTS, H)
    params = cell.init(rng)
    if name == "LSTM, chrono":
        params = chrono(cell, params, MEMORY, rng)
    xs = rng.standard_normal((last + first, settings.sequences, INPUTS))
    if name == CHAOTIC:
        xs *= 0.1
    exponent = lyapunov_spectrum(cell, params, xs[:last], exponents=1, skip=first).mean()

    dstate = cell.zero_state(xs[0])._replace(h=rng.standard_normal((settings.sequences, H)))
    steps = backward_steps(cell, params, unroll(cell, params, xs)[2], dstate=dstate)
    norms = [np.linalg.norm(np.concatenate(ds, axis=-1), axis=-1) for _, ds, *_ in steps]
    return float(exponent), np.log(norms[: last + 1]).mean(axis=1)


def study(settings: Settings, executor: Executor | None) -> Found:
    """Measure every kind of network from every seed."""
    jobs = product(NETWORKS, [settings], range(settings.seeds))
    measured = spread(measure, jobs, executor)
    rows: list[Row] = []
    curves: dict[str, Array] = {}
    for k, name in enumerate(NETWORKS):
        found = measured[k * settings.seeds : (k + 1) * settings.seeds]
        curves[name] = np.mean([log_norms for _, log_norms in found], axis=0)
        exponent = float(np.mean([exponent for exponent, _ in found]))
        first, last = settings.lags
        slope = float(curves[name][last] - curves[name][first]) / (last - first)
        rows.append(
            {
                "network": name,
                "first exponent": exponent,
                "slope of ln gradient norm": slope,
                "difference, %": 100 * (slope / exponent - 1),
            }
        )
    return rows, curves


def plot(ax: Any, result: Result) -> Any:
    """Draw the measured gradient norms beside the straight lines that the exponents predict."""
    from npylstm.plots import plot_exponents  # brings Matplotlib, slow to import

    exponents = [row["first exponent"] for row in result.rows]
    return plot_exponents(ax, result.curves, exponents, result.title)


def _cells(hidden: int) -> dict[str, Any]:
    return CELLS | {CHAOTIC: partial(RNNCell, kernel_initializer=f"normal:{2 / hidden**0.5}")}


EXPERIMENT = Experiment(
    name="lyapunov",
    title="Gradients grow or shrink as the first Lyapunov exponent says",
    published=(
        "no figures to compare with; the method is that of Vogt et al. (2022) and Engelken, Wolf & "
        "Abbott (2023): the gradient norm goes like exp(first exponent x lag)"
    ),
    deviations=(
        "fresh networks, driven by Gaussian noise; ten times weaker for the one of gain 2, which "
        "stronger inputs would calm down",
        "both rates are taken over the same 400 steps of the same sequences",
    ),
    fast=Settings(seeds=2, hidden=32, sequences=20),
    full=Settings(seeds=5, hidden=128, sequences=20),
    study=study,
    plots=(plot,),
)
