"""Pictures of gradients on their way back through time."""

from concurrent.futures import Executor
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from npylstm.analysis import GradientFlow, gradient_flow
from npylstm.backend import Array
from npylstm.experiments.gallery.networks import learning, reading, unseen_digits, unseen_sequences
from npylstm.experiments.study import (
    Measured,
    Study,
    StudyResult,
    TableRow,
    Verdict,
    listed,
    spread,
)

if TYPE_CHECKING:  # slow to import
    from matplotlib.figure import Figure

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


def _lag_job(
    label: str, /, *, seed: int, T: int, updates: int, sequences: int
) -> tuple[TableRow, dict[str, Array]]:
    batch = unseen_sequences(T, sequences, seed)
    start, *_, end = learning(NETWORKS[label], T, updates, seed)
    row: TableRow = {"network": label}
    curves = {}
    for when, (model, params) in zip(WHEN, (start, end), strict=True):
        flow = whole_state(gradient_flow(model, params, batch.xs, batch.targets))
        curves[f"{label}, {when}"] = flow
        row[f"norm at lag {T - 1}, {when}"] = float(median(flow[-1]))
    guess = end[0].predict(end[1], batch.xs).argmax(axis=-1)
    row["right answers in the end, %"] = 100 * float((guess == batch.targets).mean())
    return row, curves


def _merged(found: list[tuple[TableRow, dict[str, Array]]]) -> Measured:
    return [row for row, _ in found], {k: a for _, curves in found for k, a in curves.items()}


def _measure_lag(executor: Executor | None, **settings: int) -> Measured:
    return _merged(spread(partial(_lag_job, **settings), [(n,) for n in NETWORKS], executor))


def _draw_lag(figure: "Figure", result: StudyResult) -> None:
    from npylstm.plots import plot_against_lag

    axes = figure.subplots(1, 2, sharey=True)
    for ax, when in zip(axes, WHEN, strict=True):
        lines = {name: median(result.curves[f"{name}, {when}"]) for name in NETWORKS}
        plot_against_lag(ax, lines, when.capitalize())
    learnt = [row["network"] for row in result.rows if row["right answers in the end, %"] > 99]
    axes[1].set_title(f"After training\nthe task is learnt by: {listed(learnt)}")
    axes[0].set_ylim(1e-12, 1e3)
    axes[1].set_ylabel("")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center")


def _verdict_lag(result: StudyResult) -> Verdict:
    left = {name: median(result.curves[f"{name}, {WHEN[0]}"])[-1] for name in NETWORKS}
    biases = [left[f"LSTM, forget bias {b}"] for b in (0, 1, 3, 5)]
    return Verdict(
        f"in fresh networks {result.settings['T'] - 1} steps leave of the gradient "
        f"{biases[0]:.2g} with forget bias 0, {biases[1]:.2g} with 1, {biases[2]:.2g} with 3, and "
        f"{left['tanh RNN']:.2g} in a tanh RNN",
        bool(biases[0] < biases[1] < biases[2] and left["tanh RNN"] < biases[2]),
    )


GRADIENT_LAG = Study(
    name="gradient-lag",
    title="How much of a gradient survives its way back through time",
    caption=(
        "Norm of the loss gradient with respect to the whole state, against the steps it has "
        "travelled back; median of {sequences} test sequences, relative to the last step; those "
        "whose gradient is exactly zero are left out. Temporal order task (Pascanu et al. 2013, "
        "sec. 4.1.1) over T = {T} steps, with one signal in the second tenth of a sequence and one "
        "in the sixth; 25 units, at the start and after {updates} updates."
    ),
    published=(
        "Hochreiter (1991); Bengio, Simard & Frasconi (1994): in plain recurrent networks the "
        "gradient vanishes with the lag; it need not where gates stay open"
    ),
    measure=_measure_lag,
    draw=_draw_lag,
    verdict=_verdict_lag,
    size=(11.0, 5.4),
    full={"seed": 0, "T": 100, "updates": 800, "sequences": 100},
    fast={"T": 20, "updates": 20, "sequences": 20},
)

MAPPED = {
    "tanh RNN": "tanh RNN, glorot",
    "LSTM, forget bias 0": "LSTM, forget bias 0",
    "LSTM, forget bias 1": "LSTM, forget bias 1",
}


def _training_job(
    label: str, /, *, seed: int, updates: int, every: int, sequences: int
) -> tuple[TableRow, dict[str, Array]]:
    test = unseen_digits(sequences)
    norms, accuracy = [], []
    for model, params in islice(reading(MAPPED[label], updates, seed), 0, None, every):
        flow = gradient_flow(model, params, test.xs, test.labels)
        norms.append(median(whole_state(flow)))
        guess = model.predict(params, test.xs).argmax(axis=-1)
        accuracy.append((guess == test.labels).mean())
    row: TableRow = {"network": label}
    for when, k in zip(WHEN, (0, -1), strict=True):
        row[f"norm at lag 27, {when}"] = float(norms[k][-1])
        row[f"accuracy, %, {when}"] = 100 * float(accuracy[k])
    return row, {label: np.array(norms), f"{label}, accuracy": np.array(accuracy)}


def _measure_training(executor: Executor | None, *, every: int, **settings: int) -> Measured:
    job = partial(_training_job, every=every, **settings)
    rows, curves = _merged(spread(job, [(label,) for label in MAPPED], executor))
    return rows, curves | {"updates": every * np.arange(len(next(iter(curves.values()))))}


def _draw_training(figure: "Figure", result: StudyResult) -> None:
    from npylstm.plots import plot_training_map

    axes = figure.subplots(1, len(MAPPED))
    updates = result.curves["updates"]
    for ax, name in zip(axes, MAPPED, strict=True):
        accuracy = result.curves[f"{name}, accuracy"]
        plot_training_map(ax, updates, result.curves[name], accuracy, name)
        ax.label_outer()
    label = "gradient norm, relative to lag 0"
    figure.colorbar(axes[0].collections[0], ax=axes, label=label).minorticks_off()


def _verdict_training(result: StudyResult) -> Verdict:
    """Say when half of the digits are right, and what was left of the gradient then and before."""
    parts = []
    for name in MAPPED:
        half = np.flatnonzero(result.curves[f"{name}, accuracy"] >= 0.5)
        left = result.curves[name][:, -1]
        if half.size:
            when = f"after {result.curves['updates'][half[0]]} updates"
            parts.append(f"{name} {when}, {left[0]:.1g} of the gradient having grown to "
                         f"{left[half[0]]:.1g}")  # fmt: skip
        else:
            parts.append(f"{name} not within {result.curves['updates'][-1]} updates")
    return Verdict(f"half of the digits are right: {'; '.join(parts)}")


GRADIENT_TRAINING = Study(
    name="gradient-training",
    title="The gradient at every lag while a network learns",
    caption=(
        "Gradient norm of the whole state at every lag while the network learns to read digits "
        "row by row: bright where much of it is left, dark where it has vanished. Median of "
        "{sequences} test digits, relative to the last row, every {every} updates. The line is the "
        "accuracy on them; the title speaks of the gradient at lag 27, the first row."
    ),
    published="nothing of this kind is known to us",
    measure=_measure_training,
    draw=_draw_training,
    verdict=_verdict_training,
    size=(12.0, 4.8),
    full={"seed": 0, "updates": 600, "every": 12, "sequences": 200},
    fast={"updates": 10, "every": 5, "sequences": 20},
)


def _measure_gates(
    _executor: Executor | None, *, seed: int, updates: int, sequences: int
) -> Measured:
    test = unseen_digits(sequences)
    start, *_, end = reading("LSTM, forget bias 1", updates, seed)
    rows: list[TableRow] = []
    curves = {}
    for when, (model, params) in zip(WHEN, (start, end), strict=True):
        flow = gradient_flow(model, params, test.xs, test.labels)
        for name, norm in (flow.norms | flow.gate_norms).items():
            curves[f"{name}, {when}"] = norm[::-1]
            low, middle, high = np.quantile(norm, (0.1, 0.5, 0.9), axis=1)[:, 0]
            rows.append(
                {
                    "gradient of": name,
                    "when": when,
                    "median at t = 0": float(middle),
                    "10 %": float(low),
                    "90 %": float(high),
                }
            )
    return rows, curves


def _draw_gates(figure: "Figure", result: StudyResult) -> None:
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


def _verdict_gates(result: StudyResult) -> Verdict:
    parts = []
    for when in WHEN:
        norm = median(result.curves[f"c, {when}"])
        parts.append(f"{norm[-1] / norm.max() if norm.max() else 0:.1g} {when}")
    return Verdict(
        f"of the largest ∂L/∂c there is left at the first row of a digit: {'; '.join(parts)}"
    )


GATE_GRADIENTS = Study(
    name="gate-gradients",
    title="Gradients of states and gates over the rows of a digit",
    caption=(
        "Norm of the loss gradient with respect to h, c and each gate's pre-activation z; median "
        "and middle 80 % of {sequences} test digits. LSTM with 28 units and forget bias 1, at the "
        "start and after {updates} updates; the last row is lag 0. On the blank rows at the top of "
        "a picture c and g are close to 0, so the gates i, f and o make no difference there."
    ),
    published="nothing of this kind is known to us",
    measure=_measure_gates,
    draw=_draw_gates,
    verdict=_verdict_gates,
    size=(11.0, 5.0),
    full={"seed": 0, "updates": 800, "sequences": 200},
    fast={"updates": 10, "sequences": 20},
)
