"""Pictures of what the gates of a network do."""

from concurrent.futures import Executor
from typing import TYPE_CHECKING

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
from npylstm.experiments.study import Measured, Study, StudyResult, TableRow, Verdict
from npylstm.models import SequenceModel

if TYPE_CHECKING:  # slow to import
    from matplotlib.figure import Figure

GATES = {"i": "input gate i", "f": "forget gate f", "o": "output gate o"}
SIGNED = {"g": "candidate g", "c": "cell state c", "h": "output h"}


def _measure_digit(_executor: Executor | None, *, seed: int, updates: int, digit: int) -> Measured:
    *_, (model, params) = reading("LSTM, forget bias 1", updates, seed)
    test = unseen_digits(100)
    n = int(np.flatnonzero(test.labels == digit)[0])
    xs = test.xs[:, n : n + 1]
    found = traces(model, params, xs)
    curves: Params = {name: trace[:, 0] for name, trace in (found.gates | found.states).items()}
    order = np.argsort(curves["c"][-1])
    curves = {name: trace[:, order] for name, trace in curves.items()} | {"digit": xs[:, 0]}
    guess = int(model.predict(params, xs).argmax())
    rows: list[TableRow] = [
        {"trace": name, "mean": float(trace.mean()), "min": float(trace.min()),
         "max": float(trace.max()), "digit": digit, "read as": guess}
        for name, trace in curves.items() if name != "digit"
    ]  # fmt: skip
    return rows, curves


def _draw_digit(figure: "Figure", result: StudyResult) -> None:
    from npylstm.plots import plot_trace

    axes = figure.subplot_mosaic([["digit", *GATES], ["digit", *SIGNED]], width_ratios=[1, 1, 1, 1])
    axes["digit"].imshow(result.curves["digit"].T, cmap="gray_r")
    axes["digit"].set(title="what it reads", xlabel="row t", ylabel="column of the picture")
    for name, title in GATES.items():
        plot_trace(axes[name], result.curves[name], title)
    for name, title in SIGNED.items():
        extent = float(np.abs(result.curves[name]).max())
        plot_trace(axes[name], result.curves[name], title, (-extent, extent))


def _verdict_digit(result: StudyResult) -> Verdict:
    """Say what the gates do before the first ink, and after."""
    ink = result.curves["digit"].any(axis=1)
    parts = []
    if ink.any() and not ink.all():
        first = int(ink.argmax())
        for gate, name in GATES.items():
            blank, inked = (result.curves[gate][part].mean()
                            for part in (slice(first), slice(first, None)))  # fmt: skip
            parts.append(f"{name} {blank:.2f} before the first ink and {inked:.2f} after")
    row = result.rows[0]
    return Verdict(f"a {row['digit']} read as a {row['read as']}; mean {', '.join(parts)}")


DIGIT = Study(
    name="gates",
    title="Every gate and state of an LSTM while it reads a digit",
    caption=(
        "Every unit's gates and states at each row, units sorted by their last cell state. The "
        "digit lies on its side, so that a column of every panel belongs to the same row. LSTM "
        "with 28 units and forget bias 1, after {updates} updates on digits row by row."
    ),
    published="the heat maps of Karpathy, Johnson & Fei-Fei (2015)",
    measure=_measure_digit,
    draw=_draw_digit,
    verdict=_verdict_digit,
    size=(13.0, 6.0),
    full={"seed": 0, "updates": 800, "digit": 3},
    fast={"updates": 10},
)


def _measure_saturation(
    _executor: Executor | None, *, seed: int, updates: int, sequences: int
) -> Measured:
    xs = unseen_digits(sequences).xs
    start, *_, end = reading("LSTM, forget bias 1", updates, seed)
    rows: list[TableRow] = []
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


def _draw_saturation(figure: "Figure", result: StudyResult) -> None:
    from npylstm.plots import plot_activations

    axes = figure.subplots(1, len(GATES), sharey=True)
    for ax, (gate, name) in zip(axes, GATES.items(), strict=True):
        whens = ("at the start", "after training")
        plot_activations(ax, {when: result.curves[f"{gate}, {when}"] for when in whens}, name)
        ax.label_outer()
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center")


def _verdict_saturation(result: StudyResult) -> Verdict:
    opened: dict[str, list[float]] = {}
    for row in result.rows:
        opened.setdefault(row["gate"], []).append(row["open (above 0.9), %"])
    parts = [f"{GATES[gate]} from {a:.1f} to {b:.1f} %" for gate, (a, b) in opened.items()]
    return Verdict(f"gates that are open above 0.9, before and after training: {', '.join(parts)}")


SATURATION = Study(
    name="saturation",
    title="How far gates are open, before and after training",
    caption=(
        "How often the gates take each value, over all units, rows and {sequences} test digits; in "
        "the shaded ranges, below 0.1 and above 0.9, they are saturated. LSTM with 28 units and "
        "forget bias 1 that reads digits row by row, at the start and after {updates} updates."
    ),
    published="Karpathy, Johnson & Fei-Fei (2015), sec. 4.2",
    measure=_measure_saturation,
    draw=_draw_saturation,
    verdict=_verdict_saturation,
    size=(12.0, 4.6),
    full={"seed": 0, "updates": 800, "sequences": 100},
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


def _measure_half_lives(
    _executor: Executor | None, *, seed: int, T: int, sequences: int
) -> Measured:
    xs = unseen_sequences(T, sequences, seed).xs.astype(np.float64)
    rows: list[TableRow] = []
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


def _draw_half_lives(figure: "Figure", result: StudyResult) -> None:
    from npylstm.plots import plot_half_lives

    plot_half_lives(figure.subplots(), result.curves, "").set_xticks(
        [1, 10, 100], ["1", "10", "100"]
    )
    figure.legend(loc="outside right center")


def _verdict_half_lives(result: StudyResult) -> Verdict:
    """Say how different the units' memories are; published: with chrono from short to about T."""
    ratio = {name: steps.max() / max(steps.min(), 1e-9) for name, steps in result.curves.items()}
    single = max(ratio[name] for name in ratio if "bias" in name)
    return Verdict(
        f"with one forget bias the longest half-life of a unit is at most {single:.2g} times the "
        f"shortest, with chrono initialisation {ratio['LSTM, chrono']:.2g} times",
        bool(ratio["LSTM, chrono"] > single),
    )


HALF_LIFE = Study(
    name="half-life",
    title="How long the units of a fresh network remember",
    caption=(
        f"After how many steps each of {HIDDEN} units has forgotten half of its state, "
        "ln 0.5 / mean(ln f), in fresh networks; for the GRU f is its update gate u, which starts "
        "with a bias of 1. Chrono initialisation was told T = {T} steps. Inputs of the temporal "
        "order task, {sequences} sequences."
    ),
    published=(
        "Tallec & Ollivier (2018): chrono initialisation spreads the memories of units from a "
        "step to T"
    ),
    measure=_measure_half_lives,
    draw=_draw_half_lives,
    verdict=_verdict_half_lives,
    size=(9.0, 5.0),
    full={"seed": 0, "T": 100, "sequences": 20},
    fast={"T": 10, "sequences": 2},
)
