"""What truncated back-propagation misses."""

from typing import Any

import numpy as np

from npylstm.analysis import truncation_bias
from npylstm.experiments.gallery.networks import reading, unseen_digits
from npylstm.experiments.gallery.picture import Picture
from npylstm.experiments.results import Found, Result, Row

WHEN = ("at the start", "after training")
NETWORKS = {"tanh RNN": "tanh RNN, glorot", "LSTM, forget bias 1": "LSTM, forget bias 1"}


def _study(seed: int, updates: int, sequences: int) -> Found:
    test = unseen_digits(sequences)
    lengths = [*range(1, 28, 3), 28]
    rows: list[Row] = []
    curves = {}
    for label, name in NETWORKS.items():
        start, *_, end = reading(name, updates, seed)
        for when, (model, params) in zip(WHEN, (start, end), strict=True):
            params = {key: array.astype(np.float64) for key, array in params.items()}
            xs = test.xs.astype(np.float64)
            bias = truncation_bias(model, params, xs, test.labels, lengths)
            curves[f"{label}, {when}: error"] = bias.relative_error
            curves[f"{label}, {when}: cosine"] = bias.cosine
            row: Row = {"network": label, "when": when}
            for k in (3, 6):
                row[f"relative error, k = {lengths[k]}"] = float(bias.relative_error[k])
                row[f"cosine, k = {lengths[k]}"] = float(bias.cosine[k])
            rows.append(row)
    return rows, curves | {"lengths": np.array(lengths)}


def _draw(figure: Any, result: Result) -> None:
    from npylstm.plots import plot_truncation

    names = [f"{row['network']}, {row['when']}" for row in result.rows]
    error, cosine = figure.subplots(1, 2)
    for ax, kind, ylabel in (
        (error, "error", "relative error of the gradient"),
        (cosine, "cosine", "cosine with the full gradient"),
    ):
        lines = {name: result.curves[f"{name}: {kind}"] for name in names}
        plot_truncation(ax, result.curves["lengths"], lines, ylabel.capitalize(), ylabel)
    cosine.legend()


TRUNCATION = Picture(
    name="truncation",
    title="Truncation costs most where the gradient carries farthest: after training",
    caption=(
        "The gradient of the recurrent weights when each error is carried back k steps and no "
        "farther, beside the full one. Networks with 28 units that read digits row by row, with "
        "one error, at the last row; mean gradient of the test digits."
    ),
    source="Williams & Peng (1990)",
    study=_study,
    draw=_draw,
    size=(11.0, 4.6),
    full={"updates": 600, "sequences": 200},
    fast={"updates": 10, "sequences": 10},
)
