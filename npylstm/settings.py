"""What can be chosen for a training run, and the model and optimiser that come of it."""

import os
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from npylstm.cells.gru import GRUCell
from npylstm.cells.lstm import LSTMCell
from npylstm.cells.lstm_variant import PRESETS, LSTMVariant
from npylstm.cells.rnn import RNNCell
from npylstm.checks import check_choice, check_size
from npylstm.models import SequenceModel
from npylstm.optimizers import SGD, Adam, Optimizer, RMSProp
from npylstm.sequence.layers import Bidirectional, Dropout, Layer, Recurrent, Stack
from npylstm.training import Trainer

CELLS: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "lstm": (LSTMCell, {}),
    "rnn": (RNNCell, {}),
    "irnn": (RNNCell, {"activation": "relu", "recurrent_initializer": "identity"}),
    "gru": (GRUCell, {}),
    "gru-reset-after": (GRUCell, {"reset_after": True}),
    "lstm-variant": (LSTMVariant, {}),
    **{f"lstm-{name.lower()}": (LSTMVariant, options) for name, options in PRESETS.items()},
}
"""The cells by name: their class, and options that make them what they are called."""

OPTIMIZERS: dict[str, type[Optimizer]] = {"rmsprop": RMSProp, "sgd": SGD, "adam": Adam}
ROW, CLASSES = 28, 10


def _setting(default: Any, group: str, text: str, **more: Any) -> Any:
    return field(default=default, metadata={"group": group, "help": text} | more)


@dataclass(frozen=True)
class Settings:
    """Everything that decides what a run does; the defaults are the tutorial's program.

    What each setting means stands beside it. None leaves the value to the cell or the optimiser;
    any other value is passed on, and refused by one that has no such setting.
    """

    cell: str = _setting("lstm", "model", "kind of cell", choices=CELLS)
    layers: int = _setting(1, "model", "layers on top of each other")
    cell_options: Mapping[str, Any] | None = _setting(
        None, "model", "fields of the cell that have no option here, such as peepholes=true"
    )
    bidirectional: bool = _setting(False, "model", "read the rows from the last to the first, too")
    input_keep_prob: float = _setting(1.0, "model", "dropout: chance that an input is kept")
    output_keep_prob: float = _setting(1.0, "model", "dropout: chance that an output is kept")
    state_keep_prob: float = _setting(1.0, "model", "dropout: chance that h is kept between steps")

    hidden_size: int = _setting(28, "cell", "units in each layer, H")
    activation: str | None = _setting(None, "cell", "φ of a plain recurrent cell")
    forget_bias: float | None = _setting(None, "cell", "what the forget gate's bias starts at")
    kernel_initializer: str | None = _setting(None, "cell", "how W_x and W_h are drawn")
    recurrent_initializer: str | None = _setting(None, "cell", "how W_h is drawn instead")

    optimizer: str = _setting("rmsprop", "training", "kind of optimiser", choices=OPTIMIZERS)
    epochs: int = _setting(100, "training", "passes over the training digits")
    batch_size: int = _setting(128, "training", "digits in a batch, B")
    shuffle: bool = _setting(False, "training", "draw a new order of the digits for each epoch")
    clip_value: float | None = _setting(None, "training", "largest entry of a gradient")
    clip_norm: float | None = _setting(None, "training", "largest norm of all gradients together")

    learning_rate: float | None = _setting(None, "optimiser", "size of the steps")
    decay: float | None = _setting(None, "optimiser", "of the mean square (rmsprop)")
    momentum: float | None = _setting(None, "optimiser", "share of the last step (rmsprop, sgd)")
    epsilon: float | None = _setting(None, "optimiser", "keeps divisors from 0 (rmsprop, adam)")
    centered: bool | None = _setting(None, "optimiser", "divide by the deviation (rmsprop)")
    convention: str | None = _setting(
        None, "optimiser", "whose formula (rmsprop)", choices=("tf1", "torch")
    )
    nesterov: bool | None = _setting(None, "optimiser", "look a step of momentum ahead (sgd)")
    beta1: float | None = _setting(None, "optimiser", "decay of the mean (adam)")
    beta2: float | None = _setting(None, "optimiser", "decay of the mean square (adam)")

    seed: int = _setting(0, "run", "of all that is random: the same seed, the same history")
    dtype: str = _setting("float32", "run", "type of the numbers", choices=("float32", "float64"))
    device: str = _setting("cpu", "run", "where to compute", choices=("cpu", "gpu", "auto"))
    path: str = _setting("auto", "run", "how to compute", choices=("auto", "fused", "unroll"))
    threads: int = _setting(1, "run", "on the fused path; more pay for wide layers")
    data: str | None = _setting(None, "run", "folder with the four files of MNIST", metavar="DIR")
    checkpoint_interval: int = _setting(10, "run", "epochs between two checkpoints")

    def __post_init__(self) -> None:
        for name in ("layers", "epochs", "checkpoint_interval"):
            check_size(name, getattr(self, name))
        for setting in fields(self):
            value, choices = getattr(self, setting.name), setting.metadata.get("choices")
            if choices and value is not None:
                check_choice(setting.name, value, choices)
        if self.data is not None:
            object.__setattr__(self, "data", os.path.abspath(self.data))

    def trainer(self) -> Trainer:
        """Return the model and how to train it.

        Raises
        ------
        ValueError
            A setting out of its range, or one that the cell or the optimiser does not have.
        """
        layers = [self._layer(ROW)]
        while len(layers) < self.layers:
            layers.append(self._layer(layers[-1].output_size))
        return Trainer(
            SequenceModel(layers[0] if self.layers == 1 else Stack(layers), CLASSES),
            _make(OPTIMIZERS[self.optimizer], self._given("optimiser")),
            self.batch_size,
            self.shuffle,
            self.clip_value,
            self.clip_norm,
            self.seed,
        )

    def _layer(self, input_size: int) -> Layer:
        if self.bidirectional:
            return Bidirectional(self._side(input_size), self._side(input_size))
        return self._side(input_size)

    def _side(self, input_size: int) -> Layer:
        kind, preset = CELLS[self.cell]
        options = preset | self._given("cell") | dict(self.cell_options or {})
        if "input_size" in options:
            raise ValueError("cell_options can't set input_size: the data and the layers below do")
        cell = _make(kind, {"input_size": input_size} | options)
        keep = (self.input_keep_prob, self.output_keep_prob, self.state_keep_prob)
        layer = Recurrent(cell, self.path, self.threads)
        return layer if keep == (1, 1, 1) else Dropout(layer, *keep)

    def _given(self, group: str) -> dict[str, Any]:
        """Return the settings of a group, without those that are left open."""
        names = [setting.name for setting in fields(self) if setting.metadata["group"] == group]
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


def _make(kind: type, options: dict[str, Any]) -> Any:
    """Return kind(**options), with a clear error for an option that it lacks or misses."""
    known = {option.name: option.default for option in fields(kind)}
    for name in options.keys() - known:
        raise ValueError(f"{kind.__name__} has no setting {name}; it has {', '.join(known)}")
    for name in known.keys() - options:
        if known[name] is MISSING:
            raise ValueError(f"{kind.__name__} has no default for {name}: it must be given")
    return kind(**options)
