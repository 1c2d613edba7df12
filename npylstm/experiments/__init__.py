"""Studies of published experiments: `perform(EXPERIMENTS[name])` returns a `Result`."""

from npylstm.experiments import (
    adding,
    adding_1997,
    continual_reber,
    copy_string,
    embedded_reber,
    forget_bias,
    greff,
    long_lag,
    lyapunov,
    mnist_rows,
    temporal_order,
    temporal_order_1997,
    two_sequence,
)
from npylstm.experiments.gallery import PICTURES
from npylstm.experiments.results import Experiment, Result, perform, refuse_to_overwrite

_MODULES = (
    temporal_order,
    adding,
    copy_string,
    two_sequence,
    temporal_order_1997,
    long_lag,
    adding_1997,
    embedded_reber,
    continual_reber,
    forget_bias,
    greff,
    mnist_rows,
    lyapunov,
)
EXPERIMENTS: dict[str, Experiment] = {
    module.EXPERIMENT.name: module.EXPERIMENT for module in _MODULES
}
"""Every study by its name."""

__all__ = ["EXPERIMENTS", "PICTURES", "Experiment", "Result", "perform", "refuse_to_overwrite"]
