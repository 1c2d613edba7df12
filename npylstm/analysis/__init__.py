"""Tools that look into gradients: whether they are right, and how they change on the way back."""

from npylstm.analysis.against import Comparison, check_against
from npylstm.analysis.flow import GradientFlow, gradient_flow
from npylstm.analysis.gates import half_lives, saturation, traces
from npylstm.analysis.jacobians import (
    cell_paths,
    direct_cell_path,
    jacobian_by_products,
    jacobians,
    rnn_bound,
    singular_values,
    span_products,
    spectral_norms,
    spectral_radii,
    step_jacobian,
)
from npylstm.analysis.lyapunov import lyapunov_spectrum
from npylstm.analysis.numerical import GradientReport, check_layer, check_model, gradient_check
from npylstm.analysis.truncation import TruncationBias, truncation_bias
from npylstm.analysis.watching import WatchedCell, preactivation_gradients, watch

__all__ = [
    "Comparison",
    "GradientFlow",
    "GradientReport",
    "TruncationBias",
    "WatchedCell",
    "cell_paths",
    "check_against",
    "check_layer",
    "check_model",
    "direct_cell_path",
    "gradient_check",
    "gradient_flow",
    "half_lives",
    "jacobian_by_products",
    "jacobians",
    "lyapunov_spectrum",
    "preactivation_gradients",
    "rnn_bound",
    "saturation",
    "singular_values",
    "span_products",
    "spectral_norms",
    "spectral_radii",
    "step_jacobian",
    "traces",
    "truncation_bias",
    "watch",
]
