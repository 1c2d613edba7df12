"""What truncated back-propagation misses."""

from concurrent.futures import Executor
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from npylstm.analysis import truncation_bias
from npylstm.backend import Array
from npylstm.experiments.gallery.networks import reading, unseen_digits
from npylstm.experiments.study import Measured, Study, StudyResult, TableRow, Verdict, spread

if TYPE_CHECKING:  # slow to import
    from matplotlib.figure import Figure

WHEN = ("at the start", "after training")
NETWORKS = {"tanh RNN": "tanh RNN, glorot", "LSTM, forget bias 1": "LSTM, forget bias 1"}
LENGTHS = (*range(1, 28, 3), 28)


def _job(label: str, /, *, seed: int, updates: int, sequences: int) -> dict[str, Array]:
    test = unseen_digits(sequences)
    curves: dict[str, Array] = {}
    start, *_, end = reading(NETWORKS[label], updates, seed)
    for when, (model, params) in zip(WHEN, (start, end), strict=True):
        params = {key: array.astype(np.float64) for key, array in params.items()}
        bias = truncation_bias(model, params, test.xs.astype(np.float64), test.labels, LENGTHS)
        curves[f"{label}, {when}: error"] = bias.relative_error
        curves[f"{label}, {when}: cosine"] = bias.cosine
    return curves


def _measure(executor: Executor | None, **settings: int) -> Measured:
    found = spread(partial(_job, **settings), [(label,) for label in NETWORKS], executor)
    curves = {name: curve for curves in found for name, curve in curves.items()}
    rows: list[TableRow] = []
    for label in NETWORKS:
        for when in WHEN:
            row: TableRow = {"network": label, "when": when}
            for k in (3, 6):
                for kind in ("error", "cosine"):
                    value = curves[f"{label}, {when}: {kind}"][k]
                    row[f"{kind}, k = {LENGTHS[k]}"] = float(value)
            rows.append(row)
    return rows, curves | {"lengths": np.array(LENGTHS)}


def _draw(figure: "Figure", result: StudyResult) -> None:
    from npylstm.plots import plot_truncation

    names = [f"{row['network']}, {row['when']}" for row in result.rows]
    error, cosine = figure.subplots(1, 2)
    for ax, kind, title, ylabel in (
        (error, "error", "How far off", "relative error of the gradient"),
        (cosine, "cosine", "In which direction", "cosine with the full gradient"),
    ):
        lines = {name: result.curves[f"{name}: {kind}"] for name in names}
        plot_truncation(ax, result.curves["lengths"], lines, title, ylabel)
    figure.legend(*error.get_legend_handles_labels(), loc="outside right center")


def _verdict(result: StudyResult) -> Verdict:
    k = int(np.searchsorted(LENGTHS, 10))
    errors = [
        f"{label} {result.curves[f'{label}, {WHEN[0]}: error'][k]:.2g} at the start and "
        f"{result.curves[f'{label}, {WHEN[1]}: error'][k]:.2g} after training"
        for label in NETWORKS
    ]
    return Verdict(
        f"carried back {LENGTHS[k]} of 28 steps, the gradient is off by {'; '.join(errors)}"
    )


TRUNCATION = Study(
    name="truncation",
    title="What truncation leaves out of the gradient",
    caption=(
        "The gradient of the recurrent weights when each error is carried back k steps and no "
        "farther, beside the full one: the norm of the difference, relative to the full one's, and "
        "the cosine of the angle. Networks with 28 units that read digits row by row, with one "
        "error, at the last row, at the start and after {updates} updates; mean gradient of "
        "{sequences} test digits."
    ),
    published="Williams & Peng (1990)",
    measure=_measure,
    draw=_draw,
    verdict=_verdict,
    size=(13.0, 4.8),
    full={"seed": 0, "updates": 600, "sequences": 200},
    fast={"updates": 10, "sequences": 10},
)
