"""Pictures of what multiplies a gradient on its way: Jacobians, their bound, and the cell path."""

from typing import Any

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
from npylstm.cells import Params, RNNCell
from npylstm.experiments.gallery.networks import (
    HIDDEN,
    fresh,
    reading,
    unseen_digits,
    unseen_sequences,
)
from npylstm.experiments.gallery.picture import Picture
from npylstm.experiments.results import Found, Result, Row

SPECTRA = ("tanh RNN, orthogonal", "LSTM, forget bias 1", "LSTM, forget bias 5")


def _spectra_study(seed: int, T: int, spans: tuple[int, ...]) -> Found:
    xs = unseen_sequences(T, 1, seed).xs.astype(np.float64)
    rows: list[Row] = []
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


def _draw_spectra(figure: Any, result: Result) -> None:
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
    axes[0].legend()


SINGULAR_VALUES = Picture(
    name="singular-values",
    title="Of many directions a gradient survives 100 steps in a few, or in none",
    caption=(
        "Singular values of the Jacobian of the state over 1, 10, 30 and 100 steps, at the start: "
        "how much each of its directions is stretched. 25 units; the state of an LSTM, h and c, "
        "has 50. Inputs of the temporal order task."
    ),
    source="Pascanu, Mikolov & Bengio (2013), sec. 2.1",
    study=_spectra_study,
    draw=_draw_spectra,
    size=(12.0, 4.4),
    full={"T": 100, "spans": (1, 10, 30, 100)},
    fast={"T": 20, "spans": (1, 10, 20)},
)

BOUNDED = {
    "gaussian 0.1": RNNCell(6, HIDDEN, kernel_initializer="normal:0.1"),
    "orthogonal": RNNCell(6, HIDDEN, recurrent_initializer="orthogonal"),
    "glorot": RNNCell(6, HIDDEN),
}


def _bound_study(seed: int, T: int, sequences: int) -> Found:
    xs = unseen_sequences(T, sequences, seed).xs.astype(np.float64)
    rows: list[Row] = []
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
        row: Row = {"W_h": name, "σ_max(W_h)": float(lines["bound"][1])}
        rows.append(row | {line: float(np.median(values[-1])) for line, values in lines.items()})
    return rows, curves


def _draw_bound(figure: Any, result: Result) -> None:
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
    axes[0].legend(loc="upper left")


BOUND = Picture(
    name="bound",
    title="A bound above 1 says nothing: the gradient can vanish all the same",
    caption=(
        "Spectral norm of the product of k Jacobians of a fresh tanh RNN with 25 units, and two "
        "upper bounds: the norm of each step multiplied up, and the largest singular value of W_h "
        "to the power k. Inputs of the temporal order task; median and middle 80 % of 20 sequences."
    ),
    source="Pascanu, Mikolov & Bengio (2013), sec. 2.1",
    study=_bound_study,
    draw=_draw_bound,
    size=(12.0, 5.0),
    full={"T": 50, "sequences": 20},
    fast={"T": 10, "sequences": 2},
)

PATHS = ("LSTM, forget bias 0", "LSTM, forget bias 1", "LSTM, forget bias 3")


def _path_study(seed: int, updates: int, sequences: int) -> Found:
    xs = unseen_digits(sequences).xs.astype(np.float64)
    rows: list[Row] = []
    curves = {}
    for name in PATHS:
        start, *_, end = reading(name, updates, seed)
        for when, (model, params) in (("at the start", start), ("after training", end)):
            cell: Any = model.layer
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


def _draw_paths(figure: Any, result: Result) -> None:
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
    axes[2].legend()


CELL_PATH = Picture(
    name="cell-path",
    title="The way from cell to cell is not the only one: gates and outputs carry gradient, too",
    caption=(
        "Spectral norm of the derivative of the last cell state with respect to earlier ones: by "
        "the direct path alone, the product of the forget gates, and on all paths. LSTM with 28 "
        "units that reads digits row by row; median and middle 80 % of the test digits."
    ),
    source="Hochreiter & Schmidhuber (1997); Gers, Schmidhuber & Cummins (2000)",
    study=_path_study,
    draw=_draw_paths,
    size=(12.0, 5.0),
    full={"updates": 600, "sequences": 50},
    fast={"updates": 10, "sequences": 2},
)
