"""What can be chosen for a training run, and the model and optimiser that come of it."""

import importlib
import sys
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from types import UnionType
from typing import Any, TypeAlias, get_args, get_origin

import numpy as np

from npylstm.cells import (
    ACTIVATIONS,
    ALIASES,
    PRESETS,
    Cell,
    GRUCell,
    LRUCell,
    LSTMCell,
    LSTMVariant,
    MinGRUCell,
    MinLSTMCell,
    MLSTMCell,
    RNNCell,
    SLSTMCell,
)
from npylstm.checks import Option, check_choice, check_number, check_size
from npylstm.models import SequenceModel, register
from npylstm.sequence import Bidirectional, Dropout, Layer, Recurrent, Residual, Stack
from npylstm.training.optimizers import EPSILONS, SGD, Adam, AdamW, Optimizer, RMSProp
from npylstm.training.trainer import Trainer

CellClass: TypeAlias = type[Any]
"""A class of cells. Each is called with fields of its own, which `type[Cell]` would not take."""

CELL_KINDS: dict[str, tuple[CellClass, dict[str, Option]]] = {
    "lstm": (LSTMCell, {}),
    "rnn": (RNNCell, {}),
    "irnn": (RNNCell, {"activation": "relu", "recurrent_initializer": "identity"}),
    "gru": (GRUCell, {}),
    "gru-reset-after": (GRUCell, {"reset_after": True}),
    "lstm-variant": (LSTMVariant, {}),
    **{f"lstm-{name.lower()}": (LSTMVariant, options) for name, options in PRESETS.items()},
    "min-gru": (MinGRUCell, {}),
    "min-lstm": (MinLSTMCell, {}),
    "slstm": (SLSTMCell, {}),
    "mlstm": (MLSTMCell, {}),
    "lru": (LRUCell, {}),
}
"""The cells by name: their class, and options that make them what they are called."""

OPTIMIZERS: dict[str, type[Optimizer]] = {
    "rmsprop": RMSProp,
    "sgd": SGD,
    "adam": Adam,
    "adamw": AdamW,
}
ROW, N_DIGITS = 28, 10
MOST_LAYERS = 1000
"""A number of layers far beyond all use; a million by mistake would fill the memory."""

_TYPES = {bool: "True or False", int: "an integer", str: "a string", Mapping: "a mapping of names"}


def _setting(default: Option, group: str, text: str, **more: object) -> Option:
    """Return a field; `unset` says what None stands for, other names are for the parser."""
    return field(default=default, metadata={"group": group, "help": text} | more)


@dataclass(frozen=True)
class RunSettings:
    """Everything that decides what a run does; the defaults are the tutorial's program.

    Each setting has its meaning beside it. None leaves the value to the cell or the optimiser; the
    help shows the cell's or the optimiser's default. Any other value is passed on; a cell or an
    optimiser without that setting refuses it.
    """

    cell: str = _setting(
        "lstm", "model", "kind of cell, or MODULE:CLASS of your own", choices=CELL_KINDS
    )
    layers: int = _setting(1, "model", "layers on top of each other")
    cell_options: Mapping[str, Option] | None = _setting(
        None,
        "model",
        "fields of the cell that have no option here, such as peepholes=true",
        unset="none",
    )
    bidirectional: bool = _setting(False, "model", "read the rows from the last to the first, too")
    residual: bool = _setting(
        False, "model", "from the second layer on, add each layer's input to its output"
    )
    input_keep_prob: float = _setting(1.0, "model", "dropout: chance that an input is kept")
    output_keep_prob: float = _setting(1.0, "model", "dropout: chance that an output is kept")
    state_keep_prob: float = _setting(1.0, "model", "dropout: chance that h is kept between steps")
    variational: str | None = _setting(
        None,
        "model",
        "dropout: one mask for all steps of a sequence, or of the whole batch",
        choices=("sequence", "batch"),
        unset="a new mask for each step",
    )

    hidden_size: int = _setting(28, "cell", "units in each layer, H")
    activation: str | None = _setting(
        None,
        "cell",
        "the function that makes h in an rnn or irnn, and the candidate in a gru",
        choices=(*ACTIVATIONS, *ALIASES),
        unset="tanh; relu for irnn",
    )
    forget_bias: float | None = _setting(
        None, "cell", "what the bias of an LSTM's forget gate starts at", unset="1.0"
    )
    kernel_initializer: str | None = _setting(
        None, "cell", "how W_x and W_h are drawn", unset="glorot_uniform"
    )
    recurrent_initializer: str | None = _setting(
        None, "cell", "how W_h is drawn instead", unset="together with W_x; identity for irnn"
    )

    optimizer: str = _setting("rmsprop", "training", "kind of optimiser", choices=OPTIMIZERS)
    epochs: int = _setting(100, "training", "passes over the training digits")
    batch_size: int = _setting(128, "training", "digits in a batch, B")
    shuffle: bool = _setting(False, "training", "draw a new order of the digits for each epoch")
    clip_value: float | None = _setting(
        None, "training", "largest entry of a gradient", unset="no limit"
    )
    clip_norm: float | None = _setting(
        None, "training", "largest norm of all gradients together", unset="no limit"
    )

    learning_rate: float | None = _setting(
        None, "optimiser", "size of the steps", unset="0.001; sgd has to be given one"
    )
    decay: float | None = _setting(None, "optimiser", "of the mean square (rmsprop)", unset="0.9")
    momentum: float | None = _setting(
        None, "optimiser", "share of the last step (rmsprop, sgd)", unset="0.0"
    )
    epsilon: float | None = _setting(
        None,
        "optimiser",
        "keeps divisors from 0 (rmsprop, adam)",
        unset="1e-08, but 1e-10 for rmsprop with convention tf1",
    )
    centered: bool | None = _setting(None, "optimiser", "divide by the deviation (rmsprop)")
    convention: str | None = _setting(
        None, "optimiser", "whose formula (rmsprop)", choices=EPSILONS, unset="tf1"
    )
    weight_decay: float | None = _setting(
        None, "optimiser", "shrinks weights (not adam)", unset="0; 0.01 for adamw"
    )
    nesterov: bool | None = _setting(None, "optimiser", "look a step of momentum ahead (sgd)")
    beta1: float | None = _setting(None, "optimiser", "decay of the mean (adam)", unset="0.9")
    beta2: float | None = _setting(
        None, "optimiser", "decay of the mean square (adam)", unset="0.999"
    )

    seed: int = _setting(0, "run", "of all that is random: the same seed, the same history")
    dtype: str = _setting("float32", "run", "type of the numbers", choices=("float32", "float64"))
    device: str = _setting("cpu", "run", "where to compute", choices=("cpu", "gpu", "auto"))
    path: str = _setting("auto", "run", "how to compute", choices=("auto", "fused", "unroll"))
    threads: int = _setting(
        1, "run", "threads of BLAS, for its matrix products; more pay for wide layers"
    )
    data: str | None = _setting(
        None,
        "run",
        "folder with the four files of MNIST",
        metavar="DIR",
        unset="a sample that comes with the package",
    )
    checkpoint_interval: int = _setting(10, "run", "epochs between two checkpoints")

    def __post_init__(self) -> None:
        if isinstance(self.data, str | Path):
            object.__setattr__(self, "data", _folder(self.data))
        for setting in fields(self):
            value, choices = getattr(self, setting.name), setting.metadata.get("choices")
            if value is None and setting.default is None:
                continue
            object.__setattr__(self, setting.name, _checked(setting.name, value, setting.type))
            if setting.name == "cell":
                find_cell(self.cell)
            elif choices:
                check_choice(setting.name, value, choices)
        for setting in fields(self):
            if setting.type is int and setting.name != "seed":
                check_size(setting.name, getattr(self, setting.name))
        check_number("layers", self.layers, 1, MOST_LAYERS)
        if self.residual and self.layers == 1:
            raise ValueError(
                "residual adds inputs from the second layer on: layers must be 2 at least, got 1"
            )
        if self.variational and self._keep == (1, 1, 1):
            raise ValueError(
                f"variational = {self.variational!r} needs something to drop: input_keep_prob, "
                "output_keep_prob or state_keep_prob below 1"
            )

    def trainer(self) -> Trainer:
        """Return the model and how to train it.

        Raises
        ------
        ValueError
            A setting out of its range, or one that the cell or the optimiser does not have.
        """
        layers = [self._layer(ROW)]
        while len(layers) < self.layers:
            layer = self._layer(layers[-1].output_size)
            layers.append(Residual(layer) if self.residual else layer)
        return Trainer(
            SequenceModel(layers[0] if self.layers == 1 else Stack(layers), N_DIGITS),
            _make(OPTIMIZERS[self.optimizer], self._given("optimiser")),
            self.batch_size,
            self.shuffle,
            self.clip_value,
            self.clip_norm,
            self.seed,
        )

    def resolved(self) -> "RunSettings":
        """Return the same settings with all that was left to the cell and the optimiser filled in.

        They mean the same when defaults have changed.

        Raises
        ------
        ValueError
            As `trainer`.
        """
        trainer = self.trainer()
        options = _values(trainer.model.recurrent.cells[0])
        del options["input_size"]
        own = [name for name in self._names("cell") if options.get(name) is not None]
        return replace(
            self,
            **{name: options.pop(name) for name in own},
            cell_options=options or None,
            **_values(trainer.optimizer),
        )

    def _layer(self, input_size: int) -> Layer:
        if self.bidirectional:
            return Bidirectional(self._side(input_size), self._side(input_size))
        return self._side(input_size)

    def _side(self, input_size: int) -> Layer:
        kind, preset = find_cell(self.cell)
        own = _cell_options(kind, self.cell_options or {})
        try:
            options = preset | self._given("cell") | own
            cell = _make(kind, {"input_size": input_size} | options)
        except (TypeError, ValueError) as error:
            raise _about_options(error, own) from error
        layer = Recurrent(cell, self.path)
        if self._keep == (1, 1, 1):
            return layer
        return Dropout(layer, *self._keep, self.variational)

    @property
    def _keep(self) -> tuple[float, float, float]:
        return self.input_keep_prob, self.output_keep_prob, self.state_keep_prob

    def _names(self, group: str) -> list[str]:
        return [setting.name for setting in fields(self) if setting.metadata["group"] == group]

    def _given(self, group: str) -> dict[str, Option]:
        """Return the settings of a group, without those that are left open."""
        values = {name: getattr(self, name) for name in self._names(group)}
        return {name: value for name, value in values.items() if value is not None}


def find_cell(name: str) -> tuple[CellClass, dict[str, Option]]:
    """Return the class of a cell and its options by its name.

    Parameters
    ----------
    name : str
        One of `CELL_KINDS`, or `"module:Class"`: a cell of your own in a module that Python finds
        from the present folder. It is registered (`npylstm.register`), so a model of it can be
        saved.

    Raises
    ------
    ValueError
        There is no such name, module or class, or the class is not a cell.
    """
    if name in CELL_KINDS or ":" not in name:
        if name not in CELL_KINDS:
            known = ", ".join(map(repr, CELL_KINDS))
            raise ValueError(f"cell must be one of {known}, or MODULE:CLASS, got {name!r}")
        return CELL_KINDS[name]
    module, _, kind = name.partition(":")
    if str(Path.cwd()) not in sys.path:  # an installed command does not look there
        sys.path.append(str(Path.cwd()))
    try:
        own = getattr(importlib.import_module(module), kind)
        if not isinstance(own, type) or not issubclass(own, Cell):
            raise TypeError(f"{kind} is not a class of cells, but {own!r}")
        return register(own), {}
    except Exception as error:  # someone else's module can fail in any way
        raise ValueError(
            f"cell must name a module and a Cell in it, got {name!r}: {error}"
        ) from error


def _checked(name: str, value: Option, annotation: Option) -> Option:
    """Return the value of a setting as JSON has it; raise ValueError if it is of another type."""
    kind = get_args(annotation)[0] if isinstance(annotation, UnionType) else annotation
    value = value.item() if isinstance(value, np.generic) else value
    if kind is float:
        if not isinstance(value, float):  # whether a float is in its range, its user checks
            check_number(name, value)
        return float(value)
    kind = get_origin(kind) or kind
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"{name} must be {_TYPES[kind]}, got {value!r}")
    if kind is Mapping:
        return {key: v.item() if isinstance(v, np.generic) else v for key, v in value.items()}
    return value


def _folder(data: str | Path) -> str:
    """Return a folder's name that holds wherever the run goes on; '' is the name of none."""
    if not str(data).strip():
        raise ValueError(f"data must name a folder with the four files of MNIST, got {data!r}")
    return str(Path(data).absolute())


def _cell_options(kind: CellClass, given: Mapping[str, Option]) -> dict[str, Option]:
    """Return the options of a cell; raise ValueError for one that it lacks, or of a wrong type."""
    types = {option.name: option.type for option in fields(kind)}
    if "input_size" in given:
        raise ValueError("cell_options can't set input_size: the data and the layers below do")
    for name in given.keys() - types:
        known = ", ".join(option for option in types if option != "input_size")
        raise ValueError(f"cell_options: {kind.__name__} has no setting {name}; it has {known}")
    for name, value in given.items():
        if types[name] in (bool, int, float, str):
            try:
                _checked(name, value, types[name])
            except ValueError as error:
                raise _about_options(error, given) from error
    return dict(given)


def _about_options(error: Exception, given: Mapping[str, Option]) -> Exception:
    """Return the same error, which names `cell_options` if it is about one of them."""
    name, space, rest = str(error).partition(" ")
    return type(error)(f"cell_options: {name!r}{space}{rest}") if name in given else error


def _values(part: Option) -> dict[str, Option]:
    """Return the fields of a cell or an optimiser."""
    return {option.name: getattr(part, option.name) for option in fields(part)}


def _make(kind: type, options: dict[str, Option]) -> Option:
    """Return kind(**options), with a clear error for an option that it lacks or misses."""
    known = {option.name: option.default for option in fields(kind)}
    for name in options.keys() - known:
        raise ValueError(f"{kind.__name__} has no setting {name}; it has {', '.join(known)}")
    for name in known.keys() - options:
        if known[name] is MISSING:
            raise ValueError(f"{kind.__name__} has no default for {name}: it must be given")
    return kind(**options)
