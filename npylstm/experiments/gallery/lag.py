"""Pictures of gradients on their way back through time."""

from itertools import islice
from typing import Any

import numpy as np

from npylstm.analysis import GradientFlow, gradient_flow
from npylstm.backend import Array
from npylstm.experiments.gallery.networks import learning, reading, unseen_digits, unseen_sequences
from npylstm.experiments.gallery.picture import Picture
from npylstm.experiments.results import Found, Result, Row

WHEN = ("at the start", "after training")
NETWORKS = {
    "tanh RNN": "tanh RNN, glorot",
    "IRNN (relu)": "IRNN",
    "LSTM, forget bias 0": "LSTM, forget bias 0",
    "LSTM, forget bias 1": "LSTM, forget bias 1",
    "LSTM, forget bias 3": "LSTM, forget bias 3",
    "LSTM, forget bias 5": "LSTM, forget bias 5",
    "LSTM, chrono": "LSTM, chrono",
    "GRU": "GRU",
}
"""What the networks are called here, and in `CELLS`."""


def whole_state(flow: GradientFlow) -> Array:
    """Return the norm of the gradient of the whole state at each lag, relative to lag 0 (L, B).

    NaN for a sequence whose gradient is exactly zero, because the network has no doubt of it left.
    """
    norms = np.sqrt(sum(norm**2 for norm in flow.norms.values()))[::-1]
    return norms / np.where(norms[0] > 0, norms[0], np.nan)


def median(norms: Array) -> Array:
    """Return the median of (..., B) over the sequences that have a gradient; NaN if none has."""
    some = np.asarray(~np.isnan(norms).all(axis=-1))
    return np.where(some, np.nanmedian(np.where(some[..., None], norms, 0), axis=-1), np.nan)


def _lag_study(seed: int, T: int, updates: int, sequences: int) -> Found:
    batch = unseen_sequences(T, sequences, seed)
    rows: list[Row] = []
    curves = {}
    for label, name in NETWORKS.items():
        start, *_, end = learning(name, T, updates, seed)
        row: Row = {"network": label}
        for when, (model, params) in zip(WHEN, (start, end), strict=True):
            flow = whole_state(gradient_flow(model, params, batch.xs, batch.targets))
            curves[f"{label}, {when}"] = flow
            row[f"norm at lag {T - 1}, {when}"] = float(median(flow[-1]))
        guess = model.predict(params, batch.xs).argmax(axis=-1)
        row["right answers in the end, %"] = 100 * float((guess == batch.targets).mean())
        rows.append(row)
    return rows, curves


def _draw_lag(figure: Any, result: Result) -> None:
    from npylstm.plots import plot_against_lag

    axes = figure.subplots(1, 2, sharey=True)
    for ax, when in zip(axes, WHEN, strict=True):
        lines = {name: median(result.curves[f"{name}, {when}"]) for name in NETWORKS}
        plot_against_lag(ax, lines, when.capitalize())
    learnt = [row["network"] for row in result.rows if row["right answers in the end, %"] > 99]
    axes[1].set_title(f"After training\nthe task is learnt by: {', '.join(learnt) or 'none'}")
    axes[0].set_ylim(1e-12, 1e3)
    axes[1].set_ylabel("")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center")


GRADIENT_LAG = Picture(
    name="gradient-lag",
    title="The forget bias decides whether a gradient survives 100 steps",
    caption=(
        "Norm of the loss gradient with respect to the whole state, against the steps it has "
        "travelled back; median of the test sequences, relative to the last step. Temporal order "
        "task (Pascanu et al. 2013, sec. 4.1.1) over T = 100 steps, with the first signal 80 to 89 "
        "steps back and the second 40 to 49; 25 units."
    ),
    source="Hochreiter (1991); Bengio, Simard & Frasconi (1994)",
    study=_lag_study,
    draw=_draw_lag,
    size=(11.0, 5.2),
    full={"T": 100, "updates": 800, "sequences": 100},
    fast={"T": 20, "updates": 20, "sequences": 20},
)

MAPPED = {
    "tanh RNN": "tanh RNN, glorot",
    "LSTM, forget bias 0": "LSTM, forget bias 0",
    "LSTM, forget bias 1": "LSTM, forget bias 1",
}


def _training_study(seed: int, updates: int, every: int, sequences: int) -> Found:
    test = unseen_digits(sequences)
    rows: list[Row] = []
    curves: dict[str, Array] = {}
    for label, name in MAPPED.items():
        norms, accuracy = [], []
        for model, params in islice(reading(name, updates, seed), 0, None, every):
            flow = gradient_flow(model, params, test.xs, test.labels)
            norms.append(median(whole_state(flow)))
            guess = model.predict(params, test.xs).argmax(axis=-1)
            accuracy.append((guess == test.labels).mean())
        curves |= {label: np.array(norms), f"{label}, accuracy": np.array(accuracy)}
        row: Row = {"network": label}
        for when, k in zip(WHEN, (0, -1), strict=True):
            row[f"norm at lag 27, {when}"] = float(norms[k][-1])
            row[f"accuracy, %, {when}"] = 100 * float(accuracy[k])
        rows.append(row)
    return rows, curves | {"updates": every * np.arange(len(norms))}


def _draw_training(figure: Any, result: Result) -> None:
    from npylstm.plots import plot_training_map

    axes = figure.subplots(1, len(MAPPED))
    updates = result.curves["updates"]
    for ax, name in zip(axes, MAPPED, strict=True):
        accuracy = result.curves[f"{name}, accuracy"]
        plot_training_map(ax, updates, result.curves[name], accuracy, name)
        ax.label_outer()
    label = "gradient norm, relative to lag 0"
    figure.colorbar(axes[0].collections[0], ax=axes, label=label).minorticks_off()


GRADIENT_TRAINING = Picture(
    name="gradient-training",
    title="A network begins to learn when its gradient gets through to the first steps",
    caption=(
        "Gradient norm of the whole state at every lag while the network learns to read digits "
        "row by row: bright where much of it is left, dark where it has vanished. Median of the "
        "test digits, relative to the last row. The line is the accuracy on them."
    ),
    source="-",
    study=_training_study,
    draw=_draw_training,
    size=(12.0, 4.4),
    full={"updates": 600, "every": 12, "sequences": 200},
    fast={"updates": 10, "every": 5, "sequences": 20},
)


def _gate_study(seed: int, updates: int, sequences: int) -> Found:
    test = unseen_digits(sequences)
    start, *_, end = reading("LSTM, forget bias 1", updates, seed)
    rows: list[Row] = []
    curves = {}
    for when, (model, params) in zip(WHEN, (start, end), strict=True):
        flow = gradient_flow(model, params, test.xs, test.labels)
        for name, norm in (flow.norms | flow.gate_norms).items():
            curves[f"{name}, {when}"] = norm[::-1]
            low, median, high = np.quantile(norm, (0.1, 0.5, 0.9), axis=1)[:, 0]
            rows.append(
                {
                    "gradient of": name,
                    "when": when,
                    "median at t = 0": float(median),
                    "10 %": float(low),
                    "90 %": float(high),
                }
            )
    return rows, curves


def _draw_gates(figure: Any, result: Result) -> None:
    from npylstm.plots import plot_against_lag

    axes = figure.subplots(1, 2, sharey=True)
    for ax, when in zip(axes, WHEN, strict=True):
        lines = {
            rf"$\partial L/\partial {name}_t$": result.curves[f"{key}, {when}"]
            for key, name in (("h", "h"), ("c", "c"), *((f"z_{g}", f"z^{g}") for g in "ifog"))
        }
        plot_against_lag(ax, lines, when.capitalize(), "gradient norm")
    axes[1].set_ylabel("")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center")


GATE_GRADIENTS = Picture(
    name="gate-gradients",
    title="Training teaches an LSTM to carry its gradient undiminished over all 28 rows of a digit",
    caption=(
        "Norm of the loss gradient with respect to h, c and each gate's pre-activation z; median "
        "and middle 80 % of the test digits. LSTM with 28 units and forget bias 1; the last row is "
        "lag 0. On the blank rows at the top of a picture c and g are close to 0, so the gates "
        "i, f and o make no difference there."
    ),
    source="-",
    study=_gate_study,
    draw=_draw_gates,
    size=(11.0, 4.8),
    full={"updates": 800, "sequences": 200},
    fast={"updates": 10, "sequences": 20},
)
