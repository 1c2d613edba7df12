"""The gates of a network at work: when they are open, and how long its units remember."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from npylstm.analysis.watching import label, watch
from npylstm.backend import Array, to_numpy
from npylstm.cells import Params
from npylstm.models import SequenceModel


@dataclass(frozen=True)
class Traces:
    """What happens inside a model's cells while it reads.

    In a model with several cells the names carry the cell's number, as in `GradientFlow`.

    Attributes
    ----------
    gates : dict of array (T, B, H)
        Every gate's activation, `"i"` and so on, and the candidate, `"g"` or `"n"`. If a cell's f
        is coupled to i, or is absent and so 1, that f is here, too.
    states : dict of array (T, B, H)
        Every part of the state after each step: `"h"`, `"c"`.
    """

    gates: dict[str, NDArray[np.float64]]
    states: dict[str, NDArray[np.float64]]


def traces(model: SequenceModel, params: Params, xs: Array) -> Traces:
    """Run a model on sequences xs (T, B, D) and return what its cells did."""
    watched, cells = watch(model)
    watched.predict(params, xs)
    gates, states = {}, {}
    for k, cell in enumerate(cells):
        also = ("f",) if hasattr(cell.caches[0], "f") else ()
        for gate in dict.fromkeys((*cell.gates, *also)):
            steps = [to_numpy(getattr(cache, gate)) for cache in cell.caches]
            gates[label(k, cells, gate)] = np.stack(steps)
        for part in type(cell.states[0])._fields:
            steps = [to_numpy(getattr(state, part)) for state in cell.states]
            states[label(k, cells, part)] = np.stack(steps)
    return Traces(gates, states)


@dataclass(frozen=True)
class Saturation:
    """How much of the time each unit's gate is nearly shut or fully open.

    Attributes
    ----------
    left, right : array (H,)
        Fraction of all steps with an activation below `low`, and above `high`.
    """

    left: NDArray[np.float64]
    right: NDArray[np.float64]


def saturation(gate: NDArray[np.floating], low: float = 0.1, high: float = 0.9) -> Saturation:
    """Return how often each unit's gate is saturated (Karpathy, Johnson & Fei-Fei 2015, sec. 4.2).

    Parameters
    ----------
    gate : array (T, B, H)
        A gate's activations, from 0 to 1.
    low, high : float
        Where saturation begins, by default as in the paper.
    """
    return Saturation((gate < low).mean(axis=(0, 1)), (gate > high).mean(axis=(0, 1)))


def half_lives(f: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return after how many steps each unit has forgotten half of what it held.

    Over k steps a cell state is multiplied by the product of k forget gates, so the mean of ln f
    counts: the half-life is ln 0.5 / mean(ln f).

    Parameters
    ----------
    f : array (T, B, H)
        Activations of the gate that keeps the state: f of an LSTM, u of a GRU.

    Returns
    -------
    half_lives : array (H,)
        In steps: infinite for a gate that is always 1, zero for one that has been 0.
    """
    with np.errstate(divide="ignore"):
        mean_log_f = np.log(f.astype(np.float64)).mean(axis=(0, 1))
        steps: NDArray[np.float64] = np.log(2) / np.abs(mean_log_f)
    return steps
