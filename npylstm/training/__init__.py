"""Training: optimisers, the loop, the settings of a run, and a run on disk."""

from npylstm.training.optimizers import (
    SGD,
    Adam,
    AdamW,
    Optimizer,
    RMSProp,
    clip_by_global_norm,
    clip_by_value,
)
from npylstm.training.runs import Run
from npylstm.training.settings import CELL_KINDS, RunSettings, find_cell
from npylstm.training.state import Epoch, TrainingState
from npylstm.training.trainer import Examples, Trainer, evaluate, predict

__all__ = [
    "CELL_KINDS",
    "SGD",
    "Adam",
    "AdamW",
    "Epoch",
    "Examples",
    "Optimizer",
    "RMSProp",
    "Run",
    "RunSettings",
    "Trainer",
    "TrainingState",
    "clip_by_global_norm",
    "clip_by_value",
    "evaluate",
    "find_cell",
    "predict",
]
