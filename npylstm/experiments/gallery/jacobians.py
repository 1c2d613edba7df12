"""Pictures of what multiplies a gradient on its way: Jacobians, their bound, and the cell path."""

from concurrent.futures import Executor
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from npylstm.analysis import (
    cell_paths,
    jacobians,
    rnn_bound,
    singular_values,
    span_products,
    spectral_norms,
)
from npylstm.backend import Array
from npylstm.cells import LSTMCell, Params, RNNCell
from npylstm.experiments.gallery.networks import (
    HIDDEN,
    fresh,
    reading,
    unseen_digits,
    unseen_sequences,
)
from npylstm.experiments.study import Measured, Study, StudyResult, TableRow, Verdict, spread

if TYPE_CHECKING:  # slow to import
    from matplotlib.figure import Figure

SPECTRA = ("tanh RNN, orthogonal", "LSTM, forget bias 1", "LSTM, forget bias 5")


def _measure_spectra(
    _executor: Executor | None, *, seed: int, T: int, spans: tuple[int, ...]
) -> Measured:
    xs = unseen_sequences(T, 1, seed).xs.astype(np.float64)
    rows: list[TableRow] = []
    curves = {}
    for name in SPECTRA:
        cell, params = fresh(name, T, np.random.default_rng(seed))
        products = span_products(jacobians(cell, params, xs))[:, 0]
        for span in spans:
            values = curves[f"{name}, {span}"] = singular_values(products[span])
            rows.append(
                {
                    "network": name,
                    "steps": span,
                    "largest": float(values[0]),
                    "median": float(np.median(values)),
                    "above 0.01": f"{(values > 0.01).sum()} of {len(values)}",
                }
            )
    return rows, curves


def _draw_spectra(figure: "Figure", result: StudyResult) -> None:
    from npylstm.plots import plot_singular_values

    axes = figure.subplots(1, len(SPECTRA), sharey=True)
    for ax, name in zip(axes, SPECTRA, strict=True):
        spans = result.settings["spans"]
        spectra = {
            f"{span} step" + "s" * (span > 1): result.curves[f"{name}, {span}"] for span in spans
        }
        plot_singular_values(ax, spectra, name)
        ax.label_outer()
    axes[0].set_ylim(1e-10, 1e5)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center")


def _verdict_spectra(result: StudyResult) -> Verdict:
    span = result.settings["spans"][-1]
    rows = [row for row in result.rows if row["steps"] == span]
    parts = ", ".join(f"{row['above 0.01']} ({row['network']})" for row in rows)
    return Verdict(f"over {span} steps these directions keep a hundredth or more: {parts}")


SINGULAR_VALUES = Study(
    name="singular-values",
    title="In how many directions a gradient survives",
    caption=(
        "Singular values of the Jacobian of the state over several numbers of steps, at the start: "
        "how much each of its directions is stretched. 25 units; the state of an LSTM, h and c, "
        "has 50. Inputs of the temporal order task, T = {T}."
    ),
    published="Pascanu, Mikolov & Bengio (2013), sec. 2.1",
    measure=_measure_spectra,
    draw=_draw_spectra,
    verdict=_verdict_spectra,
    size=(13.0, 4.8),
    full={"seed": 0, "T": 100, "spans": (1, 10, 30, 100)},
    fast={"T": 20, "spans": (1, 10, 20)},
)

BOUNDED = {
    "gaussian 0.1": RNNCell(6, HIDDEN, kernel_initializer="normal:0.1"),
    "orthogonal": RNNCell(6, HIDDEN, recurrent_initializer="orthogonal"),
    "glorot": RNNCell(6, HIDDEN),
}


def _measure_bound(_executor: Executor | None, *, seed: int, T: int, sequences: int) -> Measured:
    xs = unseen_sequences(T, sequences, seed).xs.astype(np.float64)
    rows: list[TableRow] = []
    curves: dict[str, Array] = {}
    for name, cell in BOUNDED.items():
        params = cell.init(seed)
        J = jacobians(cell, params, xs)
        steps = spectral_norms(J)[::-1]
        lines = {
            "bound": rnn_bound(cell, params, np.arange(T + 1)),
            "product of norms": np.concatenate([np.ones((1, sequences)), steps.cumprod(axis=0)]),
            "norm of the product": spectral_norms(span_products(J)),
        }
        curves |= {f"{name}, {line}": values for line, values in lines.items()}
        row: TableRow = {"W_h": name, "σ_max(W_h)": float(lines["bound"][1])}
        rows.append(row | {line: float(np.median(values[-1])) for line, values in lines.items()})
    return rows, curves


def _draw_bound(figure: "Figure", result: StudyResult) -> None:
    from npylstm.plots import plot_against_lag

    axes = figure.subplots(1, len(BOUNDED), sharey=True)
    labels = {
        "bound": r"bound $(\sigma_{max}(W_h)\,\max\varphi')^k$",
        "product of norms": r"product of the steps' norms $\prod\|J_t\|$",
        "norm of the product": r"norm of the product $\|\prod J_t\|$",
    }
    for ax, row in zip(axes, result.rows, strict=True):
        name = row["W_h"]
        lines = {label: result.curves[f"{name}, {line}"] for line, label in labels.items()}
        title = rf"{name}: $\sigma_{{max}}$ = {row['σ_max(W_h)']:.2f}"
        plot_against_lag(ax, lines, title, "norm over k steps")
        ax.set_xlabel("lag k (steps back from the last)")
        ax.label_outer()
    axes[0].set_ylim(1e-13, 1e13)
    handles = axes[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside right center")


def _verdict_bound(result: StudyResult) -> Verdict:
    k = result.settings["T"]
    parts = [
        f"{row['norm of the product']:.2g} below a bound of {row['bound']:.2g} ({row['W_h']})"
        for row in result.rows
    ]
    safe = all(row["norm of the product"] <= row["bound"] for row in result.rows)
    return Verdict(f"what is left of a gradient after {k} steps: {', '.join(parts)}", safe)


BOUND = Study(
    name="bound",
    title="The bound on the gradient, and the gradient",
    caption=(
        "Spectral norm of the product of k Jacobians of a fresh tanh RNN with 25 units, and two "
        "upper bounds: the norm of each step multiplied up, and the largest singular value of W_h "
        "to the power k. A bound above 1 says nothing: the gradient can vanish all the same. "
        "Inputs of the temporal order task, T = {T}; median and middle 80 % of {sequences} "
        "sequences."
    ),
    published=(
        "Pascanu, Mikolov & Bengio (2013), sec. 2.1: a largest singular value below 1 suffices for "
        "the gradient to vanish, and above 1 is needed for it to explode"
    ),
    measure=_measure_bound,
    draw=_draw_bound,
    verdict=_verdict_bound,
    size=(14.0, 5.2),
    full={"seed": 0, "T": 50, "sequences": 20},
    fast={"T": 10, "sequences": 2},
)

PATHS = ("LSTM, forget bias 0", "LSTM, forget bias 1", "LSTM, forget bias 3")


def _path_job(
    name: str, /, *, seed: int, updates: int, sequences: int
) -> tuple[list[TableRow], dict[str, Array]]:
    xs = unseen_digits(sequences).xs.astype(np.float64)
    rows: list[TableRow] = []
    curves = {}
    start, *_, end = reading(name, updates, seed)
    for when, (model, params) in (("at the start", start), ("after training", end)):
        cell: LSTMCell = model.recurrent.cell  # type: ignore[attr-defined]
        own: Params = {key: params[key].astype(np.float64) for key in cell.param_shapes}
        paths = cell_paths(cell, own, xs)
        curves[f"{name}, {when}, direct"] = paths.direct
        curves[f"{name}, {when}, full"] = paths.full
        rows.append(
            {
                "network": name,
                "when": when,
                "direct, 28 steps": float(np.median(paths.direct[-1])),
                "full, 28 steps": float(np.median(paths.full[-1])),
            }
        )
    return rows, curves


def _measure_paths(executor: Executor | None, **settings: int) -> Measured:
    found = spread(partial(_path_job, **settings), [(name,) for name in PATHS], executor)
    rows = [row for rows, _ in found for row in rows]
    return rows, {name: curve for _, curves in found for name, curve in curves.items()}


def _draw_paths(figure: "Figure", result: StudyResult) -> None:
    from npylstm.plots import plot_against_lag

    axes = figure.subplots(1, len(PATHS), sharey=True)
    for ax, name in zip(axes, PATHS, strict=True):
        lines = {key: result.curves[f"{name}, {key}"] for key in (
            "at the start, direct",
            "at the start, full",
            "after training, direct",
            "after training, full",
        )}  # fmt: skip
        plot_against_lag(ax, lines, name, r"norm of $\partial c_T / \partial c_{T-k}$")
        ax.set_xlabel("lag k (steps back from the last)")
        ax.label_outer()
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center")


def _verdict_paths(result: StudyResult) -> Verdict:
    fresh = [row for row in result.rows if row["when"] == "at the start"]
    parts = ", ".join(
        f"{row['direct, 28 steps']:.2g} of {row['full, 28 steps']:.2g} ({row['network']})"
        for row in fresh
    )
    return Verdict(f"in fresh networks the direct path carries over 28 steps: {parts}")


CELL_PATH = Study(
    name="cell-path",
    title="The way from cell to cell, and the ways through gates",
    caption=(
        "Spectral norm of the derivative of the last cell state with respect to earlier ones: by "
        "the direct path alone, the product of the forget gates, and on all paths. LSTM with 28 "
        "units that reads digits row by row, at the start and after {updates} updates; median and "
        "middle 80 % of {sequences} test digits."
    ),
    published="Hochreiter & Schmidhuber (1997); Gers, Schmidhuber & Cummins (2000)",
    measure=_measure_paths,
    draw=_draw_paths,
    verdict=_verdict_paths,
    size=(13.0, 5.2),
    full={"seed": 0, "updates": 600, "sequences": 50},
    fast={"updates": 10, "sequences": 2},
)
