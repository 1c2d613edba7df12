"""Models: a layer, a dense head and a loss; describing, saving, loading and sampling them."""

from npylstm.models import checkpoint
from npylstm.models.generation import generate
from npylstm.models.losses import mean_squared_error, softmax, softmax_cross_entropy
from npylstm.models.model import SequenceModel
from npylstm.models.saving import (
    CLASSES,
    check_can_be_saved,
    from_config,
    load_model,
    register,
    save_model,
    to_config,
)

__all__ = [
    "CLASSES",
    "SequenceModel",
    "check_can_be_saved",
    "checkpoint",
    "from_config",
    "generate",
    "load_model",
    "mean_squared_error",
    "register",
    "save_model",
    "softmax",
    "softmax_cross_entropy",
    "to_config",
]
