"""The loop over time, and layers that map whole sequences."""

from npylstm.sequence.kernels import GPUKernel, Kernel, register_kernel, release_memory
from npylstm.sequence.layers import (
    Bidirectional,
    Layer,
    LayerState,
    LayerTape,
    Recurrent,
    Stack,
    as_layer,
    reverse,
)
from npylstm.sequence.paths import has_kernel
from npylstm.sequence.stream import Stream, all_states
from npylstm.sequence.tree import cells_inside, foreign_layer, not_causal, walk, with_recurrent
from npylstm.sequence.unroll import (
    Lengths,
    MaybeNone,
    alive_mask,
    alive_steps,
    backward_steps,
    check_lengths,
    truncated_backward,
    unroll,
    unroll_backward,
)
from npylstm.sequence.wrappers import BatchFirst, Dropout, DropoutMasks, Residual, Reverse

__all__ = [
    "BatchFirst",
    "Bidirectional",
    "Dropout",
    "DropoutMasks",
    "GPUKernel",
    "Kernel",
    "Layer",
    "LayerState",
    "LayerTape",
    "Lengths",
    "MaybeNone",
    "Recurrent",
    "Residual",
    "Reverse",
    "Stack",
    "Stream",
    "alive_mask",
    "alive_steps",
    "all_states",
    "as_layer",
    "backward_steps",
    "cells_inside",
    "check_lengths",
    "foreign_layer",
    "has_kernel",
    "not_causal",
    "register_kernel",
    "release_memory",
    "reverse",
    "truncated_backward",
    "unroll",
    "unroll_backward",
    "walk",
    "with_recurrent",
]
