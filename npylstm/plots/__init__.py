"""Figures from plain results. Every function draws into its axes or figure, and returns it."""

from npylstm.plots.classroom import plot_counts
from npylstm.plots.diagrams import (
    lstm_cell_diagram,
    save_diagrams,
    truncation_diagram,
    unrolled_diagram,
)
from npylstm.plots.gradients import (
    plot_activations,
    plot_against_lag,
    plot_cliff,
    plot_exponents,
    plot_half_lives,
    plot_singular_values,
    plot_trace,
    plot_training_map,
    plot_truncation,
)
from npylstm.plots.runs import (
    plot_accuracy,
    plot_confusion,
    plot_gradient_norms,
    plot_losses,
    plot_mistakes,
)
from npylstm.plots.studies import plot_solved, plot_times
from npylstm.plots.style import STYLES, Style, legend_beside, log_y, whole_ticks

__all__ = [
    "STYLES",
    "Style",
    "legend_beside",
    "log_y",
    "lstm_cell_diagram",
    "plot_accuracy",
    "plot_activations",
    "plot_against_lag",
    "plot_cliff",
    "plot_confusion",
    "plot_counts",
    "plot_exponents",
    "plot_gradient_norms",
    "plot_half_lives",
    "plot_losses",
    "plot_mistakes",
    "plot_singular_values",
    "plot_solved",
    "plot_times",
    "plot_trace",
    "plot_training_map",
    "plot_truncation",
    "save_diagrams",
    "truncation_diagram",
    "unrolled_diagram",
    "whole_ticks",
]
