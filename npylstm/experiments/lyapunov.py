"""The first Lyapunov exponent tells how fast gradients vanish or explode."""

from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from npylstm.analysis.lyapunov import lyapunov_spectrum
from npylstm.backend import Array
from npylstm.cells.chrono import chrono
from npylstm.cells.rnn import RNNCell
from npylstm.experiments.results import Experiment, Found, Result, Row, spread
from npylstm.experiments.success import CELLS
from npylstm.sequence.unroll import backward_steps, unroll

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
    """How the study is run: the sequences' number, and the two ranges of lags for the slope."""

    seeds: int
    hidden: int
    sequences: int
    lags: tuple[int, int] = (50, 200)
    late_lags: tuple[int, int] = (200, 600)


def measure(name: str, settings: Settings, seed: int) -> tuple[float, Array]:
    """Return a fresh network's first exponent, and the mean ln of its gradient norm at each lag."""
    rng = np.random.default_rng(seed)
    H, skip, last = settings.hidden, settings.lags[1], settings.late_lags[1]
    cell = _cells(H)[name](INPUTS, H)
    params = cell.init(rng)
    if name == "LSTM, chrono":
        params = chrono(cell, params, MEMORY, rng)
    xs = rng.standard_normal((skip + last, settings.sequences, INPUTS))
    if name == CHAOTIC:
        xs *= 0.1  # stronger inputs saturate the units, and calm the network down
    exponent = lyapunov_spectrum(cell, params, xs, exponents=1, skip=skip).mean()

    dstate = cell.zero_state(xs[0])._replace(h=rng.standard_normal((settings.sequences, H)))
    steps = backward_steps(cell, params, unroll(cell, params, xs)[2], dstate=dstate)
    norms = [np.linalg.norm(np.concatenate(ds, axis=-1), axis=-1) for _, ds, *_ in steps]
    return float(exponent), np.log(norms[: last + 1]).mean(axis=1)


def slope(log_norms: Array, lags: tuple[int, int]) -> float:
    """Return the slope of the straight line through log_norms (L,) from one lag to another."""
    first, last = lags
    return float(np.polyfit(np.arange(first, last + 1), log_norms[first : last + 1], 1)[0])


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
        row: Row = {"network": name, "first exponent": exponent}
        for first, last in (settings.lags, settings.late_lags):
            measured_slope = slope(curves[name], (first, last))
            row[f"slope, lags {first}-{last}"] = measured_slope
            row[f"difference, % ({first}-{last})"] = 100 * (measured_slope / exponent - 1)
        rows.append(row)
    return rows, curves


def plot(ax: Any, result: Result) -> Any:
    """Draw the measured gradient norms beside the straight lines that the exponents predict."""
    from npylstm.gradient_plots import plot_exponents  # brings Matplotlib, slow to import

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
        "where the exponent is near 0 (forget bias 3) differences of it mean little in per cent",
        "with chrono initialisation the units' time scales go up to 100 steps, and the slope "
        "settles only over later lags",
    ),
    fast=Settings(seeds=2, hidden=48, sequences=20),
    full=Settings(seeds=3, hidden=128, sequences=10),
    study=study,
    plots=(plot,),
)
