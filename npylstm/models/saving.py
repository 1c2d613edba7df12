"""Describing models as plain data, saving them and loading them."""

import os
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from npylstm.cells import (
    GRUCell,
    LRUCell,
    LSTMCell,
    LSTMVariant,
    MinGRUCell,
    MinLSTMCell,
    MLSTMCell,
    Params,
    RNNCell,
    SLSTMCell,
)
from npylstm.checks import check_choice
from npylstm.models import checkpoint
from npylstm.models.model import SequenceModel
from npylstm.sequence import Bidirectional, Dropout, Recurrent, Residual, Stack

CLASSES: dict[str, type] = {
    part.__name__: part
    for part in (
        SequenceModel,
        *(Recurrent, Stack, Bidirectional, Residual, Dropout),
        *(RNNCell, LSTMCell, LSTMVariant, GRUCell),
        *(MinGRUCell, MinLSTMCell, SLSTMCell, MLSTMCell, LRUCell),
    )
}
"""What a model may be made of, by name; a class of your own can be loaded once it is in here."""


def to_config(part: Any) -> Any:
    """Describe a model, layer or cell as JSON data: its class and the values of its fields."""
    if is_dataclass(part):
        values = {field.name: to_config(getattr(part, field.name)) for field in fields(part)}
        return {"class": type(part).__name__} | values
    if isinstance(part, tuple):
        return [to_config(item) for item in part]
    return part.item() if isinstance(part, np.generic) else part


def from_config(config: Any) -> Any:
    """Make what `to_config` described.

    Raises
    ------
    ValueError
        A class that is not in `CLASSES`, or fields that it does not have or cannot take.
    """
    if isinstance(config, list):
        return tuple(from_config(item) for item in config)
    if not isinstance(config, dict):
        return config
    values = {name: from_config(value) for name, value in config.items()}
    kind = values.pop("class", None)
    check_choice("class", kind, CLASSES)
    try:
        return CLASSES[kind](**values)
    except TypeError as error:
        raise ValueError(f"{kind} cannot be made of {sorted(values)}: {error}") from error


def save_model(path: str | os.PathLike[str], model: SequenceModel, params: Params) -> None:
    """Write a model and its parameters to one file; see `npylstm.models.checkpoint.save`."""
    checkpoint.save(path, params, {"model": to_config(model)})


def load_model(path: str | os.PathLike[str]) -> tuple[SequenceModel, Params]:
    """Read what `save_model` wrote.

    Returns
    -------
    model : SequenceModel
    params : dict of arrays
        NumPy arrays with every bit and dtype as they were.

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        The file is not a model, is damaged, or its parameters do not fit the model.
    """
    params, meta = checkpoint.load(path)
    if "model" not in meta:
        raise ValueError(f"{os.fspath(path)} holds no model; that of a run is its model.npz")
    try:
        model = from_config(meta["model"])
        model.check(params)
    except Exception as error:  # a description made to fool us can go wrong in any way
        raise ValueError(f"{os.fspath(path)} holds no sound model: {error}") from error
    return model, params
