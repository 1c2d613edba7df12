"""Describing models as plain data, saving them and loading them."""

import json
import os
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import numpy as np

from npylstm.backend import to_device
from npylstm.cells import (
    Cell,
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
from npylstm.files import JSON
from npylstm.models import checkpoint
from npylstm.models.model import SequenceModel
from npylstm.sequence import (
    BatchFirst,
    Bidirectional,
    Dropout,
    Layer,
    Recurrent,
    Residual,
    Reverse,
    Stack,
)

CLASSES: dict[str, type] = {
    part.__name__: part
    for part in (
        SequenceModel,
        *(Recurrent, Stack, Bidirectional, Residual, Reverse, Dropout, BatchFirst),
        *(RNNCell, LSTMCell, LSTMVariant, GRUCell),
        *(MinGRUCell, MinLSTMCell, SLSTMCell, MLSTMCell, LRUCell),
    )
}
"""What a model may be made of, by name; `register` adds a class of your own."""

Part = TypeVar("Part", bound=type)


def register(part: Part) -> Part:
    """Let models with a cell or layer of your own be saved and loaded; a class decorator.

    A file names the class; register the same class before you load the file.

    Parameters
    ----------
    part : type
        A `Cell` or `Layer` that is a frozen dataclass: its fields describe it.

    Returns
    -------
    type
        The same class.

    Raises
    ------
    TypeError
        `part` is not a class of this kind.
    ValueError
        Another class has its name.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @register
    ... @dataclass(frozen=True)
    ... class SlowCell(RNNCell):
    ...     delay: float = 0.1
    >>> from_config(to_config(SlowCell(3, 4))) == SlowCell(3, 4)
    True
    """
    kind = isinstance(part, type) and issubclass(part, Cell | Layer)
    frozen = kind and is_dataclass(part) and part.__dataclass_params__.frozen  # type: ignore[attr-defined]
    if not frozen or "__dataclass_fields__" not in vars(part):
        raise TypeError(
            f"part must be a class that is a Cell or a Layer and a frozen dataclass, got {part!r}"
        )
    name, known = part.__name__, CLASSES.get(part.__name__)
    # A notebook cell that runs again makes the class anew.
    if known is not None and (known.__module__, known.__qualname__) != (
        part.__module__, part.__qualname__,
    ):  # fmt: skip
        raise ValueError(f"part must have a name of its own, got {name}, as has {known!r}")
    CLASSES[name] = part
    return part


def to_config(part: object) -> JSON:
    """Describe a model, layer or cell as JSON data: its class and the values of its fields."""
    if is_dataclass(part) and not isinstance(part, type):
        values = {field.name: to_config(getattr(part, field.name)) for field in fields(part)}
        return {"class": type(part).__name__} | values
    if isinstance(part, tuple):
        return [to_config(item) for item in part]
    return part.item() if isinstance(part, np.generic) else part


def from_config(config: JSON) -> Any:  # whatever was described
    """Make what `to_config` described.

    Raises
    ------
    ValueError
        The class is not in `CLASSES`, or does not have or cannot take a field.
    """
    if isinstance(config, list):
        return tuple(from_config(item) for item in config)
    if not isinstance(config, dict):
        return config
    values = {name: from_config(value) for name, value in config.items()}
    kind = values.pop("class", None)
    if not isinstance(kind, str) or kind not in CLASSES:
        raise ValueError(
            f"class must be one of {', '.join(CLASSES)}, or registered with npylstm.register, "
            f"got {kind!r}"
        )
    try:
        return CLASSES[kind](**values)
    except TypeError as error:
        raise ValueError(f"{kind} cannot be made of {sorted(values)}: {error}") from error


def save_model(path: str | os.PathLike[str], model: SequenceModel, params: Params) -> None:
    """Write a model and its parameters to one file; see `npylstm.models.checkpoint.save`.

    Raises
    ------
    ValueError
        The model could not be loaded again, because a class is not registered or a field is not
        plain data; or the parameters do not fit the model.
    OSError
        The file cannot be written.
    """
    check_can_be_saved(model)
    model.check(to_device(params, "cpu"))
    checkpoint.save(path, params, {"model": to_config(model)})


def check_can_be_saved(model: SequenceModel | Layer | Cell) -> None:
    """Raise ValueError unless the description of `to_config` makes the same model again."""
    config = to_config(model)
    for part in _classes(model):
        if CLASSES.get(part.__name__) is not part:
            raise ValueError(
                f"model holds a {part.__name__}, which could not be loaded again: make it known "
                f"with npylstm.register({part.__name__})"
            )
    try:
        again = from_config(json.loads(json.dumps(config)))
        same = bool(again == model)
    except (TypeError, ValueError) as error:
        raise ValueError(f"model could not be loaded again: {error}; got {model}") from error
    if not same:
        raise ValueError(f"model could not be loaded again: it would be {again}, got {model}")


def _classes(part: object) -> list[type]:
    """Return the classes of everything that a model is made of."""
    if isinstance(part, tuple):
        return [kind for item in part for kind in _classes(item)]
    if not is_dataclass(part):
        return [type(part)] if isinstance(part, Cell | Layer) else []
    values = [getattr(part, field.name) for field in fields(part)]
    return [type(part), *(kind for value in values for kind in _classes(value))]


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
        raise ValueError(f"{os.fspath(path)} holds no model; a run's model is its model.npz")
    try:
        model = from_config(meta["model"])
        model.check(params)
    except Exception as error:  # a malicious description can go wrong in any way
        raise ValueError(f"{os.fspath(path)} holds no sound model: {error}") from error
    return model, params
