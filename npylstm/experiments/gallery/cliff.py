"""The cliff: why exploding gradients need a clip."""

from concurrent.futures import Executor
from typing import TYPE_CHECKING

import numpy as np

from npylstm.backend import Array
from npylstm.cells import Params, RNNCell, RNNState
from npylstm.experiments.study import Measured, Study, StudyResult, Verdict
from npylstm.sequence import unroll, unroll_backward
from npylstm.training import clip_by_global_norm

if TYPE_CHECKING:  # slow to import
    from matplotlib.figure import Figure

CELL = RNNCell(1, 1, "logistic")
START = {"w": 4.9, "b": -2.0}
CLIP = 0.2


def error(w: Array, b: Array, T: int) -> tuple[Array, Params]:
    """Return (h_T - 0.7)² of one unit h_t = σ(w h_{t-1} + b), and its gradient.

    With x_t = w σ(x_{t-1}) + b as in the paper, h_t is σ(x_t), and x_0 = 0.5. Any number of units,
    w and b of any shape, are computed at once, each as a network of its own.
    """
    shape = np.shape(w)
    params = {"W_x": np.zeros((*shape, 1, 1)), "W_h": w[..., None, None], "b": b[..., None]}
    h_0 = RNNState(np.full((*shape, 1, 1), 1 / (1 + np.exp(-0.5))))
    _, (h,), tape = unroll(CELL, params, np.zeros((T, *shape, 1, 1)), h_0)
    _, _, grads = unroll_backward(CELL, params, tape, dstate=RNNState(2 * (h - 0.7)))
    gradient = {"w": grads["W_h"][..., 0, 0], "b": grads["b"][..., 0]}
    return (h[..., 0, 0] - 0.7) ** 2, gradient


def descend(rate: float, steps: int, T: int, clip: float | None) -> tuple[Array, Array]:
    """Return w and b after every step of gradient descent (steps + 1, 2), and the errors there."""
    point = {name: np.array(value) for name, value in START.items()}
    path, errors = [], []
    for _ in range(steps + 1):
        value, gradient = error(point["w"], point["b"], T)
        path.append([point["w"], point["b"]])
        errors.append(value)
        if clip is not None:
            gradient, _ = clip_by_global_norm(gradient, clip)
        point = {name: point[name] - rate * gradient[name] for name in point}
    return np.array(path), np.array(errors)


def _measure(
    _executor: Executor | None, *, seed: int, T: int, rate: float, steps: int, points: int
) -> Measured:
    w, b = np.linspace(3.6, 5.6, points), np.linspace(-2.8, -1.4, points)
    curves: dict[str, Array] = {"w": w, "b": b, "error": error(*np.meshgrid(w, b), T)[0]}
    rows = []
    for name, clip in ((f"clipped to norm {CLIP}", CLIP), ("without clipping", None)):
        path, errors = descend(rate, steps, T, clip)
        curves[name] = path
        rows.append(
            {
                "gradient descent": name,
                "largest step": float(np.linalg.norm(np.diff(path, axis=0), axis=1).max()),
                "w in the end": float(path[-1, 0]),
                "b in the end": float(path[-1, 1]),
                "error in the end": float(errors[-1]),
            }
        )
    return rows, curves


def _draw(figure: "Figure", result: StudyResult) -> None:
    from npylstm.plots import plot_cliff

    w, b, surface, *paths = result.curves.values()
    names = [row["gradient descent"] for row in result.rows]
    plot_cliff(figure.subplots(), w, b, surface, dict(zip(names, paths, strict=True)), "")


def _verdict(result: StudyResult) -> Verdict:
    clipped, free = result.rows
    return Verdict(
        f"at the cliff the longest of {result.settings['steps']} steps is "
        f"{free['largest step']:.2g} without clipping and {clipped['largest step']:.2g} with it; "
        f"the errors in the end are {free['error in the end']:.2g} and "
        f"{clipped['error in the end']:.2g}",
        free["largest step"] > 10 * clipped["largest step"],
    )


CLIFF = Study(
    name="cliff",
    title="The cliff: gradient descent with and without clipping",
    caption=(
        "Error (σ(x_T) - 0.7)² of one unit x_t = w σ(x_{{t-1}}) + b after T = {T} steps from "
        "x_0 = 0.5, over its weight and bias, and {steps} steps of gradient descent at rate "
        "{rate}; a jump out of the picture is drawn to its edge."
    ),
    published="Pascanu, Mikolov & Bengio (2013), fig. 6: without clipping a step leaves the valley",
    measure=_measure,
    draw=_draw,
    verdict=_verdict,
    size=(9.0, 5.6),
    full={"seed": 0, "T": 50, "rate": 0.4, "steps": 40, "points": 201},
    fast={"points": 21},
)
