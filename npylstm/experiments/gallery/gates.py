"""Pictures of what the gates of a network do."""

from typing import Any

import numpy as np

from npylstm.analysis import half_lives, saturation, traces
from npylstm.cells import Params
from npylstm.experiments.gallery.networks import (
    HIDDEN,
    fresh,
    reading,
    unseen_digits,
    unseen_sequences,
)
from npylstm.experiments.gallery.picture import Picture
from npylstm.experiments.results import Found, Result, Row
from npylstm.models import SequenceModel

GATES = {"i": "input gate i", "f": "forget gate f", "o": "output gate o"}
SIGNED = {"g": "candidate g", "c": "cell state c", "h": "output h"}


def _digit_study(seed: int, updates: int, digit: int) -> Found:
    *_, (model, params) = reading("LSTM, forget bias 1", updates, seed)
    test = unseen_digits(100)
    n = int(np.flatnonzero(test.labels == digit)[0])
    xs = test.xs[:, n : n + 1]
    found = traces(model, params, xs)
    curves: Params = {name: trace[:, 0] for name, trace in (found.gates | found.states).items()}
    order = np.argsort(curves["c"][-1])
    curves = {name: trace[:, order] for name, trace in curves.items()} | {"digit": xs[:, 0]}
    guess = int(model.predict(params, xs).argmax())
    rows: list[Row] = [
        {"trace": name, "mean": float(trace.mean()), "min": float(trace.min()),
         "max": float(trace.max()), "digit": digit, "read as": guess}
        for name, trace in curves.items() if name != "digit"
    ]  # fmt: skip
    return rows, curves


def _draw_digit(figure: Any, result: Result) -> None:
    from npylstm.plots import plot_trace

    axes = figure.subplot_mosaic([["digit", *GATES], ["digit", *SIGNED]], width_ratios=[1, 1, 1, 1])
    axes["digit"].imshow(result.curves["digit"].T, cmap="gray_r")
    axes["digit"].set(title="what it reads", xlabel="row t", ylabel="column of the picture")
    for name, title in GATES.items():
        plot_trace(axes[name], result.curves[name], title)
    for name, title in SIGNED.items():
        extent = float(np.abs(result.curves[name]).max())
        plot_trace(axes[name], result.curves[name], title, (-extent, extent))


DIGIT = Picture(
    name="gates",
    title="An LSTM waits through the blank rows; at the first ink its gates open and shut",
    caption=(
        "Every unit's gates and states at each row, units sorted by their last cell state. The "
        "digit lies on its side, so that a column of every panel belongs to the same row. LSTM "
        "with 28 units and forget bias 1, trained on MNIST row by row."
    ),
    source="after the heat maps of Karpathy, Johnson & Fei-Fei (2015)",
    study=_digit_study,
    draw=_draw_digit,
    size=(13.0, 6.0),
    full={"updates": 800, "digit": 3},
    fast={"updates": 10, "digit": 3},
)


def _saturation_study(seed: int, updates: int, sequences: int) -> Found:
    xs = unseen_digits(sequences).xs
    start, *_, end = reading("LSTM, forget bias 1", updates, seed)
    rows: list[Row] = []
    curves = {}
    for when, (model, params) in (("at the start", start), ("after training", end)):
        found = traces(model, params, xs)
        for gate in GATES:
            share = saturation(found.gates[gate])
            curves[f"{gate}, {when}"] = found.gates[gate]
            rows.append(
                {
                    "gate": gate,
                    "when": when,
                    "shut (below 0.1), %": 100 * float(share.left.mean()),
                    "open (above 0.9), %": 100 * float(share.right.mean()),
                }
            )
    return rows, curves


def _draw_saturation(figure: Any, result: Result) -> None:
    from npylstm.plots import plot_activations

    axes = figure.subplots(1, len(GATES), sharey=True)
    for ax, (gate, name) in zip(axes, GATES.items(), strict=True):
        whens = ("at the start", "after training")
        plot_activations(ax, {when: result.curves[f"{gate}, {when}"] for when in whens}, name)
        ax.label_outer()
    axes[0].legend()


SATURATION = Picture(
    name="saturation",
    title="Before training all gates are alike; training opens many of them fully",
    caption=(
        "How often the gates take each value, over all units, rows and test digits; in the shaded "
        "ranges, below 0.1 and above 0.9, they are saturated. LSTM with 28 units and forget bias 1 "
        "that reads digits row by row."
    ),
    source="Karpathy, Johnson & Fei-Fei (2015), sec. 4.2",
    study=_saturation_study,
    draw=_draw_saturation,
    size=(12.0, 4.4),
    full={"updates": 800, "sequences": 100},
    fast={"updates": 10, "sequences": 10},
)

REMEMBERING = {
    "LSTM, forget bias 0": "f",
    "LSTM, forget bias 1": "f",
    "LSTM, forget bias 3": "f",
    "LSTM, forget bias 5": "f",
    "LSTM, chrono": "f",
    "GRU": "u",
}
"""Networks, and the gate that keeps their state."""


def _half_life_study(seed: int, T: int, sequences: int) -> Found:
    xs = unseen_sequences(T, sequences, seed).xs.astype(np.float64)
    rows: list[Row] = []
    curves = {}
    for name, gate in REMEMBERING.items():
        model = SequenceModel(fresh(name, T, np.random.default_rng(seed))[0], 4)
        _, own = fresh(name, T, np.random.default_rng(seed))
        steps = curves[name] = half_lives(traces(model, model.init(seed) | own, xs).gates[gate])
        rows.append(
            {
                "network": name,
                "shortest half-life, steps": float(steps.min()),
                "median": float(np.median(steps)),
                "longest": float(steps.max()),
            }
        )
    return rows, curves


def _draw_half_lives(figure: Any, result: Result) -> None:
    from npylstm.plots import plot_half_lives

    plot_half_lives(figure.subplots(), result.curves, "").set_xticks(
        [1, 10, 100], ["1", "10", "100"]
    )
    figure.legend(loc="outside right center")


HALF_LIFE = Picture(
    name="half-life",
    title="One forget bias gives all units the same memory; chrono gives each its own",
    caption=(
        f"After how many steps each of {HIDDEN} units has forgotten half of its state, "
        "ln 0.5 / mean(ln f), in fresh networks; for the GRU f is its update gate u, which starts "
        "with a bias of 1. Chrono initialisation was told T = 100 steps. Inputs of the temporal "
        "order task."
    ),
    source="Tallec & Ollivier (2018)",
    study=_half_life_study,
    draw=_draw_half_lives,
    size=(9.0, 4.8),
    full={"T": 100, "sequences": 20},
    fast={"T": 10, "sequences": 2},
)
