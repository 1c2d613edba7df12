"""The loop over time, and layers that map whole sequences."""

from npylstm.sequence.fused_numpy import why_not_fused
from npylstm.sequence.layers import Bidirectional, Layer, Recurrent, Stack, as_layer, reverse
from npylstm.sequence.unroll import (
    Lengths,
    alive_mask,
    backward_steps,
    check_lengths,
    truncated_backward,
    unroll,
    unroll_backward,
)
from npylstm.sequence.wrappers import Dropout, Residual

__all__ = [
    "Bidirectional",
    "Dropout",
    "Layer",
    "Lengths",
    "Recurrent",
    "Residual",
    "Stack",
    "alive_mask",
    "as_layer",
    "backward_steps",
    "check_lengths",
    "reverse",
    "truncated_backward",
    "unroll",
    "unroll_backward",
    "why_not_fused",
]
